"""Training of the peers on simulated scans, all in one way: the losses of each are those of its paper, in the units of `losses`.

A step takes whole scans; what is learned from is drawn anew each time from the file of sinograms.
"""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy
import torch

from ..ct.attenuation import attenuation_to_hu
from ..ct.scale import HUNDRED_HU_PER_CM
from ..device import to_array
from ..methods.base import MetalAffectedScan
from ..methods.learned import LearnedMethod
from ..methods.peers import ADN, CGANMAR, DeepSinogramCompletion, DuDoNet, DuDoNetPlusPlus
from ..networks.adn import in_window
from ..networks.adversarial import adversarial_losses
from ..networks.imgnet import scaled_image
from ..sinogram.trace import metal_trace
from ..tomography.projector import get_projector
from .configuration import TrainingConfiguration
from .distributed import process_device
from .losses import completion_loss, end_to_end_loss, refinement_loss, rmse_hu
from .pair_file import WIDER_TRACE_SHARE, of_both_sides
from .simulated_scans import simulate_sinograms, stored_scans
from .slices import read_both_sides

DRAWING = 7  # part of the seed


class PeerTask:
    """Learns a peer's networks from pairs of scans with and without metal. What is special to one is its `loss_terms`."""

    method: ClassVar[type[LearnedMethod]]

    def __init__(
        self,
        configuration: TrainingConfiguration,
        progress: Callable[[float, str], None] | None = None,
        is_cancelled: Callable[[], bool] | None = None,
    ):
        torch.manual_seed(configuration.seed)
        self.configuration = configuration
        self.device = process_device(configuration.device)
        self.projector = get_projector(self.device)
        network = configuration.make_network(self.method.network_class())
        self.network = network.to(self.device, memory_format=torch.channels_last)
        training, validation, facts = read_both_sides(configuration, max(self.projector.geometry.image_shape))
        self.description = {"method": self.method.name, "network": self.network.options, **facts}
        self.terms: dict[str, torch.Tensor] = {}
        simulator = get_projector("cpu")

        def make(slices, count, seed, what):
            path = Path(configuration.output) / f"{what}_scans.npy"
            return simulate_sinograms(slices, count, configuration, seed, simulator, path, progress, is_cancelled)

        self.training, self.validation = of_both_sides(configuration, training, validation, make)

    def loss(self, step: int) -> torch.Tensor:
        """The sum of the terms for the mini-batch of a step."""
        generator = numpy.random.default_rng([self.configuration.seed, DRAWING, step])
        scans = generator.integers(len(self.training), size=self.configuration.batch_size)
        with torch.no_grad():
            scan, metal_free = self.scan(self.training[scans], int(generator.random() < WIDER_TRACE_SHARE))
            truth = self.projector.fbp(metal_free)
        autocast = torch.bfloat16 if self.configuration.precision == "bfloat16" else None
        with torch.autocast(self.device.split(":")[0], dtype=autocast, enabled=autocast is not None):
            terms = self.loss_terms(scan, metal_free, truth)
        self.terms = {name: value.detach() for name, value in terms.items()}
        return torch.stack(list(terms.values())).sum()

    def loss_terms(self, scan: MetalAffectedScan, metal_free: torch.Tensor, truth: torch.Tensor) -> dict[str, torch.Tensor]:
        """By name. metal_free: sinograms (slices, views, bins). truth: their FBP, (slices, rows, columns) in 1/cm."""
        raise NotImplementedError

    def scan(self, stored: numpy.ndarray, trace_dilation_bins: int = 0) -> tuple[MetalAffectedScan, torch.Tensor]:
        """(scan, its sinograms without metal) of what `simulate_sinograms` stored."""
        affected, metal_free, masks = (part.to(self.device) for part in stored_scans(stored, self.projector.geometry.image_shape))
        trace = metal_trace(masks, self.projector, trace_dilation_bins)
        return MetalAffectedScan(affected, trace, masks, self.projector), metal_free

    def validate(self) -> dict[str, float]:
        """RMSE outside metal as a share of LI's, the mean over the cases: "score" that of the method's image."""
        ratios = []
        for number in range(len(self.validation)):
            scan, truth, image = self._result(number)
            errors = [rmse_hu(one, truth, scan.metal_mask) for one in (image, scan.interpolated_image)]
            ratios.append(errors[0] / errors[1])
        return {"score": float(numpy.mean(ratios))}

    def picture(self) -> dict[str, numpy.ndarray]:
        """Title to image (rows, columns) in HU of a fixed validation case."""
        scan, truth, image = self._result(0)
        shown = {"Uncorrected": scan.uncorrected_image, "LI": scan.interpolated_image, self.method.title: image, "Reference": truth}
        return {title: to_array(attenuation_to_hu(one[0])) for title, one in shown.items()}

    def _result(self, number: int) -> tuple[MetalAffectedScan, torch.Tensor, torch.Tensor]:
        scan, metal_free = self.scan(self.validation[number : number + 1])
        method = self.method()
        method.use_network(self.network, scan.sinogram.device)
        return scan, self.projector.fbp(metal_free), method.image(scan)


