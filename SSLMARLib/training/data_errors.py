"""Errors of data that went through metal, put on metal-free sinograms: what ImgNet learns to see through. No metal is simulated.

Metal that the model of `metal_subtracted_sinogram` describes needs no training: it drops out. What is left of a real scan is noise,
what is wrong with the outline beyond the model's terms for it, what no polynomial describes, and what changes from view to view. Here
such errors are drawn at random, from metal-free sinograms and metal masks alone; there are no spectra, materials or scanners in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy
import torch

from ..tomography.projector import FanBeamProjector

PHOTONS = (2e5, 2e7)  # on each ray
NOISE_PER_CM = (0.3, 0.6, 1.0, 2.0)  # attenuation (1/cm) by which the path in metal makes the data noisier
LARGEST_NOISE = 0.5  # standard deviation of a line integral
DENSE_SHARE, LARGEST_SEVERITY = 0.4, 8.0  # of the slices all errors but the photons' and the ripple are so much larger: dense metal
OUTLINE_SHARE = 0.7  # of the slices: the outline is wrong
OUTLINE_SHIFT_PIXELS, OUTLINE_LEVEL_PIXELS, OUTLINE_RIPPLE = 0.3, 0.6, 1.5  # standard deviations
OUTLINE_PER_CM = 0.7  # standard deviation of what a wrongly drawn centimeter adds
WAVE_SIZE, WAVE_TURNS = 0.015, (3.0, 8.0)  # a sine of the path: no polynomial of third degree
DRIFT_SIZE = 0.01  # changes slowly from view to view, as scatter does
FULL_SHARE = 0.7  # of the slices have the whole measured image; of the others a half has none of it, the rest a part
RIPPLE_SHARE = 0.5  # of the slices have an error that changes from view to view, as a spiral's metal that ends within the slice
RIPPLE_SIZE, RIPPLE_VIEWS = 0.05, (1.5, 25.0)  # standard deviation of line integrals, and the sigma of the Gaussian that smooths them


@dataclass(frozen=True)
class DataErrors:
    """The random errors of one slice; a function of the generator's state and the mask alone.

    noise: (views, bins) standard normal. photons, noise_per_cm: see PHOTONS and NOISE_PER_CM. outline: (rows, columns) image in
    1/cm, what wrongly drawn metal adds. wave, drift: (size, turns or periods, phase). ripple: (views,) line integrals, to be
    multiplied by the path in metal, as a share of the longest, to the power ripple_power.
    """

    noise: torch.Tensor
    photons: float
    noise_per_cm: float
    outline: torch.Tensor
    wave: tuple[float, float, float]
    drift: tuple[float, int, float]
    ripple: torch.Tensor
    ripple_power: float

    @classmethod
    def draw(cls, generator: numpy.random.Generator, metal_mask: numpy.ndarray, sinogram_shape: tuple[int, int]) -> DataErrors:
        """metal_mask: boolean (rows, columns). sinogram_shape: (views, bins)."""
        severity = math.exp(generator.uniform(0, math.log(LARGEST_SEVERITY))) if generator.random() < DENSE_SHARE else 1.0
        photons = math.exp(generator.uniform(*numpy.log(PHOTONS)))
        return cls(
            noise=torch.from_numpy(generator.standard_normal(sinogram_shape, dtype=numpy.float32)),
            photons=photons,
            noise_per_cm=float(generator.choice(NOISE_PER_CM)) * math.sqrt(severity),
            outline=torch.from_numpy(severity * _outline_error(generator, metal_mask)).float(),
            wave=(severity * abs(generator.normal(0, WAVE_SIZE)), generator.uniform(*WAVE_TURNS), generator.uniform(0, 2 * math.pi)),
            drift=(severity * abs(generator.normal(0, DRIFT_SIZE)), int(generator.integers(1, 4)), generator.uniform(0, 2 * math.pi)),
            ripple=torch.from_numpy(_ripple(generator, sinogram_shape[0])).float(),
            ripple_power=generator.uniform(0, 1),
        )


def draw_measured_share(generator: numpy.random.Generator, count: int) -> torch.Tensor:
    """For so many slices what of the measured image ImgNet is shown, from 0 to 1, as `trusted_share` may find later; (count,)."""
    share = numpy.where(generator.random(count) < FULL_SHARE, 1.0, numpy.clip(generator.uniform(-1, 1, count), 0, 1))
    return torch.from_numpy(share).float()


def spoiled(sinogram: torch.Tensor, metal_path_cm: torch.Tensor, errors: list[DataErrors], projector: FanBeamProjector) -> torch.Tensor:
    """Metal-free sinograms with errors that grow along the path in metal; (slices, views, bins), line integrals, one error per slice."""
    device, dtype = sinogram.device, sinogram.dtype
    longest = metal_path_cm.amax((-2, -1), keepdim=True).clamp(min=1e-6)
    share = metal_path_cm / longest
    result = sinogram + projector.project(torch.stack([one.outline for one in errors]).to(device, dtype))
    turn = torch.arange(sinogram.shape[-2], device=device, dtype=dtype)[:, None] * (2 * math.pi / sinogram.shape[-2])
    changes = []
    for number, one in enumerate(errors):
        deviation = torch.exp((sinogram[number] + one.noise_per_cm * metal_path_cm[number]) / 2) / math.sqrt(one.photons)
        change = deviation.clamp(max=LARGEST_NOISE) * one.noise.to(device, dtype)
        size, turns, phase = one.wave
        change = change + size * torch.sin(turns * share[number] + phase)
        size, periods, phase = one.drift
        change = change + size * torch.cos(periods * turn + phase) * share[number]
        ripple = one.ripple.to(device, dtype)[:, None]
        changes.append(change + torch.where(share[number] > 0, ripple * share[number] ** one.ripple_power, 0))
    return result + torch.stack(changes)


def _ripple(generator: numpy.random.Generator, views: int) -> numpy.ndarray:
    """A random function of the view, with no mean; mostly no larger than a few times RIPPLE_SIZE. (views,)"""
    from scipy import ndimage

    size = abs(generator.normal(0, RIPPLE_SIZE)) * (generator.random() < RIPPLE_SHARE)
    smooth_views = math.exp(generator.uniform(*numpy.log(RIPPLE_VIEWS)))
    ripple = ndimage.gaussian_filter1d(generator.standard_normal(views), smooth_views, mode="wrap")
    ripple = ripple - ripple.mean()
    return size * ripple / ripple.std()


def _outline_error(generator: numpy.random.Generator, metal_mask: numpy.ndarray) -> numpy.ndarray:
    """The mask with another outline less the mask itself, times a random attenuation: (rows, columns) float32 in 1/cm."""
    from scipy import ndimage

    ripple = ndimage.gaussian_filter(generator.standard_normal(metal_mask.shape), 3) * generator.uniform(0, 2 * OUTLINE_RIPPLE)
    shift, level = generator.normal(0, OUTLINE_SHIFT_PIXELS, 2), generator.normal(0, OUTLINE_LEVEL_PIXELS)
    attenuation = abs(generator.normal(0, OUTLINE_PER_CM)) * (generator.random() < OUTLINE_SHARE)
    depth = ndimage.distance_transform_edt(metal_mask) - ndimage.distance_transform_edt(~metal_mask)
    depth = numpy.where(depth > 0, depth - 0.5, depth + 0.5)  # in pixels from the outline, positive inside
    depth = ndimage.shift(depth, shift, order=1, mode="nearest") + level + ripple
    return (attenuation * (numpy.clip(depth + 0.5, 0, 1) - metal_mask)).astype(numpy.float32)
