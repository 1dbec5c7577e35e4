"""What the tests of the simulation share."""

from __future__ import annotations

import numpy
import pytest
import torch

from SSLMARLib.ct.attenuation import hu_to_attenuation


@pytest.fixture(scope="session")
def disk():
    """disk(center_row, center_column, radius) -> boolean (416, 416)."""

    def draw(center_row, center_column, radius):
        rows, columns = numpy.mgrid[:416, :416]
        return torch.from_numpy((rows - center_row) ** 2 + (columns - center_column) ** 2 <= radius**2)

    return draw


@pytest.fixture(scope="session")
def water_disk(disk):
    """A slice (416, 416) in 1/cm: water of radius 150 pixels in air."""
    return torch.where(disk(207.5, 207.5, 150), hu_to_attenuation(0.0), 0.0).float()
