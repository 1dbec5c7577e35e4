"""Sinograms of other scanners, corrected in their own geometry, beside the same scans corrected as reconstructed slices.

    python Testing/Benchmarks/own_geometry.py [--every 3] [--methods li nmar cnnmar sslmar]        (needs ../shared/data)

The development slices of other_scanners.py (every Nth), scanned in the two fan beams that are not the product's, the true mask given, no
blur. RMSE in HU outside metal against the same scanner's image without metal, of `correct_sinogram`, and of `reduce_metal_artifacts` on
the image that the uncorrected sinogram gives.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy
import torch
from other_scanners import METALS, SCANNERS, SIDE_CM, cases, scanner

from SSLMARLib import correct_sinogram, reduce_metal_artifacts
from SSLMARLib.ct.attenuation import hu_to_attenuation
from SSLMARLib.ct.resampling import SliceGrid
from SSLMARLib.simulation.scan import ScanProtocol, simulate_scan

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "dev"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=3)
    parser.add_argument("--methods", nargs="+", default=["li", "nmar", "cnnmar", "sslmar"])
    arguments = parser.parse_args()
    scanners, errors = [scanner(*one) for one in SCANNERS], []
    for number, (name, _, truth_hu, mask, spacing_mm) in enumerate(cases(DATA)):
        if number % arguments.every:
            continue
        projector = scanners[number % 2]
        grid = SliceGrid(truth_hu.shape[1:], spacing_mm[1:], projector.geometry.image_shape[0])
        image = grid.to_grid(torch.from_numpy(hu_to_attenuation(truth_hu.astype(numpy.float32)))).clamp(min=0)
        metal = grid.mask_to_grid(torch.from_numpy(mask))
        protocol = ScanProtocol(material=METALS[number % 3], photons=5e6)
        scan = simulate_scan(image, metal, projector, protocol, torch.Generator().manual_seed(number))
        sinogram, clean = scan.sinogram[0].numpy(), scan.metal_free_sinogram[0].numpy()
        sides = {"image_side_cm": SIDE_CM, "device": "cpu"}
        everywhere = correct_sinogram(clean, projector.geometry, metal[0].numpy(), "li", **sides)  # for its trace and its mask alone
        reference = correct_sinogram(clean, projector.geometry, numpy.indices((416, 416)).sum(0) == 0, "li", **sides)
        uncorrected = correct_sinogram(sinogram, projector.geometry, numpy.indices((416, 416)).sum(0) == 0, "li", **sides)
        outside = ~everywhere.metal_mask[0]

        def rmse(image_hu, truth=reference.image_hu[0], outside=outside):
            return float(numpy.sqrt(((image_hu - truth)[outside] ** 2).mean()))

        row = {"uncorrected": (rmse(uncorrected.image_hu[0]),) * 2}
        pixel_mm = uncorrected.pixel_mm
        for method in arguments.methods:
            own = correct_sinogram(sinogram, projector.geometry, metal[0].numpy(), method, **sides)
            slices = reduce_metal_artifacts(
                uncorrected.image_hu.astype(numpy.float32), (pixel_mm,) * 3, everywhere.metal_mask, method, device="cpu"
            )
            row[method] = rmse(own.image_hu[0]), rmse(slices.volume_hu[0])
        errors.append(row)
        print(name, *(f"{key} {one:.1f}/{other:.1f}" for key, (one, other) in row.items()), flush=True)
    print(f"| method | own geometry, {len(errors)} sinograms | as reconstructed slices |\n|---|---|---|")
    baseline = numpy.mean([row["li"] for row in errors], axis=0) if "li" in arguments.methods else numpy.ones(2)
    for method in errors[0]:
        own, slices = numpy.mean([row[method] for row in errors], axis=0)
        print(f"| {method} | {own:.1f} ({own / baseline[0]:.2f}) | {slices:.1f} ({slices / baseline[1]:.2f}) |")


if __name__ == "__main__":
    main()
