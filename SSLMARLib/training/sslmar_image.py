"""Training of ImgNet alone, on image pairs made beforehand: the quick first half of SSLMAR's training, which `--from` goes on from."""

import hashlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy
import torch

from ..ct.scale import WATER_ATTENUATION_PER_CM
from ..errors import InputError
from ..methods.nmar import NMAR
from ..methods.restoration import metal_subtraction
from ..methods.sslmar_paper import SSLMARPaper
from .configuration import TrainingConfiguration
from .data_errors import draw_measured_share
from .pair_file import WIDER_TRACE_SHARE, draw_patches, make_pairs
from .sslmar import SPOILING, TRAINING, SSLMARTask

CHANNELS = 5  # of a pair, float16 in 1/cm: completed (LI, where SinoNet has not learned), NMAR, measured, reference, metal mask
METAL_CHANNEL = 4
PAIRS_AT_ONCE = 4


class SSLMARImageTask(SSLMARTask):
    """ImgNet learns the FBP of the metal-free sinogram (eq. 6) from the image of SinoNet's completion and its further inputs; SinoNet
    stays as it is.

    The pairs are made from metal-free slices and masks once, into a file, and learned from in random patches; validation is that of
    `SSLMARTask`, through the whole method.
    """

    def __init__(
        self,
        configuration: TrainingConfiguration,
        progress: Callable[[float, str], None] | None = None,
        is_cancelled: Callable[[], bool] | None = None,
    ):
        super().__init__(configuration, progress, is_cancelled)
        if not self.iterations:
            raise InputError("loss_weights switches ImgNet off in the training configuration, but sslmar_image trains it alone.")
        self.network.sinogram_network.requires_grad_(False)
        self._made: tuple[int, numpy.ndarray] = (-1, numpy.empty(0))
        self._progress, self._is_cancelled = progress, is_cancelled

    @cached_property
    def training(self) -> numpy.ndarray:
        """(pairs, CHANNELS, rows, columns), made when they are first asked for: SinoNet may have got its weights until then."""
        configuration, output = self.configuration, Path(self.configuration.output)
        output.mkdir(parents=True, exist_ok=True)
        made_from = {
            "slices_sha256": self.pairs.slices.sha256(),
            "seed": configuration.seed,
            "scales": list(configuration.scales) if configuration.augmentation else None,
            "polychromatic": configuration.polychromatic,
            "metal_pixels": list(configuration.metal_pixels),
            "metal_shapes_sha256": self.shapes_sha256,
            "trust_per_cm": self.constants.trust_per_cm,
            "sinogram_network_sha256": _sha256(self.network.sinogram_network),
        }
        shape = (configuration.pairs, CHANNELS, *self.projector.geometry.image_shape)
        path = output / "training_pairs.npy"
        return make_pairs(path, shape, made_from, self._pair, "Making training pair", self._progress, self._is_cancelled)

    def loss(self, step: int) -> torch.Tensor:
        """Mean absolute error outside metal, in units of water's attenuation."""
        generator = numpy.random.default_rng([self.configuration.seed, TRAINING, step])
        count, size = self.configuration.batch_size, self.configuration.patch_pixels
        patches = draw_patches(self.training, count, size, generator, METAL_CHANNEL).to(self.device)
        completed, nmar, measured, reference, metal = patches.unbind(1)
        share = draw_measured_share(generator, count).to(patches)[:, None, None]
        measured = nmar + share * (measured - nmar)
        refined = self.network.refine(completed, {"nmar": nmar, "measured": measured, "metal": metal})
        error = ((refined - reference).abs() * (1 - metal)).mean() / WATER_ATTENUATION_PER_CM
        self.terms = {"refinement": error.detach()}
        return error

    def _pair(self, number: int) -> numpy.ndarray:
        """Pair n of (CHANNELS, rows, columns); a few are made at once, as that is faster."""
        first = number - number % PAIRS_AT_ONCE
        if self._made[0] != first:
            with torch.no_grad():
                self._made = (first, self._some_pairs(range(first, first + PAIRS_AT_ONCE)))
        return self._made[1][number - first]

    def _some_pairs(self, numbers: range) -> numpy.ndarray:
        images, masks = (numpy.stack(parts) for parts in zip(*map(self.pairs.sample, numbers), strict=True))
        wider = numpy.random.default_rng([self.configuration.seed, SPOILING, numbers[0]]).random() < WIDER_TRACE_SHARE
        scan = self.scan_of(torch.from_numpy(images), torch.from_numpy(masks[:, 0]), int(wider), (TRAINING, numbers[0]))
        completed = self.projector.fbp(self.network.complete(scan.interpolated_sinogram, scan.trace))
        nmar_image = measured_image = torch.zeros_like(completed)
        if self.network.image_network.further_inputs:
            nmar = NMAR().correct(scan)
            data = self.data_in_trace(scan, (TRAINING, numbers[0]))
            nmar_image, measured_image = self.projector.fbp(nmar), metal_subtraction(scan, self.constants.trust_per_cm, data)(nmar)
        channels = [completed, nmar_image, measured_image, scan.uncorrected_image, scan.metal_mask.to(scan.sinogram.dtype)]
        return torch.stack(channels, dim=1).clamp(-60, 60).cpu().numpy().astype(numpy.float16)


class SSLMARPaperImageTask(SSLMARImageTask):
    """The same for the paper as published: ImgNet sees the image of SinoNet's completion alone."""

    method = SSLMARPaper


def _sha256(network: torch.nn.Module) -> str:
    return hashlib.sha256(b"".join(value.detach().cpu().numpy().tobytes() for value in network.state_dict().values())).hexdigest()
