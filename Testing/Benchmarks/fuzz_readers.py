"""Damaged files of every kind that is read: the answer is the content or one sentence, within 5 s and 1 GB, never a traceback.

    python Testing/Benchmarks/fuzz_readers.py [--inputs 5000] [--seed 0] [--keep FOLDER]

Small valid files are cut off, bytes of them are turned around, and numbers of their headers become absurd; a process of its own, which is
started anew after a fault, reads them one by one. Prints each fault and the counts by kind; exits with 1 where there is a fault. --keep:
the inputs that made faults are copied there.
"""

from __future__ import annotations

import argparse
import bz2
import contextlib
import gzip
import hashlib
import io
import json
import os
import random
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import traceback
import zipfile
from collections import Counter
from pathlib import Path

import numpy
import SimpleITK

sys.path.append(str(Path(__file__).resolve().parents[1] / "Python"))
SECONDS, BYTES = 5.0, 1 << 30
START_SECONDS = 60.0
SHAPE = (4, 12, 10)


def seeds(folder: Path) -> dict[str, Path]:
    """Kind -> a folder with one small valid file of it, or the files that belong together."""
    from dataclasses import replace

    from odd_series import KINDS
    from odd_series.building import Series

    from SSLMARLib.ct.reading_writing import read_volume, write_mask, write_volume
    from SSLMARLib.ct.volume import CTVolume

    voxels = numpy.random.default_rng(0).integers(-1000, 2000, SHAPE).astype(numpy.int16)
    volume = CTVolume(voxels, (2, 1, 1))
    found = {}

    def place(kind: str) -> Path:
        found[kind] = folder / kind
        found[kind].mkdir(parents=True)
        return found[kind]

    for suffix in (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"):
        write_volume(volume, place(suffix[1:]) / f"scan{suffix}")
    write_volume(replace(volume, metadata={"nifti_version": "2"}), place("nifti2") / "scan.nii")
    content = (found["nii"] / "scan.nii").read_bytes()
    (place("bz2") / "scan.nii").write_bytes(bz2.compress(content))
    (place("gz_named_nii") / "scan.nii").write_bytes(gzip.compress(content))
    image = SimpleITK.GetImageFromArray((voxels > 0).astype(numpy.uint8))
    image.SetSpacing((1.0, 1.0, 2.0))
    for key, value in {"Segment0_Name": "Metal", "Segment0_LabelValue": "1", "Segment0_Layer": "0"}.items():
        image.SetMetaData(key, value)
    SimpleITK.WriteImage(image, str(place("segmentation_nrrd") / "mask.seg.nrrd"))
    Series(count=4).write(place("dicom"))
    for name in ("enhanced", "jpeg_ls", "rle", "deflated", "implicit", "no_preamble_implicit"):
        next(kind for kind in KINDS if kind.name == name).make().write(place(name))
    scan = read_volume(found["dicom"])
    mask = numpy.zeros(scan.shape, bool)
    mask[1, 2, 3] = True
    write_mask(mask, scan, place("dicom_segmentation") / "metal.dcm")
    with zipfile.ZipFile(place("zip") / "scan.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in found["dicom"].iterdir():
            archive.write(file, file.name)
    _seed_directory(place("dicomdir"), found["dicom"])
    _seed_weights(place("weights"))
    hu = numpy.random.default_rng(1).integers(-1000, 1000, (4, 64, 64)).astype(numpy.int16)
    numpy.savez(place("packed") / "pack.npz", hu=hu, patient=numpy.array(["a", "a", "b", "b"]))
    numpy.savez(place("metal_shapes") / "shapes.npz", mask=(hu > 500).astype(numpy.uint8))
    lines = [{"settings": {"method": "li"}}, {"case": "a", "status": "skipped", "source_files": 1}]
    (place("journal") / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return found


def _seed_directory(folder: Path, dicom: Path) -> None:
    import pydicom
    from pydicom.fileset import FileSet

    files = FileSet()
    for number, file in enumerate(sorted(dicom.iterdir())):
        data = pydicom.dcmread(file)
        data.PatientBirthDate = "19600101"
        data.InstanceNumber = number + 1
        files.add(data)
    files.write(folder)


def _seed_weights(folder: Path) -> None:
    import torch

    from SSLMARLib.networks.cnnmar import CNNMARNetwork
    from SSLMARLib.networks.weights import save_weights

    torch.manual_seed(0)
    network = CNNMARNetwork(channels=2, dilations=[1])
    save_weights(folder / "own.safetensors", network.state_dict(), {"method": "cnnmar", "network": network.options})


def damage(content: bytes, random_numbers: random.Random) -> bytes:
    """One of five kinds of damage, at random places; most of it in the first kilobyte, where headers are."""
    changed = bytearray(content)
    near = min(len(changed), random_numbers.choice((64, 400, 1500, len(changed))))
    kind = random_numbers.choice(("cut", "flip", "absurd", "digits", "insert", "zero"))
    if kind == "cut":
        return bytes(changed[: random_numbers.randrange(len(changed))])
    if kind == "flip":
        for _ in range(random_numbers.randint(1, 12)):
            changed[random_numbers.randrange(near)] ^= 1 << random_numbers.randrange(8)
    elif kind == "absurd":
        start = random_numbers.randrange(near)
        changed[start : start + random_numbers.choice((2, 4, 8))] = random_numbers.choice((b"\xff", b"\x7f", b"\x80")) * 4
    elif kind == "digits":
        places = [place for place in range(near) if chr(changed[place]).isdigit()]
        for place in random_numbers.sample(places, min(len(places), 4)):
            changed[place : place + 1] = random_numbers.choice((b"9" * 6, b"-", b"0", b"1e9"))
    elif kind == "insert":
        start = random_numbers.randrange(near)
        changed[start:start] = random_numbers.randbytes(random_numbers.randint(1, 40))
    else:
        start = random_numbers.randrange(near)
        changed[start : start + 16] = bytes(min(16, len(changed) - start))
    return bytes(changed)


def make_input(kind: str, seed: Path, folder: Path, random_numbers: random.Random) -> Path:
    """A copy of a seed with one file damaged."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(seed, folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if kind == "dicomdir" and random_numbers.random() < 0.7:
        files = [folder / "DICOMDIR"]
    file = random_numbers.choice(files)
    content = file.read_bytes()
    if kind in INSIDE and random_numbers.random() < 0.5:  # behind the checksums, which refuse most other damage
        file.write_bytes(INSIDE[kind](content, lambda part: damage(part, random_numbers)))
    else:
        file.write_bytes(damage(content, random_numbers))
    if kind == "weights":  # and so does the hash beside them
        description = folder / "own.json"
        before, after = (hashlib.sha256(one).hexdigest() for one in ((seed / file.name).read_bytes(), file.read_bytes()))
        description.write_bytes(description.read_bytes().replace(before.encode(), after.encode()))
    return folder


def _inside_zip(content: bytes, change) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = [(name, archive.read(name)) for name in archive.namelist()]
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, (name, part) in enumerate(parts):
            archive.writestr(name, part if number else change(part))
    return written.getvalue()


INSIDE = {
    **dict.fromkeys(("nii.gz", "gz_named_nii"), lambda content, change: gzip.compress(change(gzip.decompress(content)))),
    "bz2": lambda content, change: bz2.compress(change(bz2.decompress(content))),
    **dict.fromkeys(("zip", "packed", "metal_shapes"), _inside_zip),
}


def read_input(kind: str, folder: Path) -> None:
    """As the product reads such files."""
    from SSLMARLib.batch.journal import Journal
    from SSLMARLib.ct.reading_writing import read_mask, read_volume
    from SSLMARLib.ct.volume import CTVolume
    from SSLMARLib.methods import get_method
    from SSLMARLib.simulation.metal_masks import read_metal_shapes
    from SSLMARLib.training.slices import read_metal_free_slices

    whole = CTVolume(numpy.zeros(SHAPE, numpy.int16), (2, 1, 1))
    if kind == "weights":
        method = get_method(folder / "own.safetensors")
        method.load_weights(), method.network("cpu"), method.small_change_hu
    elif kind == "packed":
        read_metal_free_slices(folder, 64, ())
    elif kind == "metal_shapes":
        read_metal_shapes(folder / "shapes.npz")
    elif kind == "journal":
        Journal(folder)
    elif kind == "segmentation_nrrd":
        read_mask(folder / "mask.seg.nrrd", whole, "Metal")
    elif kind == "dicom_segmentation":
        read_mask(folder / "metal.dcm", read_volume(os.environ["SSLMAR_FUZZ_SCAN"]))
    elif kind in ("dicom", "dicomdir", "enhanced", "jpeg_ls", "rle", "deflated", "implicit", "no_preamble_implicit"):
        read_volume(folder / "DICOMDIR" if kind == "dicomdir" else folder)
    else:
        (path,) = (path for path in folder.iterdir() if path.suffix != ".raw" and not path.name.endswith(".raw.gz"))
        read_volume(path)


def worker() -> None:
    """Reads "kind folder" lines, answers each with one line of JSON."""
    import logging

    import torch

    import SSLMARLib.training.slices  # noqa: F401
    from SSLMARLib.errors import MARError
    from SSLMARLib.methods import get_method

    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    get_method("cnnmar").network("cpu")
    start = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (start + 8 * BYTES, start + 8 * BYTES))  # so that this computer survives it
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    answers.write('"ready"\n')
    for line in sys.stdin:
        kind, folder = line.rstrip("\n").split(" ", 1)
        try:
            read_input(kind, Path(folder))
            answer = ["read", ""]
        except MARError as error:
            text = str(error)
            answer = ["refused", text] if text and "\n" not in text and len(text) < 2000 else ["FAULT", f"no sentence: {text[:300]!r}"]
        except BaseException:
            answer = ["FAULT", traceback.format_exc()]
        if 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) > BYTES:
            answer = ["FAULT", f"more than 1 GB of memory ({answer})"]
        answers.write(json.dumps(answer) + "\n")


class Reader:
    """The process that reads."""

    def __init__(self, scan: Path, scratch: Path):
        scratch.mkdir()
        self.environment = {**os.environ, "SSLMAR_FUZZ_SCAN": str(scan), "OMP_NUM_THREADS": "1", "TMPDIR": str(scratch)}
        self.process = None

    def _line(self, seconds: float) -> str:
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        return self.process.stdout.readline().decode() if ready else ""

    def ask(self, kind: str, folder: Path) -> list[str]:
        if self.process is None:
            words = [sys.executable, __file__, "--worker"]
            quiet = subprocess.DEVNULL
            self.process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=quiet, env=self.environment, bufsize=0
            )
            if not self._line(START_SECONDS):
                raise SystemExit("The reading process does not start.")
        self.process.stdin.write(f"{kind} {folder}\n".encode())
        line = self._line(SECONDS)
        if line:
            answer = json.loads(line)
            if answer[0] == "FAULT":
                self.close()
            return answer
        ended = self.process.poll()
        self.close()
        return ["FAULT", f"no answer within {SECONDS:g} s" if ended is None else f"the process ended with {ended}"]

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def fuzz(inputs: int, seed: int, keep: Path | None = None) -> tuple[Counter, list[tuple[str, str]]]:
    """(counts of (kind, outcome), faults as (kind and number, text))"""
    counts, faults = Counter(), []
    with tempfile.TemporaryDirectory() as scratch:
        found = seeds(Path(scratch) / "seeds")
        reader, kinds = Reader(found["dicom"], Path(scratch) / "tmp"), list(found)
        try:
            for number in range(inputs):
                kind = kinds[number % len(kinds)]
                folder = make_input(kind, found[kind], Path(scratch) / "input", random.Random(f"{seed} {number}"))
                outcome, text = reader.ask(kind, folder)
                counts[kind, outcome] += 1
                if outcome == "FAULT":
                    faults.append((f"{kind} {number}", text))
                    if keep is not None:
                        shutil.copytree(folder, keep / f"{kind}_{number}", dirs_exist_ok=True)
        finally:
            reader.close()
    return counts, faults


def main() -> int:
    if sys.argv[1:] == ["--worker"]:
        worker()
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    counts, faults = fuzz(arguments.inputs, arguments.seed, arguments.keep)
    for name, text in faults:
        print(f"FAULT {name}: {text}")
    for kind in dict.fromkeys(kind for kind, _ in counts):
        print(kind, *(f"{outcome} {counts[kind, outcome]}" for outcome in ("read", "refused", "FAULT")))
    print(f"{sum(counts.values())} inputs, {len(faults)} faults")
    return int(bool(faults))


if __name__ == "__main__":
    raise SystemExit(main())
