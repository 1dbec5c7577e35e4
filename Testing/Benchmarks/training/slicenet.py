"""Train SliceNet on metal-free slices scanned, with metal, by random scanners. Made for a GPU with 60 GB or more.

    python Testing/Benchmarks/training/slicenet.py DATA OUTPUT [--seconds 560] [--device cuda]

DATA is a folder of metal-free scans, as `sslmar train` reads it. OUTPUT/slicenet.safetensors and its JSON file come out. The shipped
weights were made by this recipe in 560 s on one H200, from 386 slices stored in steps of 5 HU, with a longer script that also validated.
One loop: eight slices are scanned and corrected as the product does and kept, then two steps learn from any eight of those kept.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import replace
from pathlib import Path

import numpy
import torch
from scipy.ndimage import zoom

from SSLMARLib.ct.attenuation import attenuation_difference_to_hu, hu_to_attenuation
from SSLMARLib.ct.resampling import SliceGrid
from SSLMARLib.methods.base import MetalAffectedScan
from SSLMARLib.methods.filters import metal_edge_weight, without_small_changes
from SSLMARLib.methods.sslmar import SSLMAR
from SSLMARLib.networks.imgnet import RESIDUAL_UNIT_PER_CM
from SSLMARLib.networks.slice_network import GRID_PIXELS, SliceNet
from SSLMARLib.networks.weights import save_weights
from SSLMARLib.simulation.metal_masks import body_mask, random_metal_mask
from SSLMARLib.simulation.scan import ScanProtocol, simulate_scan
from SSLMARLib.simulation.scanners import Scanner, random_scanner, smoothed_starved_rays
from SSLMARLib.simulation.volume import blurred_along_detector
from SSLMARLib.sinogram.trace import trace_share
from SSLMARLib.tomography import FanBeamProjector
from SSLMARLib.tomography.projector import get_projector
from SSLMARLib.training.augmentation import TurnAndScale
from SSLMARLib.training.slices import read_metal_free_slices

METALS = {"titanium": 0.42, "cobalt_chromium": 0.22, "stainless_steel": 0.22, "amalgam": 0.05, "gold": 0.03, "platinum": 0.03, "iron": 0.03}
BATCH = 8
PIXELS_MM = (0.45, 0.95)


def random_slices(slices, generator) -> tuple[numpy.ndarray, numpy.ndarray]:
    """(truth in HU, metal masks), each (BATCH, GRID_PIXELS, GRID_PIXELS)"""
    images, masks = [], []
    while len(images) < BATCH:
        image = slices.images_hu[generator.integers(len(slices))]
        image = TurnAndScale.draw(generator, (0.7, 1.15)).apply(image)
        image = zoom(image, GRID_PIXELS / image.shape[0], order=1, mode="nearest", grid_mode=True)
        body = body_mask(image)
        if body.sum() > 3000:
            images.append(image)
            masks.append(random_metal_mask(body, generator, largest_pixels=int(generator.choice((1500, 4000, 9000)))))
    return numpy.stack(images), numpy.stack(masks)


def scanned(scanner: Scanner, projector, truth_hu, metal, pixel_mm, generator, noise):
    """The slices (BATCH, rows, columns) in HU as this scanner shows them, with metal; each time with another metal."""
    names = list(METALS)
    protocol = ScanProtocol(
        noise="shared", material=str(generator.choice(names, p=list(METALS.values()))),
        partial_volume_divisor=float(generator.choice((4, 4, 2, 1))),
    )  # fmt: skip
    grid = SliceGrid(truth_hu.shape[1:], (pixel_mm, pixel_mm), projector.geometry.image_shape[0])
    cover = grid.to_grid(metal.float()).clamp(0, 1)
    image = grid.to_grid(hu_to_attenuation(truth_hu)).clamp(min=0)
    cover = torch.where(cover < 0.05, 0.0, cover)
    scan = simulate_scan(image, cover, projector, scanner.protocol(protocol), noise, pixel_size_cm=grid.pixel_mm / 10)
    sinogram = scan.sinogram
    if scanner.smoothed_from is not None:
        sinogram = smoothed_starved_rays(sinogram, scanner.smoothed_from, scanner.smoothed_bins)
    ratio = grid.pixel_mm / 10 / projector.geometry.pixel_size_cm
    difference = blurred_along_detector(sinogram - scan.metal_free_sinogram, scanner.kernel_fwhm_mm / (10 * ratio * scanner.cell_cm))
    result = truth_hu + attenuation_difference_to_hu(grid.from_grid(projector.fbp(difference / ratio)))
    return result.clamp(-1024, scanner.highest_hu or 20000)


def corrected(method, projector, slices_hu, mask, pixel_mm):
    """(the slices as SSLMAR corrects them without SliceNet, SliceNet's further inputs), all in 1/cm"""
    grid = SliceGrid(slices_hu.shape[1:], (pixel_mm, pixel_mm), projector.geometry.image_shape[0])
    slices = hu_to_attenuation(slices_hu)
    scan = MetalAffectedScan.from_images(grid.to_grid(slices), grid.mask_to_grid(mask), projector, 1)
    reconstruction = projector.fbp(method.correct(scan))
    change = without_small_changes(reconstruction - scan.uncorrected_image, method.small_change_hu, method.small_change_pixels)
    result = slices + grid.from_grid(change)
    result += grid.from_grid(metal_edge_weight(scan.metal_mask)).clamp(0, 1) * (grid.from_grid(reconstruction) - result)
    images = {name: grid.from_grid(scan.images[name]) for name in ("prior", "nmar")}
    return result, {
        **images,
        "slice": slices,
        "metal": mask.float(),
        "trace": grid.from_grid(trace_share(scan.trace, projector)).clamp(0, 1),
    }


def example(slices, scanners, method, projector, generator, noise, device):
    """(corrected, further inputs, what is to be added, where that is known) of BATCH slices"""
    with torch.no_grad():
        truth_hu, metal = (torch.from_numpy(part).to(device) for part in random_slices(slices, generator))
        pixel_mm = generator.uniform(*PIXELS_MM)
        built, projector_of_scanner = scanners[generator.integers(len(scanners))]
        geometry = {name: getattr(built, name) for name in ("grid_pixels", "views", "cell_cm", "source_cm", "detector_cm")}
        scanner = replace(random_scanner(generator), **geometry)  # another protocol on one of the scanners that are built already
        slices_hu = scanned(scanner, projector_of_scanner, truth_hu.float(), metal, pixel_mm, generator, noise)
        mask = metal
        if generator.random() < 0.35:  # as a threshold finds it
            near = torch.nn.functional.max_pool2d(metal[:, None].float(), 21, 1, 10)[:, 0] > 0
            found = (slices_hu >= generator.uniform(1800, 3000)) & near
            mask = torch.where((found.sum((1, 2)) > 8)[:, None, None], found, metal)
        result, images = corrected(method, projector, slices_hu, mask, pixel_mm)
        return result, images, hu_to_attenuation(truth_hu.float()) - result, ~(metal | mask)


def train(data, output, seconds, device, leave_out):
    slices = read_metal_free_slices(data, leave_out=leave_out)
    generator, noise = numpy.random.default_rng(5), torch.Generator(device).manual_seed(1)
    scanners = [(one, FanBeamProjector(one.geometry(), device=device)) for one in map(random_scanner, range(12))]
    method, projector = SSLMAR(), get_projector(device)
    network = SliceNet([48, 64, 96, 128, 160]).to(device, memory_format=torch.channels_last)
    average = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-4)
    kept, step, start = [], 0, time.monotonic()
    while (share := (time.monotonic() - start) / seconds) < 1:
        result, images, wanted, known = example(slices, scanners, method, projector, generator, noise, device)
        for one in range(BATCH):
            kept.append((result[one], {name: image[one] for name, image in images.items()}, wanted[one], known[one]))
        for _ in range(2):
            chosen = [kept[index] for index in generator.integers(len(kept), size=BATCH)]
            flip = (-1,) if generator.random() < 0.5 else ()
            stack = lambda parts, flip=flip: torch.stack(list(parts)).flip(flip)  # noqa: E731
            inputs = {name: stack(one[1][name] for one in chosen) for name in chosen[0][1]}
            with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
                added = network(stack(one[0] for one in chosen), inputs).float()
            error = (added - stack(one[2] for one in chosen)) * stack(one[3] for one in chosen) / RESIDUAL_UNIT_PER_CM
            loss = (error.square().mean((1, 2)) + 1e-4).sqrt().mean() + 0.5 * error.abs().mean()
            optimizer.param_groups[0]["lr"] = 1e-3 * min(1, (step + 1) / 100) * (0.49 * (1 + math.cos(math.pi * share)) + 0.02)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if torch.isfinite(torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)):
                optimizer.step()
            step += 1
            for name, tensor in network.state_dict().items():
                average[name].lerp_(tensor, 1 - min(0.998, step / (step + 9)))
        print(f"step {step}, loss {float(loss):.4f}", flush=True)
    tensors = {name: tensor.half() for name, tensor in average.items()}
    described = {"network": network.options, "step": step, "constants": {"artifact_hu": 15.0, "artifact_pixels": 4.0}}
    save_weights(Path(output) / "slicenet.safetensors", tensors, described)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seconds", type=float, default=560)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--leave-out", nargs="*", default=(), help="files of DATA that are not read")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    train(options.data, options.output, options.seconds, options.device, options.leave_out)
