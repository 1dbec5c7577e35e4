"""Random views of a slice: first the parameters are drawn, then a transform that follows from them alone is applied."""

from __future__ import annotations

from dataclasses import dataclass

import numpy

from ..ct.scale import AIR_HU

LARGEST_ANGLE_DEGREES = 20.0
SCALES = (0.75, 1.1)
LARGEST_SHIFT = 0.04  # of the slice's side


@dataclass(frozen=True)
class TurnAndScale:
    """One view of a slice; the defaults leave it as it is.

    In this order: left and right are exchanged (flip), the slice is turned by `quarter_turns` times 90 degrees as numpy.rot90
    does, then turned the other way by `angle_degrees` and scaled about its center (above 1: larger), and moved by `shift` (rows,
    columns), shares of its sides.
    """

    angle_degrees: float = 0.0
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    flip: bool = False
    quarter_turns: int = 0

    @classmethod
    def draw(cls, generator: numpy.random.Generator, scales: tuple[float, float] = SCALES) -> TurnAndScale:
        """Random parameters; they depend on the generator's state and the limits of the scale alone."""
        angle = generator.uniform(-LARGEST_ANGLE_DEGREES, LARGEST_ANGLE_DEGREES)
        scale = generator.uniform(*scales)
        shift = tuple(generator.uniform(-LARGEST_SHIFT, LARGEST_SHIFT, 2).tolist())
        return cls(angle, scale, shift, bool(generator.random() < 0.5), int(generator.integers(4)))

    def apply(self, image_hu: numpy.ndarray) -> numpy.ndarray:
        """(rows, columns) HU -> the view of it, float32, linearly interpolated; what comes in from outside is air."""
        from scipy.ndimage import affine_transform

        image = numpy.rot90(image_hu[:, ::-1] if self.flip else image_hu, self.quarter_turns).astype(numpy.float32)
        angle = numpy.deg2rad(self.angle_degrees)
        matrix = numpy.array([[numpy.cos(angle), -numpy.sin(angle)], [numpy.sin(angle), numpy.cos(angle)]]) / self.scale
        center = (numpy.array(image.shape) - 1) / 2
        shift_pixels = numpy.array(self.shift) * image.shape
        return affine_transform(image, matrix, center - matrix @ (center + shift_pixels), order=1, cval=AIR_HU)
