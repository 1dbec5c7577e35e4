"""Training of CNNMAR's network on simulated pairs (Zhang and Yu 2018): three images of a scan with metal, and the scan without."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy
import torch

from ..ct.attenuation import WATER_ATTENUATION_PER_CM, attenuation_difference_to_hu, hu_to_attenuation
from ..errors import Cancelled, InputError
from ..files import write_text
from ..methods.base import MetalAffectedScan
from ..methods.cnnmar import network_images, tissue_processing
from ..networks.cnnmar import CNNMARNetwork
from ..simulation.metal_masks import body_mask, random_metal_mask
from ..simulation.physics import XRayPhysics, load_physics
from ..simulation.scan import ScanProtocol, simulate_scan
from ..sinogram.replacement import metal_trace_replacement
from ..tomography.projector import get_projector
from .augmentation import TurnAndScale
from .configuration import TrainingConfiguration
from .slices import MetalFreeSlices, read_metal_free_slices

logger = logging.getLogger(__name__)

CHANNELS = 5  # uncorrected, BHC, LI, truth, metal


@dataclass
class SimulatedPairs:
    """images: (pairs, 5, rows, columns) float16 in 1/cm: uncorrected, BHC, LI, metal-free truth, metal mask."""

    images: numpy.ndarray

    @classmethod
    def make(
        cls, slices: MetalFreeSlices, count: int, configuration: TrainingConfiguration, seed: int, path: Path, report=None
    ) -> SimulatedPairs:
        """Simulate `count` pairs into a memory-mapped file; pairs that it has already, from a run that was stopped, are kept.

        Pair n depends on the slices, the materials and (seed, n) alone. Beside the file, `.done` (JSON) says how many pairs are
        done and what they were made from; pairs of anything else are made anew. report(n): called before each; may raise Cancelled.
        """
        projector = get_projector("cpu")
        shape = (count, CHANNELS, *projector.geometry.image_shape)
        done_path = path.with_suffix(".done")
        made_from = {
            "slices_sha256": hashlib.sha256(numpy.ascontiguousarray(slices.images_hu)).hexdigest(),
            "materials": list(configuration.materials),
            "seed": seed,
            "shape": list(shape),
        }
        first = _pairs_done(path, done_path, made_from)
        if first == 0:
            done_path.unlink(missing_ok=True)  # before the pairs go, so that it never speaks for others
            numpy.lib.format.open_memmap(path, "w+", numpy.float16, shape).flush()
        images = numpy.lib.format.open_memmap(path, "r+")
        for number in range(first, count):
            if report:
                report(number)
            generator = numpy.random.default_rng([seed, number])
            images[number] = _make_pair(slices, configuration, generator, projector)
            write_text(json.dumps({"pairs": number + 1, "made_from": made_from}) + "\n", done_path, overwrite=True)
        return cls(images)


def _pairs_done(path: Path, done_path: Path, made_from: dict) -> int:
    """How many pairs of the file can be kept: none where it is missing, damaged or made from something else."""
    try:
        done = json.loads(done_path.read_text(encoding="utf-8"))
        images = numpy.lib.format.open_memmap(path, "r")
        fits = done["made_from"] == made_from and list(images.shape) == made_from["shape"] and images.dtype == numpy.float16
        return int(done["pairs"]) if fits else 0
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _make_pair(slices, configuration, generator, projector) -> numpy.ndarray:
    source_hu = slices.images_hu[generator.integers(len(slices))]
    image_hu = TurnAndScale.draw(generator).apply(source_hu)
    mask = random_metal_mask(body_mask(image_hu), generator)
    material = configuration.materials[generator.integers(len(configuration.materials))]
    protocol = ScanProtocol(physics=_coarse_physics(), material=material, noise="shared")
    noise = torch.Generator().manual_seed(int(generator.integers(2**31)))
    scan = simulate_scan(torch.from_numpy(hu_to_attenuation(image_hu)), torch.from_numpy(mask), projector, protocol, noise)
    affected = MetalAffectedScan(scan.sinogram, scan.metal_trace, scan.metal_mask, projector)
    truth = projector.fbp(scan.metal_free_sinogram)
    images = torch.cat([network_images(affected)[0], truth, scan.metal_mask.to(truth.dtype)])
    return images.clamp(-60, 60).numpy().astype(numpy.float16)


@lru_cache(maxsize=1)
def _coarse_physics() -> XRayPhysics:
    """The shipped 120 kV spectrum in steps of 4 keV: a quarter of the work, and streaks that a network cannot tell from the others."""
    physics = load_physics()
    groups = numpy.arange(len(physics.energies_kev)) // 4

    def averaged(values):
        weights = physics.spectrum + 1e-9  # a group without photons averages evenly
        return numpy.bincount(groups, weights * values) / numpy.bincount(groups, weights)

    return XRayPhysics(
        energies_kev=averaged(physics.energies_kev),
        spectrum=numpy.bincount(groups, physics.spectrum),
        mass_attenuation_cm2_per_g={name: averaged(table) for name, table in physics.mass_attenuation_cm2_per_g.items()},
        tube_voltage_kv=physics.tube_voltage_kv,
        source=f"{physics.source}, in steps of 4 keV",
    )


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
        try:
            network = CNNMARNetwork(**configuration.network_options)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"network_options is {configuration.network_options} in the training configuration: {error}.") from error
        self.network = network.to(memory_format=torch.channels_last)
        size = max(get_projector("cpu").geometry.image_shape)
        everything = read_metal_free_slices(configuration.data, size, configuration.leave_out)
        training, validation = everything.split(configuration.validation_share, configuration.seed)
        self.description = {
            "network": self.network.options,
            "training_patients": len(numpy.unique(training.patients)),
            "validation_patients": sorted(numpy.unique(validation.patients).tolist()),
            "training_slices": len(training),
        }
        output = Path(configuration.output)
        output.mkdir(parents=True, exist_ok=True)

        def report(number, total, what):
            if is_cancelled is not None and is_cancelled():
                raise Cancelled("Stopped while simulating pairs; the ones that are made are kept.")
            if progress:
                progress(0.0, f"Simulating {what} pair {number + 1} of {total}")

        self.training, self.validation = (
            SimulatedPairs.make(
                slices,
                count,
                configuration,
                configuration.seed * 2 + side,
                output / f"{what}_pairs.npy",
                lambda number, count=count, what=what: report(number, count, what),
            ).images
            for side, (slices, count, what) in enumerate(
                ((training, configuration.pairs, "training"), (validation, configuration.validation_pairs, "validation"))
            )
        )

    def loss(self, step: int) -> torch.Tensor:
        """Mean absolute error outside metal, in units of water's attenuation. The convolutions run in bfloat16."""
        generator = numpy.random.default_rng([self.configuration.seed, 7, step])
        patches = numpy.stack([self._patch(generator) for _ in range(self.configuration.batch_size)]).astype(numpy.float32)
        batch = torch.from_numpy(patches)
        images, truth, metal = batch[:, :3], batch[:, 3], batch[:, 4]
        with torch.autocast("cpu", torch.bfloat16):
            found = self.network(images.contiguous(memory_format=torch.channels_last))
        return ((found.float() - truth).abs() * (1 - metal)).mean() / WATER_ATTENUATION_PER_CM

    def _patch(self, generator) -> numpy.ndarray:
        pair = self.training[generator.integers(len(self.training))]
        size = min(self.configuration.patch_pixels, pair.shape[-1])
        last = numpy.array(pair.shape[-2:]) - size
        corner = generator.integers(0, last + 1)
        metal = numpy.argwhere(pair[4])
        if len(metal) and generator.random() < 0.5:
            center = metal[generator.integers(len(metal))] + generator.integers(-size // 2, size // 2, 2)
            corner = numpy.clip(center - size // 2, 0, last)
        patch = pair[:, corner[0] : corner[0] + size, corner[1] : corner[1] + size]
        patch = numpy.rot90(patch, generator.integers(4), axes=(1, 2))
        return patch[:, ::-1] if generator.random() < 0.5 else patch

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
            li_rmse = _rmse_hu(images[2], truth, metal)
            affected = MetalAffectedScan.from_images(truth[None], metal[None], projector)
            prior = projector.project(tissue_processing(found, metal[None]))
            replaced = projector.fbp(metal_trace_replacement(affected.sinogram, prior, affected.trace))[0]
            baseline = _rmse_hu(affected.interpolated_image[0], affected.uncorrected_image[0], metal)
            ratios["network"].append(_rmse_hu(found[0], truth, metal) / li_rmse)
            ratios["score"].append(_rmse_hu(replaced, affected.uncorrected_image[0], metal) / baseline)
        return {name: float(numpy.mean(values)) for name, values in ratios.items()}


def _rmse_hu(image, truth, metal) -> float:
    return float(attenuation_difference_to_hu((image - truth)[~metal]).square().mean().sqrt())
