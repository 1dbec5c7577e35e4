"""NMAR: normalized metal artifact reduction (Meyer, Raupach, Lell, Schmidt, Kachelriess 2010, Med. Phys. 37, 5482)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ct.attenuation import hu_to_attenuation
from ..ct.scale import BODY_ABOVE_HU, WATER_ATTENUATION_PER_CM
from .base import MetalAffectedScan, Method

if TYPE_CHECKING:
    import torch

BONE_ABOVE_HU = 300.0
SMOOTHING_PIXELS = 1.5


class NMAR(Method):
    name = "nmar"
    title = "NMAR"
    description = "Normalized interpolation with a prior of air, soft tissue and bone: keeps bone edges that LI smears."
    published_rmse_hu = 47.03
    relative_cost = 1.3

    def correct(self, scan: MetalAffectedScan) -> torch.Tensor:
        """Corrected sinograms (slices, views, bins). The prior is made from the LI image, not from the uncorrected one,
        whose streaks would pass for bone and air."""
        from ..sinogram.normalization import normalized_interpolation

        prior = tissue_prior(scan.interpolated_image, scan.metal_mask)
        return normalized_interpolation(scan.sinogram, scan.projector.project(prior), scan.trace)


def tissue_prior(image: torch.Tensor, metal_mask: torch.Tensor) -> torch.Tensor:
    """The prior image of NMAR: air 0, soft tissue water, bone as it is; all (slices, rows, columns), in 1/cm.

    The classes are drawn on a smoothed image, so that noise and fine streaks do not make holes; under metal the prior is
    soft tissue, as nothing is known there.
    """
    import torch

    from .filters import gaussian_smoothing

    smoothed = gaussian_smoothing(image, SMOOTHING_PIXELS)
    prior = torch.full_like(image, WATER_ATTENUATION_PER_CM)
    prior = torch.where(smoothed < hu_to_attenuation(BODY_ABOVE_HU), 0.0, prior)
    prior = torch.where(smoothed > hu_to_attenuation(BONE_ABOVE_HU), image, prior)
    return torch.where(metal_mask, WATER_ATTENUATION_PER_CM, prior)
