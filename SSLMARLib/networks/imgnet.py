"""ImgNet: takes from an image the artifacts that are left (Yu et al., eq. 5), a residual U-Net."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from ..ct.scale import HUNDRED_HU_PER_CM, WATER_ATTENUATION_PER_CM
from ..errors import InputError
from .unet import UNet

FURTHER_INPUTS = ("nmar", "measured", "metal")  # NMAR's image; the image of `metal_subtracted_sinogram`; the mask, 0 or 1
LARGEST_INPUT = 2.0  # in units of water's attenuation; what is denser is cut off, as only its place matters
DIFFERENCE_GAIN = 5.0  # images beside the first come in as differences to it, so much larger
RESIDUAL_UNIT_PER_CM = HUNDRED_HU_PER_CM  # what an output of 1 means


class ImgNet(nn.Module):
    """X_out = X + f_I(X), eq. 5; images in 1/cm. Untrained, it changes nothing. f_I sees units of water's attenuation, and gives 100 HU.

    channels, levels, stem, residual: see `UNet`. further_inputs: which of FURTHER_INPUTS f_I also sees, in that order.
    """

    def __init__(
        self, channels: int | Sequence[int] = 32, levels: int = 4, stem: int = 1, residual: bool = False, further_inputs: Sequence[str] = ()
    ):
        super().__init__()
        unknown = [name for name in further_inputs if name not in FURTHER_INPUTS]
        if unknown or isinstance(further_inputs, str):
            raise InputError(f"further_inputs is {further_inputs!r}: give a list of some of {', '.join(FURTHER_INPUTS)}.")
        self.further_inputs = tuple(further_inputs)
        self.options = {"channels": channels, "levels": levels, "stem": stem, "residual": residual, "further_inputs": list(further_inputs)}
        self.unet = UNet(1 + len(self.further_inputs), channels, levels, stem, residual=residual)

    def forward(self, image: torch.Tensor, further: Mapping[str, torch.Tensor] | None = None) -> torch.Tensor:
        """image: (slices, rows, columns) in 1/cm. further: name to image of the same shape, for each of `further_inputs`."""
        inputs = [scaled_image(image)]
        for name in self.further_inputs:
            values = further[name].to(image.dtype)
            inputs.append(values if name == "metal" else DIFFERENCE_GAIN * (scaled_image(values) - inputs[0]))
        return image + RESIDUAL_UNIT_PER_CM * self.unet(torch.stack(inputs, dim=1))


def scaled_image(image: torch.Tensor) -> torch.Tensor:
    """An image in 1/cm, any shape, in units of water's attenuation, from -1 to LARGEST_INPUT."""
    return (image / WATER_ATTENUATION_PER_CM).clamp(-1.0, LARGEST_INPUT)


def possible_tissue(image: torch.Tensor) -> torch.Tensor:
    """An image in 1/cm, any shape, cut off at air and at 3000 HU: streaks reach beyond, tissue does not."""
    return image.clamp(0.0, 4 * WATER_ATTENUATION_PER_CM)
