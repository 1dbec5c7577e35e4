"""Measures against a reference: RMSE, SSIM, PSNR, bias in regions. Each is a function of one slice; images in HU.

All arrays are (rows, columns). Metal pixels never count as image content: they are left out of RMSE, PSNR and bias,
and set to the same value in both images for SSIM, because what a method shows in place of metal is no tissue.
"""

import math

import numpy

from ..ct.scale import AIR_HU, BODY_ABOVE_HU
from ..errors import InputError
from ..optional_imports import import_optional

NEAR_METAL_PIXELS = 20
SOFT_TISSUE_HU = (-150.0, 150.0)
BONE_ABOVE_HU = 300.0


def _checked(image_hu, reference_hu, metal_mask):
    image = numpy.asarray(image_hu, dtype=numpy.float64)
    reference = numpy.asarray(reference_hu, dtype=numpy.float64)
    metal = numpy.zeros(image.shape, dtype=bool) if metal_mask is None else numpy.asarray(metal_mask, dtype=bool)
    if image.ndim != 2 or image.shape != reference.shape or image.shape != metal.shape:
        raise InputError(
            f"Image {image.shape}, reference {reference.shape} and metal mask {metal.shape} must have one and the same "
            "shape (rows, columns): compare them slice by slice, on one grid."
        )
    if metal.all():
        raise InputError("Every pixel is marked as metal, so nothing is left to compare: check the metal mask.")
    for name, values in (("image", image), ("reference", reference)):
        if not numpy.isfinite(values[~metal]).all():
            raise InputError(f"The {name} holds values that are not finite (NaN or infinity) outside the metal.")
    return image, reference, metal


def rmse_hu(image_hu, reference_hu, metal_mask=None) -> float:
    """Root mean square error in HU over the pixels that are not metal."""
    image, reference, metal = _checked(image_hu, reference_hu, metal_mask)
    return float(numpy.sqrt(numpy.mean((image - reference)[~metal] ** 2)))


def reference_range_hu(reference_hu, metal_mask=None) -> float:
    """max - min of the reference whose metal pixels count as air: the data range of SSIM and PSNR, in HU."""
    reference, _, metal = _checked(reference_hu, reference_hu, metal_mask)
    filled = numpy.where(metal, AIR_HU, reference)
    return float(filled.max() - filled.min())


def ssim(image_hu, reference_hu, metal_mask=None) -> float:
    """Structural similarity (Wang et al. 2004) as scikit-image computes it (uniform window of 7 x 7); no unit.

    As the benchmark has it: in attenuation, where zero is air, with metal pixels set to zero in both images and the
    data range max - min of the reference so treated. (HU + 1000 is attenuation up to a factor, which SSIM does not
    see.)
    """
    skimage_metrics = import_optional("skimage.metrics")
    image, reference, metal = _checked(image_hu, reference_hu, metal_mask)
    image, reference = (numpy.where(metal, 0.0, values - AIR_HU) for values in (image, reference))
    data_range = reference.max() - reference.min()
    if not data_range > 0:
        raise InputError("The reference has one and the same value everywhere, so SSIM has no data range to refer to.")
    return float(skimage_metrics.structural_similarity(reference, image, data_range=data_range))


def psnr_db(image_hu, reference_hu, metal_mask=None) -> float:
    """Peak signal-to-noise ratio in dB: 20 log10(data range / RMSE), the data range as for SSIM, metal left out."""
    error_hu = rmse_hu(image_hu, reference_hu, metal_mask)
    range_hu = reference_range_hu(reference_hu, metal_mask)
    if error_hu == 0:
        return math.inf
    return 20 * math.log10(range_hu / error_hu) if range_hu > 0 else -math.inf


def distance_to_metal(metal_mask, spacing_mm=(1.0, 1.0)) -> numpy.ndarray:
    """Distance from the nearest metal pixel, (rows, columns); in mm, by default in pixels; infinite without metal."""
    from scipy.ndimage import distance_transform_edt

    metal = numpy.asarray(metal_mask, dtype=bool)
    if not metal.any():
        return numpy.full(metal.shape, numpy.inf)
    return distance_transform_edt(~metal, sampling=spacing_mm)


def reference_regions(reference_hu, metal_mask=None, near_metal_pixels: float = NEAR_METAL_PIXELS) -> dict[str, numpy.ndarray]:
    """Regions of the reference in which bias is measured, each a bool array (rows, columns) without metal.

    near_metal: within `near_metal_pixels` of metal; soft_tissue: -150 to 150 HU; bone: above 300 HU;
    lung_or_air: below -500 HU.
    """
    reference, _, metal = _checked(reference_hu, reference_hu, metal_mask)
    low, high = SOFT_TISSUE_HU
    regions = {
        "near_metal": distance_to_metal(metal) <= near_metal_pixels,
        "soft_tissue": (reference >= low) & (reference <= high),
        "bone": reference > BONE_ABOVE_HU,
        "lung_or_air": reference < BODY_ABOVE_HU,
    }
    return {name: region & ~metal for name, region in regions.items()}


def bias_hu(image_hu, reference_hu, metal_mask=None) -> dict[str, float | None]:
    """Mean of image - reference in HU in each of `reference_regions`; None where a region has no pixel."""
    image, reference, metal = _checked(image_hu, reference_hu, metal_mask)
    difference = image - reference
    return {
        name: float(difference[region].mean()) if region.any() else None for name, region in reference_regions(reference, metal).items()
    }


def compare(image_hu, reference_hu, metal_mask=None) -> dict:
    """All measures of a slice against a reference: rmse_hu, rmse_near_metal_hu, ssim, psnr_db, bias_hu (by region)."""
    image, reference, metal = _checked(image_hu, reference_hu, metal_mask)
    near = reference_regions(reference, metal)["near_metal"]
    return {
        "rmse_hu": rmse_hu(image, reference, metal),
        "rmse_near_metal_hu": float(numpy.sqrt(numpy.mean((image - reference)[near] ** 2))) if near.any() else None,
        "ssim": ssim(image, reference, metal),
        "psnr_db": psnr_db(image, reference, metal),
        "bias_hu": bias_hu(image, reference, metal),
    }
