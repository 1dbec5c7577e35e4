"""Normalized interpolation of the metal trace, the sinogram step of NMAR (Meyer et al. 2010, Med. Phys. 37)."""

import torch

from .interpolation import linear_interpolation
from .replacement import metal_trace_replacement

SMALLEST_PRIOR_SHARE = 0.01  # of the prior sinogram's largest value; below it a ray is in air and is not normalized
TRUSTED_RATIOS = (0.7, 1.4)  # of sinogram to prior; beyond, the prior is wrong at the trace's edge, mostly at the skin


def normalized_interpolation(sinogram: torch.Tensor, prior_sinogram: torch.Tensor, trace: torch.Tensor) -> torch.Tensor:
    """S_corr = S_prior * LI(S / S_prior, Tr); all (..., views, bins), the trace boolean.

    Normalizing by the prior makes the sinogram nearly flat, so that a straight line across the trace follows the anatomy
    that the prior knows. A small floor of the prior keeps rays in air finite. Where the interpolated ratio is far from 1 (metal under
    the skin, whose prior misses a rim of the body), a factor would blow the prior up across the trace: there the difference is
    interpolated instead, as in eq. 8 of Yu et al. Outside the trace the sinogram comes back to the bit. Raises InputError as
    `linear_interpolation` does.
    """
    floor = SMALLEST_PRIOR_SHARE * prior_sinogram.amax(dim=(-2, -1), keepdim=True).clamp(min=1e-6)
    ratio = linear_interpolation(sinogram / prior_sinogram.maximum(floor), trace)
    trusted = (ratio > TRUSTED_RATIOS[0]) & (ratio < TRUSTED_RATIOS[1])
    added = metal_trace_replacement(sinogram, prior_sinogram, trace)
    return torch.where(trace & trusted, prior_sinogram.maximum(floor) * ratio, added)
