"""SSLMAR: SinoNet completes the sinogram, ImgNet refines the image, whose projections fill the metal trace (Yu et al., eqs 2, 5, 8)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .base import MetalAffectedScan
from .cnnmar import tissue_processing
from .learned import LearnedMethod, WeightsConstants

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class SSLMARConstants(WeightsConstants):
    """tissue_share: of the prior is its `tissue_processing`. trust_per_cm: see `metal_subtracted_sinogram`.

    rougher_limits, artifacts_back_limits: trusted and not, and trusted_tissue_water: the soft tissue looked at, in units of
    water's attenuation; see `restoration.trusted_share`.
    """

    tissue_share: float
    trust_per_cm: float
    rougher_limits: tuple[float, float]
    artifacts_back_limits: tuple[float, float]
    trusted_tissue_water: tuple[float, float]


class SSLMAR(LearnedMethod):
    name = "sslmar"
    title = "SSLMAR"
    description = "A network that learned from images free of metal gives the prior that fills the metal trace: slowest, smallest error."
    learned_from = "metal-free CT"
    relative_cost = 8.7
    slices_per_batch = {"cpu": 1}  # of nearly a second each, so that a cancel is quick
    network_path = "sslmar.SSLMARNetwork"
    shipped_sha256 = "1df4019aeb44c63e783ccf6b55f94384b65e005921f3f265b5cb6644fc0f0463"
    constants_class = SSLMARConstants
    channels_last = True

    def __init__(
        self,
        weights: str | os.PathLike | None = None,
        iterations: int | None = None,
        with_slice_network: bool = True,
        with_prior_network: bool = True,
    ):
        """weights: see `LearnedMethod`. iterations: of ImgNet and metal trace replacement; None for as many as the weights'
        description says; 0 for SinoNet alone. with_slice_network: whether slices that were loaded as images are finished by SliceNet;
        with_prior_network: whether measured sinograms are filled once more, with the image that PriorNet betters.
        """
        super().__init__(weights)
        self.iterations, self.with_slice_network, self.with_prior_network = iterations, with_slice_network, with_prior_network

    def correct(self, scan: MetalAffectedScan) -> torch.Tensor:
        """Corrected sinograms (slices, views, bins): eq. 8 with the refined image as prior, its soft tissue partly uniform.

        A network leaves some artifacts, a uniform tissue has none but no detail either: a mean of both is the best prior. So is the
        mean over the iterations: a later one comes nearer to the data, and to what is wrong in them.
        """
        import torch

        from .restoration import replaced_sinogram, run_networks

        network, constants = self.network(scan.sinogram.device), self.constants
        iterations = int(self.weights_description.get("iterations", 1)) if self.iterations is None else self.iterations
        restoration = run_networks(network, scan, constants, iterations)
        if not iterations:
            return restoration.completed_sinogram
        image = torch.stack(restoration.refined_images).mean(dim=0)
        scan.images["prior"] = image
        if restoration.nmar_image is not None:
            scan.images["nmar"] = restoration.nmar_image
        if restoration.measured_image is not None:
            scan.images["measured"] = restoration.measured_image
        uniform = tissue_processing(image, scan.metal_mask, constants.soft_tissue_hu, constants.border_pixels)
        corrected = replaced_sinogram(image + constants.tissue_share * (uniform - image), scan)
        if self.with_prior_network and scan.is_measured and {"nmar", "measured"} <= set(scan.images):
            from .prior_finish import better_prior

            corrected = replaced_sinogram(better_prior(corrected, scan), scan)
        return corrected

    def finish(self, slices, corrected, metal_mask, scan, grid) -> torch.Tensor:
        """The corrected slices with what SliceNet adds to them, see `base.Method.finish`; as they are where `correct` kept no images."""
        if not self.with_slice_network or not {"prior", "nmar"} <= set(scan.images):
            return corrected
        from .slice_finish import finished_slices

        return finished_slices(slices, corrected, metal_mask, scan, grid)
