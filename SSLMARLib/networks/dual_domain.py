"""The networks of DuDoNet (Lin et al. 2019, CVPR) and DuDoNet++ (Lyu et al. 2020, MICCAI): one for the sinogram, one for the image.

Between the two lies the differentiable FBP, so that what is wrong in the image also teaches the sinogram network.
"""

from typing import NamedTuple

import torch
from torch import nn

from ..ct.scale import HUNDRED_HU_PER_CM
from .imgnet import DIFFERENCE_GAIN, scaled_image
from .sinonet import LINE_INTEGRAL_UNIT, RESIDUAL_UNIT, SinoNet
from .unet import UNet

SINOGRAM_CHANNELS = (16, 32, 48, 64, 96)
IMAGE_CHANNELS = (32, 48, 64, 96)
PATH_UNIT_CM = 2.0  # of metal on a ray: paths in this unit are about 1


class DualDomain(NamedTuple):
    """sinogram: enhanced inside the trace, (slices, views, bins). completed_image: its FBP. image: the result; both in 1/cm."""

    sinogram: torch.Tensor
    completed_image: torch.Tensor
    image: torch.Tensor


class TwoNetworks(nn.Module):
    """What networks of both domains have in common: their arguments.

    sinogram_channels, image_channels: of the levels of both U-Nets; stem, residual: see `UNet`.
    """

    def __init__(self, sinogram_channels=SINOGRAM_CHANNELS, image_channels=IMAGE_CHANNELS, stem: int = 2, residual: bool = True):
        super().__init__()
        channels = {"sinogram_channels": list(sinogram_channels), "image_channels": list(image_channels)}
        self.options = {**channels, "stem": stem, "residual": residual}  # make the same network again

    def parts(self) -> tuple[list[int], list[int], dict]:
        """(channels of the sinogram network, of the image network, what else both U-Nets are made with)"""
        parts = dict(self.options)
        return parts.pop("sinogram_channels"), parts.pop("image_channels"), parts


class DuDoNetNetwork(TwoNetworks):
    """S_se = Tr f(S_LI, Tr) + (1 - Tr) S_LI, then X_LI + g(FBP(S_se), X_LI). Untrained, it is linear interpolation.

    Arguments: see `TwoNetworks`.
    """

    title = "DuDoNet"

    def __init__(self, **options):
        super().__init__(**options)
        sinogram_channels, image_channels, parts = self.parts()
        self.sinogram_network = SinoNet(sinogram_channels, **parts)
        self.image_network = UNet(2, image_channels, **parts)

    def forward(self, scan) -> DualDomain:
        """scan: a `methods.base.MetalAffectedScan`."""
        sinogram = self.sinogram_network(scan.interpolated_sinogram, scan.trace)
        completed, interpolated = scan.projector.fbp(sinogram), scan.interpolated_image
        first = scaled_image(interpolated)
        inputs = torch.stack([first, DIFFERENCE_GAIN * (scaled_image(completed) - first)], dim=1)
        return DualDomain(sinogram, completed, interpolated + HUNDRED_HU_PER_CM * self.image_network(inputs))


class DuDoNetPlusPlusNetwork(TwoNetworks):
    """The sinogram network sees the metal-affected sinogram and, at every level, the length of each ray in metal; the image network
    sees FBP(S_se), the uncorrected image and the metal mask, and adds to FBP(S_se). Arguments: see `TwoNetworks`.

    Inside the trace the sinogram network adds to S_LI, and what the data there differ by from S_LI is an input: an own choice, which
    untrained is linear interpolation.
    """

    title = "DuDoNet++"

    def __init__(self, **options):
        super().__init__(**options)
        sinogram_channels, image_channels, parts = self.parts()
        self.sinogram_network = UNet(2, sinogram_channels, mask_pyramid=True, circular=True, **parts)
        self.image_network = UNet(3, image_channels, **parts)

    def forward(self, scan) -> DualDomain:
        """scan: a `methods.base.MetalAffectedScan`, whose data inside the trace are read."""
        interpolated = scan.interpolated_sinogram
        inputs = torch.stack([interpolated / LINE_INTEGRAL_UNIT, (scan.sinogram - interpolated) / LINE_INTEGRAL_UNIT], dim=1)
        change = RESIDUAL_UNIT * self.sinogram_network(inputs, scan.metal_path_cm / PATH_UNIT_CM)
        sinogram = torch.where(scan.trace, interpolated + change, interpolated)
        completed = scan.projector.fbp(sinogram)
        first = scaled_image(completed)
        further = [DIFFERENCE_GAIN * (scaled_image(scan.uncorrected_image) - first), scan.metal_mask.to(first.dtype)]
        added = self.image_network(torch.stack([first, *further], dim=1))
        return DualDomain(sinogram, completed, completed + HUNDRED_HU_PER_CM * added)
