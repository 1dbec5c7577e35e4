"""Train MetalNet on slices scanned, with metal and with contrast medium, by random scanners. Made for a computer without GPU.

    python Testing/Benchmarks/training/metalnet.py DATA OUTPUT [--scans 1200] [--seconds 4000]

DATA is a folder of metal-free scans, as `sslmar train` reads it. OUTPUT/metalnet.safetensors and its JSON file come out. The shipped
weights were made by this recipe in two parts, the blur and the darker metal in the second alone, by a longer script that also turned and
scaled patches, took in the phantom, and validated.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy
import torch
from scipy.ndimage import gaussian_filter
from slicenet import random_slices, scanned

from SSLMARLib.networks.metal_network import MetalNet
from SSLMARLib.networks.weights import save_weights
from SSLMARLib.simulation.metal_masks import body_mask
from SSLMARLib.simulation.scanners import random_scanner
from SSLMARLib.tomography import FanBeamProjector
from SSLMARLib.training.slices import read_metal_free_slices

PATCH_PIXELS, PATCHES = 192, 10
WITHOUT_METAL, WITH_CONTRAST = 0.25, 0.40  # shares of the scans


def contrast_medium(body, generator) -> numpy.ndarray:
    """How much (0 to 0.4 of titanium) of each pixel of the body is dense contrast medium: one or two smooth ellipses."""
    rows, columns = numpy.mgrid[: body.shape[0], : body.shape[1]].astype(float)
    places, cover = numpy.argwhere(body), numpy.zeros(body.shape)
    for _ in range(int(generator.integers(1, 3))):
        (row, column), angle = places[generator.integers(len(places))], generator.uniform(0, math.pi)
        along = (rows - row) * math.cos(angle) + (columns - column) * math.sin(angle)
        across = (columns - column) * math.cos(angle) - (rows - row) * math.sin(angle)
        short = generator.uniform(4, 14)
        depth = (1 - numpy.hypot(along / generator.uniform(5, 45), across / short)) * short
        cover = numpy.maximum(cover, generator.uniform(0.1, 0.42) / (1 + numpy.exp(-depth / generator.uniform(0.8, 2.0))))
    return numpy.where(body, cover, 0)


def scans(slices, count: int, generator) -> list[tuple[numpy.ndarray, numpy.ndarray]]:
    """(slice in HU, metal) of as many simulated scans."""
    noise = torch.Generator().manual_seed(1)
    built = [(one, FanBeamProjector(one.geometry())) for one in map(random_scanner, range(10))]
    made = []
    while len(made) < count:
        truth_hu, metal = random_slices(slices, generator)
        kind, cover = generator.random(), metal.astype(numpy.float32)
        if kind < WITH_CONTRAST:
            metal &= kind >= WITHOUT_METAL
            medium = numpy.stack([contrast_medium(body_mask(one), generator) for one in truth_hu])
            cover = numpy.maximum(metal, medium).astype(numpy.float32)
        scanner, projector = built[generator.integers(len(built))]
        truth, cover = torch.from_numpy(truth_hu).float(), torch.from_numpy(cover)
        with torch.no_grad():
            slices_hu = scanned(scanner, projector, truth, cover, generator.uniform(0.45, 0.95), generator, noise)
        made += list(zip(slices_hu.numpy().astype(numpy.float32), metal, strict=True))
        print(f"{len(made)} of {count} scans", flush=True)
    return made


def patch(made, slices, generator):
    """(slice in HU, metal) of a square around metal or what is bright; at times of a metal-free slice with brightened bone."""
    if generator.random() < 0.17:
        image = slices.images_hu[generator.integers(len(slices))].astype(numpy.float32)
        image = numpy.where(image > 300, 300 + (image - 300) * generator.uniform(1, 1.7), image)
        image = numpy.minimum(image + generator.normal(0, generator.uniform(0, 60), image.shape), 3071)
        metal = numpy.zeros(image.shape, bool)
    else:
        image, metal = made[generator.integers(len(made))]
        if generator.random() < 0.35:
            image = gaussian_filter(numpy.minimum(image, generator.uniform(3071, 8000)), generator.uniform(0.4, 1.6))
        if generator.random() < 0.4:
            image = numpy.where(image > 1200, 1200 + (image - 1200) * generator.uniform(0.6, 1.0), image)
        if generator.random() < 0.25:
            image = numpy.minimum(image, generator.uniform(2700, 3300))
    places = numpy.argwhere(metal if metal.any() and generator.random() < 0.7 else image > 1200)
    middle = generator.integers(0, image.shape)
    if len(places):
        middle = places[generator.integers(len(places))] + generator.integers(-PATCH_PIXELS // 2 + 8, PATCH_PIXELS // 2 - 8, 2)
    corner = [int(numpy.clip(one - PATCH_PIXELS // 2, 0, size - PATCH_PIXELS)) for one, size in zip(middle, image.shape, strict=True)]
    window = tuple(slice(start, start + PATCH_PIXELS) for start in corner)
    return torch.from_numpy(image[window].astype(numpy.float32)), torch.from_numpy(metal[window].astype(numpy.float32))


def train(data, output, count, seconds, leave_out):
    slices, generator = read_metal_free_slices(data, leave_out=leave_out), numpy.random.default_rng(3)
    made, network = scans(slices, count, generator), MetalNet()
    average = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    optimizer = torch.optim.AdamW(network.parameters(), lr=1.5e-3, weight_decay=1e-4)
    step, start = 0, time.monotonic()
    while (share := (time.monotonic() - start) / seconds) < 1:
        images, metal = (torch.stack(part) for part in zip(*(patch(made, slices, generator) for _ in range(PATCHES)), strict=True))
        if generator.random() < 0.5:
            images, metal = images.flip(-1), metal.flip(-1)
        logits = network(images)
        found = logits.sigmoid()
        dice = (2 * (found * metal).sum((1, 2)) + 30) / (found.sum((1, 2)) + metal.sum((1, 2)) + 30)
        loss = 3 * torch.nn.functional.binary_cross_entropy_with_logits(logits, metal) + (1 - dice).mean()
        optimizer.param_groups[0]["lr"] = 1.5e-3 * min(1, (step + 1) / 50) * (0.49 * (1 + math.cos(math.pi * share)) + 0.02)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        step += 1
        for name, tensor in network.state_dict().items():
            average[name].lerp_(tensor, 1 - min(0.995, step / (step + 9)))
        print(f"step {step}, loss {float(loss):.4f}", flush=True)
    tensors = {name: tensor.half() for name, tensor in average.items()}
    save_weights(Path(output) / "metalnet.safetensors", tensors, {"network": network.options, "step": step})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--scans", type=int, default=1200)
    parser.add_argument("--seconds", type=float, default=4000)
    parser.add_argument("--leave-out", nargs="*", default=(), help="files of DATA that are not read")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    train(options.data, options.output, options.scans, options.seconds, options.leave_out)
