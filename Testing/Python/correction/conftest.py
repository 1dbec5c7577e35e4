"""A small scan with metal: quick to correct, of any matrix, spacing and data type."""

from __future__ import annotations

import numpy
import pytest


def scan_with_metal(shape=(5, 128, 128), spacing_mm=(3.0, 3.0, 3.0), dtype=numpy.int16, padding=None, metal=(0.3, 0.1)):
    """(volume_hu, metal mask): an elliptic body of 40 HU with two bones; metal of 3000 HU in slices 1 to 3."""
    rows, columns = (numpy.linspace(-1, 1, n) * n * s for n, s in zip(shape[1:], spacing_mm[1:], strict=True))
    half = max(rows[-1], columns[-1])
    y, x = rows[:, None] / half, columns[None, :] / half
    one_slice = numpy.where((x / 0.8) ** 2 + (y / 0.6) ** 2 < 1, 40.0, -1000.0)
    one_slice[(x + 0.4) ** 2 + y**2 < 0.015] = 700
    one_slice[(x - 0.4) ** 2 + y**2 < 0.015] = 700
    volume = numpy.repeat(one_slice[None], shape[0], axis=0)
    mask = numpy.zeros(shape, dtype=bool)
    last = min(4, shape[0])
    mask[min(1, shape[0] - 1) : last] = (x - metal[0]) ** 2 + (y - metal[1]) ** 2 < 0.004
    volume += numpy.random.default_rng(1).normal(0, 10, shape)
    volume[mask] = 3000
    if padding is not None:
        volume[:, x**2 + y**2 > 1] = padding
    return volume.astype(dtype), mask


@pytest.fixture
def make_scan():
    return scan_with_metal
