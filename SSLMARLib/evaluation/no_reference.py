"""Measures for real scans, which have no truth: streaks near metal, artifact index, change far from metal, sharpness.

One slice, (rows, columns), HU. All images of a slice are measured on the same pixels: body near metal, body far from
it. No pixel is chosen by its own value, because a choice made on the uncorrected image would leave its streaks out
and count those of the corrected one; instead values are limited to -300 ... 300 HU, so that bone and air weigh
little. None of the measures knows the anatomy: they rank images of one slice, their zero means nothing, and a method
that blurs has smaller streaks too, which is why sharpness and the change far from metal stand beside them. No single
measure follows what readers see in every case (Grosse Hokamp et al. 2020, Quant Imaging Med Surg 10:1033-1044).
"""

import math
from dataclasses import dataclass

import numpy

from ..ct.scale import BODY_ABOVE_HU
from ..errors import InputError
from .metrics import distance_to_metal

EDGE_OF_METAL_MM = 2.0
NEAR_METAL_MM = 30.0
FAR_FROM_METAL_MM = 60.0
BODY_MEDIAN_PIXELS = 9
LIMITS_HU = (-300.0, 300.0)
STREAK_SCALE_MM = 3.0
REGION_OF_INTEREST_MM = 7.0
FINE_DETAIL_SIGMA_PIXELS = 1.0
FEWEST_PIXELS = 50


@dataclass(frozen=True)
class MeasuringRegions:
    """Where a slice is measured; bool arrays (rows, columns) of body without metal.

    near: from 2 to 30 mm around metal; far: more than 60 mm from metal.
    """

    near: numpy.ndarray
    far: numpy.ndarray


def measuring_regions(before_hu, metal_mask, spacing_mm) -> MeasuringRegions:
    """The regions of a slice, from the uncorrected image (HU), its metal mask and its spacing (rows, columns) in mm.

    Body is what the median of 9 x 9 pixels shows above -500 HU, with its holes filled. Raises InputError without metal.
    """
    from scipy.ndimage import binary_fill_holes, median_filter

    before = numpy.asarray(before_hu, dtype=numpy.float32)
    metal = numpy.asarray(metal_mask, dtype=bool)
    if before.ndim != 2 or before.shape != metal.shape:
        raise InputError(f"Image {before.shape} and metal mask {metal.shape} must have one shape (rows, columns).")
    if not metal.any():
        raise InputError("The slice has no metal, so there is nothing to measure around: choose a slice with metal.")
    distance_mm = distance_to_metal(metal, spacing_mm)
    body = binary_fill_holes(median_filter(before, BODY_MEDIAN_PIXELS) > BODY_ABOVE_HU) & ~metal
    near = (distance_mm > EDGE_OF_METAL_MM) & (distance_mm <= NEAR_METAL_MM)
    return MeasuringRegions(near=body & near, far=body & (distance_mm > FAR_FROM_METAL_MM))


def _limited(image_hu) -> numpy.ndarray:
    return numpy.clip(numpy.asarray(image_hu, dtype=numpy.float64), *LIMITS_HU)


def streak_amplitude_hu(image_hu, region, spacing_mm) -> float | None:
    """Standard deviation in HU of what a Gaussian blur of 3 mm (sigma) takes from the image, in a region near metal.

    Streaks are narrower than that and shading is not; edges of the anatomy count too, alike in all images of a slice.
    None where the region has fewer than 50 pixels.
    """
    from scipy.ndimage import gaussian_filter

    if region.sum() < FEWEST_PIXELS:
        return None
    limited = _limited(image_hu)
    narrow = limited - gaussian_filter(limited, [STREAK_SCALE_MM / side for side in spacing_mm])
    return float(narrow[region].std())


def artifact_index_hu(image_hu, near_region, far_region, spacing_mm) -> float | None:
    """Artifact index sqrt(SD_near^2 - SD_far^2) in HU, noise taken out (Lin et al. 2011, J Comput Assist Tomogr 35).

    The SD is what readers measure in a small region of interest of flat tissue: here the median over all squares of 7
    mm centered in the region, which edges hardly move. 0 where far varies more than near; None where a region has
    fewer than 50 pixels.
    """
    from scipy.ndimage import uniform_filter

    if min(near_region.sum(), far_region.sum()) < FEWEST_PIXELS:
        return None
    limited = _limited(image_hu)
    size = [max(3, round(REGION_OF_INTEREST_MM / side) | 1) for side in spacing_mm]
    variance = uniform_filter(limited**2, size) - uniform_filter(limited, size) ** 2
    near, far = (numpy.median(variance[region].clip(min=0)) for region in (near_region, far_region))
    return math.sqrt(max(near - far, 0.0))


def change_hu(before_hu, after_hu, region) -> float | None:
    """Root mean square of after - before in HU in a region: far from metal a correction should change little."""
    if region.sum() < FEWEST_PIXELS:
        return None
    before, after = (numpy.asarray(image, dtype=numpy.float64)[region] for image in (before_hu, after_hu))
    return float(numpy.sqrt(numpy.mean((after - before) ** 2)))


def fine_detail_hu(image_hu, region) -> float | None:
    """Standard deviation in HU of the image minus its Gaussian blur (sigma 1 pixel) in a region: detail and noise.

    A measure of sharpness of the Laplacian family (Pertuz et al. 2013, Pattern Recognition 46:1415-1432). After /
    before below 1 is a loss of resolution, or of fine streaks where those reach the region.
    """
    from scipy.ndimage import gaussian_filter

    if region.sum() < FEWEST_PIXELS:
        return None
    limited = _limited(image_hu)
    return float((limited - gaussian_filter(limited, FINE_DETAIL_SIGMA_PIXELS))[region].std())


def measure_without_reference(before_hu, after_hu, metal_mask, spacing_mm, regions=None) -> dict[str, float | None]:
    """The measures of a corrected slice beside its uncorrected one; None where a region is too small.

    before_hu, after_hu, metal_mask: (rows, columns); spacing_mm: (rows, columns). regions: `measuring_regions` of the
    slice, where several corrections of it are measured; made here by default. Returns streak_amplitude_hu,
    artifact_index_hu, change_far_from_metal_hu, sharpness (fine detail far from metal, after / before).
    """
    if numpy.shape(after_hu) != numpy.shape(before_hu):
        raise InputError(f"The images before {numpy.shape(before_hu)} and after {numpy.shape(after_hu)} differ in shape.")
    if regions is None:
        regions = measuring_regions(before_hu, metal_mask, spacing_mm)
    detail_before, detail_after = (fine_detail_hu(image, regions.far) for image in (before_hu, after_hu))
    return {
        "streak_amplitude_hu": streak_amplitude_hu(after_hu, regions.near, spacing_mm),
        "artifact_index_hu": artifact_index_hu(after_hu, regions.near, regions.far, spacing_mm),
        "change_far_from_metal_hu": change_hu(before_hu, after_hu, regions.far),
        "sharpness": detail_after / detail_before if detail_before else None,
    }
