"""Linear interpolation (LI) of the sinogram across the metal trace, view by view (Kalender 1987; Yu et al., eq. 9)."""

import torch

from ..errors import InputError


def linear_interpolation(sinogram: torch.Tensor, trace: torch.Tensor) -> torch.Tensor:
    """Replace what lies in the trace by the straight line between the two unaffected neighbors on the detector, eq. 9.

    sinogram (..., views, bins), trace the same shape, boolean. Values outside the trace come back to the bit. A run that touches
    the end of the detector takes the value of its one neighbor. A view that lies in the trace as a whole is interpolated bin by
    bin between the nearest views that do not, around the full turn. Differentiable with respect to the sinogram.

    Raises InputError where the shapes differ or where every bin of every view of a slice is affected.
    """
    if sinogram.shape != trace.shape or trace.dtype != torch.bool:
        raise InputError(
            f"The sinogram is {tuple(sinogram.shape)} and the metal trace {tuple(trace.shape)} {trace.dtype}: "
            "give a boolean trace of the sinogram's shape."
        )
    result = _interpolate_rows(sinogram, trace)
    whole_views = trace.all(dim=-1)
    if not bool(whole_views.any()):
        return result
    if bool(whole_views.all(dim=-1).any()):
        raise InputError("The metal shadows every ray of a slice, nothing is left to interpolate from: the metal mask is too large.")
    # three turns in a row make the interpolation along the views circular; the middle one is kept
    views = sinogram.shape[-2]
    turns = torch.cat([result] * 3, dim=-2).transpose(-1, -2)
    missing = torch.cat([whole_views] * 3, dim=-1)[..., None, :].expand(turns.shape)
    filled = _interpolate_rows(turns, missing).transpose(-1, -2)[..., views : 2 * views, :]
    return torch.where(whole_views[..., None], filled, result)


def _interpolate_rows(values: torch.Tensor, missing: torch.Tensor) -> torch.Tensor:
    """Interpolate along the last axis; a row that is missing as a whole keeps what it has."""
    length = values.shape[-1]
    position = torch.arange(length, device=values.device)
    left = torch.where(missing, -1, position).cummax(dim=-1).values
    right = torch.where(missing, length, position).flip(-1).cummin(dim=-1).values.flip(-1)
    left, right = torch.where(left < 0, right, left), torch.where(right >= length, left, right)
    left_value = values.gather(-1, left.clamp(0, length - 1))
    right_value = values.gather(-1, right.clamp(0, length - 1))
    share = (position - left).to(values.dtype) / (right - left).clamp(min=1).to(values.dtype)
    inside = missing & (left < length) & (left >= 0)
    return torch.where(inside, left_value + (right_value - left_value) * share, values)
