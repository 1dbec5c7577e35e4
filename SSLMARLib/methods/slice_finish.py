"""SliceNet in the correction of slices that a scanner reconstructed: its inputs are brought to its grid, what it adds comes back."""

import torch

from ..ct.resampling import SliceGrid
from ..ct.scale import WATER_ATTENUATION_PER_CM
from ..networks.slice_network import GRID_PIXELS, SliceNet
from ..networks.weights import shipped_network
from ..sinogram.trace import trace_share
from .base import MetalAffectedScan
from .filters import gaussian_smoothing

LARGEST_ARTIFACT_HU = 400.0  # counted of what was taken away from a pixel: edges of metal are no measure of artifacts
WEIGHTS = "slicenet"
SHIPPED_SHA256 = "b077e644f424f05f4881ec46f8dcb91f0dfe896d7c2ad39771c53bc131ff90a0"


def finished_slices(slices, corrected, metal_mask, scan: MetalAffectedScan, grid: SliceGrid) -> torch.Tensor:
    """The corrected slices with what SliceNet adds to them; arguments and result as of `base.Method.finish`."""
    own_grid = SliceGrid(grid.shape, grid.spacing_mm, GRID_PIXELS)
    images = {name: own_grid.to_grid(grid.from_grid(scan.images[name])) for name in ("prior", "nmar")}
    images["slice"] = own_grid.to_grid(slices)
    images["metal"] = own_grid.to_grid(metal_mask.float()).clamp(0, 1)
    images["trace"] = own_grid.to_grid(grid.from_grid(trace_share(scan.trace, scan.projector))).clamp(0, 1)
    network, description = shipped_network(SliceNet, WEIGHTS, SHIPPED_SHA256, slices.device, channels_last=True)
    on_grid = own_grid.to_grid(corrected)
    taken_away = torch.where(images["metal"] > 0, 0.0, images["slice"] - on_grid)
    added = network(on_grid, images) * artifact_share(taken_away, **description["constants"])
    return corrected + own_grid.from_grid(added)


def artifact_share(taken_away: torch.Tensor, artifact_hu: float, artifact_pixels: float) -> torch.Tensor:
    """How much of what SliceNet adds is taken, 0 to 1: v^2 / (v^2 + artifact_hu^2), v the root mean square, within artifact_pixels (sigma
    of a Gaussian), of what the correction took away from the slice, (slices, rows, columns) in 1/cm, as is what is returned in shape.

    Where the slice had no artifacts the network would take its noise and sharpen or soften its edges, which is not wanted.
    """
    per_hu = WATER_ATTENUATION_PER_CM / 1000
    mean_square = gaussian_smoothing((taken_away / per_hu).clamp(-LARGEST_ARTIFACT_HU, LARGEST_ARTIFACT_HU).square(), artifact_pixels)
    return mean_square / (mean_square + artifact_hu**2)
