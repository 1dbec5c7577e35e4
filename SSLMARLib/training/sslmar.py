"""Training of SSLMAR's two networks on metal-free slices and metal masks alone (Yu et al., II): no scan with metal is simulated."""

from collections.abc import Callable
from dataclasses import asdict
from typing import ClassVar

import numpy
import torch

from ..ct.attenuation import attenuation_difference_to_hu, attenuation_to_hu
from ..device import to_array
from ..errors import InputError
from ..methods.base import MetalAffectedScan
from ..methods.learned import LearnedMethod
from ..methods.restoration import Restoration, corrected_sinogram, run_networks
from ..methods.sslmar import SSLMAR
from ..methods.sslmar_paper import SSLMARPaper
from ..networks.sslmar import SSLMARNetwork
from ..simulation.scan import ScanProtocol, simulate_scan
from ..sinogram.trace import metal_trace
from ..tomography.projector import get_projector
from .configuration import TrainingConfiguration
from .data_errors import DataErrors, draw_measured_share, spoiled
from .distributed import process_device, processes, rank
from .losses import LossWeights, completion_loss, consistency_loss, end_to_end_loss, refinement_loss
from .metal_pairs import BatchesInOrder, MetalPairs
from .slices import read_both_sides

TRAINING, VALIDATION, SPOILING, SHARES, NOISE = 1, 2, 3, 4, 5  # parts of the seed


