"""The methods that the paper is compared with, retrained here in small sizes at one budget: for research, see their model cards.

Each gives what its authors give: DuDoNet, DuDoNet++, cGANMAR and ADN an image, deep sinogram completion a sinogram.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .learned import ImagePeerMethod, PeerMethod

if TYPE_CHECKING:
    import torch

    from .base import MetalAffectedScan


class DuDoNet(ImagePeerMethod):
    name = "dudonet"
    title = "DuDoNet"
    description = "Lin et al. 2019: one network completes the sinogram, one refines the image; trained on simulated pairs."
    learned_from, published_rmse_hu = "pairs", 38.0
    network_path = "dual_domain.DuDoNetNetwork"
    shipped_sha256 = "6d8223de9e7e2eef3ae9976aca2e26dc76ff11ffbd2653abab12547fbac5b692"

    def correct(self, scan: MetalAffectedScan) -> torch.Tensor:
        """The enhanced sinograms S_se, (slices, views, bins); the method's result is `image`."""
        return self.network(scan.sinogram.device)(scan).sinogram

    def image(self, scan: MetalAffectedScan) -> torch.Tensor:
        """The refined image itself, without metal trace replacement, as published; (slices, rows, columns) in 1/cm."""
        return self.network(scan.sinogram.device)(scan).image


class DuDoNetPlusPlus(DuDoNet):
    name = "dudonet++"
    title = "DuDoNet++"
    description = "Lyu et al. 2020: as DuDoNet, but sees the data in the trace and how long each ray is in metal."
    learned_from, published_rmse_hu = "pairs", 38.29
    network_path = "dual_domain.DuDoNetPlusPlusNetwork"
    shipped_sha256 = "148753a4a6b16dda3b93a5ecc26ed29c2e7f6c2e0dc828b53294ccde7ad98d47"


class DeepSinogramCompletion(PeerMethod):
    name = "sinogram_completion"
    title = "deep sinogram completion"
    description = "Yu et al. 2020: a network's prior image, then a network that completes the sinogram; trained on simulated pairs."
    learned_from, published_rmse_hu = "pairs", 31.15
    network_path = "sinogram_completion.DeepSinogramCompletionNetwork"
    shipped_sha256 = "a599f10b5cdac6fe1eb32680863592cd5af4b1cefbcc874e88038e30ef1541dc"

    def correct(self, scan: MetalAffectedScan) -> torch.Tensor:
        """The completed sinograms, (slices, views, bins)."""
        return self.network(scan.sinogram.device)(scan).sinogram


class CGANMAR(ImagePeerMethod):
    name = "cganmar"
    title = "cGANMAR"
    description = "Wang et al. 2018: an adversarial network turns the uncorrected image into one without artifacts; no sinogram step."
    learned_from, published_rmse_hu = "pairs", 39.01
    network_path = "cganmar.CGANMARNetwork"
    shipped_sha256 = "ab4c6503c16ebddd6c6eb140c38437ec44bc26faf26291ca9608913f9e37d956"

    def correct(self, scan: MetalAffectedScan) -> torch.Tensor:
        """The projections of `image` inside the trace, the scan's own sinograms (slices, views, bins) outside: no part of the method."""
        import torch

        return torch.where(scan.trace, scan.projector.project(self.image(scan)), scan.sinogram)

    def image(self, scan: MetalAffectedScan) -> torch.Tensor:
        """The network's image, (slices, rows, columns) in 1/cm."""
        return self.network(scan.sinogram.device)(scan.uncorrected_image)


class ADN(CGANMAR):
    name = "adn"
    title = "ADN"
    description = "Liao et al. 2020: artifacts are disentangled from images; learned from images with and without, not in pairs."
    learned_from, published_rmse_hu = "images with and without artifacts", 89.34
    network_path = "adn.ADNNetwork"
    shipped_sha256 = "3041ef63f0ea2edeffb5f03b3309681fcae686a9595f2e1c6332a414f914fb30"
