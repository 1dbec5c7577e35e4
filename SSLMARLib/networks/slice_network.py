"""SliceNet: takes from a corrected slice what the correction of its re-projection left: leaks, noise behind metal, dark bands."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from .imgnet import DIFFERENCE_GAIN, RESIDUAL_UNIT_PER_CM, scaled_image
from .unet import UNet

GRID_PIXELS = 512  # along a side of the square grid that it sees slices on
DIFFERENCES = ("slice", "prior", "nmar")  # images that come in as differences to the corrected slice
LARGEST_DIFFERENCE = 10.0  # after the gain


class SliceNet(nn.Module):
    """The corrected slice and what is known of it -> what to add to it; images in 1/cm. Untrained, it adds nothing.

    A scanner's streaks, projected again on another grid and geometry, do not lie in the metal trace alone: what leaks out of it
    eq. 8 cannot take away, whatever its prior. channels, stem, residual: see `UNet`.
    """

    title = "SliceNet"

    def __init__(self, channels: int | Sequence[int] = (48, 64, 96, 128, 160), stem: int = 2, residual: bool = True):
        super().__init__()
        self.options = {"channels": channels, "stem": stem, "residual": residual}
        self.unet = UNet(1 + len(DIFFERENCES) + 2, channels, stem=stem, residual=residual)

    def forward(self, corrected: torch.Tensor, images: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """corrected: (slices, rows, columns) in 1/cm. images: of the same shape, "slice" (as loaded), "prior", "nmar" in 1/cm, "metal"
        (0 to 1), and "trace" (the share of a pixel's rays that cross metal, 0 to 1). Returns (slices, rows, columns) in 1/cm.
        """
        base = scaled_image(corrected)
        differences = [DIFFERENCE_GAIN * (scaled_image(images[name]) - base) for name in DIFFERENCES]
        differences = [one.clamp(-LARGEST_DIFFERENCE, LARGEST_DIFFERENCE) for one in differences]
        inputs = torch.stack([base, *differences, images["metal"], images["trace"]], dim=1)
        return RESIDUAL_UNIT_PER_CM * self.unet(inputs.contiguous(memory_format=torch.channels_last))
