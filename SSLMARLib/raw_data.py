"""Correction of sinograms where somebody has them: in their own geometry, with the prior of any method.

    sinogram -> rays of the product's fan beam -> method -> its image, the prior -> P -> the sinogram's own rays
        -> metal trace replacement there (Yu et al., eq. 8)

So what was measured stays as it was outside the metal trace, to the bit, and inside it only the prior was interpolated between rays.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy

from .ct.attenuation import attenuation_to_hu
from .ct.metal_search import MetalSearch
from .ct.scale import WATER_ATTENUATION_PER_CM
from .ct.segmentation import segment_metal
from .device import choose_device, to_array, to_tensor
from .errors import Cancelled, InputError
from .methods import DEFAULT_METHOD, get_method
from .optional_imports import import_optional


@dataclass(frozen=True)
class CorrectedSinogram:
    """sinogram, metal_trace: (slices, views, bins) as given, corrected, and where. image_hu, metal_mask: (slices, 416, 416), axis 0 x and
    axis 1 y, as ODL has them, of pixels of `pixel_mm`. parameters: the method's and how metal was found."""

    sinogram: numpy.ndarray
    metal_trace: numpy.ndarray
    image_hu: numpy.ndarray
    metal_mask: numpy.ndarray
    pixel_mm: float
    parameters: dict = field(default_factory=dict)


def correct_sinogram(
    sinogram,
    geometry,
    metal_mask=None,
    method=DEFAULT_METHOD,
    *,
    metal_search: MetalSearch | None = None,
    image_side_cm: float | None = None,
    water_per_cm: float = WATER_ATTENUATION_PER_CM,
    device: str = "auto",
    progress: Callable[[float, str], None] | None = None,
    is_cancelled: Callable[[], bool] | None = None,
) -> CorrectedSinogram:
    """Reduce the metal artifacts of measured sinograms.

    sinogram: (views, bins) or (slices, views, bins), line integrals without unit (-ln of the transmission), of one geometry.
    geometry: an ODL `FanBeamGeometry` (flat or curved detector) or `Parallel2dGeometry` in cm, of a whole turn or a part of it that covers
        every line (half a turn and the fan's angle), or a `tomography.FanBeamGeometry`. The benchmark's own, which is the default of that
        class, is not interpolated at all.
    metal_mask: (slices, n, n), or (n, n) for all, non-zero = metal, on a square image of any n; None finds it by the threshold of
        `metal_search`, as the network outlines metal in a scanner's slices alone.
    image_side_cm: side of the image; None takes the circle that the detector sees from everywhere.
    water_per_cm: attenuation of water in 1/cm at the energy of the line integrals, which the Hounsfield scale of the image rests on.

    Raises InputError for data that cannot be used, NoMetalError, Cancelled.
    """
    torch = import_optional("torch")
    from .tomography.projector import get_projector

    values = _checked(sinogram)
    corrector, device = get_method(method), choose_device(device)
    projector = get_projector(device)
    rebinning, side_cm = _rebinning(geometry, values.shape[1:], projector, image_side_cm)
    shape, pixel_mm = projector.geometry.image_shape, 10 * side_cm / projector.geometry.image_shape[0]
    given = _given_masks(metal_mask, len(values), shape)
    search = replace(metal_search or MetalSearch(), learned_outline=False)
    results, to_water = [], WATER_ATTENUATION_PER_CM / water_per_cm
    for number, own in enumerate(values):
        if is_cancelled is not None and is_cancelled():
            raise Cancelled("Cancelled; nothing was changed.")
        if progress is not None:
            progress(number / len(values), f"{corrector.title}: sinogram {number + 1} of {len(values)}")
        with torch.inference_mode():
            own = to_tensor(own[None], device, torch.float32)
            results.append(_one(own, rebinning, projector, given[number], corrector, search, pixel_mm, to_water))
    parts = [numpy.concatenate(part) for part in zip(*results, strict=True)]
    found_by = {} if metal_mask is not None else search.to_dict()
    return CorrectedSinogram(*parts, pixel_mm=pixel_mm, parameters={"method": corrector.name, **corrector.facts(), **found_by})


