"""The networks of deep sinogram completion (Yu et al. 2020, IEEE Trans. Med. Imaging 40, 228): a prior image, then the sinogram."""

from typing import NamedTuple

import torch
from torch import nn

from ..ct.scale import HUNDRED_HU_PER_CM
from ..sinogram.replacement import metal_trace_replacement
from .dual_domain import IMAGE_CHANNELS, SINOGRAM_CHANNELS
from .imgnet import DIFFERENCE_GAIN, scaled_image
from .sinonet import LINE_INTEGRAL_UNIT, RESIDUAL_UNIT
from .unet import UNet


class Completion(NamedTuple):
    """prior_image: (slices, rows, columns) in 1/cm. sinogram: (slices, views, bins). image: its FBP, the result, in 1/cm."""

    prior_image: torch.Tensor
    sinogram: torch.Tensor
    image: torch.Tensor


class DeepSinogramCompletionNetwork(nn.Module):
    """X_prior = X_LI + f_P(X_ma, X_LI); its projections, and what a second network adds to them, fill the trace.

    The residual that the second network learns starts from the prior's own, linearly interpolated across the trace (eq. 8 of Yu et
    al.'s later paper), so that the filled trace meets its edges; a choice of this project. Arguments: see `DuDoNetNetwork`.
    """

    title = "deep sinogram completion"

    def __init__(self, sinogram_channels=SINOGRAM_CHANNELS, image_channels=IMAGE_CHANNELS, stem: int = 2, residual: bool = True):
        super().__init__()
        self.options = {
            "sinogram_channels": list(sinogram_channels), "image_channels": list(image_channels), "stem": stem, "residual": residual,
        }  # fmt: skip
        self.prior_network = UNet(2, list(image_channels), stem=stem, residual=residual)
        self.sinogram_network = UNet(2, list(sinogram_channels), stem=stem, mask_pyramid=True, circular=True, residual=residual)

    def forward(self, scan) -> Completion:
        """scan: a `methods.base.MetalAffectedScan`; outside the trace the sinogram is its own, to the bit."""
        first = scaled_image(scan.interpolated_image)
        inputs = torch.stack([first, DIFFERENCE_GAIN * (scaled_image(scan.uncorrected_image) - first)], dim=1)
        prior = scan.interpolated_image + HUNDRED_HU_PER_CM * self.prior_network(inputs)
        replaced = metal_trace_replacement(scan.sinogram, scan.projector.project(prior), scan.trace)
        interpolated = scan.interpolated_sinogram
        inputs = torch.stack([interpolated / LINE_INTEGRAL_UNIT, (replaced - interpolated) / RESIDUAL_UNIT], dim=1)
        residual = RESIDUAL_UNIT * self.sinogram_network(inputs, scan.trace)
        sinogram = torch.where(scan.trace, replaced + residual, scan.sinogram)
        return Completion(prior, sinogram, scan.projector.fbp(sinogram))