class DuDoNetTask(PeerTask):
    """L1 of the sinogram, of its FBP (Radon consistency), and of the result outside metal, with equal weights."""

    method = DuDoNet

    def loss_terms(self, scan, metal_free, truth):
        found = self.network(scan)
        return {
            "sinogram": completion_loss(found.sinogram, metal_free),
            "consistency": end_to_end_loss(found.completed_image, truth, scan.metal_mask),
            "image": end_to_end_loss(found.image, truth, scan.metal_mask),
        }


class DuDoNetPlusPlusTask(DuDoNetTask):
    method = DuDoNetPlusPlus


class DeepSinogramCompletionTask(PeerTask):
    """L1 of the prior image, of the sinogram, and of its FBP, with equal weights."""

    method = DeepSinogramCompletion

    def loss_terms(self, scan, metal_free, truth):
        found = self.network(scan)
        return {
            "prior": refinement_loss(found.prior_image, truth),
            "sinogram": completion_loss(found.sinogram, metal_free),
            "image": end_to_end_loss(found.image, truth, scan.metal_mask),
        }


class CGANMARTask(PeerTask):
    """The conditional adversarial loss and 100 times the L1 loss of images from -1 to 1, here 10 times that in units of 100 HU."""

    method = CGANMAR

    def loss_terms(self, scan, metal_free, truth):
        uncorrected = scan.uncorrected_image
        found = self.network(uncorrected)
        condition = scaled_image(uncorrected)
        pairs = (torch.stack([condition, scaled_image(torch.where(scan.metal_mask, uncorrected, image))], 1) for image in (truth, found))
        generator, discriminator = adversarial_losses(self.network.discriminator, *pairs)
        difference = end_to_end_loss(found, truth, scan.metal_mask) / HUNDRED_HU_PER_CM
        return {"difference": 10 * difference, "generator": generator, "discriminator": discriminator}


class ADNTask(PeerTask):
    """Both reconstructions, self-reduction and artifact consistency 20 each, both adversarial losses 1. The clean images are those of
    other scans than the ones with artifacts, so that nothing is learned in pairs."""

    method = ADN

    def loss(self, step: int) -> torch.Tensor:
        generator = numpy.random.default_rng([self.configuration.seed, DRAWING, step])
        count, size = self.configuration.batch_size, self.configuration.patch_pixels
        half = len(self.training) // 2  # one half of the scans shows its artifacts alone, the other one its truth alone
        with torch.no_grad():
            affected, _ = self.scan(self.training[generator.integers(half, size=count)])
            _, metal_free = self.scan(self.training[half + generator.integers(len(self.training) - half, size=count)])
            images = affected.uncorrected_image, self.projector.fbp(metal_free)
            images = [in_window(_patches(image, size, generator)) for image in images]
        terms = self._terms(*images)
        self.terms = {name: value.detach() for name, value in terms.items()}
        return torch.stack(list(terms.values())).sum()

    def _terms(self, affected: torch.Tensor, clean: torch.Tensor) -> dict[str, torch.Tensor]:
        found = self.network.disentangle(affected, clean)
        removed = adversarial_losses(self.network.clean_discriminator, clean, found.corrected)
        added = adversarial_losses(self.network.affected_discriminator, affected, found.artifacts_added)
        artifacts = affected - found.corrected, found.artifacts_added - clean
        return {
            "reconstruction": 20 * (refinement_loss(found.affected_again, affected) + refinement_loss(found.clean_again, clean)),
            "self_reduction": 20 * refinement_loss(found.artifacts_removed, clean),
            "artifact_consistency": 20 * refinement_loss(*artifacts),
            "adversarial": removed[0] + added[0],
            "discriminators": removed[1] + added[1],
        }


def _patches(images: torch.Tensor, size: int, generator: numpy.random.Generator) -> torch.Tensor:
    """A random square of each image (slices, rows, columns), flipped at random."""
    size = min(size, *images.shape[1:])
    patches = []
    for image in images:
        row, column = (generator.integers(length - size + 1) for length in image.shape)
        patch = image[row : row + size, column : column + size]
        patches.append(patch.flip(-1) if generator.random() < 0.5 else patch)
    return torch.stack(patches)
