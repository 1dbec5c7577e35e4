"""SinoNet: completes the metal trace of a sinogram (Yu et al., eq. 2), a mask pyramid U-Net."""

from collections.abc import Sequence

import torch
from torch import nn

from .unet import UNet

LINE_INTEGRAL_UNIT = 4.0  # a ray through 20 cm of water: line integrals in this unit are about 1
RESIDUAL_UNIT = 0.1  # a line integral: the size of linear interpolation's errors, so that outputs are about 1


class SinoNet(nn.Module):
    """S_sn = f_S(S_LI, Tr) where the trace is, S_LI elsewhere to the bit (eq. 2). Untrained, it is linear interpolation.

    f_S is S_LI plus what a U-Net gives. The views close to a ring, the ends of the detector are replicated.
    channels, levels, stem, residual: see `UNet`.
    """

    def __init__(self, channels: int | Sequence[int] = 64, levels: int = 4, stem: int = 1, residual: bool = False):
        super().__init__()
        self.options = {"channels": channels, "levels": levels, "stem": stem, "residual": residual}  # make the same network again
        self.unet = UNet(1, channels, levels, stem, mask_pyramid=True, circular=True, residual=residual)

    def forward(self, interpolated_sinogram: torch.Tensor, trace: torch.Tensor) -> torch.Tensor:
        """interpolated_sinogram: S_LI (slices, views, bins), line integrals. trace: the same shape, boolean. Returns S_sn."""
        change = RESIDUAL_UNIT * self.unet(interpolated_sinogram[:, None] / LINE_INTEGRAL_UNIT, trace)
        return torch.where(trace, interpolated_sinogram + change, interpolated_sinogram)
