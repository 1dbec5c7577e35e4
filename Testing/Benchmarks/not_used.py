"""Two steps that were measured and are not used: the last step of a correction on a finer grid, and agreement with neighboring slices.

    python Testing/Benchmarks/not_used.py [--data FOLDER] [--views 800] [--bins 801]        (needs ../shared/data beside the repository)

A finer grid: of the 18 slices of `other_scanners.py` SSLMAR's prior is brought to 512 x 512 pixels, where metal trace replacement (eq. 8)
and the FBP of the difference are made, with the trace two bins wider; SliceNet finishes both. Neighboring slices: two hip implants in the
one contiguous development volume; where the correction took strong artifacts away, a share of the mean difference to the neighbors is
added, unless anatomy changes there. Prints RMSE in HU outside metal, and the flicker: the root mean square of what the difference between
neighbors has in excess of the truth's, where artifacts were.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy
import torch
from other_scanners import cases
from scipy.ndimage import gaussian_filter

from SSLMARLib import FanBeamGeometry, FanBeamProjector, read_volume, reduce_metal_artifacts, simulate_metal
from SSLMARLib.ct.attenuation import attenuation_difference_to_hu, hu_to_attenuation
from SSLMARLib.ct.resampling import SliceGrid
from SSLMARLib.methods import restoration
from SSLMARLib.methods.base import MetalAffectedScan
from SSLMARLib.methods.filters import corrected_in_slices
from SSLMARLib.methods.sslmar import SSLMAR
from SSLMARLib.simulation.metal_masks import implant_in_volume
from SSLMARLib.simulation.scanners import random_scanner
from SSLMARLib.sinogram.replacement import metal_trace_replacement
from SSLMARLib.tomography.projector import get_projector

FINE_PIXELS, FINE_DILATION_BINS = 512, 2
VOLUME = "test_tcga_ov_09_2043_pelvis_contig"
SHARES, LARGEST_CHANGE_HU, STRONG_HU = (0.15, 0.25, 0.4), 60.0, 40.0


class PriorKept:
    """Keeps the image that metal trace replacement last got as its prior."""

    def __init__(self):
        self.image, self._replace = None, restoration.replaced_sinogram
        restoration.replaced_sinogram = self

    def __call__(self, prior_image, scan):
        self.image = prior_image
        return self._replace(prior_image, scan)


def finer_grid(data: Path, views: int, bins: int) -> None:
    projector, method, prior = get_projector("cpu"), SSLMAR(), PriorKept()
    own = projector.geometry
    fine = FanBeamProjector(
        FanBeamGeometry(
            image_shape=(FINE_PIXELS, FINE_PIXELS), pixel_size_cm=own.pixel_size_cm * own.image_shape[0] / FINE_PIXELS, views=views,
            bins=bins, detector_width_cm=own.detector_width_cm, source_radius_cm=own.source_radius_cm,
            detector_radius_cm=own.detector_radius_cm,
        )
    )  # fmt: skip
    errors = []
    with torch.inference_mode():
        for name, slice_hu, truth_hu, mask, spacing_mm in cases(data):
            slices, metal = hu_to_attenuation(torch.from_numpy(slice_hu.astype(numpy.float32))), torch.from_numpy(mask)
            truth, results = hu_to_attenuation(torch.from_numpy(truth_hu.astype(numpy.float32))), []
            grid, fine_grid = (SliceGrid(slices.shape[1:], spacing_mm[1:], size) for size in (own.image_shape[0], FINE_PIXELS))
            scan = MetalAffectedScan.from_images(grid.to_grid(slices), grid.mask_to_grid(metal), projector, 1)
            reconstruction = projector.fbp(method.correct(scan))
            small = method.small_change_hu, method.small_change_pixels
            results.append(corrected_in_slices(slices, reconstruction, scan, grid, *small))
            again = MetalAffectedScan.from_images(fine_grid.to_grid(slices), fine_grid.mask_to_grid(metal), fine, FINE_DILATION_BINS)
            filled = fine.project(fine_grid.to_grid(grid.from_grid(prior.image)))
            reconstruction = fine.fbp(metal_trace_replacement(again.sinogram, filled, again.trace))
            small = method.small_change_hu, method.small_change_pixels * FINE_PIXELS / own.image_shape[0]
            results.append(corrected_in_slices(slices, reconstruction, again, fine_grid, *small))
            results += [method.finish(slices, one, metal, scan, grid) for one in results]
            left = [attenuation_difference_to_hu(one - truth)[~metal] for one in results]
            errors.append([float(one.square().mean().sqrt()) for one in left])
            print(f"{name}: " + ", ".join(f"{error:.1f}" for error in errors[-1]), flush=True)
    print("own grid, finer grid, own grid + SliceNet, finer grid + SliceNet:", numpy.round(numpy.mean(errors, axis=0), 2))


def neighboring_slices(data: Path) -> None:
    volume = read_volume(data / f"{VOLUME}.nii.gz")
    for seed, material in ((3, "titanium"), (4, "cobalt_chromium")):
        mask, _ = implant_in_volume(volume, "hip", seed=seed)
        chosen = numpy.flatnonzero(mask.any(axis=(1, 2)))[:10]
        truth, metal = volume.voxels_hu[chosen], mask[chosen]
        scan = simulate_metal(truth, volume.spacing_mm, metal, material, seed, scanner=random_scanner(197 + seed))
        result = reduce_metal_artifacts(scan, volume.spacing_mm, metal).volume_hu.astype(float)
        removed = numpy.where(metal, 0, scan - result).clip(-400, 400)
        strength = numpy.stack([gaussian_filter(one**2, 4) for one in removed]) ** 0.5
        where = (truth > -500) & ~metal & (strength > 30)
        print(f"hip, {material}: RMSE {rmse(result, truth, metal):.2f}, flicker {flicker(result, truth, where):.1f}")
        for share in SHARES:
            smoothed = result.copy()
            for index in range(len(result)):
                neighbors = [one for one in (index - 1, index + 1) if 0 <= one < len(result)]
                free = [numpy.where(metal[one] | metal[index], 0, result[one] - result[index]) for one in neighbors]
                difference = numpy.mean(free, axis=0)
                difference[numpy.abs(gaussian_filter(difference, 1.5)) > LARGEST_CHANGE_HU] = 0
                smoothed[index] += share * difference * strength[index] ** 2 / (strength[index] ** 2 + STRONG_HU**2)
            print(f"  share {share}: RMSE {rmse(smoothed, truth, metal):.2f}, flicker {flicker(smoothed, truth, where):.1f}")


def rmse(image, truth, metal) -> float:
    """Mean of the slices' errors outside metal."""
    return float(numpy.mean([((one - other)[~mask] ** 2).mean() ** 0.5 for one, other, mask in zip(image, truth, metal, strict=True)]))


def flicker(image, truth, where) -> float:
    excess = numpy.diff(image - truth, axis=0) ** 2
    both = where[1:] & where[:-1]
    return float(numpy.mean([one[inside].mean() for one, inside in zip(excess, both, strict=True)]) ** 0.5)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[3] / "shared" / "data" / "dev")
    parser.add_argument("--views", type=int, default=800)
    parser.add_argument("--bins", type=int, default=801)
    options = parser.parse_args()
    finer_grid(options.data, options.views, options.bins)
    neighboring_slices(options.data)
