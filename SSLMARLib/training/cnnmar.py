"""Training of CNNMAR's network on simulated pairs (Zhang and Yu 2018): three images of a scan with metal, and the scan without."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy
import torch

from ..ct.scale import WATER_ATTENUATION_PER_CM
from ..methods.base import MetalAffectedScan
from ..methods.cnnmar import CNNMAR, network_images, tissue_processing
from ..networks.cnnmar import CNNMARNetwork
from ..sinogram.replacement import metal_trace_replacement
from ..tomography.projector import get_projector
from .configuration import TrainingConfiguration
from .losses import rmse_hu
from .pair_file import draw_patches, make_pairs, of_both_sides
from .simulated_scans import draw_scan
from .slices import MetalFreeSlices, read_both_sides

CHANNELS = 5  # of a pair, float16 in 1/cm: uncorrected, BHC, LI, metal-free truth, metal mask


def simulate_pairs(
    slices: MetalFreeSlices,
    count: int,
    configuration: TrainingConfiguration,
    seed: int,
    path: Path,
    what: str = "training",
    progress: Callable[[float, str], None] | None = None,
    is_cancelled: Callable[[], bool] | None = None,
) -> numpy.ndarray:
    """(count, CHANNELS, rows, columns), kept in a file as `make_pairs` does it.

    Pair n depends on the slices, the materials, the metal shapes and (seed, n) alone.
    """
    projector = get_projector("cpu")
    shapes, shapes_sha256 = configuration.read_metal_shapes()

    def make(number: int) -> numpy.ndarray:
        return _make_pair(slices, configuration, shapes, numpy.random.default_rng([seed, number]), projector)

    made_from = {"slices_sha256": slices.sha256(), "materials": list(configuration.materials), "seed": seed}
    made_from["metal_shapes_sha256"] = shapes_sha256
    shape = (count, CHANNELS, *projector.geometry.image_shape)
    return make_pairs(path, shape, made_from, make, f"Simulating {what} pair", progress, is_cancelled)


def _make_pair(slices, configuration, shapes, generator, projector) -> numpy.ndarray:
    scan = draw_scan(slices, configuration, shapes, generator, projector)
    affected = MetalAffectedScan(scan.sinogram, scan.metal_trace, scan.metal_mask, projector)
    truth = projector.fbp(scan.metal_free_sinogram)
    images = torch.cat([network_images(affected)[0], truth, scan.metal_mask.to(truth.dtype)])
    return images.clamp(-60, 60).numpy().astype(numpy.float16)


class CNNMARTask:
    """Learns the truth from the three images, on patches near metal as often as elsewhere (L1)."""

    def __init__(
        self,
        configuration: TrainingConfiguration,
        progress: Callable[[float, str], None] | None = None,
        is_cancelled: Callable[[], bool] | None = None,
    ):
        torch.manual_seed(configuration.seed)
        self.configuration = configuration
        self.network = configuration.make_network(CNNMARNetwork).to(memory_format=torch.channels_last)
        training, validation, facts = read_both_sides(configuration, max(get_projector("cpu").geometry.image_shape))
        self.constants = CNNMAR().constants  # the shipped weights' own, for the new ones too
        self.description = {"method": CNNMAR.name, "constants": asdict(self.constants), "network": self.network.options, **facts}

        def make(slices, count, seed, what):
            path = Path(configuration.output) / f"{what}_pairs.npy"
            return simulate_pairs(slices, count, configuration, seed, path, what, progress, is_cancelled)

        self.training, self.validation = of_both_sides(configuration, training, validation, make)

    def loss(self, step: int) -> torch.Tensor:
        """Mean absolute error outside metal, in units of water's attenuation. The convolutions run in bfloat16."""
        generator = numpy.random.default_rng([self.configuration.seed, 7, step])
        batch = draw_patches(self.training, self.configuration.batch_size, self.configuration.patch_pixels, generator, metal_channel=4)
        images, truth, metal = batch[:, :3], batch[:, 3], batch[:, 4]
        with torch.autocast("cpu", torch.bfloat16):
            found = self.network(images.contiguous(memory_format=torch.channels_last))
        return ((found.float() - truth).abs() * (1 - metal)).mean() / WATER_ATTENUATION_PER_CM

    def validate(self) -> dict[str, float]:
        """RMSE in HU outside metal of the LI image, of the network's image and of the replaced one, relative to LI's, mean over cases.

        "score" is the ratio after metal trace replacement. The replaced sinogram starts from the projection of the truth, as the
        pairs hold no sinograms.
        """
        projector = get_projector("cpu")
        ratios = {"network": [], "score": []}
        for pair in self.validation:
            images = torch.from_numpy(pair.astype(numpy.float32))
            truth, metal = images[3], images[4] > 0.5
            found = self.network(images[None, :3].contiguous(memory_format=torch.channels_last))
            li_rmse = rmse_hu(images[2], truth, metal)
            affected = MetalAffectedScan.from_images(truth[None], metal[None], projector)
            uniform = tissue_processing(found, metal[None], self.constants.soft_tissue_hu, self.constants.border_pixels)
            prior = projector.project(uniform)
            replaced = projector.fbp(metal_trace_replacement(affected.sinogram, prior, affected.trace))[0]
            baseline = rmse_hu(affected.interpolated_image[0], affected.uncorrected_image[0], metal)
            ratios["network"].append(rmse_hu(found[0], truth, metal) / li_rmse)
            ratios["score"].append(rmse_hu(replaced, affected.uncorrected_image[0], metal) / baseline)
        return {name: float(numpy.mean(values)) for name, values in ratios.items()}