class SSLMARTask:
    """Learns to restore sinograms whose metal trace was taken out.

    Each step takes a mini-batch of slices, each with two metal masks. Their loss is that of `LossWeights`: eq. 7, and where it is
    asked for a term through metal trace replacement. Sinograms are made on the fly, in float32: projections of the slices or, where
    the configuration says so, what a polychromatic scan without metal measures of them (as the paper's are).
    """

    method: ClassVar[type[LearnedMethod]] = SSLMAR  # that the weights are for

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
        torch.backends.cudnn.benchmark = True  # all mini-batches have one shape
        try:
            self.loss_weights = LossWeights(**configuration.loss_weights)
            network = SSLMARNetwork(**configuration.network_options)
        except (TypeError, ValueError) as error:
            problem = str(error).rstrip(".")
            raise InputError(f"network_options or loss_weights in the training configuration cannot be used: {problem}.") from error
        self.network = network.to(self.device, memory_format=torch.channels_last)
        self.network.autocast = torch.bfloat16 if configuration.precision == "bfloat16" else None
        refines = self.loss_weights.refinement > 0 or self.loss_weights.end_to_end > 0
        self.network.image_network.requires_grad_(refines)
        self.iterations = configuration.iterations if refines else 0
        if progress:
            progress(0.0, "Reading the metal-free slices")
        training, validation, facts = read_both_sides(configuration, max(self.projector.geometry.image_shape))
        self.constants = SSLMAR().constants  # the shipped weights' own, for the new ones too
        self.description = {
            "method": self.method.name,
            "constants": asdict(self.constants),
            "network": self.network.options,
            "iterations": self.iterations,
            **facts,
        }
        self.terms: dict[str, torch.Tensor] = {}  # of the last step's loss, before they are weighted
        seed, batch_size = configuration.seed, configuration.batch_size
        shapes, self.shapes_sha256 = configuration.read_metal_shapes()
        of_metal = {"metal_pixels": configuration.metal_pixels, "shapes": shapes}
        scales = configuration.scales if configuration.augmentation else None
        self.pairs = MetalPairs(training, batch_size, (seed, TRAINING), scales, **of_metal)
        pin_memory = self.device.startswith("cuda")
        self._batches = BatchesInOrder(self.pairs, configuration.workers, rank(), processes(), pin_memory)
        cases = MetalPairs(validation, 1, (seed, VALIDATION), None, **of_metal)
        self._cases = [cases.sample(number) for number in range(configuration.validation_pairs)] if rank() == 0 else []

    def loss(self, step: int) -> torch.Tensor:
        """The weighted sum of the terms, over all slices and both masks of each."""
        images, masks = self._batches(step)
        with torch.no_grad():
            # the first mask of every slice, then the second
            scan = self.scan_of(images, masks.flatten(0, 1), noise_seed=(TRAINING, step, rank()))
            reference = scan.uncorrected_image  # of the metal-free sinogram, eq. 6
            data = self.data_in_trace(scan, (TRAINING, step, rank()))  # None without the input "measured", which share is for too
        generator = numpy.random.default_rng([self.configuration.seed, SHARES, step, rank()])
        share = draw_measured_share(generator, len(scan.trace)).to(self.device)
        restoration = run_networks(self.network, scan, self.constants, self.iterations, data, share)
        self.terms = self._terms(restoration, scan, reference)
        weighted = [getattr(self.loss_weights, name) * value for name, value in self.terms.items()]
        self.terms = {name: value.detach() for name, value in self.terms.items()}
        return torch.stack(weighted).sum()

    def data_in_trace(self, scan: MetalAffectedScan, seed: tuple[int, ...]) -> torch.Tensor | None:
        """What ImgNet's input "measured" is made from: the metal-free sinograms with random errors, a function of the seeds."""
        if "measured" not in self.network.image_network.further_inputs:
            return None  # nobody asks for them
        generator = numpy.random.default_rng([self.configuration.seed, SPOILING, *seed])
        masks, shape = to_array(scan.metal_mask), scan.sinogram.shape[1:]
        errors = [DataErrors.draw(generator, mask, shape) for mask in masks]
        return spoiled(scan.sinogram, scan.metal_path_cm, errors, self.projector)

    def _terms(self, restoration: Restoration, scan: MetalAffectedScan, reference: torch.Tensor) -> dict[str, torch.Tensor]:
        weights, metal, terms = self.loss_weights, scan.metal_mask, {}
        if weights.completion:
            terms["completion"] = completion_loss(restoration.completed_sinogram, scan.sinogram)
        if weights.consistency:
            terms["consistency"] = consistency_loss(*restoration.completed_image.chunk(2), *metal.chunk(2))
        if weights.refinement:
            refined = [refinement_loss(image, reference) for image in restoration.refined_images]
            terms["refinement"] = torch.stack(refined).mean()
        if weights.end_to_end:
            corrected = self.projector.fbp(corrected_sinogram(restoration, scan))
            terms["end_to_end"] = end_to_end_loss(corrected, reference, metal)
        return terms

    def scan_of(
        self, images: torch.Tensor, metal: torch.Tensor, trace_dilation_bins: int = 0, noise_seed: tuple[int, ...] = (VALIDATION,)
    ) -> MetalAffectedScan:
        """Sinograms of metal-free images (slices, rows, columns) in 1/cm with the trace of metal that is not in them.

        metal: (masks, rows, columns), as many as slices or a multiple of it; the slices are repeated in turn. noise_seed: of a
        polychromatic scan's photons.
        """
        images, metal = (values.to(self.device, non_blocking=True) for values in (images, metal))
        sinogram = self._metal_free_sinogram(images, noise_seed).repeat(len(metal) // len(images), 1, 1)
        return MetalAffectedScan(sinogram, metal_trace(metal, self.projector, trace_dilation_bins), metal, self.projector)

    def _metal_free_sinogram(self, images: torch.Tensor, noise_seed: tuple[int, ...]) -> torch.Tensor:
        if not self.configuration.polychromatic:
            return self.projector.project(images)
        generator = numpy.random.default_rng([self.configuration.seed, NOISE, *noise_seed])
        noise = torch.Generator().manual_seed(int(generator.integers(2**62)))
        nothing = torch.zeros_like(images, dtype=torch.bool)
        return simulate_scan(images.clamp(min=0), nothing, self.projector, ScanProtocol(noise="shared"), noise).metal_free_sinogram

    def validate(self) -> dict[str, float]:
        """RMSE outside metal as a share of LI's, mean over the fixed cases, each image against the FBP of the metal-free sinogram.

        "completed": FBP after SinoNet; "refined": after ImgNet; "score": after metal trace replacement, or as "completed" where
        SinoNet learns alone. In float32, as it is used, but the measured image is trusted in full, as its errors here are random.
        """
        ratios: dict[str, list[float]] = {"completed": [], "refined": [], "score": []}
        size = self.configuration.batch_size
        for first in range(0, len(self._cases), size):
            scan, images = self._restored_cases(slice(first, first + size))
            errors = {name: _rmse_hu(image, scan.uncorrected_image, scan.metal_mask) for name, image in images.items()}
            for name, values in ratios.items():
                values += (errors[name] / errors["interpolated"]).tolist()
        return {name: float(numpy.mean(values)) for name, values in ratios.items()}

    def picture(self) -> dict[str, numpy.ndarray]:
        """Title to image (rows, columns) in HU of a fixed validation case."""
        scan, images = self._restored_cases(slice(0, 1))
        titles = {"interpolated": "LI", "completed": "SinoNet", "refined": "ImgNet", "score": "Result"}
        shown = {title: images[name] for name, title in titles.items()} | {"Reference": scan.uncorrected_image}
        return {title: to_array(attenuation_to_hu(image[0])) for title, image in shown.items()}

    def _restored_cases(self, which: slice) -> tuple[MetalAffectedScan, dict[str, torch.Tensor]]:
        images, masks = (numpy.stack(parts) for parts in zip(*self._cases[which], strict=True))
        scan = self.scan_of(torch.from_numpy(images), torch.from_numpy(masks[:, 0]), noise_seed=(VALIDATION, which.start))
        data = self.data_in_trace(scan, (VALIDATION, which.start))
        autocast, self.network.autocast = self.network.autocast, None
        share = torch.ones(len(scan.trace), device=self.device)
        restoration = run_networks(self.network, scan, self.constants, self.iterations, data, share)
        self.network.autocast = autocast
        return scan, {
            "interpolated": scan.interpolated_image,
            "completed": restoration.completed_image,
            "refined": restoration.prior_image,
            "score": self.projector.fbp(corrected_sinogram(restoration, scan)),
        }


class SSLMARPaperTask(SSLMARTask):
    """The same for the paper as published: the weights are those of the method `sslmar_paper`."""

    method = SSLMARPaper


def _rmse_hu(image: torch.Tensor, reference: torch.Tensor, metal: torch.Tensor) -> torch.Tensor:
    """Root mean square error outside metal in HU, of each slice."""
    error = attenuation_difference_to_hu(image - reference) * ~metal
    return (error.double().square().sum((-2, -1)) / (~metal).sum((-2, -1))).sqrt()
