"""Real metal, which has no truth: streaks near metal and changes far from it, by method, and a picture to look at.

    python Testing/Benchmarks/real_metal.py PICTURE.png [--methods nmar cnnmar sslmar]        (needs ../shared/data)

Three slices of a scan with a filling, and two of one with a filling and a chest port. The picture shows real patients: it stays with you.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import numpy

from SSLMARLib.correction import reduce_metal_artifacts
from SSLMARLib.ct.reading_writing import read_volume
from SSLMARLib.ct.segmentation import segment_metal
from SSLMARLib.evaluation.no_reference import measuring_regions, streak_amplitude_hu

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "realmetal"
SLICES = {  # slice indices, or shares of the slices with metal
    "realmetal_tcga_thca_e3_a3e5_dental": [12, 14, 16],
    "realmetal_acrin_001_dental_port": [0.25, 0.75],
}
HALF_WIDTH_PIXELS = 130


def corrected_slices(methods):
    """(name, metal mask, spacing in mm, {method: slice in HU}) of each slice; "before" is the scan itself."""
    for name, chosen in SLICES.items():
        volume = read_volume(DATA / f"{name}.nii.gz")
        mask = segment_metal(volume.voxels_hu, volume.spacing_mm)
        with_metal = numpy.flatnonzero(mask.any(axis=(1, 2)))
        indices = [with_metal[int(one * len(with_metal))] if one < 1 else one for one in chosen]
        slices = {"before": volume.voxels_hu[indices]}
        for method in methods:
            slices[method] = reduce_metal_artifacts(slices["before"], volume.spacing_mm, mask[indices], method).volume_hu
        for number, index in enumerate(indices):
            yield f"{name} {index + 1}", mask[index], volume.spacing_mm[1:], {title: one[number] for title, one in slices.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--methods", nargs="+", default=["nmar", "cnnmar", "sslmar"])
    arguments = parser.parse_args()
    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = list(corrected_slices(arguments.methods))
    titles = ["before", *arguments.methods]
    figure, axes = pyplot.subplots(len(rows), len(titles), figsize=(4 * len(titles), 4 * len(rows)), squeeze=False)
    figures = {title: [] for title in titles}
    for (name, mask, spacing_mm, slices), row in zip(rows, axes, strict=True):
        regions = measuring_regions(slices["before"], mask, spacing_mm)
        middle = numpy.argwhere(mask).mean(axis=0).astype(int)
        window = tuple(slice(max(0, one - HALF_WIDTH_PIXELS), one + HALF_WIDTH_PIXELS) for one in middle)
        for title, axis in zip(titles, row, strict=True):
            streaks = streak_amplitude_hu(slices[title], regions.near, spacing_mm)
            change = numpy.abs(slices[title].astype(float) - slices["before"])[regions.far].mean()
            figures[title].append((streaks, change))
            axis.imshow(slices[title][window], cmap="gray", vmin=-200, vmax=400)
            axis.set_title(f"{title} {streaks:.1f} HU")
            axis.axis("off")
        print(name, *(f"{title} {figures[title][-1][0]:.1f}/{figures[title][-1][1]:.2f}" for title in titles))
    print("| method | streak amplitude near metal (HU) | mean absolute change far from metal (HU) |\n|---|---|---|")
    for title, values in figures.items():
        streaks, change = numpy.mean(values, axis=0)
        print(f"| {title} | {streaks:.1f} | {change:.1f} |")
    figure.tight_layout()
    figure.savefig(arguments.picture, dpi=50)


if __name__ == "__main__":
    main()
