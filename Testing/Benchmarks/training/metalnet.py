"""Train MetalNet on slices scanned, with metal and with contrast medium, by random scanners. Made for a GPU.

    python Testing/Benchmarks/training/metalnet.py DATA OUTPUT [--seconds 560] [--device cuda] [--workers 7]

DATA is a folder of metal-free scans, as `sslmar train` reads it; three of its patients validate. OUTPUT/metalnet.safetensors and its JSON
file come out, anew with each validation, and a checkpoint, from which the
same command goes on. One loop: eight slices are scanned and kept, then some steps learn from squares of what is kept, each time with
another kernel, size of pixels, and cut-off.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy
import torch
from drawing import DrawnSlices, drawn_ahead
from learning import Course, Learner, checkpoint_path, steps_before
from slicenet import built_scanners, scanned, split_patients

from SSLMARLib.methods.filters import gaussian_smoothing
from SSLMARLib.networks.metal_network import MetalNet
from SSLMARLib.training.slices import read_metal_free_slices

CHANNELS = (32, 64, 96, 128, 128)
SQUARE, STEPS = 224, 3  # pixels; steps after each eight scans
MOST_KEPT = 14000
PIXELS_MM = (0.40, 1.05)
METAL_FREE = 4  # further squares of a step: slices as they are, with brightened bone
HIGHEST_HU, TOP_HU = 3071.0, 60000.0
METALS = {"titanium": 0.3, "cobalt_chromium": 0.2, "stainless_steel": 0.2, "amalgam": 0.18, "gold": 0.05, "platinum": 0.04, "iron": 0.03}


class KeptScans:
    """Scans in HU, not cut off, and the metal in them, on the device; the oldest give way."""

    def __init__(self, capacity: int, size: int, device):
        self.images = torch.zeros(capacity, size, size, dtype=torch.float16, device=device)
        self.metal = torch.zeros(capacity, size, size, dtype=torch.bool, device=device)
        self.places = [None] * capacity
        self.count = 0

    def add(self, images, metal) -> None:
        """images (slices, rows, columns) HU, metal boolean."""
        for image, one in zip(images, metal, strict=True):
            number = self.count % len(self.places)
            self.images[number], self.metal[number] = image.half(), one
            found = one.nonzero() if one.any() else (image > 1200).nonzero()
            self.places[number] = found[torch.randint(len(found), (16,), device=found.device)].cpu().numpy() if len(found) else None
            self.count += 1

    def draw(self, generator):
        """(index, row, column): mostly a place near metal, or what is bright where there is none."""
        number = int(generator.integers(min(self.count, len(self.places))))
        middle, size = generator.integers(0, self.images.shape[1], 2), self.images.shape[1]
        if self.places[number] is not None and generator.random() < 0.85:
            middle = self.places[number][generator.integers(16)] + generator.integers(8 - SQUARE // 2, SQUARE // 2 - 8, 2)
        return number, *(int(numpy.clip(one, SQUARE // 2, size - SQUARE // 2)) for one in middle)


def squares(kept: KeptScans, generator, count: int, plain: float):
    """(squares in HU, how much of each pixel is metal), (count, SQUARE, SQUARE) with one kernel and one size of pixels; a share of
    `plain` as they were scanned but for the cut-off."""
    device, is_plain = kept.images.device, generator.random() < plain
    zoom = 1.0 if is_plain or generator.random() < 0.5 else math.exp(generator.uniform(math.log(0.7), math.log(2.2)))
    half, images, metal = int(SQUARE / 2 * zoom), [], []
    for _ in range(count):
        number, row, column = kept.draw(generator)
        window = slice(max(row - half, 0), row + half), slice(max(column - half, 0), column + half)
        image, one = kept.images[number][window].float(), kept.metal[number][window].float()
        missing = [2 * half - length for length in image.shape]
        padding = (0, missing[1], 0, missing[0])
        images.append(torch.nn.functional.pad(image, padding, value=-1000.0))
        metal.append(torch.nn.functional.pad(one, padding))
    images, metal = torch.stack(images), torch.stack(metal)
    draw = lambda low, high: torch.from_numpy(generator.uniform(low, high, (count, 1, 1)).astype(numpy.float32)).to(device)  # noqa: E731
    chosen = lambda share: torch.from_numpy(generator.random((count, 1, 1)) < share).to(device)  # noqa: E731
    cut_off = torch.where(chosen(0.1 if is_plain else 0.35), draw(2000, 3300), HIGHEST_HU)
    cut_off = torch.where(chosen(0.2), draw(math.log(3300), math.log(TOP_HU)).exp(), cut_off)
    cut_off_before = chosen(0.4)  # the kernel and the pixels come after it where a scan was resampled later
    images = torch.where(cut_off_before, torch.minimum(images, cut_off), images)
    if not is_plain and generator.random() < 0.5:
        images = torch.minimum(images, draw(math.log(4000), math.log(TOP_HU)).exp())
        images = gaussian_smoothing(images, generator.uniform(0.4, 1.5) * min(zoom, 1.0))
    if not is_plain and generator.random() < 0.3:
        images = images + generator.uniform(0.2, 1.2) * (images - gaussian_smoothing(images, generator.uniform(0.8, 2.0)))
    if zoom != 1.0:
        if zoom > 1:
            images = gaussian_smoothing(images, generator.uniform(0.3, 0.45) * zoom)
        resized = lambda one, mode: torch.nn.functional.interpolate(one[:, None], (SQUARE, SQUARE), mode=mode)[:, 0]  # noqa: E731
        images, metal = resized(images, "bilinear"), resized(metal, "area" if zoom > 1 else "bilinear")
    darker = torch.where(chosen(0.0 if is_plain else 0.3), draw(0.6, 1.0), 1.0)
    images = torch.where(images > 1200, 1200 + (images - 1200) * darker, images)
    images = images + torch.where(chosen(0.0 if is_plain else 0.5), draw(0, 40), 0.0) * torch.randn_like(images)
    images = torch.minimum(images, cut_off)
    flips = [axis for axis in (1, 2) if generator.random() < 0.5]
    turned = int(generator.integers(2))
    return tuple(torch.rot90(one.flip(flips), turned, (1, 2)) for one in (images, metal))


def metal_free_squares(slices, generator, count: int):
    """(squares in HU) of slices as they are, bone brightened."""
    images = []
    for _ in range(count):
        image = slices.images_hu[generator.integers(len(slices))].astype(numpy.float32)
        bright = numpy.argwhere(image > 1000)
        middle = bright[generator.integers(len(bright))] if len(bright) else numpy.array(image.shape) // 2
        row, column = (int(numpy.clip(one, SQUARE // 2, size - SQUARE // 2)) for one, size in zip(middle, image.shape, strict=True))
        image = image[row - SQUARE // 2 : row + SQUARE // 2, column - SQUARE // 2 : column + SQUARE // 2]
        image = numpy.where(image > 300, 300 + (image - 300) * generator.uniform(1, 1.8), image)
        images.append(numpy.minimum(image + generator.normal(0, generator.uniform(0, 50), image.shape), HIGHEST_HU))
    return torch.from_numpy(numpy.stack(images).astype(numpy.float32))


def loss_of(logits, metal):
    """Cross-entropy, by the size of the metal, and soft Dice; metal (squares, rows, columns) 0 to 1."""
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(logits, metal, reduction="none").sum((1, 2))
    found = logits.sigmoid()
    dice = (2 * (found * metal).sum((1, 2)) + 20) / (found.sum((1, 2)) + metal.sum((1, 2)) + 20)
    return (entropy / (metal.sum((1, 2)) + 80)).mean() + (1 - dice).mean()


def scan(drawn, scanners, generator, noise, device):
    """(slices in HU not cut off, metal, truth in HU) of a drawn batch by a random scanner."""
    truth, metal, contrast, pixel_mm = drawn
    truth, metal, contrast = (one.to(device, torch.float32) for one in (truth, metal, contrast))
    scanner, projector = scanners[generator.integers(len(scanners))]
    with torch.no_grad():
        images = scanned(scanner, projector, truth, metal, pixel_mm, generator, noise, METALS, contrast, TOP_HU)
    return images, metal >= 0.5, truth


@torch.no_grad()
def validate(network, scans) -> dict:
    """Dice, and the error in HU that false metal makes when it is put back, means of the scans with metal; pixels found in the others."""
    dice, errors, false = [], [], 0
    for images, metal, truth in scans:
        images = images.clamp(max=HIGHEST_HU)
        found = network(images) > 0
        for one, mask, image, right in zip(found, metal, images, truth, strict=True):
            if mask.any():
                dice.append(float(2 * (one & mask).sum() / (one.sum() + mask.sum())))
                errors.append(float(((one & ~mask) * (image - right)).square().mean().sqrt()))
            else:
                false += int(one.sum())
    return {
        "dice": float(numpy.mean(dice)), "worst_tenth_dice": float(numpy.quantile(dice, 0.1)),
        "false_metal_rmse_hu": float(numpy.mean(errors)), "false_pixels_without_metal": false,
    }  # fmt: skip


def train(options):
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    steps = steps_before(checkpoint_path(options.output, "metalnet"))
    device, generator = options.device, numpy.random.default_rng(3)
    training, validation = split_patients(read_metal_free_slices(options.data, leave_out=options.leave_out))
    ahead = drawn_ahead(DrawnSlices(training, 8, 11 + steps, PIXELS_MM, with_contrast=True, with_noise=True), options.workers)
    validating = drawn_ahead(DrawnSlices(validation, 8, 12, PIXELS_MM, with_contrast=True, with_noise=True), 0)
    drawn_to_validate = [next(validating) for _ in range(options.validation_batches)]
    noise = torch.Generator(device).manual_seed(1)
    unseen = built_scanners((101, 102, 103), device)
    scans_to_validate = [scan(one, [scanner], generator, noise, device) for scanner in unseen for one in drawn_to_validate]
    scanners = built_scanners(range(20, 20 + options.scanners), device)
    learner = Learner(MetalNet(CHANNELS), options.start, device, options.rate)
    kept = KeptScans(options.kept, 512, device)
    course = Course(options, "metalnet", learner, generator, noise)
    while (share := course.share) < 1:
        kept.add(*scan(next(ahead), scanners, generator, noise, device)[:2])
        for _ in range(options.steps if kept.count > 64 else 1):
            parts = [squares(kept, generator, options.squares // 4, options.plain) for _ in range(4)]
            images, metal = (torch.cat(part) for part in zip(*parts, strict=True))
            images = torch.cat([images, metal_free_squares(training, generator, METAL_FREE).to(device)])
            metal = torch.nn.functional.pad(metal, (0, 0, 0, 0, 0, METAL_FREE))
            with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
                logits = learner.network(images)
            loss = loss_of(logits.float(), metal)
            learner.learn(loss, share)
        facts = lambda: {"scans": kept.count, **validate(learner.average, scans_to_validate)}  # noqa: E731
        course.save_now_and_then(loss, facts, title="MetalNet")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--from", dest="start", metavar="WEIGHTS", help="weights to start from, such as metalnet, the shipped ones")
    parser.add_argument("--seconds", type=float, default=560)
    parser.add_argument("--squares", type=int, default=32, help="of a step")
    parser.add_argument("--steps", type=int, default=STEPS, help="after each eight scans")
    parser.add_argument("--plain", type=float, default=0.0, help="share of the squares that are as they were scanned")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--workers", type=int, default=7)
    parser.add_argument("--scanners", type=int, default=7)
    parser.add_argument("--kept", type=int, default=MOST_KEPT)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--validate-every", type=float, default=60)
    parser.add_argument("--validation-batches", type=int, default=3)
    parser.add_argument("--leave-out", nargs="*", default=(), help="files of DATA that are not read")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    train(options)
