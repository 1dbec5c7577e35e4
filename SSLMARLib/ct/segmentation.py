"""Metal segmentation: threshold, connected components in 3D, smallest component, dilation.

Only the bounding box of what exceeds the threshold is labeled, so a scan with a filling costs milliseconds.
"""

import logging
import math
from dataclasses import asdict, dataclass

import numpy
import scipy.ndimage

from ..errors import InputError, NoMetalError
from .metal_search import MetalSearch
from .scale import HIGHEST_12_BIT_HU, LOWEST_12_BIT_HU

logger = logging.getLogger(__name__)

SMALLEST_PEAK_SHARE = 0.05
CERTAIN_METAL_HU = 3000.0
FEWEST_SATURATED_VOXELS = 10
"""A few voxels of a large unerupted tooth reach 2900 HU (3 % of them above 2750 HU), of metal pieces 5 % and more, mostly above 40 %. What
reaches 3000 HU, or a value at which the scan is cut off, is metal whatever its share: a small filling in a large tooth."""

RIM_HU, COARSE_MM = 2000.0, 1.5  # see with_bright_rim
NEIGHBORS_4_IN_SLICE = scipy.ndimage.generate_binary_structure(2, 1)[None]
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


def segment_metal(voxels_hu: numpy.ndarray, spacing_mm: tuple[float, float, float], search: MetalSearch | None = None) -> numpy.ndarray:
    """The metal mask of a scan: bool (slices, rows, columns).

    voxels_hu: (slices, rows, columns), HU. spacing_mm: (slices, rows, columns). search: None for the defaults.

    Raises InputError for unusable arguments and NaN voxels, NoMetalError when no metal is found (with the maximum that was found).
    """
    search = MetalSearch() if search is None else search
    _refuse_arguments(voxels_hu, spacing_mm)
    threshold_hu, smallest_component_mm3, peak_hu = search.threshold_hu, search.smallest_component_mm3, search.peak_hu
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
    return dilated_metal(mask, voxels_hu, spacing_mm, search.dilation_mm)


def dilated_metal(
    mask: numpy.ndarray, voxels_hu: numpy.ndarray, spacing_mm: tuple[float, float, float], dilation_mm: float
) -> numpy.ndarray:
    """A mask, bool (slices, rows, columns), with each component grown by a ball of `dilation_mm` in a box of its own, but not into padding
    below -1024 HU; see `MetalSearch`."""
    if not dilation_mm > 0 or not mask.any():
        return mask
    labels, _ = scipy.ndimage.label(mask, structure=NEIGHBORS_26)
    margins = [math.floor(dilation_mm / spacing) for spacing in spacing_mm]
    result = mask.copy()
    for found in scipy.ndimage.find_objects(labels):
        grown = tuple(
            slice(max(part.start - margin, 0), min(part.stop + margin, length))
            for part, margin, length in zip(found, margins, mask.shape, strict=True)
        )
        distances_mm = scipy.ndimage.distance_transform_edt(~mask[grown], sampling=spacing_mm)
        result[grown] |= distances_mm <= dilation_mm * (1 + 1e-9)
    return result & (voxels_hu >= LOWEST_12_BIT_HU)


def with_bright_rim(mask: numpy.ndarray, voxels_hu: numpy.ndarray, spacing_mm: tuple[float, float, float]) -> numpy.ndarray:
    """A mask, bool (slices, rows, columns), and in scans of large voxels (rows or columns above `COARSE_MM`) the neighbors of it in a slice
    that reach `RIM_HU`: so bright a voxel of that size is metal in a good part, whatever it is called. Other masks come back as they are.
    """
    if max(spacing_mm[1:]) <= COARSE_MM:
        return mask
    return mask | (scipy.ndimage.binary_dilation(mask, NEIGHBORS_4_IN_SLICE) & (voxels_hu >= RIM_HU))


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


def _refuse_arguments(voxels_hu, spacing_mm) -> None:
    if voxels_hu.ndim != 3:
        raise InputError(f"A scan to segment has 3 axes (slices, rows, columns), not {voxels_hu.ndim}.")
    if len(spacing_mm) != 3 or not all(math.isfinite(value) and value > 0 for value in spacing_mm):
        raise InputError(f"The spacing {tuple(spacing_mm)} mm is not three positive numbers (slices, rows, columns).")
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


def _nothing_found(voxels_hu: numpy.ndarray, threshold_hu: float) -> NoMetalError:
    advice = "lower the threshold or give a mask"
    if threshold_hu > HIGHEST_12_BIT_HU:
        advice = f"12-bit scanners stop at {HIGHEST_12_BIT_HU:g} HU, so use 3000 HU at most, or give a mask"
    return NoMetalError(f"No metal found: no voxel reaches {threshold_hu:g} HU, the maximum is {voxels_hu.max():g} HU; {advice}.")
