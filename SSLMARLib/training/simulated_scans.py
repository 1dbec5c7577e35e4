"""Simulated scans to learn from: a metal-free slice, turned and scaled, with metal put in and scanned; and files of their sinograms."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy
import torch

from ..ct.attenuation import hu_to_attenuation
from ..simulation.metal_masks import body_mask, random_metal_mask
from ..simulation.physics import XRayPhysics, load_physics
from ..simulation.scan import ScanProtocol, SimulatedScan, simulate_scan
from ..tomography.projector import FanBeamProjector
from .augmentation import TurnAndScale
from .configuration import TrainingConfiguration
from .pair_file import make_pairs
from .slices import MetalFreeSlices

LINE_INTEGRALS_FROM, LINE_INTEGRAL_STEP = -1.0, 1 / 2000  # of what is stored as uint16


def draw_scan(
    slices: MetalFreeSlices, configuration: TrainingConfiguration, shapes, generator: numpy.random.Generator, projector: FanBeamProjector
) -> SimulatedScan:
    """A random slice with random metal of the configuration's materials, scanned; of one slice. shapes: see `random_metal_mask`."""
    source_hu = slices.images_hu[generator.integers(len(slices))]
    image_hu = TurnAndScale.draw(generator).apply(source_hu)
    mask = random_metal_mask(body_mask(image_hu), generator, shapes=shapes)
    material = configuration.materials[generator.integers(len(configuration.materials))]
    protocol = ScanProtocol(physics=coarse_physics(), material=material, noise="shared")
    noise = torch.Generator().manual_seed(int(generator.integers(2**31)))
    return simulate_scan(torch.from_numpy(hu_to_attenuation(image_hu)), torch.from_numpy(mask), projector, protocol, noise)


@lru_cache(maxsize=1)
def coarse_physics() -> XRayPhysics:
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


def simulate_sinograms(
    slices: MetalFreeSlices,
    count: int,
    configuration: TrainingConfiguration,
    seed: int,
    projector: FanBeamProjector,
    path: Path,
    progress: Callable[[float, str], None] | None = None,
    is_cancelled: Callable[[], bool] | None = None,
) -> numpy.ndarray:
    """(count, 3, views, bins) uint16, kept in a file as `make_pairs` does it: sinogram with metal, without, and the mask in a corner.

    Scan n depends on the slices, the materials, the metal shapes and (seed, n) alone. `stored_scans` reads them.
    """
    shapes, shapes_sha256 = configuration.read_metal_shapes()
    views, bins = projector.geometry.views, projector.geometry.bins

    def make(number: int) -> numpy.ndarray:
        scan = draw_scan(slices, configuration, shapes, numpy.random.default_rng([seed, number]), projector)
        stored = numpy.zeros((3, views, bins), numpy.uint16)
        for channel, sinogram in enumerate((scan.sinogram[0], scan.metal_free_sinogram[0])):
            steps = numpy.rint((sinogram.numpy() - LINE_INTEGRALS_FROM) / LINE_INTEGRAL_STEP)
            stored[channel] = steps.clip(0, numpy.iinfo(numpy.uint16).max)
        rows, columns = scan.metal_mask.shape[1:]
        stored[2, :rows, :columns] = scan.metal_mask[0].numpy()
        return stored

    made_from = {"slices_sha256": slices.sha256(), "materials": list(configuration.materials), "seed": seed}
    made_from["metal_shapes_sha256"] = shapes_sha256
    return make_pairs(path, (count, 3, views, bins), made_from, make, "Simulating scan", progress, is_cancelled, numpy.uint16)


def stored_scans(stored: numpy.ndarray, image_shape: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of (scans, 3, views, bins): sinograms with metal and without, (scans, views, bins) float32, and masks (scans, rows, columns)."""
    sinograms = torch.from_numpy(stored[:, :2].astype(numpy.float32)) * LINE_INTEGRAL_STEP + LINE_INTEGRALS_FROM
    rows, columns = image_shape
    return sinograms[:, 0], sinograms[:, 1], torch.from_numpy(stored[:, 2, :rows, :columns] > 0)
