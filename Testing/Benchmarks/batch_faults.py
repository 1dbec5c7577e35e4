"""What a night's batch must survive: kills, a full disk, files that cannot be read; and that its memory does not grow.

    python Testing/Benchmarks/batch_faults.py FOLDER [--only kills disk unreadable memory study]

FOLDER is made and removed. kills: 20 small series, SIGKILL at ten random moments, then all must be there once and whole. disk: a tmpfs that
is too small (needs root). memory: the peak of 10 and of 40 series. study: 1000 slices of 512 x 512, the peak of `correct` and of `batch`.
Prints one line for each, exits with 1 where something does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy
import SimpleITK

sys.path.append(str(Path(__file__).resolve().parents[1] / "Python"))
from odd_series.building import ROOT, Series  # noqa: E402

from SSLMARLib.ct.reading_writing import read_volume  # noqa: E402

KILLS, SERIES = 10, 20
LAST_KILL_S = 0.15  # after the first series that a run ended


def stored_scan(slices: int, pixels: int) -> numpy.ndarray:
    """(slices, rows, columns), HU + 1024: a body, with metal in one slice of three."""
    stored = numpy.full((slices, pixels, pixels), 24, numpy.int16)
    stored[:, pixels // 6 : -pixels // 6, pixels // 6 : -pixels // 6] = 1024 + 40
    middle = pixels // 2
    stored[1::3, middle - 2 : middle + 2, middle - 2 : middle + 3] = 4095
    return stored


def write_dicom(folder: Path, number: int, slices: int = 4, pixels: int = 64) -> None:
    series = Series(count=slices, rows=pixels, columns=pixels)
    series.stored = stored_scan(slices, pixels)
    series.set_all(StudyInstanceUID=f"{ROOT}.1.{number}", SeriesInstanceUID=f"{ROOT}.2.{number}", PixelSpacing=[4, 4])
    for index, image in enumerate(series.images):
        image.SOPInstanceUID = f"{ROOT}.3.{number}.{index + 1}"
    folder.mkdir(parents=True)
    series.write(folder)


def write_series(folder: Path, count: int) -> None:
    """Every second one DICOM, the others NIfTI."""
    for number in range(count):
        if number % 2:
            write_dicom(folder / f"dicom_{number}", number)
            continue
        image = SimpleITK.GetImageFromArray(stored_scan(4, 64) - 1024)
        image.SetSpacing((4.0, 4.0, 2.0))
        folder.mkdir(parents=True, exist_ok=True)
        SimpleITK.WriteImage(image, str(folder / f"nifti_{number}.nii.gz"))


def command(*words) -> list[str]:
    return [sys.executable, "-m", "SSLMARLib", *map(str, words), "--method", "li", "--device", "cpu", "--quiet"]


def batch(source: Path, output: Path) -> subprocess.CompletedProcess:
    return subprocess.run(command("batch", source, output, "--no-figures"), capture_output=True, text=True, check=False)


def statuses(output: Path) -> list[str]:
    return [case["status"] for case in json.loads((output / "summary.json").read_text())["cases"]]


def results(output: Path) -> list[Path]:
    return [path for path in output.glob("*/corrected*") if path.is_file() or path.is_dir()]


def peak_gb(words: list[str]) -> float:
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words)} ended with {status}")
    return usage.ru_maxrss / 1e6


def kills(folder: Path) -> tuple[bool, str]:
    source, output, moments = folder / "scans", folder / "results", random.Random(3)
    write_series(source, SERIES)
    words, killed = command("batch", source, output, "--no-figures", "--workers", 2), 0
    for _ in range(KILLS):
        before = len(list(output.glob("*/report.json")))
        running = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        while running.poll() is None and len(list(output.glob("*/report.json"))) == before:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, LAST_KILL_S))
        killed += running.poll() is None
        os.killpg(running.pid, signal.SIGKILL) if running.poll() is None else None
        running.wait()
    whole_before = len(results(output)) if output.exists() else 0
    last = batch(source, output)
    shapes = [read_volume(path).shape for path in results(output)]
    left = [item.name for item in output.glob(".*") if item.name.endswith((".part", ".removed"))]
    names = [Path(case["input"]).name for case in json.loads((output / "summary.json").read_text())["cases"]]
    good = last.returncode == 0 and statuses(output) == ["corrected"] * SERIES and shapes == [(4, 64, 64)] * SERIES
    good &= not left and len(set(names)) == SERIES == len(list(output.glob("*/report.json")))
    return (
        good,
        f"{killed} kills, {whole_before} of {SERIES} series whole, {len(shapes)} after the last run, left over: {left or 'nothing'}",
    )


def disk(folder: Path) -> tuple[bool, str]:
    source, place = folder / "scans", folder / "small"
    write_series(source, SERIES)
    place.mkdir(parents=True)
    if os.getuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(place)], check=False).returncode:
        return True, "NOT run: no root, or no tmpfs can be mounted"
    try:
        full = batch(source, place / "results")
        whole = len(results(place / "results"))
        left = [item for item in (place / "results").glob(".*.part")]
        subprocess.run(["mount", "-o", "remount,size=40m", str(place)], check=True)
        again = batch(source, place / "results")
        good = full.returncode and 0 < whole < SERIES and "disk is full" in full.stderr and "Traceback" not in full.stderr and not left
        good &= again.returncode == 0 and statuses(place / "results") == ["corrected"] * SERIES
        return (good, f"exit {full.returncode}, {whole} of {SERIES} series whole on the full disk, exit {again.returncode} with room")
    finally:
        subprocess.run(["umount", str(place)], check=False)


def unreadable(folder: Path) -> tuple[bool, str]:
    source, output = folder / "scans", folder / "results"
    write_series(source, 6)
    (source / "folder.nii.gz").mkdir()
    (source / "dangling.nrrd").symlink_to(source / "nowhere.nrrd")
    os.mkfifo(source / "pipe.nii")
    os.mkfifo(source / "pipe_without_suffix")
    (source / "zeros.mha").write_bytes(bytes(5000))
    half = next((source / "dicom_1").iterdir())
    half.write_bytes(half.read_bytes()[:3000])
    done = subprocess.run(command("batch", source, output, "--no-figures"), capture_output=True, text=True, check=False, timeout=120)
    found = statuses(output)
    good = done.returncode == 1 and found.count("corrected") == 6 and "failed" in found and "Traceback" not in done.stderr
    return good, f"exit {done.returncode}, {found.count('corrected')} of 6 corrected, {found.count('failed')} failed"


def memory(folder: Path) -> tuple[bool, str]:
    peaks = {}
    for count in (10, 40):
        write_series(folder / f"scans_{count}", count)
        peaks[count] = peak_gb(command("batch", folder / f"scans_{count}", folder / f"results_{count}", "--no-figures"))
    return peaks[40] < 1.05 * peaks[10], f"peak {peaks[10]:.2f} GB with 10 series, {peaks[40]:.2f} GB with 40"


def study(folder: Path) -> tuple[bool, str]:
    series, place = Series(count=1, rows=512, columns=512), folder / "scans" / "study"
    place.mkdir(parents=True)
    series.set_all(PixelSpacing=[0.8, 0.8])
    scans = stored_scan(3, 512)
    for index in range(1000):
        (image,) = series.images
        image.SOPInstanceUID, image.InstanceNumber, image.ImagePositionPatient = f"{ROOT}.3.{index + 1}", index + 1, [0, 0, index]
        series.stored = scans[1:2] if index % 100 == 0 else scans[:1]
        series.write(place)
        next(item for item in place.iterdir() if not item.name.startswith("slice")).rename(place / f"slice_{index}")
    one = peak_gb(command("correct", place, folder / "corrected"))
    many = peak_gb(command("batch", folder / "scans", folder / "results", "--no-figures"))
    slices = len(list((folder / "corrected").iterdir()))
    return max(one, many) < 4 and slices == 1000, f"1000 slices: peak {one:.2f} GB of correct, {many:.2f} GB of batch"


PARTS = {one.__name__: one for one in (kills, disk, unreadable, memory, study)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True)
    broken = 0
    try:
        for name in arguments.only:
            good, text = PARTS[name](arguments.folder / name)
            broken += not good
            print(f"{'PASS' if good else 'FAIL'} {name}: {text}", flush=True)
            shutil.rmtree(arguments.folder / name, ignore_errors=True)
    finally:
        shutil.rmtree(arguments.folder, ignore_errors=True)
    return int(broken > 0)


if __name__ == "__main__":
    raise SystemExit(main())
