"""SliceNet and PriorNet: take from a corrected slice what its correction left: leaks, noise behind metal, dark bands."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from .imgnet import DIFFERENCE_GAIN, RESIDUAL_UNIT_PER_CM, scaled_image
from .unet import UNet

GRID_PIXELS = 512  # along a side of the square grid that it sees slices on
LARGEST_DIFFERENCE = 10.0  # after the gain


class SliceNet(nn.Module):
    """The corrected slice and what is known of it -> what to add to it; images in 1/cm. Untrained, it adds nothing.

    A scanner's streaks, projected again on another grid and geometry, do not lie in the metal trace alone: what leaks out of it
    eq. 8 cannot take away, whatever its prior. channels, stem, residual: see `UNet`.
    """

    title = "SliceNet"
    differences = ("slice", "prior", "nmar")  # images that come in as differences to the corrected slice

    def __init__(self, channels: int | Sequence[int] = (48, 64, 96, 128, 160), stem: int = 2, residual: bool = True):
        super().__init__()
        self.options = {"channels": channels, "stem": stem, "residual": residual}
        self.unet = UNet(1 + len(self.differences) + 2, channels, stem=stem, residual=residual)

    def forward(self, corrected: torch.Tensor, images: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """corrected: (slices, rows, columns) in 1/cm. images: of the same shape, "slice" (with its artifacts) and the other `differences`
        in 1/cm, "metal" (0 to 1), and "trace" (the share of a pixel's rays that cross metal, 0 to 1). Returns (slices, rows, columns) in
        1/cm.
        """
        base = scaled_image(corrected)
        differences = [DIFFERENCE_GAIN * (scaled_image(images[name]) - base) for name in self.differences]
        differences = [one.clamp(-LARGEST_DIFFERENCE, LARGEST_DIFFERENCE) for one in differences]
        inputs = torch.stack([base, *differences, images["metal"], images["trace"]], dim=1)
        return RESIDUAL_UNIT_PER_CM * self.unet(inputs.contiguous(memory_format=torch.channels_last))


class PriorNet(SliceNet):
    """The same for sinograms that were measured: what it adds to the corrected image goes into the trace once more (eq. 8).

    It sees what the metal's shadow still shows of the tissue behind it too, the image "measured" of `restoration.run_networks`.
    """

    title = "PriorNet"
    differences = ("slice", "prior", "nmar", "measured")
