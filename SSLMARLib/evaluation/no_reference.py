"""Measures for real scans, which have no truth: streaks near metal, artifact index, change far from metal, sharpness.

One slice, (rows, columns), HU. Before and after a correction are measured on the same pixels, which the uncorrected
image alone determines, so that a method cannot choose the pixels that suit it. None of these measures knows the
anatomy: they rank images of one slice, and a method that blurs has smaller streaks too, which is why sharpness and
the change far from metal stand beside them. No single measure follows what readers see in every case (Grosse Hokamp
et al. 2020, Quant Imaging Med Surg 10:1033-1044).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy

from ..errors import InputError
from .metrics import distance_to_metal

EDGE_OF_METAL_MM = 2.0
NEAR_METAL_MM = 30.0
FAR_FROM_METAL_MM = 60.0
BODY_ABOVE_HU = -500.0
SOFT_TISSUE_HU = (-200.0, 200.0)
LOCAL_MEDIAN_PIXELS = 9
STREAK_PERCENTILES = (5.0, 95.0)
FINE_DETAIL_SIGMA_PIXELS = 1.0
FEWEST_PIXELS = 50


@dataclass(frozen=True)
class MeasuringRegions:
    """Where a slice is measured; bool arrays (rows, columns) without metal.

    near: soft tissue from 2 to 30 mm around metal; far: soft tissue more than 60 mm from metal; body_far: all of the
    body there. Soft tissue is where the median of 9 x 9 pixels is between -200 and 200 HU: the median follows the
    tissue and not single streaks.
    """

    near: numpy.ndarray
    far: numpy.ndarray
    body_far: numpy.ndarray


def measuring_regions(before_hu, metal_mask, spacing_mm) -> MeasuringRegions:
    """The regions of a slice, from the uncorrected image (HU), its metal mask and its spacing (rows, columns) in mm."""
    from scipy.ndimage import binary_fill_holes, median_filter

    before = numpy.asarray(before_hu, dtype=numpy.float32)
    metal = numpy.asarray(metal_mask, dtype=bool)
    if before.ndim != 2 or before.shape != metal.shape:
        raise InputError(f"Image {before.shape} and metal mask {metal.shape} must have one shape (rows, columns).")
    if not metal.any():
        raise InputError("The slice has no metal, so there is nothing to measure around: choose a slice with metal.")
    distance_mm = distance_to_metal(metal, spacing_mm)
    median_hu = median_filter(before, LOCAL_MEDIAN_PIXELS)
    body = binary_fill_holes(median_hu > BODY_ABOVE_HU) & ~metal
    soft = body & (median_hu >= SOFT_TISSUE_HU[0]) & (median_hu <= SOFT_TISSUE_HU[1])
    far = distance_mm > FAR_FROM_METAL_MM
    near = (distance_mm > EDGE_OF_METAL_MM) & (distance_mm <= NEAR_METAL_MM)
    return MeasuringRegions(near=soft & near, far=soft & far, body_far=body & far)


def _values(image_hu, region):
    values = numpy.asarray(image_hu, dtype=numpy.float64)[region]
    return values if values.size >= FEWEST_PIXELS else None


def streak_amplitude_hu(image_hu, region) -> float | None:
    """Half the span from the 5th to the 95th percentile of HU in soft tissue near metal; None below 50 pixels.

    Bright and dark streaks are the tails of that distribution; percentiles instead of extremes (as in the method of
    Imai et al. 2009, Med Phys 36:492-499, which fits the extremes of profiles) keep single pixels from deciding.
    """
    values = _values(image_hu, region)
    if values is None:
        return None
    low, high = numpy.percentile(values, STREAK_PERCENTILES)
    return float((high - low) / 2)


def artifact_index_hu(image_hu, near_region, far_region) -> float | None:
    """Artifact index sqrt(SD_near^2 - SD_far^2) in HU, noise taken out (Lin et al. 2011, J Comput Assist Tomogr 35).

    0 where the far region varies more than the near one; None where either region has fewer than 50 pixels.
    """
    near, far = _values(image_hu, near_region), _values(image_hu, far_region)
    if near is None or far is None:
        return None
    return float(math.sqrt(max(near.var() - far.var(), 0.0)))


def change_hu(before_hu, after_hu, region) -> float | None:
    """Root mean square of after - before in HU in a region: far from metal a correction should change little."""
    difference = _values(
        numpy.asarray(after_hu, dtype=numpy.float64) - numpy.asarray(before_hu, dtype=numpy.float64), region
    )
    return None if difference is None else float(numpy.sqrt(numpy.mean(difference**2)))


def fine_detail_hu(image_hu, region) -> float | None:
    """Standard deviation in HU of the image minus its Gaussian blur (sigma 1 pixel) in a region: detail and noise.

    A measure of sharpness of the Laplacian family (Pertuz et al. 2013, Pattern Recognition 46:1415-1432). After /
    before below 1 is a loss of resolution.
    """
    from scipy.ndimage import gaussian_filter

    image = numpy.asarray(image_hu, dtype=numpy.float64)
    values = _values(image - gaussian_filter(image, FINE_DETAIL_SIGMA_PIXELS), region)
    return None if values is None else float(values.std())


def measure_without_reference(before_hu, after_hu, metal_mask, spacing_mm, regions=None) -> dict[str, float | None]:
    """The measures of a corrected slice beside its uncorrected one; None where a region is too small.

    before_hu, after_hu, metal_mask: (rows, columns); spacing_mm: (rows, columns). regions: `measuring_regions` of the
    slice, where several corrections of it are measured; made here by default. Returns streak_amplitude_hu,
    artifact_index_hu, change_far_from_metal_hu, sharpness (fine detail far from metal, after / before).
    """
    if regions is None:
        regions = measuring_regions(before_hu, metal_mask, spacing_mm)
    if numpy.shape(after_hu) != numpy.shape(before_hu):
        raise InputError(
            f"The images before {numpy.shape(before_hu)} and after {numpy.shape(after_hu)} differ in shape."
        )
    detail_before, detail_after = (fine_detail_hu(image, regions.body_far) for image in (before_hu, after_hu))
    return {
        "streak_amplitude_hu": streak_amplitude_hu(after_hu, regions.near),
        "artifact_index_hu": artifact_index_hu(after_hu, regions.near, regions.far),
        "change_far_from_metal_hu": change_hu(before_hu, after_hu, regions.body_far),
        "sharpness": detail_after / detail_before if detail_before else None,
    }
