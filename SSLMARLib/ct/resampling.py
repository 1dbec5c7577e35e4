"""Bring slices to the projector's square grid and differences back to the slice's own grid.

The volume itself is never resampled: a slice goes to the grid to be corrected there, and only the difference that the correction
makes comes back (so the detail and the noise of the original stay).
"""

from functools import cached_property

import numpy
import torch

SMALLEST_METAL_COVERAGE = 0.05  # of a slice pixel: what a metal pixel reaches on the grid counts as metal


class SliceGrid:
    """The square grid of `size` x `size` pixels over slices of (rows, columns) pixels of any size and shape.

    The grid's side is the longer side of the slice, in mm, centered on it; what the slice does not cover is air (0). All
    methods take and give torch tensors with any leading shape, on the device that they are on.

    spacing_mm: (rows, columns) order.
    """

    def __init__(self, shape: tuple[int, int], spacing_mm: tuple[float, float], size: int):
        self.shape = tuple(int(n) for n in shape)
        self.size = int(size)
        self.spacing_mm = tuple(float(s) for s in spacing_mm)
        self.side_mm = max(n * s for n, s in zip(self.shape, self.spacing_mm, strict=True))
        self.pixel_mm = self.side_mm / self.size

    def to_grid(self, slices: torch.Tensor) -> torch.Tensor:
        """(..., rows, columns) -> (..., size, size): anti-aliased where pixels get larger, cubic where they get smaller."""
        row_matrix, column_matrix = (matrix.to(slices) for matrix in self._to_grid)
        return row_matrix @ slices @ column_matrix.T

    def mask_to_grid(self, mask: torch.Tensor) -> torch.Tensor:
        """Boolean (..., rows, columns) -> boolean (..., size, size): True where metal covers a part of the grid pixel."""
        row_matrix, column_matrix = (matrix.to(mask.device) for matrix in self._mask_to_grid)
        pixels_per_pixel = [max(1.0, self.pixel_mm / s) for s in self.spacing_mm]
        coverage = row_matrix @ mask.to(row_matrix.dtype) @ column_matrix.T
        return coverage > SMALLEST_METAL_COVERAGE / (pixels_per_pixel[0] * pixels_per_pixel[1])

    def from_grid(self, image: torch.Tensor) -> torch.Tensor:
        """(..., size, size) -> (..., rows, columns), for differences: same kernels as `to_grid`, the other way."""
        row_matrix, column_matrix = (matrix.to(image) for matrix in self._from_grid)
        return row_matrix @ image @ column_matrix.T

    @cached_property
    def _to_grid(self):
        return [_resampling_matrix(n, s, self.size, self.pixel_mm) for n, s in zip(self.shape, self.spacing_mm, strict=True)]

    @cached_property
    def _mask_to_grid(self):
        return [
            _resampling_matrix(n, s, self.size, self.pixel_mm, kernel=_linear) for n, s in zip(self.shape, self.spacing_mm, strict=True)
        ]

    @cached_property
    def _from_grid(self):
        return [_resampling_matrix(self.size, self.pixel_mm, n, s) for n, s in zip(self.shape, self.spacing_mm, strict=True)]


def _linear(distance):
    return numpy.clip(1 - numpy.abs(distance), 0, None)


def _cubic(distance):
    """Cubic convolution with a = -1/2 (Keys 1981, IEEE Trans. ASSP 29)."""
    x = numpy.abs(distance)
    near = (1.5 * x - 2.5) * x**2 + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return numpy.where(x <= 1, near, numpy.where(x < 2, far, 0.0))


def _resampling_matrix(size_in, spacing_in, size_out, spacing_out, kernel=None) -> torch.Tensor:
    """(size_out, size_in) float32 weights of one axis; both axes are centered on the same point. Beyond the input lies 0."""
    ratio = spacing_out / spacing_in  # input pixels a output pixel
    if abs(ratio - 1) < 1e-9:
        kernel = _linear
    elif kernel is None:
        kernel = _linear if ratio > 1 else _cubic
    width = max(1.0, ratio)
    center = (numpy.arange(size_out) - (size_out - 1) / 2) * ratio + (size_in - 1) / 2
    reach = int(numpy.ceil(2 * width)) + 1
    every_input = numpy.arange(-reach, size_in + reach)
    weights = kernel((every_input[None, :] - center[:, None]) / width)
    total = weights.sum(axis=1, keepdims=True)
    weights = numpy.divide(weights, total, out=numpy.zeros_like(weights), where=total > 1e-9)
    return torch.from_numpy(weights[:, reach : reach + size_in].astype(numpy.float32))
