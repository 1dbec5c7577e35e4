"""CNNMAR: a network's prior image fills the metal trace (Zhang and Yu 2018, IEEE Trans. Med. Imaging 37, 1370)."""

from __future__ import annotations

import torch

from ..ct.attenuation import WATER_ATTENUATION_PER_CM, hu_to_attenuation
from ..networks.cnnmar import load_cnnmar_network
from ..sinogram.beam_hardening import metal_beam_hardening_correction
from ..sinogram.replacement import metal_trace_replacement
from .base import MetalAffectedScan
from .filters import gaussian_smoothing

SOFT_TISSUE_HU = (-300.0, 300.0)  # this and the next were chosen on the validation patients of the shipped weights
BORDER_PIXELS = 3  # over so many pixels the uniform tissue gives way to the image, so that no new edges arise


class CNNMAR:
    name = "cnnmar"
    title = "CNNMAR"
    description = "A small network's prior image fills the metal trace: trained on simulated metal, better than NMAR."

    def __init__(self, weights: str = "cnnmar"):
        """weights: the name of shipped weights, or the path of a .safetensors file that `sslmar train` wrote."""
        self.weights = weights
        self._networks = {}  # device -> network, loaded at first use

    def correct(self, scan: MetalAffectedScan) -> torch.Tensor:
        """Corrected sinograms (slices, views, bins): eq. 8 with the tissue-processed image of the network as prior."""
        device = scan.sinogram.device
        if device not in self._networks:
            self._networks[device] = load_cnnmar_network(self.weights).to(device)
        image = self._networks[device](network_images(scan))
        prior = tissue_processing(image, scan.metal_mask)
        return metal_trace_replacement(scan.sinogram, scan.projector.project(prior), scan.trace)


def network_images(scan: MetalAffectedScan) -> torch.Tensor:
    """Uncorrected, BHC and LI image as the network takes them: (slices, 3, rows, columns) in 1/cm."""
    hardened = metal_beam_hardening_correction(scan.sinogram, scan.interpolated_sinogram, scan.metal_path_cm, scan.trace)
    images = (scan.uncorrected_image, scan.projector.fbp(hardened), scan.interpolated_image)
    return torch.stack(images, dim=1)


def tissue_processing(image: torch.Tensor, metal_mask: torch.Tensor) -> torch.Tensor:
    """The prior of an image: soft tissue is made uniform, as artifacts that are left there would be projected again; 1/cm.

    image, metal_mask: (slices, rows, columns). Pixels of a smoothed image within SOFT_TISSUE_HU get the mean of their class,
    less so within BORDER_PIXELS of the class's border. Metal pixels are soft tissue.
    """
    image = torch.where(metal_mask, WATER_ATTENUATION_PER_CM, image).clamp(min=0)
    smoothed = gaussian_smoothing(image, 1.0)
    low, high = (hu_to_attenuation(value) for value in SOFT_TISSUE_HU)
    tissue = ((smoothed > low) & (smoothed < high)).to(image.dtype)
    mean = (image * tissue).sum((-2, -1), keepdim=True) / tissue.sum((-2, -1), keepdim=True).clamp(min=1)
    depth = torch.zeros_like(tissue)
    inside = tissue[:, None]
    for _ in range(BORDER_PIXELS):
        inside = -torch.nn.functional.max_pool2d(-inside, 3, stride=1, padding=1)
        depth += inside[:, 0] / BORDER_PIXELS
    return depth * mean + (1 - depth) * image
