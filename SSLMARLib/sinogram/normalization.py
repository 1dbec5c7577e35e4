"""Normalized interpolation of the metal trace, the sinogram step of NMAR (Meyer et al. 2010, Med. Phys. 37)."""

from __future__ import annotations

import torch

from .interpolation import linear_interpolation

SMALLEST_PRIOR_SHARE = 0.01  # of the prior sinogram's largest value; below it a ray is in air and is not normalized


def normalized_interpolation(sinogram: torch.Tensor, prior_sinogram: torch.Tensor, trace: torch.Tensor) -> torch.Tensor:
    """S_corr = S_prior * LI(S / S_prior, Tr); all (..., views, bins), the trace boolean.

    Normalizing by the prior makes the sinogram nearly flat, so that a straight line across the trace follows the anatomy
    that the prior knows. Rays whose prior is nearly zero (air) are left as they are by taking a small floor for it.
    Outside the trace the sinogram comes back to the bit. Raises InputError as `linear_interpolation` does.
    """
    floor = SMALLEST_PRIOR_SHARE * prior_sinogram.amax(dim=(-2, -1), keepdim=True).clamp(min=1e-6)
    prior_sinogram = prior_sinogram.maximum(floor)
    normalized = linear_interpolation(sinogram / prior_sinogram, trace)
    return torch.where(trace, prior_sinogram * normalized, sinogram)
