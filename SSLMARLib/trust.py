"""The map of trust of a correction: how much of each pixel was measured, and how far what was tried in place of the rest agrees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .ct.scale import WATER_ATTENUATION_PER_CM
from .methods.filters import gaussian_smoothing, kept_share
from .methods.nmar import NMAR
from .sinogram.trace import trace_share

if TYPE_CHECKING:
    import torch

    from .methods.base import MetalAffectedScan

SPREAD_PIXELS = 2.5  # of the projector's grid: the Gaussian within which the images are compared
HALF_TRUST_HU = 50.0  # the spread that halves the trust
LIMITS_HU = (-1000.0, 3000.0)  # what images are cut to: more is metal, and streaks that all of them have


def trust_share(scan: MetalAffectedScan, change: torch.Tensor, small_change_hu: float, small_change_pixels: float) -> torch.Tensor:
    """Trust from 0 to 1 in slices that were corrected, (slices, rows, columns) on the projector's grid, as `change` is.

        trust = (1 - k s) * 50 HU / (50 HU + k d)

    s: the share of the pixel's rays that cross metal: the metal trace projected back, over all rays projected back. d: how far the
    images that were tried are apart, the root mean square of their standard deviation around the pixel: LI, NMAR, what the method
    kept of its own (the network's prior), and the result. k: how much of the change that the correction makes was kept there; see
    `filters.kept_share`, which takes small_change_hu and small_change_pixels. change: what it made of the slice, in 1/cm.

    What it is: high where the value comes from rays past metal, or is the scanner's own, nearly unchanged; low where most of it was
    filled in, or where filling it in other ways gives other values. It falls where the true error of simulated scans rises.
    What it is not: a probability, an error in HU, or a statement about what the scan itself got wrong. What all images have in
    common is not seen: an artifact that every method leaves, a structure that every method misses, metal that is not in the mask.
    """
    result = scan.uncorrected_image + change
    nmar = scan.images["nmar"] if "nmar" in scan.images else scan.projector.fbp(NMAR().correct(scan))
    tried = {"li": scan.interpolated_image, "nmar": nmar, "result": result}
    kept = kept_share(change, small_change_hu, small_change_pixels)
    spread_hu = kept * _spread_hu([*({**scan.images, **tried}.values())])
    return (1 - kept * trace_share(scan.trace, scan.projector)) * HALF_TRUST_HU / (HALF_TRUST_HU + spread_hu)


def _spread_hu(images: list[torch.Tensor]) -> torch.Tensor:
    """The root mean square, within SPREAD_PIXELS, of the standard deviation of images in 1/cm; all (slices, rows, columns)."""
    import torch

    hu = ((torch.stack(images) / WATER_ATTENUATION_PER_CM - 1) * 1000).clamp(*LIMITS_HU)
    return gaussian_smoothing(hu.var(dim=0, correction=0), SPREAD_PIXELS).clamp(min=0).sqrt()
