"""Metal segmentation: threshold, connected components in 3D, smallest component, dilation.

Only the bounding box of what exceeds the threshold is labeled, so a scan with a filling costs milliseconds.
"""

from __future__ import annotations

import logging
import math
from dataclasses import asdict, dataclass

import numpy
import scipy.ndimage

from ..errors import InputError, NoMetalError
from .scale import HIGHEST_12_BIT_HU, LOWEST_12_BIT_HU

logger = logging.getLogger(__name__)

DEFAULT_THRESHOLD_HU = 2000.0
DEFAULT_SMALLEST_COMPONENT_MM3 = 1.0
"""The smallest metal parts that matter are surgical clips (about 0.5 x 1 x 4 mm) and wires of 0.4 mm and more: 2 mm3
and above, and larger in the image, which blurs them. Noise and dense bone exceed the threshold in single voxels (0.1 to
0.5 mm3 in thin slices); a single voxel is dropped whatever its size, since in thick slices it alone exceeds any such
volume."""

DEFAULT_PEAK_HU = 2750.0
"""Enamel and dense contrast medium lie above 2000 HU as metal does, but peak lower. In the real scans that this was chosen on, sound
teeth peaked at 2540 to 2710 HU, sternal wires, fillings and ports at 2755 HU and more."""

SMALLEST_PEAK_SHARE = 0.05
CERTAIN_METAL_HU = 3000.0
FEWEST_SATURATED_VOXELS = 10
"""A few voxels of a large unerupted tooth reach 2900 HU (3 % of them above 2750 HU), of metal pieces 5 % and more, mostly above 40 %. What
reaches 3000 HU, or a value at which the scan is cut off, is metal whatever its share: a small filling in a large tooth."""

NEIGHBORS_26 = numpy.ones((3, 3, 3), dtype=bool)


@dataclass(frozen=True)
class MaskSummary:
    """What a mask holds. components: connected in 3D (26 neighbors)."""

    voxels: int
    volume_ml: float
    components: int
    slices_with_metal: int

    def to_dict(self) -> dict[str, int | float]:
        return asdict(self)


def segment_metal(
    voxels_hu: numpy.ndarray,
    spacing_mm: tuple[float, float, float],
    threshold_hu: float = DEFAULT_THRESHOLD_HU,
    smallest_component_mm3: float = DEFAULT_SMALLEST_COMPONENT_MM3,
    dilation_mm: float = 0.0,
    peak_hu: float = DEFAULT_PEAK_HU,
) -> numpy.ndarray:
    """The metal mask of a scan: bool (slices, rows, columns).

    voxels_hu: (slices, rows, columns), HU. spacing_mm: (slices, rows, columns).
    threshold_hu: a voxel at or above it is metal. Below about 1500 HU dense bone and enamel count as metal, above 3071
        HU 12-bit scanners show nothing.
    smallest_component_mm3: smaller components (26 neighbors, 3D) are dropped, single voxels with them; 0 keeps all.
    dilation_mm: the mask grows to every voxel whose center lies within this distance (Euclidean, in mm, so that it
        reaches fewer slices than columns where slices are thick; none at all if it is less than the slice distance).
        It does not grow into padding below -1024 HU.
    peak_hu: a component that nowhere reaches it is no metal but enamel, dense bone or contrast medium, nor is one of which less than
        5 % reaches it, unless it is as bright as the scan can show (see CERTAIN_METAL_HU); where nothing in the scan reaches it, there
        is no metal. 0 switches this off: the threshold alone decides.

    Raises InputError for unusable arguments and NaN voxels, NoMetalError when no metal is found (with the maximum that was found).
    """
    _refuse_arguments(voxels_hu, spacing_mm, threshold_hu, smallest_component_mm3, dilation_mm, peak_hu)
    threshold = math.ceil(threshold_hu) if voxels_hu.dtype.kind in "iu" else threshold_hu
    box = _bounding_box(voxels_hu, threshold)
    if box is None:
        raise _nothing_found(voxels_hu, threshold_hu)
    above = voxels_hu[box] >= threshold
    labels, count = scipy.ndimage.label(above, structure=NEIGHBORS_26)
    voxel_mm3 = math.prod(spacing_mm)
    voxels_per_component = numpy.bincount(labels[above], minlength=count + 1)
    kept = voxels_per_component * voxel_mm3 >= smallest_component_mm3
    if smallest_component_mm3 > 0:
        kept &= voxels_per_component > 1
    kept[0] = False
    large = kept
    kept = kept & _peaks(voxels_hu[box], labels, count, kept, peak_hu)
    if not kept.any() and large.any():
        raise NoMetalError(
            f"No metal found: of what reaches {threshold_hu:g} HU nothing has a peak of {peak_hu:g} HU, so it counts as dense bone, enamel "
            "or contrast medium; if it is metal all the same, lower the metal peak (0 lets the threshold alone decide), or give a mask."
        )
    if not kept.any():
        largest = voxels_per_component.max()
        raise NoMetalError(
            f"No metal found: all that reaches {threshold_hu:g} HU (maximum {voxels_hu.max():g} HU) is specks of at "
            f"most {largest} voxels, {largest * voxel_mm3:.3g} mm3, and single voxels or less than "
            f"{smallest_component_mm3:g} mm3 count as noise; lower the threshold or that size."
        )
    mask = numpy.zeros(voxels_hu.shape, dtype=bool)
    mask[box] = kept[labels]
    if count > kept.sum():
        logger.info("%d of %d components dropped as noise.", count - int(kept.sum()), count)
    if dilation_mm > 0:
        _dilate(mask, scipy.ndimage.find_objects(labels), kept, box, spacing_mm, dilation_mm)
        mask &= voxels_hu >= LOWEST_12_BIT_HU
    return mask


