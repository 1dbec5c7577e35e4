"""The paper as published: eqs 1 to 9 of Yu et al. and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import MetalAffectedScan
from .learned import PeerMethod

if TYPE_CHECKING:
    import torch


class SSLMARPaper(PeerMethod):
    """One refinement, of the FBP of SinoNet's completion alone, and metal trace replacement with it. What the product adds is absent:
    NMAR, measured data and the mask as further inputs, a second round, uniform tissue, the trace's extra bin, SliceNet.
    """

    name = "sslmar_paper"
    title = "SSLMAR as published"
    description = "The paper's equations and nothing else: two networks that learned from images free of metal, then replacement."
    learned_from, published_rmse_hu = "metal-free CT", 34.20
    trace_dilation_bins = 0
    network_path = "sslmar.SSLMARNetwork"
    shipped_sha256 = "0a894c691f36085481bdc1b6c4c1ec389dbbce444672e07af257747d0ce3ff33"

    def correct(self, scan: MetalAffectedScan) -> torch.Tensor:
        """S_corr of eq. 8, (slices, views, bins)."""
        from ..sinogram.replacement import metal_trace_replacement

        network = self.network(scan.sinogram.device)
        completed = scan.projector.fbp(network.complete(scan.interpolated_sinogram, scan.trace))  # eqs 9 and 2
        return metal_trace_replacement(scan.sinogram, scan.projector.project(network.refine(completed)), scan.trace)  # eqs 5 and 8
