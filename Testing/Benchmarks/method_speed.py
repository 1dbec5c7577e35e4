"""Seconds per slice of each method, everything included from slice to corrected slice, at batch 1 and 4, and the peak memory.

    python Testing/Benchmarks/method_speed.py [--methods li nmar cnnmar sslmar] [--device cpu]

The slices are those of `sslmar bench pipeline`, 512 x 512 pixels. Bounds of the default method: 1.5 s per slice on two CPU cores at
batch 4, 4 GB; on a GPU 0.05 s and 4 GB of its memory. Exit status 1 where one is broken.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import torch

from SSLMARLib.correction import reduce_metal_artifacts
from SSLMARLib.methods import DEFAULT_METHOD, available_methods
from SSLMARLib.timing import peak_memory_mb, volume_to_time

RUNS = 3
LARGEST_SECONDS, LARGEST_GB = {"cpu": 1.5, "cuda": 0.05}, 4.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=available_methods())
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    kept = True
    for method in arguments.methods:
        for batch in (1, 4):
            volume_hu, spacing_mm, mask = volume_to_time(batch)
            seconds = []
            for _ in range(RUNS + 1):  # the first one warms up
                start = time.monotonic()
                reduce_metal_artifacts(volume_hu, spacing_mm, mask, method, arguments.device, batch_size=batch)
                seconds.append((time.monotonic() - start) / batch)
            slowest, median = max(seconds[1:]), statistics.median(seconds[1:])
            print(f"{method}, batch {batch}: {median:.3f} s per slice (at most {slowest:.3f})", flush=True)
            if method == DEFAULT_METHOD and batch == 4:
                kept = median <= LARGEST_SECONDS[arguments.device.split(":")[0]]
    on_gpu = arguments.device.startswith("cuda")
    gigabytes = torch.cuda.max_memory_reserved() / 1e9 if on_gpu else (peak_memory_mb() or 0.0) / 1e3
    print(f"peak memory {gigabytes:.2f} GB")
    kept = kept and gigabytes <= LARGEST_GB
    print("PASS" if kept else "FAIL")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
