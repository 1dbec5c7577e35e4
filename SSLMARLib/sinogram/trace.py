"""The metal trace: the part of the sinogram whose rays cross metal (Yu et al., eq. 1)."""

from weakref import WeakKeyDictionary

import torch

from ..errors import InputError
from ..tomography.projector import FanBeamProjector

SHORTEST_PATH_CM = 1e-6  # rounding of float32 is below this; a ray that clips the corner of a metal pixel is above
_every_ray: WeakKeyDictionary[FanBeamProjector, torch.Tensor] = WeakKeyDictionary()  # projector -> its adjoint of a sinogram of ones


def metal_trace(metal_mask: torch.Tensor, projector: FanBeamProjector, dilation_bins: int = 0) -> torch.Tensor:
    """Tr = P(M) > 0, eq. 1, optionally wider by `dilation_bins` on both sides of each run along the detector.

    metal_mask: (..., rows, columns), boolean or 0 to 1. Returns boolean (..., views, bins). The dilation takes in the bins
    beside the trace, which the blur of a real scanner's metal edge reaches. Raises InputError for a negative dilation.
    """
    if dilation_bins < 0 or int(dilation_bins) != dilation_bins:
        raise InputError(f"The metal trace cannot be dilated by {dilation_bins} bins: give 0, 1, 2, ...")
    with torch.no_grad():
        trace = projector.project(metal_mask.to(projector.dtype)) > SHORTEST_PATH_CM
    return widened(trace, int(dilation_bins)) if dilation_bins else trace


def widened(trace: torch.Tensor, bins: int) -> torch.Tensor:
    """A boolean trace (..., views, bins), wider by so many bins on both sides of each run along the detector."""
    rows = trace.reshape(-1, 1, trace.shape[-1]).float()
    return torch.nn.functional.max_pool1d(rows, 2 * bins + 1, stride=1, padding=bins).view(trace.shape) > 0


def trace_share(trace: torch.Tensor, projector: FanBeamProjector) -> torch.Tensor:
    """The share, 0 to 1, of each pixel's rays that lie in the trace (slices, views, bins); (slices, rows, columns) on the image grid."""
    if projector not in _every_ray:
        _every_ray[projector] = projector.backproject(torch.ones_like(trace[:1], dtype=projector.dtype)).clamp(min=1e-6)
    return (projector.backproject(trace.to(projector.dtype)) / _every_ray[projector]).clamp(0, 1)
