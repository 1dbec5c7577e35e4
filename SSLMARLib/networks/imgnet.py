"""ImgNet: takes from an image the artifacts that are left (Yu et al., eq. 5), a residual U-Net."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from ..ct.attenuation import WATER_ATTENUATION_PER_CM
from ..errors import InputError
from .unet import UNet

FURTHER_INPUTS = ("nmar", "metal")  # NMAR's image, 1/cm; the metal mask, 0 or 1


class ImgNet(nn.Module):
    """X_out = X + f_I(X), eq. 5; images in 1/cm. Untrained, it changes nothing. f_I works in units of water's attenuation.

    channels, levels, stem: see `UNet`. further_inputs: which of FURTHER_INPUTS f_I also sees, in that order.
    """

    def __init__(self, channels: int = 32, levels: int = 4, stem: int = 1, further_inputs: Sequence[str] = ()):
        super().__init__()
        unknown = [name for name in further_inputs if name not in FURTHER_INPUTS]
        if unknown or isinstance(further_inputs, str):
            raise InputError(f"further_inputs is {further_inputs!r}: give a list of some of {', '.join(FURTHER_INPUTS)}.")
        self.further_inputs = tuple(further_inputs)
        self.options = {"channels": channels, "levels": levels, "stem": stem, "further_inputs": list(further_inputs)}
        self.unet = UNet(1 + len(self.further_inputs), channels, levels, stem)

    def forward(self, image: torch.Tensor, further: Mapping[str, torch.Tensor] | None = None) -> torch.Tensor:
        """image: (slices, rows, columns) in 1/cm. further: name to image of the same shape, for each of `further_inputs`."""
        inputs = [image / WATER_ATTENUATION_PER_CM]
        for name in self.further_inputs:
            unit = WATER_ATTENUATION_PER_CM if name == "nmar" else 1.0
            inputs.append(further[name].to(image.dtype) / unit)
        return image + WATER_ATTENUATION_PER_CM * self.unet(torch.stack(inputs, dim=1))
