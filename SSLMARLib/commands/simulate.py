"""`sslmar simulate`: metal into a metal-free volume, with the truth and the mask beside the result."""

import argparse
from dataclasses import replace
from pathlib import Path

from ..ct.scale import HIGHEST_12_BIT_HU
from ..device import DEVICE_CHOICES
from ..errors import InputError
from ..simulation.implants import IMPLANT_KINDS
from ..simulation.materials import METALS
from ..simulation.scanners import SCANNERS, get_scanner
from .argument_types import add_mask_label_argument, add_series_argument, check_mask_label, number_from_zero, positive_number
from .console import progress_bar, say

HELP = "Simulate metal into a metal-free CT volume: the result, its truth and its mask."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Scans a metal-free volume with metal in it (polychromatic, with photon noise, scatter and partial volume) and writes "
        "three volumes: OUTPUT, and beside it the truth (OUTPUT_truth) and the metal mask (OUTPUT_mask), as `sslmar evaluate` "
        "reads them."
    )
    parser.add_argument(
        "input", type=Path, metavar="INPUT", help="metal-free NRRD, NIfTI or MetaImage file, or DICOM folder, zip or DICOMDIR"
    )
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="file (or DICOM folder) to write")
    add_series_argument(parser)
    metal = parser.add_mutually_exclusive_group(required=True)
    metal.add_argument("--mask", type=Path, help="metal mask of the input's size and geometry, non-zero = metal")
    metal.add_argument("--implant", choices=IMPLANT_KINDS, metavar="KIND", help=f"a random implant: {', '.join(IMPLANT_KINDS)}")
    add_mask_label_argument(parser)
    parser.add_argument("--slice", type=int, metavar="N", help="slice of the implant's middle, from 1 on (default: the middle one)")
    parser.add_argument(
        "--material", choices=METALS, metavar="METAL", default="titanium", help=f"{', '.join(METALS)} (default %(default)s)"
    )
    parser.add_argument("--density", type=positive_number, metavar="G_PER_CM3", help="density in g/cm^3 (default: the material's own)")
    parser.add_argument("--kvp", type=positive_number, metavar="KV", help="tube voltage in kV, 80 to 140 in steps of 5 (default 120)")
    parser.add_argument("--photons", type=positive_number, default=2e7, metavar="N", help="photons on each ray (default %(default)g)")
    parser.add_argument(
        "--scatter-photons", type=number_from_zero, default=20.0, metavar="N",
        help="scattered photons added to each ray (default %(default)g)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the implant and the noise (default %(default)s)")
    parser.add_argument(
        "--physics", type=Path, metavar="FOLDER", help="spectrum and attenuation tables of the benchmark instead of the shipped ones"
    )
    parser.add_argument(
        "--highest-hu",
        type=positive_number,
        default=HIGHEST_12_BIT_HU,
        metavar="HU",
        help="what the scanner can store (default %(default)g)",
    )
    parser.add_argument(
        "--scanner", choices=(*SCANNERS, "random"), metavar="NAME",
        help=f"another scanner's geometry, voltage, photons, smoothing, kernel and cut-off: {', '.join(SCANNERS)}, or random (of the seed)",
    )  # fmt: skip
    parser.add_argument("--device", default="auto", metavar="DEVICE", help=f"{', '.join(DEVICE_CHOICES)} (default auto)")
    parser.add_argument("--overwrite", action="store_true", help="replace output files that exist")


