"""The order of the methods on slices that another simulator scanned: ASTRA's strip projector and FBP, a parallel beam over half a turn.

    python Testing/Benchmarks/independent_simulator.py [--data FOLDER] [--methods li nmar cnnmar sslmar] [--every 2]

Of the 18 slices of `other_scanners.py` every second, with its metal and its true mask. Nothing of SSLMAR's projector, FBP, noise or metal
simulation is used, but for the tables of spectrum and attenuation. Prints the RMSE in HU outside metal, and the means. Needs astra-toolbox.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy
from other_scanners import METALS, cases

from SSLMARLib import reduce_metal_artifacts
from SSLMARLib.simulation.physics import load_physics

VIEWS, PHOTONS, SCATTER, HIGHEST_HU, SEED = 900, 4e6, 20.0, 3071, 5
WATER_PER_CM, WATER_HU, BONE_HU = 0.192, 100.0, 1500.0


class ParallelScanner:
    """ASTRA's parallel beam over n x n pixels; cells as wide as pixels."""

    def __init__(self, size: int):
        import astra

        self.astra, self.volume = astra, astra.create_vol_geom(size, size)
        cells = int(1.45 * size) | 1
        self.rays = astra.create_proj_geom("parallel", 1.0, cells, numpy.linspace(0, numpy.pi, VIEWS, endpoint=False))
        self.projector = astra.create_projector("strip", self.rays, self.volume)

    def project(self, image) -> numpy.ndarray:
        """(views, cells): sums along rays, in units of a pixel."""
        number, sinogram = self.astra.create_sino(image, self.projector)
        self.astra.data2d.delete(number)
        return sinogram

    def fbp(self, sinogram) -> numpy.ndarray:
        astra = self.astra
        data, result = astra.data2d.create("-sino", self.rays, sinogram), astra.data2d.create("-vol", self.volume)
        algorithm = astra.algorithm.create(
            {"type": "FBP", "ProjectorId": self.projector, "ProjectionDataId": data, "ReconstructionDataId": result}
        )
        astra.algorithm.run(algorithm)
        image = astra.data2d.get(result)
        astra.algorithm.delete(algorithm)
        astra.data2d.delete([data, result])
        return image


def scanned(scanner: ParallelScanner, truth_hu, mask, pixel_cm: float, material: str, generator) -> numpy.ndarray:
    """The slice (rows, columns) in HU with what the metal adds to it."""
    physics = load_physics()
    attenuation = WATER_PER_CM * (1 + numpy.maximum(truth_hu, -1000) / 1000)
    dense = numpy.clip((truth_hu - WATER_HU) / (BONE_HU - WATER_HU), 0, 1)
    metal_per_cm = physics.metal_attenuation_per_cm(material)
    images = attenuation * (1 - dense), attenuation * dense, metal_per_cm * mask
    paths = numpy.stack([pixel_cm * scanner.project(image) for image in images])
    relative = numpy.stack([physics.relative_attenuation(name) for name in ("water", "cortical_bone", material)])
    without = measured(paths[:2], relative[:2], physics, generator)
    crossing = paths[2] > 0
    difference = numpy.zeros(crossing.shape)
    difference[crossing] = measured(paths[:, crossing], relative, physics, generator) - without[crossing]
    result = truth_hu + scanner.fbp(difference / pixel_cm) * 1000 / WATER_PER_CM
    return numpy.clip(numpy.rint(result), -1024, HIGHEST_HU).astype(numpy.int16)


def measured(paths, relative, physics, generator) -> numpy.ndarray:
    """Line integrals after noise and water correction; paths: (materials, ...) at the reference energy."""
    flat = paths.reshape(len(paths), -1)
    transmission = numpy.zeros(flat.shape[1])
    for share, factors in zip(physics.spectrum, relative.T, strict=True):
        if share > 0:
            transmission += share * numpy.exp(-(factors @ flat))
    counts = generator.poisson(PHOTONS * transmission + SCATTER)
    values = -numpy.log(numpy.maximum(counts, 1) / PHOTONS).reshape(paths.shape[1:])
    return sum(factor * values ** (power + 1) for power, factor in enumerate(physics.water_correction))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[3] / "shared" / "data" / "dev")
    parser.add_argument("--methods", nargs="+", default=["li", "nmar", "cnnmar", "sslmar"])
    parser.add_argument("--every", type=int, default=2)
    options = parser.parse_args()
    generator, rows, scanners = numpy.random.default_rng(SEED), [], {}
    for number, (name, _, truth_hu, mask, spacing_mm) in enumerate(cases(options.data)):
        if number % options.every:
            continue
        size = truth_hu.shape[1]
        scanner = scanners.setdefault(size, ParallelScanner(size))
        slice_hu = scanned(scanner, truth_hu[0].astype(float), mask[0], spacing_mm[1] / 10, METALS[number % 3], generator)[None]
        images = {"uncorrected": slice_hu}
        images |= {method: reduce_metal_artifacts(slice_hu, spacing_mm, mask, method).volume_hu for method in options.methods}
        rows.append({key: float(((image - truth_hu.astype(float))[~mask] ** 2).mean() ** 0.5) for key, image in images.items()})
        print(f"{name}: " + ", ".join(f"{key} {value:.1f}" for key, value in rows[-1].items()), flush=True)
    means = {key: numpy.mean([row[key] for row in rows]) for key in rows[0]}
    print(f"mean of {len(rows)}: " + ", ".join(f"{key} {value:.1f} ({value / means['li']:.2f})" for key, value in means.items()))


if __name__ == "__main__":
    main()