def _one(own, rebinning, projector, mask, corrector, search: MetalSearch, pixel_mm: float, to_water: float):
    """(corrected sinogram, trace, image in HU, mask) of one slice, each with its axis of slices."""
    import torch

    from .methods.base import MetalAffectedScan
    from .sinogram import metal_trace, metal_trace_replacement

    working = to_water * (own if rebinning is None else rebinning.to_projector(own))
    if mask is None:
        image_hu = to_array(attenuation_to_hu(projector.fbp(working)))
        mask = segment_metal(image_hu, (pixel_mm, pixel_mm, pixel_mm), search)
    metal = to_tensor(mask, own.device)
    scan = MetalAffectedScan(working, metal_trace(metal, projector, corrector.trace_dilation_bins), metal, projector)
    if rebinning is None:
        image, trace = corrector.image(scan), scan.trace
        corrected = torch.where(trace, corrector.correct(scan) / to_water, own)
    else:
        trace = rebinning.from_projector(scan.metal_path_cm) > 0
        if not trace.any():
            raise InputError("The metal casts no shadow on the detector: give the mask of this sinogram.")
        prior = rebinning.from_projector(projector.project(corrector.image(scan))) / to_water
        corrected = metal_trace_replacement(own, 0 * prior if corrector.name == "li" else prior, trace)
        image = projector.fbp(rebinning.to_projector(corrected) * to_water)
    return to_array(corrected), to_array(trace), to_array(attenuation_to_hu(image)), mask


def _checked(sinogram) -> numpy.ndarray:
    values = numpy.asarray(sinogram)
    if values.ndim not in (2, 3) or 0 in values.shape or values.dtype.kind not in "iuf":
        raise InputError(f"The sinogram is {values.dtype} {values.shape}: give numbers (views, bins), or (slices, views, bins).")
    if not numpy.isfinite(values).all():
        raise InputError("The sinogram has NaN or infinite values: replace them first.")
    if values.max() > 100 or values.max() <= 0:
        raise InputError(
            f"The sinogram goes from {values.min():g} to {values.max():g}, which are no line integrals: give -ln of the transmission."
        )
    return (values if values.ndim == 3 else values[None]).astype(numpy.float32)


def _rebinning(geometry, shape, projector, image_side_cm: float | None):
    """(Rebinning or None for the projector's own geometry, side of the image in cm)"""
    from .tomography.geometry import FanBeamGeometry
    from .tomography.rebinning import Rays, Rebinning

    own_side_cm = projector.geometry.image_shape[0] * projector.geometry.pixel_size_cm
    if isinstance(geometry, FanBeamGeometry):
        if geometry == projector.geometry and image_side_cm is None:
            _refuse_other_shape(shape, geometry.sinogram_shape)
            return None, own_side_cm
        geometry = geometry.odl_geometry()
    rays = Rays(geometry)
    _refuse_other_shape(shape, rays.shape)
    side_cm = 2 * float(min(-rays.distance_cm.min(), rays.distance_cm.max())) if image_side_cm is None else float(image_side_cm)
    if not (math.isfinite(side_cm) and side_cm > 0):
        raise InputError(f"The side of the image is {side_cm:g} cm: give a length above 0, or a detector that sees the axis.")
    return Rebinning(rays, projector, side_cm), side_cm


def _refuse_other_shape(found, expected) -> None:
    if tuple(found) != tuple(expected):
        raise InputError(f"The sinogram is {tuple(found)} and its geometry {tuple(expected)} (views, bins): they must agree.")


def _given_masks(metal_mask, slices: int, shape) -> list:
    """The mask of each slice, (1, rows, columns) on the projector's grid; None where metal is to be found."""
    if metal_mask is None:
        return [None] * slices
    from .ct.checks import check_mask
    from .ct.resampling import SliceGrid

    masks = numpy.asarray(metal_mask)
    masks = numpy.broadcast_to(masks, (slices, *masks.shape)) if masks.ndim == 2 else masks
    if masks.ndim != 3 or len(masks) != slices or masks.shape[1] != masks.shape[2]:
        raise InputError(f"The metal mask has shape {numpy.shape(metal_mask)}: give ({slices}, n, n), or (n, n) for every slice.")
    masks = check_mask(masks, masks.shape)
    grid = SliceGrid(masks.shape[1:], (1.0, 1.0), shape[0])
    return [to_array(grid.mask_to_grid(to_tensor(numpy.ascontiguousarray(mask[None]), "cpu"))) for mask in masks]
