"""Random views of a slice: first the parameters are drawn, then a transform that follows from them alone is applied."""

from __future__ import annotations

import numpy

LARGEST_ANGLE_DEGREES = 20.0
SCALES = (0.75, 1.1)
LARGEST_SHIFT = 0.04  # of the slice's side


def random_turn_and_scale(image_hu: numpy.ndarray, generator: numpy.random.Generator) -> numpy.ndarray:
    """The slice turned, scaled, shifted and maybe flipped; (rows, columns) HU, float32. Outside is air (-1000 HU)."""
    from scipy.ndimage import affine_transform

    angle = numpy.deg2rad(generator.uniform(-LARGEST_ANGLE_DEGREES, LARGEST_ANGLE_DEGREES))
    scale = generator.uniform(*SCALES)
    shift = generator.uniform(-LARGEST_SHIFT, LARGEST_SHIFT, 2) * image_hu.shape
    flip = generator.random() < 0.5
    turn = generator.integers(4)
    image = numpy.rot90(image_hu[:, ::-1] if flip else image_hu, turn).astype(numpy.float32)
    matrix = numpy.array([[numpy.cos(angle), -numpy.sin(angle)], [numpy.sin(angle), numpy.cos(angle)]]) / scale
    center = (numpy.array(image.shape) - 1) / 2
    return affine_transform(image, matrix, center - matrix @ (center + shift), order=1, cval=-1000.0)
