"""Wall time and peak memory of a whole `sslmar correct`, start of Python to files on the disk, in a process of its own.

    python Testing/Benchmarks/correct_scan.py [SCAN ...] [--method nmar]

Without SCAN it makes two: 512 x 512 x 30 with metal in 10 slices, and 512 x 512 x 300 with metal in all slices, which is the worst
case for memory. Prints PASS or FAIL; exit status 1 where a bound is broken. Needs `resource`, so not on Windows.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy

from SSLMARLib import CTVolume, write_volume

LARGEST_MEMORY_GB = 2.5
LONGEST_SECONDS = 15.0  # for a scan with up to TIMED_SLICES slices
TIMED_SLICES = 40


def make_scan(path: Path, slices: int, metal_slices: slice) -> Path:
    """A body of 512 x 512 pixels with bone, noise and two pieces of metal."""
    y, x = numpy.mgrid[-1:1:512j, -1:1:512j]
    body = numpy.where((x / 0.9) ** 2 + (y / 0.65) ** 2 < 1, 40.0, -1000.0)
    body[(x - 0.4) ** 2 + y**2 < 0.02] = 800
    generator = numpy.random.default_rng(0)
    voxels = numpy.stack([(body + generator.normal(0, 12, body.shape)).astype(numpy.int16) for _ in range(slices)])
    voxels[metal_slices, (x + 0.4) ** 2 + y**2 < 0.003] = 3000
    voxels[metal_slices, (x - 0.75) ** 2 + (y - 0.2) ** 2 < 0.0005] = 2900
    write_volume(CTVolume(voxels, (1.5, 0.7, 0.7)), path)
    return path


def run(scan: Path, output: Path, method: str) -> tuple[float, float]:
    """(seconds of wall time, GB of peak memory) of the program."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "SSLMARLib", "correct", scan, output, "--method", method, "--overwrite"])
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"sslmar correct {scan} ended with {os.waitstatus_to_exitcode(status)}")
    return seconds, usage.ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6) * (1 if sys.platform == "darwin" else 1.024)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", nargs="*", type=Path, metavar="SCAN")
    parser.add_argument("--method", default="nmar")
    arguments = parser.parse_args()
    all_hold = True
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        scans = [(path, None) for path in arguments.scans] or [
            (make_scan(folder / "512x512x30.nii.gz", 30, slice(10, 20)), 30),
            (make_scan(folder / "512x512x300.nii.gz", 300, slice(None)), 300),
        ]
        for scan, slices in scans:
            seconds, memory_gb = run(scan, folder / "out.nii.gz", arguments.method)
            holds = memory_gb <= LARGEST_MEMORY_GB and (seconds <= LONGEST_SECONDS or (slices or 0) > TIMED_SLICES)
            all_hold &= holds
            sys.stdout.write(
                f"{'PASS' if holds else 'FAIL'}  {scan.name:<48} {seconds:6.1f} s  {memory_gb:5.2f} GB peak  "
                f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n"
            )
            sys.stdout.flush()
    return 0 if all_hold else 1


if __name__ == "__main__":
    raise SystemExit(main())
