"""`python -m SSLMARLib.training.pack FOLDER OUT.npz`: the metal-free slices of a folder in few small files, for another machine.

The files are what `read_metal_free_slices` reads: `hu` (slices, rows, columns) int16 and `patient`. All slices of a file have one
size; those smaller than the grid keep theirs, as they gain nothing from being enlarged. `patient` is no name but a hash of it: slices
of one patient, also of several packed sets, still have one, so that a training splits by patient.
"""

import argparse
import functools
import hashlib
import sys
import zlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy

from ..atomic_files import refuse_existing, write_complete
from ..errors import InputError, MARError
from .slices import metal_free_scans

BYTES_BESIDE_SLICES = 1 << 16  # of a file: hashes of patients, headers
HASH_ROUNDS = 200_000  # so slow that trying all names that a patient may have takes long


def pack_metal_free_slices(
    folder: str | Path,
    output: str | Path,
    *,
    size: int = 416,
    leave_out: Sequence[str] = (),
    part_mib: float = 60.0,
    most_slices: int | None = None,
    step_hu: int = 1,
    overwrite: bool = False,
) -> list[Path]:
    """Write the usable slices of `folder` to `output` (.npz), or to OUTPUT_1.npz, OUTPUT_2.npz ... of at most `part_mib` MiB each.

    most_slices: so many per patient, evenly spaced; None for all. step_hu: HU are rounded to multiples of it, as noise is what
    compresses badly. Returns the files. Raises InputError for sizes that make no sense, a part that one slice alone exceeds, files
    that exist (without `overwrite`), and as `read_metal_free_slices` does.
    """
    output = Path(output)
    if output.suffix != ".npz":
        raise InputError(f"The packed slices cannot be written to {output}: give a name that ends in .npz.")
    if step_hu < 1 or size < 1 or part_mib <= 0 or (most_slices is not None and most_slices < 1):
        raise InputError("Sizes, parts, numbers of slices and steps in HU must be above 0.")
    refuse_existing(output, overwrite)
    by_size: dict[int, list[tuple[numpy.ndarray, str]]] = defaultdict(list)
    for scan in metal_free_scans(folder, leave_out):
        scan_size = min(size, max(scan.voxels_hu.shape[1:]))
        rounded = numpy.rint(scan.on_grid(scan_size) / step_hu).astype(numpy.int16) * numpy.int16(step_hu)
        chosen = _evenly_spaced(scan.patients, most_slices)
        by_size[scan_size] += zip(rounded[chosen], map(patient_hash, scan.patients[chosen]), strict=True)
    parts = [part for slices in by_size.values() for part in _in_parts(slices, int(part_mib * 2**20))]
    names = [output] if len(parts) == 1 else [output.with_stem(f"{output.stem}_{number}") for number in range(1, len(parts) + 1)]
    for name in names:
        refuse_existing(name, overwrite)
    for name, part in zip(names, parts, strict=True):
        images, patients = (numpy.array(values) for values in zip(*part, strict=True))
        write_complete(name, lambda path: numpy.savez_compressed(path, hu=images, patient=patients), overwrite)  # noqa: B023 (called at once)
    return names


@functools.cache
def patient_hash(name: str) -> str:
    """What a packed set says instead of a patient's name: 16 hexadecimal digits, the same for the same name."""
    return hashlib.pbkdf2_hmac("sha256", str(name).encode(), b"SSLMAR packed slices", HASH_ROUNDS, 8).hex()


def _evenly_spaced(patients: numpy.ndarray, most_slices: int | None) -> numpy.ndarray:
    """Indexes of at most so many slices of each patient."""
    if most_slices is None:
        return numpy.arange(len(patients))
    chosen = []
    for name in numpy.unique(patients):
        found = numpy.flatnonzero(patients == name)
        count = min(most_slices, len(found))
        chosen += found[((numpy.arange(count) + 0.5) * len(found) / count).astype(int)].tolist()
    return numpy.array(sorted(chosen))


def _in_parts(slices: list, part_bytes: int) -> list[list]:
    """The slices in order, cut where a part would exceed its size compressed."""
    parts, held = [[]], BYTES_BESIDE_SLICES
    for one in slices:
        needed = len(zlib.compress(one[0].tobytes()))
        if BYTES_BESIDE_SLICES + needed > part_bytes:
            raise InputError(f"A slice takes {needed / 2**20:.2f} MiB, more than a part may: give a larger part.")
        if held + needed > part_bytes:
            parts.append([])
            held = BYTES_BESIDE_SLICES
        parts[-1].append(one)
        held += needed
    return parts


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m SSLMARLib.training.pack", description="Pack metal-free CT slices for a training.")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="metal-free CT, as `sslmar train` takes it")
    parser.add_argument("output", type=Path, metavar="OUT.npz", help="several parts become OUT_1.npz, OUT_2.npz ...")
    parser.add_argument("--size", type=int, default=416, help="rows and columns of the largest slices (default: 416)")
    parser.add_argument("--leave-out", nargs="+", default=(), metavar="NAME", help="files of the folder that are not packed")
    parser.add_argument("--part-mib", type=float, default=60.0, help="size of a part, MiB (default: 60)")
    parser.add_argument("--most-slices", type=int, metavar="N", help="at most N slices per patient, evenly spaced")
    parser.add_argument("--step-hu", type=int, default=1, help="round HU to multiples of this (default: 1)")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    options = vars(parser.parse_args(arguments))
    try:
        files = pack_metal_free_slices(options.pop("folder"), options.pop("output"), **options)
    except MARError as error:
        sys.stderr.write(f"{parser.prog}: error: {error}\n")
        return 2
    for file in files:
        sys.stdout.write(f"{file} {file.stat().st_size / 2**20:.1f} MiB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
