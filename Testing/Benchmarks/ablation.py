"""The ablation of Table I and figure 2 (Yu et al.): each part of the method trained from one start with one budget, and compared.

    python Testing/Benchmarks/ablation.py FOLDER [--steps N] [--every N] [--figure PICTURE.png] [--only-train NAME ...]

Trains what FOLDER does not have yet, from the weights of `sslmar_paper`, as training/ablation.json says but for the weights of the loss.
Then prints the table: benchmark cases, and development slices with the 10 standard test masks in them (titanium); sinograms, not images.
As in figure 2 a square beside metal is measured too, the one where the uncorrected image is wrong most. Needs ../shared/data.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy
import torch
from scipy import ndimage
from standard_masks import DATA, development_slices

from SSLMARLib.ct.attenuation import attenuation_to_hu, hu_to_attenuation
from SSLMARLib.ct.resampling import SliceGrid
from SSLMARLib.device import to_array, to_tensor
from SSLMARLib.evaluation.cases import find_groups
from SSLMARLib.evaluation.figures import FigureRow, figure_comparison
from SSLMARLib.evaluation.metrics import rmse_hu, ssim
from SSLMARLib.methods import get_method
from SSLMARLib.methods.base import MetalAffectedScan
from SSLMARLib.methods.restoration import corrected_sinogram, run_networks
from SSLMARLib.simulation.scan import ScanProtocol, simulate_scan
from SSLMARLib.sinogram import metal_trace
from SSLMARLib.tomography.projector import get_projector
from SSLMARLib.training.configuration import TrainingConfiguration
from SSLMARLib.training.sslmar import SSLMARPaperTask
from SSLMARLib.training.trainer import train

CONFIGURATION = Path(__file__).parent / "training" / "ablation.json"
START = "sslmar_paper"
TRAININGS = {  # name: weights of the loss
    "sinonet": {"completion": 1.0, "consistency": 0.0, "refinement": 0.0},
    "consistency": {"completion": 1.0, "consistency": 1.0, "refinement": 0.0},
    "joint": {"completion": 1.0, "consistency": 1.0, "refinement": 1.0},
    "end_to_end": {"completion": 1.0, "consistency": 1.0, "refinement": 1.0, "end_to_end": 1.0},
}
ROWS = (  # title, training, iterations, whether the image is that of ImgNet (True) or that of the completed or replaced sinogram
    ("SinoNet", "sinonet", 0, False),
    ("SinoNet + FBP consistency", "consistency", 0, False),
    ("joint with ImgNet", "joint", 1, True),
    ("joint + MTR", "joint", 1, False),
    ("joint + end-to-end MTR", "end_to_end", 1, False),
)
SQUARE_PIXELS = 64
WINDOW_HU = (-140.0, 240.0)  # the paper's figure 2


@dataclass
class Case:
    """A scan, its metal-free image (rows, columns) in HU, and the set of cases that it belongs to."""

    part: str
    scan: MetalAffectedScan
    reference_hu: numpy.ndarray


def train_what_is_missing(folder: Path, names, steps: int | None) -> None:
    configuration = TrainingConfiguration.read(CONFIGURATION)
    for name in names:
        one = replace(configuration, loss_weights=TRAININGS[name], output=str(folder / name), steps=steps or configuration.steps)
        if not (folder / name / "done").exists():
            train(SSLMARPaperTask(one), one, resume=True, start_from=START)
            (folder / name / "done").touch()


def benchmark_cases(projector):
    for part, masks in (("test", DATA / "masks" / "masks_testmask10.npz"), ("train", None)):
        for group in find_groups(DATA / "benchmark" / part, masks):
            cases = group.load()
            reference = projector.fbp(to_tensor(cases.poly_sinogram[None]))
            for sinogram, mask in zip(cases.metal_affected_sinograms, cases.metal_masks, strict=True):
                metal = to_tensor(mask[None])
                scan = MetalAffectedScan(to_tensor(sinogram[None]), metal_trace(metal, projector), metal, projector)
                yield Case(f"benchmark {part}", scan, to_array(attenuation_to_hu(reference))[0])


def simulated_cases(projector, every: int):
    """Every Nth mask of each development slice."""
    size = projector.geometry.image_shape[0]
    for number, (_, volume, _, masks) in enumerate(development_slices()):
        grid = SliceGrid(volume.shape[1:], volume.spacing_mm[1:], size)
        image = grid.to_grid(hu_to_attenuation(to_tensor(volume.voxels_hu[:1].astype(numpy.float32))))[0]
        for index, mask in list(enumerate(grid.mask_to_grid(to_tensor(masks))))[::every]:
            noise = torch.Generator().manual_seed(100 * number + index)
            simulated = simulate_scan(image, mask, projector, ScanProtocol(material="titanium"), noise)
            scan = MetalAffectedScan(simulated.sinogram, simulated.metal_trace, simulated.metal_mask, projector)
            yield Case("standard masks", scan, to_array(attenuation_to_hu(projector.fbp(simulated.metal_free_sinogram)))[0])


def worst_square(case: Case) -> tuple[slice, slice]:
    """Rows and columns of the square where the uncorrected image is wrong most, metal left out."""
    error = to_array(attenuation_to_hu(case.scan.uncorrected_image))[0] - case.reference_hu
    error[to_array(case.scan.metal_mask)[0]] = 0.0
    mean = ndimage.uniform_filter(error**2, SQUARE_PIXELS, mode="constant")
    half, last = SQUARE_PIXELS // 2, len(error) - SQUARE_PIXELS
    starts = (int(numpy.clip(place - half, 0, last)) for place in numpy.unravel_index(mean.argmax(), mean.shape))
    return tuple(slice(start, start + SQUARE_PIXELS) for start in starts)


def images_of(case: Case, methods) -> dict[str, numpy.ndarray]:
    """Title to image (rows, columns) in HU, LI first."""
    images, constants = {"LI": case.scan.interpolated_image}, get_method("sslmar").constants
    for title, name, iterations, image_of_imgnet in ROWS:
        restoration = run_networks(methods[name].network("cpu"), case.scan, constants, iterations)
        images[title] = restoration.prior_image if image_of_imgnet else case.scan.projector.fbp(corrected_sinogram(restoration, case.scan))
    return {title: to_array(attenuation_to_hu(image))[0] for title, image in images.items()}


def measured(case: Case, images) -> dict[str, tuple[float, ...]]:
    """Title to RMSE (HU) and SSIM of the slice, then of the square."""
    metal, square = to_array(case.scan.metal_mask)[0], worst_square(case)
    whole = slice(None), slice(None)
    return {
        title: tuple(measure(image[part], case.reference_hu[part], metal[part]) for part in (whole, square) for measure in (rmse_hu, ssim))
        for title, image in images.items()
    }


def print_table(figures: list[tuple[str, dict]]) -> None:
    for part in dict.fromkeys(part for part, _ in figures):
        of_part = [one for name, one in figures if name == part]
        baseline = numpy.mean([one["LI"] for one in of_part], axis=0)
        print(f"\n| {part}, {len(of_part)} scans | RMSE (HU) | of LI | SSIM | square: RMSE (HU) | of LI | SSIM |")
        print("|---|---|---|---|---|---|---|")
        for title in of_part[0]:
            rmse, similarity, in_square, square_similarity = numpy.mean([one[title] for one in of_part], axis=0)
            print(
                f"| {title} | {rmse:.1f} | {rmse / baseline[0]:.3f} | {similarity:.4f} "
                f"| {in_square:.1f} | {in_square / baseline[2]:.3f} | {square_similarity:.4f} |"
            )


def figure_row(case: Case, images, figures) -> FigureRow:
    captions = {title: f"square: {values[2]:.1f} HU / {values[3]:.4f}" for title, values in figures.items()}
    return FigureRow(case.part, {"reference": case.reference_hu, **images}, to_array(case.scan.metal_mask)[0], captions)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, help="of each training, other than the configuration's")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="compare on every Nth mask of a development slice")
    parser.add_argument("--figure", type=Path, metavar="PICTURE.png", help="draw the first case of each set as figure 2 does")
    parser.add_argument("--only-train", nargs="+", choices=TRAININGS, metavar="NAME", help="train these, print no table")
    arguments = parser.parse_args()
    train_what_is_missing(arguments.folder, arguments.only_train or TRAININGS, arguments.steps)
    if arguments.only_train:
        return
    methods = {name: get_method(arguments.folder / name / f"{START}.safetensors") for name in TRAININGS}
    figures, rows, projector = [], {}, get_projector("cpu")
    with torch.inference_mode():
        for cases in (benchmark_cases(projector), simulated_cases(projector, arguments.every)):
            for case in cases:
                images = images_of(case, methods)
                figures.append((case.part, measured(case, images)))
                if case.part not in rows:
                    rows[case.part] = figure_row(case, images, figures[-1][1])
    print_table(figures)
    if arguments.figure:
        figure_comparison(list(rows.values()), arguments.figure, WINDOW_HU, overwrite=True)


if __name__ == "__main__":
    main()
