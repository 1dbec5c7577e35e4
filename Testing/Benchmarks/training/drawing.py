"""Metal-free slices with metal to put into them, drawn ahead by worker processes, for the trainings of SliceNet and MetalNet."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy
import torch
from scipy.ndimage import gaussian_filter, zoom

from SSLMARLib.networks.slice_network import GRID_PIXELS
from SSLMARLib.simulation.metal_masks import body_mask, random_metal_mask
from SSLMARLib.training.augmentation import TurnAndScale
from SSLMARLib.training.slices import MetalFreeSlices

SMALLEST_BODY_PIXELS = 3000
METAL_PIXELS = (1500, 4000, 9000)  # of the largest mask
THICK_SLICES, WITH_CONTRAST, CONTRAST_ALONE = 0.25, 0.30, 0.12  # shares of the slices
NOISE_HU, NOISE_PIXELS = 25.0, (0.5, 1.1)
CONTRAST = (0.1, 0.36)  # of titanium's attenuation: up to some 3500 HU
BESIDE_METAL, BESIDE_METAL_HU, BESIDE_METAL_PIXELS = 0.35, (300, 3000), (3, 14)  # teeth, housings: share of the slices, half axes


@dataclass(frozen=True)
class DrawnSlices(torch.utils.data.IterableDataset):
    """Endless batches of slices of `pixels` x `pixels`: truth in HU (batch, rows, columns) float32, how much of each pixel is metal and how
    much dense contrast medium, in units of titanium, float16, and how many mm a pixel is. What a worker draws depends on the seed and its
    number alone.

    with_contrast: whether some slices have dense contrast medium, alone or beside metal. with_noise: whether noise is added to the truth,
    whose own was smoothed as it was turned and scaled. In BESIDE_METAL of the slices something dense stands beside the metal.
    """

    slices: MetalFreeSlices
    batch: int
    seed: int
    pixels_mm: tuple[float, float]
    with_contrast: bool = False
    with_noise: bool = False
    pixels: int = GRID_PIXELS

    def __iter__(self):
        worker = torch.utils.data.get_worker_info()
        generator = numpy.random.default_rng([self.seed, 0 if worker is None else worker.id])
        while True:
            drawn = [self._draw(generator) for _ in range(self.batch)]
            truth, metal, contrast = (torch.from_numpy(numpy.stack(part)) for part in zip(*drawn, strict=True))
            yield truth, metal.half(), contrast.half(), generator.uniform(*self.pixels_mm)

    def _draw(self, generator):
        while True:
            image = self.slices.images_hu[generator.integers(len(self.slices))]
            image = TurnAndScale.draw(generator, (0.7, 1.15)).apply(image)
            image = zoom(image, self.pixels / image.shape[0], order=1, mode="nearest", grid_mode=True)
            body = body_mask(image)
            if body.sum() > SMALLEST_BODY_PIXELS:
                break
        if self.with_noise:
            noise = gaussian_filter(generator.standard_normal(image.shape).astype(numpy.float32), generator.uniform(*NOISE_PIXELS))
            image = numpy.where(image > -1000, image + noise / noise.std() * generator.uniform(0, NOISE_HU), image)
        smallest = int(generator.choice((4, 16)))
        mask = random_metal_mask(body, generator, smallest_pixels=smallest, largest_pixels=int(generator.choice(METAL_PIXELS)))
        metal, contrast = mask.astype(numpy.float32), numpy.zeros(image.shape, numpy.float32)
        if generator.random() < THICK_SLICES:  # in a part of the slice's thickness metal lies elsewhere, or there is none
            elsewhere = numpy.roll(mask, generator.integers(-4, 5, 2), (0, 1)) & body & (generator.random() < 0.8)
            share = generator.uniform(0.5, 1)
            metal = (share * mask + (1 - share) * elsewhere).astype(numpy.float32)
        if generator.random() < BESIDE_METAL:
            image = with_dense_neighbors(image, body, mask, generator)
        if self.with_contrast and generator.random() < WITH_CONTRAST:
            contrast = contrast_medium(body, generator)
            if generator.random() < CONTRAST_ALONE / WITH_CONTRAST:
                metal = numpy.zeros_like(metal)
        return image.astype(numpy.float32), metal, contrast


def contrast_medium(body, generator) -> numpy.ndarray:
    """How much (of titanium) of each pixel of the body is dense contrast medium: one or two smooth ellipses; float32."""
    places, cover = numpy.argwhere(body), numpy.zeros(body.shape, numpy.float32)
    for _ in range(int(generator.integers(1, 3))):
        short, long = generator.uniform(4, 14), generator.uniform(5, 45)
        inside = smooth_ellipse(body.shape, places[generator.integers(len(places))], (long, short), generator)
        cover = numpy.maximum(cover, generator.uniform(*CONTRAST) * inside)
    return numpy.where(body, cover, 0)


def with_dense_neighbors(image_hu, body, metal, generator) -> numpy.ndarray:
    """The slice with one to four smooth ellipses beside metal, as teeth and housings are: bright throughout, or with a darker middle."""
    edge = numpy.argwhere(metal)
    for _ in range(int(generator.integers(1, 5))):
        axes = generator.uniform(*BESIDE_METAL_PIXELS, 2)
        place = edge[generator.integers(len(edge))] + generator.normal(0, 0.8, 2) * axes.mean()
        hu = generator.uniform(*BESIDE_METAL_HU)
        inside = smooth_ellipse(body.shape, place, axes, generator)
        if generator.random() < 0.5:
            darker = smooth_ellipse(body.shape, place, axes * generator.uniform(0.4, 0.8), generator)
            inside = inside * (1 - generator.uniform(0.2, 0.7) * darker)
        image_hu = numpy.where(body, numpy.maximum(image_hu, image_hu + inside * (hu - image_hu)), image_hu)
    return image_hu


def smooth_ellipse(shape, place, half_axes, generator) -> numpy.ndarray:
    """1 inside an ellipse around a place (row, column), 0 outside, with a soft edge, at a random angle: (rows, columns) float32."""
    rows, columns = numpy.ogrid[: shape[0], : shape[1]]
    rows, columns, angle = (
        (rows - place[0]).astype(numpy.float32),
        (columns - place[1]).astype(numpy.float32),
        generator.uniform(0, math.pi),
    )
    along, across = rows * math.cos(angle) + columns * math.sin(angle), columns * math.cos(angle) - rows * math.sin(angle)
    depth = (1 - numpy.hypot(along / half_axes[0], across / half_axes[1])) * min(half_axes)
    return (1 / (1 + numpy.exp((-depth / generator.uniform(0.8, 2.0)).clip(-50, 50)))).astype(numpy.float32)


def drawn_ahead(dataset: DrawnSlices, workers: int):
    """An iterator over its batches, made by so many processes; to be started before a GPU is used. 0 workers make them here."""
    return iter(torch.utils.data.DataLoader(dataset, batch_size=None, num_workers=workers, prefetch_factor=3 if workers else None))
