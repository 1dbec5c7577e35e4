"""The network of CNN-MAR (Zhang and Yu 2018, IEEE Trans. Med. Imaging 37, 1370): a few 3 x 3 convolutions on three images."""

from collections.abc import Sequence

import torch
from torch import nn

from ..ct.scale import HUNDRED_HU_PER_CM, WATER_ATTENUATION_PER_CM

INPUT_IMAGES = ("uncorrected", "beam hardening corrected", "linearly interpolated")
LARGEST_INPUT = 2.0  # in units of water's attenuation; metal and its streaks are cut off here: above, only their place matters
RESIDUAL_UNIT_PER_CM = HUNDRED_HU_PER_CM  # what the last convolution's outputs of about 1 mean


class CNNMARNetwork(nn.Module):
    """Uncorrected, BHC and LI image in, an image with fewer artifacts out; (slices, 3, rows, columns) to (slices, rows, columns), in 1/cm.

    The network adds to the LI image what its last convolution gives, which starts at zero: an untrained network is LI.

    channels: width of the hidden convolutions. dilations: one hidden convolution each; (1, 1, 1, 1) is the published network, larger
    ones let the same number of weights see wider streaks. shuffle: n x n neighboring pixels become channels of one coarser pixel before
    the first convolution and pixels again after the last one: n^2 times less work for the same channels, and a view n times wider.
    """

    title = "CNNMAR"

    def __init__(self, channels: int = 32, dilations: Sequence[int] = (1, 1, 1, 1), shuffle: int = 1):
        super().__init__()
        self.options = {"channels": channels, "dilations": list(dilations), "shuffle": shuffle}  # make the same network again
        layers: list[nn.Module] = []
        width = len(INPUT_IMAGES) * shuffle**2
        for dilation in dilations:
            convolution = nn.Conv2d(width, channels, 3, padding=dilation, dilation=dilation)
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            nn.init.zeros_(convolution.bias)
            layers += [convolution, nn.ReLU(inplace=True)]
            width = channels
        last = nn.Conv2d(width, shuffle**2, 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(*layers, last)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """images: (slices, 3, rows, columns), 1/cm, in the order of INPUT_IMAGES; rows and columns divide by `shuffle`."""
        scaled = (images / WATER_ATTENUATION_PER_CM).clamp(-LARGEST_INPUT, LARGEST_INPUT)
        interpolated = scaled[:, 2:]
        scaled = torch.cat([interpolated, scaled[:, :2] - interpolated], dim=1)  # the artifacts are what the images differ by
        shuffle = self.options["shuffle"]
        residual = nn.functional.pixel_shuffle(self.layers(nn.functional.pixel_unshuffle(scaled, shuffle)), shuffle)
        return images[:, 2] + RESIDUAL_UNIT_PER_CM * residual[:, 0]
