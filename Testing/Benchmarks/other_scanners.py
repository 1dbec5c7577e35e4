"""Methods on slices of other scanners: two fan geometries that are not the product's, blur, few photons, three metals.

    python Testing/Benchmarks/other_scanners.py [--data FOLDER] [--methods li nmar cnnmar sslmar] [--masks true found learned] [--amalgam]

FOLDER holds the metal-free development volumes (../shared/data/dev beside the repository). 18 slices of three volumes, drawn from one seed,
each corrected with the true mask, with the one that is found by threshold and with the one that MetalNet outlines. Prints the RMSE in HU
against the slice without metal, the true metal left out, of each case, and the means by mask, region, metal and size; by mask also with
AROUND_PIXELS around the metal left out, where a found mask puts the blur of metal back. --amalgam: ten dental implants of amalgam by random
scanners instead. Some of these cases were looked at when SliceNet's `artifact_hu` was chosen, so its figures are development figures.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy
from scipy.ndimage import binary_dilation

from SSLMARLib import FanBeamGeometry, FanBeamProjector, read_volume, reduce_metal_artifacts
from SSLMARLib.ct.metal_search import MetalSearch
from SSLMARLib.errors import NoMetalError
from SSLMARLib.learned_metal import find_metal
from SSLMARLib.methods import get_method
from SSLMARLib.methods.sslmar import SSLMAR
from SSLMARLib.simulation.metal_masks import body_mask, random_metal_mask
from SSLMARLib.simulation.scan import ScanProtocol
from SSLMARLib.simulation.scanners import random_scanner
from SSLMARLib.simulation.volume import simulate_metal

SIDE_CM, AROUND_PIXELS = 36.0, 2
SCANNERS = (  # pixels, views, bins, source and detector from the axis in cm
    (500, 984, 888, 54.1, 40.8),
    (560, 1152, 736, 59.5, 49.0),
)
METALS = ("titanium", "cobalt_chromium", "stainless_steel")
VOLUMES = (  # file, slice in whose neighborhood the implants lie, implants
    ("test_lidc_idri_0314_chest", 9, ("pacemaker", "spine", "clip", "plate", "coil", "wire")),
    ("test_tcga_ov_09_2043_pelvis_contig", 17, ("hip", "spine", "coil", "plate", "clip", "hip")),
    ("test_tcga_thca_e3_a3e5_neck", 11, ("dental", "plate", "wire", "clip", "coil", "dental")),
)


def scanner(pixels, views, bins, source_radius_cm, detector_radius_cm) -> FanBeamProjector:
    magnification = (source_radius_cm + detector_radius_cm) / source_radius_cm
    return FanBeamProjector(
        FanBeamGeometry(
            image_shape=(pixels, pixels),
            pixel_size_cm=SIDE_CM / pixels,
            views=views,
            bins=bins,
            detector_width_cm=1.5 * SIDE_CM * magnification,
            source_radius_cm=source_radius_cm,
            detector_radius_cm=detector_radius_cm,
        )
    )


def cases(data: Path):
    """(name, slice with artifacts, truth, mask, spacing in mm) of each case; arrays are (1, rows, columns), HU."""
    generator = numpy.random.default_rng(77)
    scanners = [scanner(*one) for one in SCANNERS]
    number = 0
    for file, middle, kinds in VOLUMES:
        volume = read_volume(data / f"{file}.nii.gz")
        voxels_hu = volume.voxels_hu.astype(numpy.int16)
        for kind in kinds:
            index = int(numpy.clip(middle + generator.integers(-4, 5), 0, len(voxels_hu) - 1))
            truth_hu = voxels_hu[index : index + 1]
            mask = random_metal_mask(body_mask(truth_hu[0]), generator, kind, largest_pixels=7000)[None]
            protocol = ScanProtocol(photons=10 ** generator.uniform(6, 7.3))
            slice_hu = simulate_metal(
                truth_hu, volume.spacing_mm, mask, METALS[number % 3], number,
                protocol=protocol, kernel_fwhm_mm=generator.uniform(0.8, 1.6), projector=scanners[number % 2],
            )  # fmt: skip
            yield f"{file[5:14]} {kind}, {METALS[number % 3]}, {int(mask.sum())} pixels", slice_hu, truth_hu, mask, volume.spacing_mm
            number += 1


def amalgam_cases(data: Path):
    """The same of ten dental implants of amalgam in the neck, each by another random scanner."""
    file, middle, _ = VOLUMES[2]
    volume = read_volume(data / f"{file}.nii.gz")
    voxels_hu = volume.voxels_hu.astype(numpy.int16)
    for seed in range(300, 310):
        generator = numpy.random.default_rng(seed)
        index = int(numpy.clip(middle + generator.integers(-4, 5), 0, len(voxels_hu) - 1))
        truth_hu = voxels_hu[index : index + 1]
        mask = random_metal_mask(body_mask(truth_hu[0]), generator, "dental", largest_pixels=7000)[None]
        slice_hu = simulate_metal(truth_hu, volume.spacing_mm, mask, "amalgam", seed, scanner=random_scanner(seed))
        yield f"{file[5:14]} dental {seed}, amalgam, {int(mask.sum())} pixels", slice_hu, truth_hu, mask, volume.spacing_mm


def found_mask(slice_hu, spacing_mm, kind: str):
    """As a user finds metal, or None where none is found."""
    try:
        return find_metal(slice_hu, spacing_mm, MetalSearch(learned_outline=kind == "learned"))
    except NoMetalError:
        return None


def size_of(pixels: int) -> str:
    """The group of a mask."""
    return "small (under 300 pixels)" if pixels < 300 else "medium" if pixels < 1500 else "large (1500 pixels and more)"


def means(rows, group: str, errors: str = "errors") -> None:
    """Print the mean errors of the rows that share what is called `group`, one line each. errors: "errors", or those with the metal's
    surroundings left out, "errors_around"."""
    left_out = "" if errors == "errors" else f", {AROUND_PIXELS} pixels around metal left out"
    for name in sorted({row[group] for row in rows}):
        members = [row[errors] for row in rows if row[group] == name]
        figures = (f"{method} {numpy.mean([one[method] for one in members]):.1f}" for method in members[0])
        print(f"{group} {name}{left_out} ({len(members)}): " + ", ".join(figures))


def errors_of(images, truth_hu, left_out) -> dict[str, float]:
    """RMSE in HU of each image (1, rows, columns), the mask `left_out` of the same shape left out."""
    return {name: float(((image - truth_hu.astype(float))[~left_out] ** 2).mean() ** 0.5) for name, image in images.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[3] / "shared" / "data" / "dev")
    parser.add_argument("--methods", nargs="+", default=["li", "nmar", "cnnmar", "sslmar"])
    parser.add_argument("--masks", nargs="+", choices=("true", "found", "learned"), default=["true", "found", "learned"])
    parser.add_argument("--amalgam", action="store_true", help="the ten cases of amalgam")
    options = parser.parse_args()
    methods = {name: get_method(name) for name in options.methods}
    if "sslmar" in methods:
        methods["sslmar without SliceNet"] = SSLMAR(with_slice_network=False)
    rows = []
    for name, slice_hu, truth_hu, true_mask, spacing_mm in (amalgam_cases if options.amalgam else cases)(options.data):
        around = binary_dilation(true_mask[0], iterations=AROUND_PIXELS)[None]
        for kind in options.masks:
            mask = true_mask if kind == "true" else found_mask(slice_hu, spacing_mm, kind)
            images = {"uncorrected": slice_hu}
            for method_name, method in methods.items():
                images[method_name] = slice_hu if mask is None else reduce_metal_artifacts(slice_hu, spacing_mm, mask, method).volume_hu
            errors = errors_of(images, truth_hu, true_mask)
            region, metal, _ = name.split(", ")
            row = {"mask": kind, "region": f"{region.split()[0]}, {kind} mask", "metal": f"{metal}, {kind} mask"}
            size = f"{size_of(int(true_mask.sum()))}, {kind} mask"
            rows.append({**row, "size": size, "errors": errors, "errors_around": errors_of(images, truth_hu, around)})
            dice = "" if mask is None else f", Dice {2 * (mask & true_mask).sum() / (mask.sum() + true_mask.sum()):.2f}"
            print(f"{name}, {kind} mask{dice}: " + ", ".join(f"{key} {value:.1f}" for key, value in errors.items()), flush=True)
    for group in ("mask", "region", "metal", "size"):
        means(rows, group)
    means(rows, "mask", "errors_around")


if __name__ == "__main__":
    main()
