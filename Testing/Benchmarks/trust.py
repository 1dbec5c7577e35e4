"""How well the map of trust tells where a correction is wrong, on development slices whose truth is known.

    python Testing/Benchmarks/trust.py [--methods li nmar sslmar]

Two sets, which need ../shared/data beside the repository: the 18 slices of `other_scanners.py` with the true mask, and the 94
combinations of `standard_masks.py`. Prints for each the mean and the lowest of Spearman's rank correlation, over the pixels of a
slice, between 100 - trust and the absolute error: outside metal, and in the body outside metal. "Smoothed error" is what a map could
reach at best that knows the expected error but not the noise: the true error itself, averaged within 3 pixels. Then the mean
absolute error by trust.
"""

from __future__ import annotations

import argparse

import numpy
from other_scanners import cases
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr
from standard_masks import DATA, development_slices

from SSLMARLib import get_method, reduce_metal_artifacts, simulate_metal
from SSLMARLib.ct.scale import BODY_ABOVE_HU

BANDS = (0, 20, 40, 60, 80, 90, 101)
SMOOTHED_PIXELS = 3


def other_scanners():
    """(slice with artifacts, truth, mask, spacing in mm); arrays are (1, rows, columns), HU"""
    for _, *case in cases(DATA / "dev"):
        yield case


def standard_masks():
    """The same of the standard masks, as titanium."""
    for _, volume, _, masks in development_slices():
        scans_hu = simulate_metal(volume.voxels_hu, volume.spacing_mm, masks)
        for case in zip(scans_hu, volume.voxels_hu, masks, strict=True):
            yield [*(one[None] for one in case), volume.spacing_mm]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", default=["li", "nmar", "sslmar"])
    methods = {name: get_method(name) for name in parser.parse_args().methods}
    for chosen in (other_scanners, standard_masks):
        correlations = {name: [] for name in methods}
        errors = {name: [[] for _ in BANDS[1:]] for name in methods}
        for slice_hu, truth_hu, mask, spacing_mm in chosen():
            for name, method in methods.items():
                result = reduce_metal_artifacts(slice_hu, spacing_mm, mask, method, trust=True)
                error = numpy.abs(result.volume_hu - truth_hu.astype(float))[0]
                outside, body = ~mask[0], ~mask[0] & (gaussian_filter(truth_hu[0].astype(float), 2) > BODY_ABOVE_HU)
                maps = 100.0 - result.trust_percent[0], gaussian_filter(error, SMOOTHED_PIXELS)
                correlations[name].append([spearmanr(one[where], error[where]).statistic for one in maps for where in (outside, body)])
                for number, (low, high) in enumerate(zip(BANDS, BANDS[1:], strict=False)):
                    errors[name][number].append(error[body & (maps[0] <= 100 - low) & (maps[0] > 100 - high)])
        for name, values in correlations.items():
            mean, lowest = numpy.mean(values, axis=0), numpy.min(values, axis=0)
            print(
                f"{chosen.__name__}, {name} ({len(values)}): outside metal {mean[0]:.2f} (lowest {lowest[0]:.2f}), "
                f"in the body {mean[1]:.2f} ({lowest[1]:.2f}); smoothed error {mean[2]:.2f} and {mean[3]:.2f}"
            )
            parts = [numpy.concatenate(band) for band in errors[name]]
            print("  mean absolute error (HU) in the body by trust: " + ", ".join(
                f"{low} to {min(high, 100)} %: {part.mean() if part.size else float('nan'):.1f} ({part.size} pixels)"
                for low, high, part in zip(BANDS, BANDS[1:], parts, strict=False)
            ), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