def summarize_mask(mask: numpy.ndarray, spacing_mm: tuple[float, float, float]) -> MaskSummary:
    """Count what a mask (bool, (slices, rows, columns)) holds; spacing_mm in the same order."""
    box = _bounding_box(mask, True)
    if box is None:
        return MaskSummary(0, 0.0, 0, 0)
    inside = mask[box]
    voxels = int(numpy.count_nonzero(inside))
    return MaskSummary(
        voxels=voxels,
        volume_ml=voxels * math.prod(spacing_mm) / 1000.0,
        components=int(scipy.ndimage.label(inside, structure=NEIGHBORS_26)[1]),
        slices_with_metal=int(inside.any(axis=(1, 2)).sum()),
    )


def _refuse_arguments(voxels_hu, spacing_mm, threshold_hu, smallest_component_mm3, dilation_mm, peak_hu) -> None:
    if voxels_hu.ndim != 3:
        raise InputError(f"A scan to segment has 3 axes (slices, rows, columns), not {voxels_hu.ndim}.")
    if len(spacing_mm) != 3 or not all(math.isfinite(value) and value > 0 for value in spacing_mm):
        raise InputError(f"The spacing {tuple(spacing_mm)} mm is not three positive numbers (slices, rows, columns).")
    if not math.isfinite(threshold_hu) or threshold_hu <= 0:
        raise InputError(f"The metal threshold {threshold_hu:g} HU is not a positive number; use 2000 to 3000 HU.")
    for name, value, unit in (
        ("smallest component", smallest_component_mm3, "mm3"),
        ("dilation", dilation_mm, "mm"),
        ("metal peak", peak_hu, "HU"),
    ):
        if not math.isfinite(value) or value < 0:
            raise InputError(f"The {name} {value:g} {unit} is not a number of 0 or more.")
    if voxels_hu.dtype.kind == "f" and any(numpy.isnan(plane).any() for plane in voxels_hu):
        raise InputError("The scan has voxels that are NaN; replace them first, for example by -1024 HU.")


def _peaks(voxels_hu, labels, count, kept, peak_hu) -> numpy.ndarray:
    """Which components (by label, 0 to count) are bright enough for metal."""
    everything = numpy.ones(count + 1, dtype=bool)
    if peak_hu <= 0:
        return everything
    highest = numpy.asarray(scipy.ndimage.maximum(voxels_hu, labels, numpy.arange(count + 1)))
    reached = highest >= peak_hu
    sizes = numpy.bincount(labels.ravel(), minlength=count + 1)
    bright = numpy.bincount(labels[voxels_hu >= peak_hu], minlength=count + 1)
    maximum = voxels_hu.max()
    certain = maximum if numpy.count_nonzero(voxels_hu == maximum) >= FEWEST_SATURATED_VOXELS else CERTAIN_METAL_HU
    enough = (bright >= numpy.floor(SMALLEST_PEAK_SHARE * sizes)) | (highest >= min(certain, CERTAIN_METAL_HU))
    return reached & enough if (reached & enough & kept).any() else reached


def _bounding_box(values: numpy.ndarray, threshold: float) -> tuple[slice, slice, slice] | None:
    """The smallest box around what is at or above the threshold; slice by slice, which takes no memory."""
    slices, rows, columns = (numpy.zeros(length, dtype=bool) for length in values.shape)
    for index, plane in enumerate(values):
        above = plane >= threshold
        rows_above = above.any(axis=1)
        if rows_above.any():
            slices[index] = True
            rows |= rows_above
            columns |= above.any(axis=0)
    if not slices.any():
        return None
    ends = [numpy.flatnonzero(flags)[[0, -1]] for flags in (slices, rows, columns)]
    return tuple(slice(int(first), int(last) + 1) for first, last in ends)


def _dilate(mask, found_boxes, kept, box, spacing_mm, dilation_mm) -> None:
    """Grow every kept component of `mask`, in place, by a ball of `dilation_mm`, each in a box of its own."""
    margins = [math.floor(dilation_mm / spacing) for spacing in spacing_mm]
    original = mask.copy()
    for label, found in enumerate(found_boxes, start=1):
        if not kept[label]:
            continue
        grown = tuple(
            slice(max(inner.start + outer.start - margin, 0), min(inner.stop + outer.start + margin, length))
            for inner, outer, margin, length in zip(found, box, margins, mask.shape, strict=True)
        )
        distances_mm = scipy.ndimage.distance_transform_edt(~original[grown], sampling=spacing_mm)
        mask[grown] |= distances_mm <= dilation_mm * (1 + 1e-9)


def _nothing_found(voxels_hu: numpy.ndarray, threshold_hu: float) -> NoMetalError:
    advice = "lower the threshold or give a mask"
    if threshold_hu > HIGHEST_12_BIT_HU:
        advice = f"12-bit scanners stop at {HIGHEST_12_BIT_HU:g} HU, so use 3000 HU at most, or give a mask"
    return NoMetalError(
        f"No metal found: no voxel reaches {threshold_hu:g} HU, the maximum is {voxels_hu.max():g} HU; {advice}."
    )
