"""Metal trace replacement (MTR): the prior's projections fill the metal trace and meet its edges (Yu et al., eq. 8)."""

import torch

from .interpolation import linear_interpolation


def metal_trace_replacement(sinogram: torch.Tensor, prior_sinogram: torch.Tensor, trace: torch.Tensor) -> torch.Tensor:
    """S_corr = S_prior + LI(S - S_prior, Tr), eq. 8; all (..., views, bins), the trace boolean.

    Outside the trace S_corr is the sinogram to the bit; at the trace's edges it meets it. Inside, only differences of the prior
    matter that its edges do not show. `sinogram` may hold the uncorrected or the interpolated values: inside the trace they are
    not read. Differentiable with respect to both sinograms. Raises InputError as `linear_interpolation` does.
    """
    residual = linear_interpolation(sinogram - prior_sinogram, trace)
    return torch.where(trace, prior_sinogram + residual, sinogram)
