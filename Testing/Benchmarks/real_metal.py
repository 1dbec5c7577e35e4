"""Real metal, which has no truth: streaks near metal and changes far from it, by method, and a picture to look at.

    python Testing/Benchmarks/real_metal.py PICTURE.png [--methods nmar cnnmar sslmar]        (needs ../shared/data)

All slices with metal of three scans. The one with a filling shares no patient with any training, but limits of SSLMAR were chosen on
it; the one with a femoral nail shares none and nothing was chosen on it; of the patient with a filling and a chest port metal-free
slices of the same series were learned from. The picture shows of each scan the slice with the strongest streaks, and what the last
method changed in it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import numpy

from SSLMARLib.correction import reduce_metal_artifacts
from SSLMARLib.ct.metal_search import MetalSearch
from SSLMARLib.ct.reading_writing import read_volume
from SSLMARLib.evaluation.no_reference import measuring_regions, streak_amplitude_hu
from SSLMARLib.learned_metal import find_metal

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "realmetal"
SCANS = {
    "filling": "realmetal_tcga_thca_e3_a3e5_dental",
    "femoral nail": "realmetal_totalsegmentator_femoral_nail",
    "filling and port": "realmetal_acrin_001_dental_port",
}
HALF_WIDTH_PIXELS = 110


def measured_scan(volume, mask, methods):
    """Of a CTVolume and its mask (slices, rows, columns): ({title: corrected slices (slices, rows, columns) in HU}, {title: (slices, 2)
    streak amplitude near metal and change far from it in HU}, slice indices), all of the slices with metal."""
    indices = numpy.flatnonzero(mask.any(axis=(1, 2)))
    before = volume.voxels_hu[indices]
    slices = {"before": before}
    for method in methods:
        slices[method] = reduce_metal_artifacts(before, volume.spacing_mm, mask[indices], method).volume_hu
    spacing_mm = volume.spacing_mm[1:]
    regions = [measuring_regions(image, metal, spacing_mm) for image, metal in zip(before, mask[indices], strict=True)]
    figures = {}
    for title, images in slices.items():
        streaks = [streak_amplitude_hu(image, one.near, spacing_mm) for image, one in zip(images, regions, strict=True)]
        changes = numpy.abs(images.astype(float) - before)
        change = [image[one.far].mean() if one.far.any() else numpy.nan for image, one in zip(changes, regions, strict=True)]
        figures[title] = numpy.array([streaks, change], dtype=float).T
    return slices, figures, indices


def show(row, slices, figures, metal, number) -> None:
    """One row of axes: every method's slice of that number, then the last one's change. metal: (rows, columns) of that slice."""
    last = list(slices)[-1]
    middle = numpy.argwhere(metal).mean(axis=0).astype(int)
    window = tuple(slice(max(0, one - HALF_WIDTH_PIXELS), one + HALF_WIDTH_PIXELS) for one in middle)
    for (title, images), axis in zip(slices.items(), row, strict=False):
        axis.imshow(images[number][window], cmap="gray", vmin=-200, vmax=400)
        axis.set_title(f"{title}, streaks {figures[title][number, 0]:.0f} HU", fontsize=11)
    change = slices[last][number].astype(float) - slices["before"][number]
    row[-1].imshow(change[window], cmap="gray", vmin=-200, vmax=200)
    row[-1].set_title(f"{last} - before", fontsize=11)
    for axis in row:
        axis.axis("off")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--learned", action="store_true", help="metal as the network outlines it, not as the threshold finds it")
    parser.add_argument("--methods", nargs="+", default=["nmar", "cnnmar", "sslmar"])
    arguments = parser.parse_args()
    matplotlib.use("Agg")
    from matplotlib import pyplot

    count = len(arguments.methods) + 2
    figure, axes = pyplot.subplots(len(SCANS), count, figsize=(3.3 * count, 3.5 * len(SCANS)), squeeze=False)
    rows = []
    for (scan, name), row in zip(SCANS.items(), axes, strict=True):
        volume = read_volume(DATA / f"{name}.nii.gz")
        mask = find_metal(volume.voxels_hu, volume.spacing_mm, MetalSearch(learned_outline=arguments.learned))
        slices, figures, indices = measured_scan(volume, mask, arguments.methods)
        for number, index in enumerate(indices):
            print(scan, index + 1, *(f"{title} {values[number, 0]:.1f}/{values[number, 1]:.2f}" for title, values in figures.items()))
        strongest = int(numpy.nanargmax(figures["before"][:, 0]))
        show(row, slices, figures, mask[indices[strongest]], strongest)
        for title, values in figures.items():
            streaks, change = numpy.nanmean(values, axis=0)
            rows.append(f"| {scan}, {len(indices)} slices | {title} | {streaks:.1f} | {change:.1f} |")
    print("| scan | method | streak amplitude near metal (HU) | mean absolute change far from metal (HU) |\n|---|---|---|---|")
    print("\n".join(rows))
    figure.tight_layout()
    figure.savefig(arguments.picture, dpi=60)


if __name__ == "__main__":
    main()
