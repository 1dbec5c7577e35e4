"""Mini-batches of metal-free slices, each with two random metal masks: all that SSLMAR learns from (Yu et al., II-C)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy
import torch

from ..ct.attenuation import hu_to_attenuation
from ..simulation.metal_masks import body_mask, random_metal_mask
from .augmentation import TurnAndScale
from .slices import MetalFreeSlices


@dataclass(frozen=True)
class MetalPairs(torch.utils.data.Dataset):
    """Item n is mini-batch n: images (slices, rows, columns) float32 in 1/cm, metal masks (2, slices, rows, columns) boolean.

    Sample k of all is sample k % batch_size of mini-batch k // batch_size; it depends on the slices, the settings and (seed, k)
    alone. scales: of the augmentation, from small to large; None for slices as they are. shapes: see `random_metal_mask`.
    """

    slices: MetalFreeSlices
    batch_size: int
    seed: tuple[int, ...]
    scales: tuple[float, float] | None
    metal_pixels: tuple[int, int]
    shapes: Sequence[numpy.ndarray] = ()

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        samples = [self.sample(number * self.batch_size + index) for index in range(self.batch_size)]
        images, masks = (numpy.stack(parts) for parts in zip(*samples, strict=True))
        return torch.from_numpy(images), torch.from_numpy(masks).transpose(0, 1)

    def sample(self, number: int) -> tuple[numpy.ndarray, numpy.ndarray]:
        """(image (rows, columns) in 1/cm, masks (2, rows, columns))"""
        generator = numpy.random.default_rng([*self.seed, number])
        image_hu = self.slices.images_hu[generator.integers(len(self.slices))]
        if self.scales is not None:
            image_hu = TurnAndScale.draw(generator, self.scales).apply(image_hu)
        body = body_mask(image_hu)
        smallest, largest = self.metal_pixels
        limits = {"smallest_pixels": smallest, "largest_pixels": largest, "shapes": self.shapes}
        masks = numpy.stack([random_metal_mask(body, generator, **limits) for _ in range(2)])
        return hu_to_attenuation(image_hu.astype(numpy.float32)), masks


class BatchesInOrder:
    """The mini-batches of a training, made by worker processes ahead of their use; with 0 workers each when it is asked for.

    Process r of p gets mini-batch step * p + r, so that p processes with mini-batches of n learn from the same samples as one
    with n * p. Asking for another step than the next one starts the workers again.
    """

    def __init__(self, pairs: MetalPairs, workers: int, rank: int, processes: int, pin_memory: bool = False):
        self._pairs, self._workers = pairs, workers
        self._rank, self._processes, self._pin_memory = rank, processes, pin_memory
        self._next_step, self._iterator = -1, None

    def __call__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        if self._workers == 0:
            return self._pairs[step * self._processes + self._rank]
        if step != self._next_step:
            self._iterator = self._from(step)
        self._next_step = step + 1
        return next(self._iterator)

    def _from(self, step: int) -> Iterator:
        numbers = count(step * self._processes + self._rank, self._processes)
        loader = torch.utils.data.DataLoader(
            self._pairs,
            batch_size=None,
            sampler=numbers,
            num_workers=self._workers,
            multiprocessing_context="spawn",  # a copy of this process (fork) would inherit the locks of its threads, and may hang
            prefetch_factor=4,
            pin_memory=self._pin_memory,
        )
        return iter(loader)
