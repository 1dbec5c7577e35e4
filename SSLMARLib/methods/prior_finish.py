"""PriorNet in the correction of measured sinograms: it betters the corrected image, which then fills the metal trace once more."""

import torch

from ..networks.slice_network import PriorNet
from ..networks.weights import shipped_network
from ..sinogram.trace import trace_share
from .base import MetalAffectedScan

WEIGHTS = "priornet"
SHIPPED_SHA256 = "791c65badc662b0838e9dc3036cb68001d56c9a18bdd7f43a56fb503a71291e2"


def network_inputs(scan: MetalAffectedScan) -> dict[str, torch.Tensor]:
    """What PriorNet sees beside the corrected image, by name: (slices, rows, columns) each; from the scan and its kept images."""
    images = {name: scan.images[name] for name in PriorNet.differences if name != "slice"}
    return {**images, "slice": scan.uncorrected_image, "metal": scan.metal_mask.float(), "trace": trace_share(scan.trace, scan.projector)}


def better_prior(sinogram: torch.Tensor, scan: MetalAffectedScan) -> torch.Tensor:
    """The prior (slices, rows, columns) in 1/cm that the corrected sinogram (slices, views, bins) and PriorNet give."""
    corrected = scan.projector.fbp(sinogram)
    network, _ = shipped_network(PriorNet, WEIGHTS, SHIPPED_SHA256, corrected.device, channels_last=True)
    return corrected + network(corrected, network_inputs(scan))
