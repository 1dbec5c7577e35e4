"""PriorNet in the correction of measured sinograms: it betters the corrected image, which then fills the metal trace once more."""

import torch

from ..networks.slice_network import PriorNet
from ..networks.weights import load_network
from ..sinogram.trace import trace_share
from .base import MetalAffectedScan

WEIGHTS = "priornet"
SHIPPED_SHA256 = "791c65badc662b0838e9dc3036cb68001d56c9a18bdd7f43a56fb503a71291e2"


def network_inputs(corrected: torch.Tensor, scan: MetalAffectedScan) -> dict[str, torch.Tensor]:
    """What PriorNet sees beside the corrected image, by name: (slices, rows, columns) each; from the scan and its kept images."""
    images = {name: scan.images[name] for name in PriorNet.differences if name != "slice"}
    return {**images, "slice": scan.uncorrected_image, "metal": scan.metal_mask.float(), "trace": trace_share(scan.trace, scan.projector)}


class PriorFinish:
    """Keeps the network from batch to batch."""

    def __init__(self):
        self._networks: dict[torch.device, PriorNet] = {}

    def __call__(self, sinogram: torch.Tensor, scan: MetalAffectedScan) -> torch.Tensor:
        """A better prior, (slices, rows, columns) in 1/cm, from the corrected sinogram (slices, views, bins)."""
        corrected = scan.projector.fbp(sinogram)
        return corrected + self._network(corrected.device)(corrected, network_inputs(corrected, scan))

    def _network(self, device: torch.device) -> PriorNet:
        if device not in self._networks:
            network = load_network(PriorNet, WEIGHTS, SHIPPED_SHA256)[0]
            self._networks[device] = network.to(device, memory_format=torch.channels_last)
        return self._networks[device]
