"""Seconds a slice of each method, everything included from slice to corrected slice, at batch 1 and 4, and the peak memory.

    python Testing/Benchmarks/method_speed.py [--methods li nmar cnnmar sslmar] [--device cpu]

The slices are a phantom of 512 x 512 pixels with two pieces of metal. Bounds of the default method: 1.5 s a slice on two CPU cores at
batch 4, 4 GB; on a GPU 0.05 s and 4 GB of its memory. Exit status 1 where one is broken.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time

import numpy
import torch

from SSLMARLib.correction import reduce_metal_artifacts
from SSLMARLib.methods import DEFAULT_METHOD, available_methods

SPACING_MM = (3.0, 0.8, 0.8)
RUNS = 3
LARGEST_SECONDS, LARGEST_GB = {"cpu": 1.5, "cuda": 0.05}, 4.0


def slices_with_metal(count: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """(volume in HU, metal mask), both (count, 512, 512): soft tissue, a bone, two pieces of metal, noise."""
    y, x = numpy.mgrid[-1:1:512j, -1:1:512j]
    metal = ((x - 0.1) ** 2 + (y - 0.2) ** 2 < 0.002) | ((x + 0.3) ** 2 + (y - 0.1) ** 2 < 0.002)
    image = numpy.where((x / 0.8) ** 2 + (y / 0.6) ** 2 < 1, 40, -1000)
    image[(x - 0.3) ** 2 + y**2 < 0.02] = 700
    noise = numpy.random.default_rng(0).normal(0, 12, (count, 512, 512))
    return numpy.where(metal, 3000, image + noise).astype(numpy.int16), numpy.repeat(metal[None], count, axis=0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=available_methods())
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    kept = True
    for method in arguments.methods:
        for batch in (1, 4):
            volume, mask = slices_with_metal(batch)
            seconds = []
            for _ in range(RUNS + 1):  # the first one warms up
                start = time.monotonic()
                reduce_metal_artifacts(volume, SPACING_MM, mask, method, arguments.device, batch_size=batch)
                seconds.append((time.monotonic() - start) / batch)
            slowest, median = max(seconds[1:]), sorted(seconds[1:])[RUNS // 2]
            print(f"{method}, batch {batch}: {median:.3f} s a slice (at most {slowest:.3f})", flush=True)
            if method == DEFAULT_METHOD and batch == 4:
                kept = median <= LARGEST_SECONDS[arguments.device.split(":")[0]]
    on_gpu = arguments.device.startswith("cuda")
    gigabytes = torch.cuda.max_memory_reserved() / 1e9 if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"peak memory {gigabytes:.2f} GB")
    kept = kept and gigabytes <= LARGEST_GB
    print("PASS" if kept else "FAIL")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
