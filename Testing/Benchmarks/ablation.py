"""The ablation of Table I (Yu et al.): each part of the method trained with one equal budget, and compared on scans that none has seen.

    python Testing/Benchmarks/ablation.py FOLDER [--steps N] [--every N] [--only-train NAME ...]

Trains what FOLDER does not have yet, as training/ablation.json says but for the weights of the loss, then scans development slices
with the 10 standard test masks in them (titanium; sinograms, not images) and prints the table. Needs ../shared/data.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy
import torch
from standard_masks import development_slices

from SSLMARLib.ct.attenuation import attenuation_to_hu, hu_to_attenuation
from SSLMARLib.ct.resampling import SliceGrid
from SSLMARLib.device import to_array, to_tensor
from SSLMARLib.evaluation.metrics import rmse_hu, ssim
from SSLMARLib.methods.base import MetalAffectedScan
from SSLMARLib.methods.restoration import corrected_sinogram, run_networks
from SSLMARLib.methods.sslmar import SSLMAR
from SSLMARLib.simulation.scan import ScanProtocol, simulate_scan
from SSLMARLib.tomography.projector import get_projector
from SSLMARLib.training.configuration import TrainingConfiguration
from SSLMARLib.training.sslmar import SSLMARTask
from SSLMARLib.training.trainer import train

CONFIGURATION = Path(__file__).parent / "training" / "ablation.json"
SHIPPED_INPUTS = {"size": "small", "image_network": {"further_inputs": ["nmar", "measured", "metal"]}}
TRAININGS = {  # name: (weights of the loss, other network options)
    "sinonet": ({"completion": 1.0, "consistency": 0.0, "refinement": 0.0}, None),
    "consistency": ({"completion": 1.0, "consistency": 1.0, "refinement": 0.0}, None),
    "joint": ({"completion": 1.0, "consistency": 1.0, "refinement": 1.0}, None),
    "end_to_end": ({"completion": 1.0, "consistency": 1.0, "refinement": 1.0, "end_to_end": 1.0}, None),
    "further_inputs": ({"completion": 1.0, "consistency": 1.0, "refinement": 1.0, "end_to_end": 1.0}, SHIPPED_INPUTS),
}
ROWS = (  # title, training, iterations, whether the image is that of ImgNet (True) or that of the completed or replaced sinogram
    ("SinoNet", "sinonet", 0, False),
    ("SinoNet + FBP consistency", "consistency", 0, False),
    ("joint with ImgNet", "joint", 1, True),
    ("joint + MTR", "joint", 1, False),
    ("joint + end-to-end MTR", "end_to_end", 1, False),
    ("the same with NMAR, measured data and metal as further inputs", "further_inputs", 1, False),
)


def train_what_is_missing(folder: Path, names, steps: int | None) -> None:
    configuration = TrainingConfiguration.read(CONFIGURATION)
    for name in names:
        loss_weights, network_options = TRAININGS[name]
        one = replace(
            configuration,
            loss_weights=loss_weights,
            network_options=network_options or configuration.network_options,
            output=str(folder / name),
            steps=steps or configuration.steps,
            validate_every=steps or configuration.validate_every,
        )
        if not (folder / name / "done").exists():
            train(SSLMARTask(one), one, resume=True)
            (folder / name / "done").touch()


def simulated_scans(projector, every: int):
    """(scan, its metal-free image in HU) of each development slice, the masks along the first axis."""
    size = projector.geometry.image_shape[0]
    for number, (_, volume, _, masks) in enumerate(development_slices()):
        grid = SliceGrid(volume.shape[1:], volume.spacing_mm[1:], size)
        image = grid.to_grid(hu_to_attenuation(to_tensor(volume.voxels_hu[:1].astype(numpy.float32))))[0]
        for index, mask in list(enumerate(grid.mask_to_grid(to_tensor(masks))))[::every]:
            noise = torch.Generator().manual_seed(100 * number + index)
            simulated = simulate_scan(image, mask, projector, ScanProtocol(material="titanium"), noise)
            scan = MetalAffectedScan(simulated.sinogram, simulated.metal_trace, simulated.metal_mask, projector)
            yield scan, to_array(attenuation_to_hu(projector.fbp(simulated.metal_free_sinogram)))[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, help="of each training, other than the configuration's")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="compare on every Nth mask of a slice")
    parser.add_argument("--only-train", nargs="+", choices=TRAININGS, metavar="NAME", help="train these, print no table")
    arguments = parser.parse_args()
    train_what_is_missing(arguments.folder, arguments.only_train or TRAININGS, arguments.steps)
    if arguments.only_train:
        return
    methods = {name: SSLMAR(arguments.folder / name / "sslmar.safetensors") for name in TRAININGS}
    figures = {title: [] for title in ("LI", *(row[0] for row in ROWS))}
    with torch.inference_mode():
        for scan, reference_hu in simulated_scans(get_projector("cpu"), arguments.every):
            images = {"LI": scan.interpolated_image}
            for title, name, iterations, image_of_imgnet in ROWS:
                restoration = run_networks(methods[name].network("cpu"), scan, methods[name].constants, iterations)
                images[title] = restoration.prior_image if image_of_imgnet else scan.projector.fbp(corrected_sinogram(restoration, scan))
            metal = to_array(scan.metal_mask)[0]
            for title, image in images.items():
                image_hu = to_array(attenuation_to_hu(image))[0]
                figures[title].append((rmse_hu(image_hu, reference_hu, metal), ssim(image_hu, reference_hu, metal)))
    baseline = numpy.mean(figures["LI"], axis=0)[0]
    print(f"{len(figures['LI'])} scans\n| trained | RMSE (HU) | of LI | SSIM |\n|---|---|---|---|")
    for title, values in figures.items():
        rmse, similarity = numpy.mean(values, axis=0)
        print(f"| {title} | {rmse:.1f} | {rmse / baseline:.2f} | {similarity:.3f} |")


if __name__ == "__main__":
    main()
