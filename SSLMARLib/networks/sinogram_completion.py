"""The networks of deep sinogram completion (Yu et al. 2020, IEEE Trans. Med. Imaging 40, 228): a prior image, then the sinogram."""

from typing import NamedTuple

import torch

from ..ct.scale import HUNDRED_HU_PER_CM
from ..sinogram.replacement import metal_trace_replacement
from .dual_domain import TwoNetworks
from .imgnet import DIFFERENCE_GAIN, scaled_image
from .sinonet import LINE_INTEGRAL_UNIT, RESIDUAL_UNIT
from .unet import UNet


class Completion(NamedTuple):
    """prior_image: (slices, rows, columns) in 1/cm. sinogram: (slices, views, bins). image: its FBP, the result, in 1/cm."""

    prior_image: torch.Tensor
    sinogram: torch.Tensor
    image: torch.Tensor


class DeepSinogramCompletionNetwork(TwoNetworks):
    """X_prior = X_LI + f_P(X_ma, X_LI); its projections, and what a second network adds to them, fill the trace.

    The residual that the second network learns starts from the prior's own, linearly interpolated across the trace (eq. 8 of Yu et
    al.'s later paper), so that the filled trace meets its edges; a choice of this project. Arguments: see `TwoNetworks`.
    """

    title = "deep sinogram completion"

    def __init__(self, **options):
        super().__init__(**options)
        sinogram_channels, image_channels, parts = self.parts()
        self.prior_network = UNet(2, image_channels, **parts)
        self.sinogram_network = UNet(2, sinogram_channels, mask_pyramid=True, circular=True, **parts)

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
