"""The 10 standard test masks in metal-free development slices: simulated scans for `sslmar evaluate`.

    python Testing/Benchmarks/standard_masks.py FOLDER        (needs ../shared/data beside the repository; FOLDER is made)
    sslmar evaluate FOLDER --methods li nmar cnnmar sslmar

Of each development volume evenly spaced slices are taken; each slice becomes a volume of one slice for each mask that lies in
the body, and `sslmar simulate` scans it with titanium there.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy

from SSLMARLib.cli import main
from SSLMARLib.ct.reading_writing import read_volume, write_volume
from SSLMARLib.ct.volume import CTVolume
from SSLMARLib.simulation.metal_masks import body_mask

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SLICES = {  # volume: how many of its slices
    "test_lidc_idri_0314_chest": 3,
    "test_naist_sample1": 1,
    "test_tcga_ov_09_2043_pelvis_contig": 3,
    "test_tcga_thca_e3_a3e5_neck": 3,
}
INSIDE_BODY = 0.9  # a mask counts as in the body from this share of its pixels on


def development_slices() -> Iterator[tuple[str, CTVolume, int, numpy.ndarray]]:
    """(name, volume, slice number, masks) of each slice: the volume repeats it once for each mask, (masks, rows, columns) both."""
    masks = numpy.load(DATA / "masks" / "masks_testmask10.npz", allow_pickle=False)["mask"] != 0
    for name, count in SLICES.items():
        volume = read_volume(DATA / "dev" / f"{name}.nii.gz")
        slices = volume.shape[0]
        for number in [round((step + 0.5) * slices / count - 0.5) for step in range(count)]:
            voxels_hu = volume.voxels_hu[number]
            body = body_mask(voxels_hu)
            chosen = numpy.stack([mask & body for mask in masks if (mask & body).sum() >= INSIDE_BODY * mask.sum()])
            repeated = numpy.stack([voxels_hu] * len(chosen))
            yield name, CTVolume(repeated, volume.spacing_mm, volume.origin_mm, volume.direction, {}), number + 1, chosen


def make_scans(folder: Path) -> int:
    """Write one simulated volume per slice, whose slices are the masks; returns the number of combinations."""
    combinations = 0
    for name, volume, number, masks in development_slices():
        with tempfile.TemporaryDirectory() as scratch:
            paths = Path(scratch) / "slice.nii.gz", Path(scratch) / "mask.nii.gz"
            write_volume(volume, paths[0])
            write_volume(volume.with_voxels(masks.astype(numpy.uint8)), paths[1])
            scan = folder / f"{name}_{number}.nii.gz"
            status = main(["simulate", str(paths[0]), str(scan), "--mask", str(paths[1]), "--overwrite", "--quiet"])
        if status:
            raise SystemExit(status)
        combinations += len(masks)
    return combinations


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    print(f"{make_scans(arguments.folder)} combinations of a slice and a mask")
