"""CNNMAR: a network's prior image fills the metal trace (Zhang and Yu 2018, IEEE Trans. Med. Imaging 37, 1370)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ct.attenuation import hu_to_attenuation
from ..ct.scale import WATER_ATTENUATION_PER_CM
from .base import MetalAffectedScan
from .learned import LearnedMethod

if TYPE_CHECKING:
    import torch


class CNNMAR(LearnedMethod):
    name = "cnnmar"
    title = "CNNMAR"
    description = "A small network's prior image fills the metal trace: trained on simulated metal, better than NMAR."
    learned_from, published_rmse_hu = "pairs", 43.27
    relative_cost = 2.5
    network_path = "cnnmar.CNNMARNetwork"
    shipped_sha256 = "49e1fd2bab403710a4d4c0d3de7cc7faf09c368f7e4348943d559e89b3aead6b"

    def correct(self, scan: MetalAffectedScan) -> torch.Tensor:
        """Corrected sinograms (slices, views, bins): eq. 8 with the tissue-processed image of the network as prior."""
        from ..sinogram.replacement import metal_trace_replacement

        image = self.network(scan.sinogram.device)(network_images(scan))
        prior = tissue_processing(image, scan.metal_mask, self.constants.soft_tissue_hu, self.constants.border_pixels)
        return metal_trace_replacement(scan.sinogram, scan.projector.project(prior), scan.trace)


def network_images(scan: MetalAffectedScan) -> torch.Tensor:
    """Uncorrected, BHC and LI image as the network takes them: (slices, 3, rows, columns) in 1/cm."""
    import torch

    from ..sinogram.beam_hardening import metal_beam_hardening_correction

    hardened = metal_beam_hardening_correction(scan.sinogram, scan.interpolated_sinogram, scan.metal_path_cm, scan.trace)
    images = (scan.uncorrected_image, scan.projector.fbp(hardened), scan.interpolated_image)
    return torch.stack(images, dim=1)


def tissue_processing(
    image: torch.Tensor, metal_mask: torch.Tensor, soft_tissue_hu: tuple[float, float], border_pixels: int
) -> torch.Tensor:
    """The prior of an image: soft tissue is made uniform, as artifacts that are left there would be projected again; 1/cm.

    image, metal_mask: (slices, rows, columns). Pixels of a smoothed image within soft_tissue_hu get the mean of their class,
    less so within border_pixels of the class's border, so that no new edges arise. Metal pixels are soft tissue.
    """
    import torch

    from .filters import gaussian_smoothing

    image = torch.where(metal_mask, WATER_ATTENUATION_PER_CM, image).clamp(min=0)
    smoothed = gaussian_smoothing(image, 1.0)
    low, high = (hu_to_attenuation(value) for value in soft_tissue_hu)
    tissue = ((smoothed > low) & (smoothed < high)).to(image.dtype)
    mean = (image * tissue).sum((-2, -1), keepdim=True) / tissue.sum((-2, -1), keepdim=True).clamp(min=1)
    depth = torch.zeros_like(tissue)
    inside = tissue[:, None]
    for _ in range(border_pixels):
        inside = -torch.nn.functional.max_pool2d(-inside, 3, stride=1, padding=1)
        depth += inside[:, 0] / border_pixels
    return depth * mean + (1 - depth) * image
