"""Can a slice that a correction made worse be told without its truth? Signs, and how often they are right, on slices whose truth is known.

    python Testing/Benchmarks/signs_of_worse.py [--methods li nmar sslmar]

Slices: the two sets of `trust.py` with the true mask, and the 18 of other scanners with the mask found by threshold, outlined by MetalNet,
and moved by 8 pixels to the right and down. Signs, 2 to 30 mm from metal: the streak amplitude grew by more than 5 % and 3 HU (as a report
names); dark pockets grew by more than 10 % and 50 pixels (below -200 HU after a Gaussian blur of 1.5 mm). For each sign: how many slices
show it, how many of these are worse, and the mean RMSE in HU outside the true metal of the correction, of half of it and of none.
"""

from __future__ import annotations

import argparse

import numpy
from other_scanners import found_mask
from scipy.ndimage import gaussian_filter
from trust import other_scanners, standard_masks

from SSLMARLib import get_method, reduce_metal_artifacts
from SSLMARLib.evaluation.no_reference import measuring_regions, streak_amplitude_hu

MOVED_PIXELS = 8
DARK_BELOW_HU, DARK_SIGMA_MM = -200.0, 1.5


def masked_slices():
    """(how the mask was made, slice, truth, true mask, mask, spacing in mm); arrays are (1, rows, columns)"""
    for slice_hu, truth_hu, mask, spacing_mm in standard_masks():
        yield "true", slice_hu, truth_hu, mask, mask, spacing_mm
    for slice_hu, truth_hu, mask, spacing_mm in other_scanners():
        others = {kind: found_mask(slice_hu, spacing_mm, kind) for kind in ("found", "learned")}
        for kind, other in {"true": mask, **others, "moved": numpy.roll(mask, (MOVED_PIXELS, MOVED_PIXELS), (1, 2))}.items():
            if other is not None:
                yield kind, slice_hu, truth_hu, mask, other, spacing_mm


def measured(image_hu, region, spacing_mm) -> tuple[float, int]:
    """(streak amplitude in HU, pixels of dark pockets)"""
    smoothed = gaussian_filter(image_hu.astype(float).clip(-1024, 300), [DARK_SIGMA_MM / side for side in spacing_mm])
    return streak_amplitude_hu(image_hu, region, spacing_mm) or 0.0, int((region & (smoothed < DARK_BELOW_HU)).sum())


SIGNS = {  # from what is measured before and after
    "streaks": lambda before, after: after[0] > max(1.05 * before[0], before[0] + 3),
    "dark pockets": lambda before, after: after[1] > max(1.1 * before[1], before[1] + 50),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", default=["li", "nmar", "sslmar"])
    methods = {name: get_method(name) for name in parser.parse_args().methods}
    rows = {}  # (mask, method) -> [(RMSE of all, half and none of the correction, signs that show)]
    for kind, slice_hu, truth_hu, metal, mask, spacing_mm in masked_slices():
        near, in_plane_mm = measuring_regions(slice_hu[0], mask[0], spacing_mm[1:]).near, spacing_mm[1:]
        before = measured(slice_hu[0], near, in_plane_mm)
        for name, method in methods.items():
            result = reduce_metal_artifacts(slice_hu, spacing_mm, mask, method).volume_hu
            after = measured(result[0], near, in_plane_mm)
            change, wanted = (image[~metal] - slice_hu[~metal].astype(float) for image in (result, truth_hu))
            rmse_hu = [float(((share * change - wanted) ** 2).mean() ** 0.5) for share in (1.0, 0.5, 0.0)]
            rows.setdefault((kind, name), []).append((rmse_hu, {sign for sign, shows in SIGNS.items() if shows(before, after)}))
    for (kind, name), slices in rows.items():
        print(f"{kind} mask, {name}: {sum(rmse[0] > rmse[2] for rmse, _ in slices)} of {len(slices)} worse")
        for sign in SIGNS:
            shown = [rmse for rmse, signs in slices if sign in signs]
            means = ", ".join(f"{value:.1f}" for value in numpy.mean(shown, axis=0)) if shown else "-"
            print(f"  {sign}: {len(shown)} slices, {sum(rmse[0] > rmse[2] for rmse in shown)} of them worse; all, half, none {means}")


if __name__ == "__main__":
    main()
