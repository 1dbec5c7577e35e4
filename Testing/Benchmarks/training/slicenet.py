"""Train SliceNet on metal-free slices scanned, with metal, by random scanners. Made for a GPU with 60 GB or more.

    python Testing/Benchmarks/training/slicenet.py DATA OUTPUT [--from slicenet] [--seconds 560] [--device cuda] [--workers 7]

DATA is a folder of metal-free scans, as `sslmar train` reads it; three of its patients validate. OUTPUT/slicenet.safetensors and its JSON
file come out, anew with each validation, and a checkpoint, from which the
same command goes on. One loop: eight slices are scanned and corrected as the product does and kept, then two steps learn from any eight
of those kept.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy
import torch
from drawing import DrawnSlices, drawn_ahead
from learning import Course, Learner, checkpoint_path, error_of, rmse_hu, steps_before

from SSLMARLib.ct.attenuation import attenuation_difference_to_hu, hu_to_attenuation
from SSLMARLib.ct.resampling import SliceGrid
from SSLMARLib.learned_metal import METAL_FROM
from SSLMARLib.methods.base import MetalAffectedScan
from SSLMARLib.methods.filters import corrected_in_slices
from SSLMARLib.methods.sslmar import SSLMAR
from SSLMARLib.networks.metal_network import MetalNet
from SSLMARLib.networks.slice_network import GRID_PIXELS, SliceNet
from SSLMARLib.networks.weights import load_network
from SSLMARLib.simulation.scan import ScanProtocol, simulate_scan
from SSLMARLib.simulation.scanners import Scanner, random_scanner, smoothed_starved_rays
from SSLMARLib.simulation.volume import blurred_along_detector
from SSLMARLib.sinogram.trace import trace_share
from SSLMARLib.tomography import FanBeamProjector
from SSLMARLib.tomography.projector import get_projector
from SSLMARLib.training.slices import MetalFreeSlices, read_metal_free_slices

METALS = {"titanium": 0.36, "cobalt_chromium": 0.25, "stainless_steel": 0.25, "amalgam": 0.05, "gold": 0.03, "platinum": 0.03, "iron": 0.03}
BATCH = 8
PIXELS_MM = (0.45, 0.95)
COARSE, COARSENESS = 0.25, (2, 4)  # share of the batches with pixels so many times as large
FOUND_BY_THRESHOLD, OUTLINED, BY_NETWORK = 0.25, 0.15, 0.2  # shares of the batches, the others have the true mask
VALIDATION_PATIENTS = 3


def split_patients(slices: MetalFreeSlices) -> tuple[MetalFreeSlices, MetalFreeSlices]:
    """(training, validation)"""
    patients = len(numpy.unique(slices.patients))
    return slices.split(VALIDATION_PATIENTS / patients, 4)


def built_scanners(seeds, device) -> list[tuple[Scanner, FanBeamProjector]]:
    """The random scanner of each seed, and its projector."""
    return [(one, FanBeamProjector(one.geometry(), device=device)) for one in map(random_scanner, seeds)]


def random_protocol(generator, metals) -> ScanProtocol:
    """One of the metals (their shares by name), and how the ends of its shadow are thinned."""
    material = str(generator.choice(list(metals), p=list(metals.values())))
    return ScanProtocol(noise="shared", material=material, partial_volume_divisor=float(generator.choice((4, 4, 2, 1))))


def scanned(scanner: Scanner, projector, truth_hu, metal, pixel_mm, generator, noise, metals=None, contrast=None, highest_hu=None):
    """The slices (slices, rows, columns) in HU as this scanner shows them, with metal; each time with another metal.

    metal: how much of a pixel it covers. metals: the share of each, METALS where there are none. contrast: contrast medium, as a share of
    titanium's attenuation. highest_hu: in place of the scanner's own.
    """
    protocol = random_protocol(generator, metals or METALS)
    grid = SliceGrid(truth_hu.shape[1:], (pixel_mm, pixel_mm), projector.geometry.image_shape[0])
    image = grid.to_grid(hu_to_attenuation(truth_hu)).clamp(min=0)
    cover = grid.to_grid(metal.float()).clamp(0, 1)
    cover = torch.where(cover < 0.05, 0.0, cover)
    if contrast is not None:
        titanium = ScanProtocol(material="titanium").metal_attenuation_per_cm
        contrast = grid.to_grid(contrast).clamp(0, 1) * (titanium / protocol.metal_attenuation_per_cm)
        cover = torch.maximum(cover, torch.where(contrast < 1e-4, 0.0, contrast))
    scan = simulate_scan(image, cover, projector, scanner.protocol(protocol), noise, pixel_size_cm=grid.pixel_mm / 10)
    sinogram = scan.sinogram
    if scanner.smoothed_from is not None:
        sinogram = smoothed_starved_rays(sinogram, scanner.smoothed_from, scanner.smoothed_bins)
    ratio = grid.pixel_mm / 10 / projector.geometry.pixel_size_cm
    difference = blurred_along_detector(sinogram - scan.metal_free_sinogram, scanner.kernel_fwhm_mm / (10 * ratio * scanner.cell_cm))
    result = truth_hu + attenuation_difference_to_hu(grid.from_grid(projector.fbp(difference / ratio)))
    return result.clamp(-1024, highest_hu or scanner.highest_hu or 20000)


def corrected(method, projector, slices_hu, mask, pixel_mm):
    """(the slices as SSLMAR corrects them without SliceNet, SliceNet's further inputs), all in 1/cm"""
    grid = SliceGrid(slices_hu.shape[1:], (pixel_mm, pixel_mm), projector.geometry.image_shape[0])
    slices = hu_to_attenuation(slices_hu)
    scan = MetalAffectedScan.from_images(grid.to_grid(slices), grid.mask_to_grid(mask), projector, 1)
    reconstruction = projector.fbp(method.correct(scan))
    result = corrected_in_slices(slices, reconstruction, scan, grid, method.small_change_hu, method.small_change_pixels)
    images = {name: grid.from_grid(scan.images[name]) for name in ("prior", "nmar")}
    return result, {
        **images,
        "slice": slices,
        "metal": mask.float(),
        "trace": grid.from_grid(trace_share(scan.trace, projector)).clamp(0, 1),
    }


def metal_of(cover) -> torch.Tensor:
    """Where metal covers half of a pixel (slices, rows, columns), or in a slice without such pixels where it covers most; boolean."""
    metal = cover >= 0.5
    return torch.where(metal.any((1, 2))[:, None, None], metal, cover >= 0.9 * cover.amax((1, 2), keepdim=True))


def masks_as_found(slices_hu, metal, generator, metal_network=None):
    """The true metal (slices, rows, columns); at times as a threshold or MetalNet finds it, or a little larger or smaller."""
    kind, widened = generator.random(), lambda mask, size: torch.nn.functional.max_pool2d(mask[:, None].float(), size, 1, size // 2)[:, 0]
    if kind < FOUND_BY_THRESHOLD:
        found = (slices_hu >= generator.uniform(1800, 3000)) & (widened(metal, 21) > 0)
    elif kind < FOUND_BY_THRESHOLD + OUTLINED:
        found = widened(metal, 3) > 0 if generator.random() < 0.6 else widened(~metal, 3) == 0
    elif metal_network is not None and kind < FOUND_BY_THRESHOLD + OUTLINED + BY_NETWORK:
        found = (metal_network(slices_hu) > math.log(METAL_FROM / (1 - METAL_FROM))) & (widened(metal, 21) > 0)
    else:
        return metal
    return torch.where((found.sum((1, 2)) > 8)[:, None, None], found, metal)


def example(drawn, scanners, method, projector, metal_network, generator, noise, device):
    """(corrected, further inputs, what is to be added, where that is known) of a drawn batch, on SliceNet's grid"""
    with torch.no_grad():
        truth_hu, metal, _, pixel_mm = drawn
        truth_hu, cover = truth_hu.to(device), metal.to(device, torch.float32)
        built, projector_of_scanner = scanners[generator.integers(len(scanners))]
        geometry = {name: getattr(built, name) for name in ("grid_pixels", "views", "cell_cm", "source_cm", "detector_cm")}
        scanner = replace(random_scanner(generator), **geometry)  # another protocol on one of the scanners that are built already
        slices_hu = scanned(scanner, projector_of_scanner, truth_hu, cover, pixel_mm, generator, noise)
        if generator.random() < COARSE:
            by = int(generator.choice(COARSENESS))
            coarse = lambda one: torch.nn.functional.avg_pool2d(one[:, None], by)[:, 0]  # noqa: E731
            slices_hu, truth_hu, cover = coarse(slices_hu), coarse(truth_hu), coarse(cover)
        metal = metal_of(cover)
        pixel_mm *= GRID_PIXELS / metal.shape[1]
        mask = masks_as_found(slices_hu, metal, generator, metal_network)
        result, images = corrected(method, projector, slices_hu, mask, pixel_mm)
        grid = SliceGrid(metal.shape[1:], (pixel_mm, pixel_mm), GRID_PIXELS)
        wanted = hu_to_attenuation(truth_hu) - result
        result, wanted, images = grid.to_grid(result), grid.to_grid(wanted), {name: grid.to_grid(one) for name, one in images.items()}
        images["metal"], images["trace"] = images["metal"].clamp(0, 1), images["trace"].clamp(0, 1)
        return result, images, wanted, ~grid.mask_to_grid(metal)


@torch.no_grad()
def validate(network, examples) -> dict:
    """RMSE in HU outside metal, means of the slices: as scanned, corrected, and with SliceNet."""
    errors = []
    for result, images, wanted, known in examples:
        left = (images["slice"] - result - wanted, wanted, wanted - network(result, images))
        errors.append(rmse_hu(left, known))
    uncorrected, without, result = torch.cat(errors, 1).mean(1).tolist()
    return {"validation_rmse_hu": {"uncorrected": uncorrected, "without": without, "result": result}}


def train(options):
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    steps = steps_before(checkpoint_path(options.output, "slicenet"))
    device, generator = options.device, numpy.random.default_rng(5)
    training, validation = split_patients(read_metal_free_slices(options.data, leave_out=options.leave_out))
    ahead = drawn_ahead(DrawnSlices(training, BATCH, 21 + steps, PIXELS_MM, with_noise=True), options.workers)
    validating = drawn_ahead(DrawnSlices(validation, BATCH, 22, PIXELS_MM, with_noise=True), 0)
    drawn_to_validate = [next(validating) for _ in range(options.validation_batches)]
    noise = torch.Generator(device).manual_seed(1)
    method, projector = SSLMAR(), get_projector(device)
    unseen = built_scanners((101, 102), device)
    metal_network = load_network(MetalNet, "metalnet")[0].to(device)
    fixed = method, projector, metal_network, generator, noise, device
    examples = [example(one, unseen, *fixed) for one in drawn_to_validate]
    scanners = built_scanners(range(40, 40 + options.scanners), device)
    learner = Learner(SliceNet([48, 64, 96, 128, 160]), options.start, device, options.rate)
    print(json.dumps({"step": 0, **validate(learner.average, examples)}), flush=True)
    kept = []
    course = Course(options, "slicenet", learner, generator, noise)
    while (share := course.share) < 1:
        result, images, wanted, known = example(next(ahead), scanners, *fixed)
        for one in range(BATCH):
            kept.append((result[one].half(), {name: image[one].half() for name, image in images.items()}, wanted[one].half(), known[one]))
        del kept[: -options.kept]
        for _ in range(2):
            chosen = [kept[index] for index in generator.integers(len(kept), size=BATCH)]
            flip = (-1,) if generator.random() < 0.5 else ()
            stack = lambda parts, flip=flip: torch.stack(list(parts)).float().flip(flip)  # noqa: E731
            inputs = {name: stack(one[1][name] for one in chosen) for name in chosen[0][1]}
            before, wanted, known = (stack(one[part] for one in chosen) for part in (0, 2, 3))
            with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
                added = learner.network(before, inputs).float()
            loss = error_of(added, wanted, known)
            learner.learn(loss, share)
        facts = lambda: {"scans": learner.step // 2 * BATCH, **validate(learner.average, examples)}  # noqa: E731
        course.save_now_and_then(loss, facts, constants={"artifact_hu": 15.0, "artifact_pixels": 4.0})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--from", dest="start", metavar="WEIGHTS", help="weights to start from, such as slicenet, the shipped ones")
    parser.add_argument("--seconds", type=float, default=560)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--workers", type=int, default=7)
    parser.add_argument("--scanners", type=int, default=7)
    parser.add_argument("--kept", type=int, default=3500, help="examples, 4 MB each")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--validate-every", type=float, default=60)
    parser.add_argument("--validation-batches", type=int, default=8)
    parser.add_argument("--leave-out", nargs="*", default=(), help="files of DATA that are not read")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    train(options)
