"""MetalNet: outlines metal in slices that have its artifacts (Yu et al., section IV, name the threshold as what limits them)."""

from collections.abc import Sequence

import torch
from torch import nn

from .unet import UNet

TISSUE_HU = 1000.0  # the range that the first channel shows
EXTENDED_FROM_HU = 3000.0


class MetalNet(nn.Module):
    """Slices in HU -> a value for each pixel that is above 0 where metal is. Untrained, it gives 0.

    channels, stem, residual: see `UNet`.
    """

    title = "MetalNet"

    def __init__(self, channels: int | Sequence[int] = (24, 48, 64, 96, 96), stem: int = 2, residual: bool = True):
        super().__init__()
        self.options = {"channels": channels, "stem": stem, "residual": residual}
        self.unet = UNet(3, channels, stem=stem, residual=residual)

    def forward(self, slices_hu: torch.Tensor) -> torch.Tensor:
        """slices_hu: (slices, rows, columns), float, as loaded, cut off at 3071 HU or not. Returns logits of the same shape."""
        tissue = slices_hu.clamp(-TISSUE_HU, TISSUE_HU) / TISSUE_HU
        dense = (slices_hu - TISSUE_HU).clamp(0, 2100) / TISSUE_HU
        extended = ((slices_hu - EXTENDED_FROM_HU).clamp(min=0) / 1000).log1p()
        return self.unet(torch.stack([tissue, dense, extended], dim=1))
