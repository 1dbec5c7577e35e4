"""What must be quick for a person or a training: a random metal mask, and one slice by each method, as the panel's preview shows it.

    python Testing/Benchmarks/quick_enough.py

Bounds on two CPU cores: 10 ms per mask (median of 60), 5 s per preview. Exit status 1 where one is broken.
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy

from SSLMARLib.correction import reduce_metal_artifacts
from SSLMARLib.methods import available_methods
from SSLMARLib.simulation.metal_masks import random_metal_mask
from SSLMARLib.timing import volume_to_time

MASKS, SECONDS_A_MASK, SECONDS_A_PREVIEW = 60, 0.010, 5.0


def seconds_of(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def mask_seconds() -> float:
    """The median time of a mask in an elliptic body of 416 x 416 pixels."""
    rows, columns = numpy.mgrid[:416, :416]
    body = ((rows - 210) / 120) ** 2 + ((columns - 200) / 180) ** 2 <= 1
    generator = numpy.random.default_rng(0)
    return statistics.median(seconds_of(lambda: random_metal_mask(body, generator)) for _ in range(MASKS))


def main() -> int:
    figures = [("a random metal mask", mask_seconds(), SECONDS_A_MASK)]
    volume_hu, spacing_mm, mask = volume_to_time(1)
    reduce_metal_artifacts(volume_hu, spacing_mm, mask, "li", "cpu")  # loads PyTorch and the projector, as the panel's first run does
    for method in available_methods():
        seconds = seconds_of(lambda method=method: reduce_metal_artifacts(volume_hu, spacing_mm, mask, method, "cpu"))
        figures.append((f"a preview by {method}", seconds, SECONDS_A_PREVIEW))
    for name, seconds, bound in figures:
        print(f"{name}: {seconds:.4f} s, {'PASS' if seconds < bound else 'FAIL'} (bound {bound} s)")
    return 0 if all(seconds < bound for _, seconds, bound in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
