"""The networks of cGANMAR (Wang et al. 2018, MICCAI): pix2pix from the uncorrected image to the image without artifacts."""

import torch
from torch import nn

from ..ct.scale import HUNDRED_HU_PER_CM, WATER_ATTENUATION_PER_CM
from .adversarial import PatchDiscriminator
from .imgnet import possible_tissue, scaled_image
from .unet import UNet


class CGANMARNetwork(nn.Module):
    """X + G(X): a U-Net whose output is added to the uncorrected image, cut off at air and at 3000 HU, where no tissue is (an own
    choice); untrained it does no more than that.

    channels: of the levels of the generator. stem, residual: see `UNet`. discriminator_channels: of the discriminator of 70 x 70
    pixels, which sees both the uncorrected image and the one to be judged; 0 for none, as shipped.
    """

    title = "cGANMAR"

    def __init__(self, channels=(32, 48, 64, 96, 128), stem: int = 2, residual: bool = True, discriminator_channels: int = 16):
        super().__init__()
        self.options = {
            "channels": list(channels), "stem": stem, "residual": residual, "discriminator_channels": discriminator_channels,
        }  # fmt: skip
        self.generator = UNet(2, list(channels), stem=stem, residual=residual)
        if discriminator_channels:
            self.discriminator = PatchDiscriminator(2, discriminator_channels, downsamplings=3)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """image: uncorrected, (slices, rows, columns) in 1/cm; the same without artifacts."""
        possible = possible_tissue(image)
        inputs = torch.stack([scaled_image(image), possible / WATER_ATTENUATION_PER_CM], dim=1)
        return possible + HUNDRED_HU_PER_CM * self.generator(inputs)