def run(arguments: argparse.Namespace) -> int:
    from ..atomic_files import all_or_none
    from ..ct.reading_writing import files_of, read_mask, read_volume, refuse_output, write_volume
    from ..ct.series_kind import SIMULATED_METAL, SIMULATION_TRUTH

    if not 0 <= arguments.seed < 2**63:
        raise InputError(f"--seed is {arguments.seed}: give a whole number from 0 to 2^63 - 1.")
    if arguments.slice is not None and arguments.implant is None:
        raise InputError("--slice says where an implant lies: give --implant too, or leave it out.")
    check_mask_label(arguments)
    sources = [path for path in (arguments.input, arguments.mask) if path is not None]
    truth_path, mask_path = paths_beside(arguments.output)
    refuse_output(arguments.output, sources, arguments.overwrite)
    refuse_output(truth_path, sources, arguments.overwrite)
    refuse_output(mask_path, sources, arguments.overwrite, kind="mask")
    protocol = _protocol(arguments)

    from ..simulation.metal_masks import implant_in_volume
    from ..simulation.volume import simulate_metal

    with progress_bar(arguments) as progress, all_or_none() as write:
        progress(0.0, "Reading")
        volume = read_volume(arguments.input, arguments.series)
        if arguments.mask is not None:
            mask = read_mask(arguments.mask, volume, arguments.mask_label)
        else:
            if arguments.slice is not None and not 1 <= arguments.slice <= volume.shape[0]:
                raise InputError(f"--slice is {arguments.slice}, but the volume has the slices 1 to {volume.shape[0]}: give one of them.")
            center_slice = None if arguments.slice is None else arguments.slice - 1
            mask, _ = implant_in_volume(volume, arguments.implant, arguments.seed, center_slice)
        result_hu = simulate_metal(
            volume.voxels_hu,
            volume.spacing_mm,
            mask,
            seed=arguments.seed,
            protocol=protocol,
            highest_hu=arguments.highest_hu,
            scanner=None if arguments.scanner is None else get_scanner(arguments.scanner, arguments.seed),
            device=arguments.device,
            progress=lambda fraction, message: progress(0.05 + 0.85 * fraction, message),
        )
        progress(0.9, "Writing")
        mask_volume = replace(volume.with_voxels(mask.astype("uint8")), metadata={}, dicom_files=())
        for path, one, kind in (
            (mask_path, mask_volume, SIMULATION_TRUTH),
            (truth_path, volume, SIMULATION_TRUTH),
            (arguments.output, volume.with_voxels(result_hu), SIMULATED_METAL),
        ):
            write(files_of(path), write_volume, one, path, overwrite=arguments.overwrite, series_kind=kind)
    slices = int(mask.any(axis=(1, 2)).sum())
    say(
        arguments,
        f"Simulated {int(mask.sum())} voxels of {arguments.material} in {slices} of {volume.shape[0]} slices: "
        f"{arguments.output}, {truth_path.name}, {mask_path.name}",
    )
    return 0


def paths_beside(output: Path) -> tuple[Path, Path]:
    """Where the truth and the mask of an output go: the same name with _truth and _mask before the suffix."""
    from ..ct.image_file import known_suffix

    suffix = known_suffix(output) or ""
    stem = output.name[: len(output.name) - len(suffix)]
    return output.with_name(f"{stem}_truth{suffix}"), output.with_name(f"{stem}_mask{suffix or '.nrrd'}")


def _protocol(arguments):
    """The scan that the arguments describe."""
    from ..simulation.physics import DEFAULT_TUBE_VOLTAGE_KV, load_benchmark_physics, load_physics
    from ..simulation.scan import ScanProtocol

    if arguments.physics is not None:
        physics = load_benchmark_physics(arguments.physics)
        if arguments.kvp not in (None, physics.tube_voltage_kv):
            raise InputError(
                f"--kvp is {arguments.kvp:g}, but the tables in {arguments.physics} are of {physics.tube_voltage_kv:g} kV: leave "
                "one of the two out."
            )
    else:
        physics = load_physics(arguments.kvp or DEFAULT_TUBE_VOLTAGE_KV)
    return ScanProtocol(
        physics=physics,
        material=arguments.material,
        metal_density_g_per_cm3=arguments.density,
        photons=arguments.photons,
        scatter_photons=arguments.scatter_photons,
    )
