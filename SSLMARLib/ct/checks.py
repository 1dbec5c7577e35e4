"""What a correction or a simulation is given, checked before any work: each refusal is an InputError that says what to do."""

import numpy

from ..errors import InputError
from .scale import BODY_ABOVE_HU, HIGHEST_HU

LARGEST_METAL_SHARE = 0.5  # of a slice; the largest hip endoprostheses cover some percent


def check_volume(volume_hu) -> numpy.ndarray:
    """The volume as an array of the processor's byte order; InputError where it is not (slices, rows, columns) of finite real numbers.

    float16, which skips every second HU of metal, becomes float32; long double, which torch and file formats lack, float64.
    """
    volume_hu = numpy.asarray(volume_hu)
    if volume_hu.ndim != 3 or 0 in volume_hu.shape:
        hint = "one slice is (1, rows, columns)" if volume_hu.ndim == 2 else "correct color or 4D data channel by channel"
        raise InputError(f"The volume has shape {volume_hu.shape}: give (slices, rows, columns); {hint}.")
    if not (numpy.issubdtype(volume_hu.dtype, numpy.integer) or numpy.issubdtype(volume_hu.dtype, numpy.floating)):
        raise InputError(f"The volume holds {volume_hu.dtype} values: give Hounsfield units as integers or floats.")
    native = volume_hu.dtype.newbyteorder("=")
    with numpy.errstate(over="ignore"):  # what float64 has no place for becomes infinite, and is refused next
        volume_hu = volume_hu.astype({numpy.float16: numpy.float32, numpy.longdouble: numpy.float64}.get(native.type, native), copy=False)
    if numpy.issubdtype(volume_hu.dtype, numpy.floating):
        bad = sum(int(numpy.count_nonzero(~numpy.isfinite(one_slice))) for one_slice in volume_hu)
        if bad:
            raise InputError(f"The volume has {bad} NaN or infinite voxels: replace them (for example with -1000) first.")
    highest = volume_hu.max()
    if highest > HIGHEST_HU:
        raise InputError(f"The volume has values up to {highest:.4g}, which are no Hounsfield units: rescale or replace them first.")
    return volume_hu


def check_spacing(spacing_mm) -> tuple[float, float, float]:
    """(slices, rows, columns) spacing in mm as floats; InputError where it is not three positive lengths."""
    try:
        values = tuple(float(s) for s in spacing_mm)
    except (TypeError, ValueError):
        values = ()
    if len(values) != 3 or not all(numpy.isfinite(s) and s > 0 for s in values):
        raise InputError(f"spacing_mm is {spacing_mm}: give three positive lengths in mm, in the order (slices, rows, columns).")
    return values


def check_mask(metal_mask, shape) -> numpy.ndarray:
    """The mask as booleans; InputError where it has another shape, is empty, or holds NaN."""
    metal_mask = numpy.asarray(metal_mask)
    if metal_mask.shape != tuple(shape):
        raise InputError(f"The metal mask has shape {metal_mask.shape}, the volume {tuple(shape)}: give a mask of the volume's shape.")
    if metal_mask.dtype.kind == "f" and numpy.isnan(metal_mask).any():
        raise InputError("The metal mask has voxels that are NaN: give 0 where there is no metal.")
    metal_mask = metal_mask != 0
    if not metal_mask.any():
        raise InputError("The metal mask is empty: there is nothing to correct; mark the metal in it, or use a threshold.")
    return metal_mask


def check_metal_share(metal_mask: numpy.ndarray) -> None:
    """InputError where metal covers so much of a slice that nothing is left to correct from."""
    share = metal_mask.mean(axis=(1, 2))
    worst = int(share.argmax())
    if share[worst] > LARGEST_METAL_SHARE:
        raise InputError(
            f"Metal covers {100 * share[worst]:.0f} % of slice {worst + 1}: nothing is left there to correct from, so check the "
            "metal mask or raise the threshold."
        )


def looks_like_hu(volume_hu: numpy.ndarray) -> bool:
    """False where no voxel is near air or below, as every CT scan of a body has; a hint, not a proof."""
    return bool(volume_hu.min() < BODY_ABOVE_HU)
