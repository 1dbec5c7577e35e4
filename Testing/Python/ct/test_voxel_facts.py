"""What the values of a volume tell before any correction."""

from __future__ import annotations

import numpy
import pytest

from SSLMARLib.ct.voxel_facts import FEWEST_CLIPPED_VOXELS, voxel_facts


@pytest.mark.parametrize("dtype", ["int16", "uint16", "float32", "float64", ">i2"])
def test_range_and_clipping(dtype):
    voxels = numpy.full((3, 4, 5), 100, dtype)
    voxels[0, 0, 0] = 5
    voxels.reshape(-1)[10 : 10 + FEWEST_CLIPPED_VOXELS] = 3071
    facts = voxel_facts(voxels)
    assert (facts.lowest, facts.highest, facts.voxels_at_highest) == (5, 3071, FEWEST_CLIPPED_VOXELS)
    assert facts.is_clipped and not facts.has_air and not facts.has_padding
    voxels.reshape(-1)[10] = 3070
    assert not voxel_facts(voxels).is_clipped


def test_the_same_maximum_in_several_slices_is_counted_together():
    voxels = numpy.zeros((20, 4, 4), numpy.int16)
    voxels[:, 1, 1] = 3071
    voxels[3, 2, 2] = 2900
    assert voxel_facts(voxels).voxels_at_highest == 20


def test_a_flat_dark_volume_is_not_clipped():
    facts = voxel_facts(numpy.full((3, 4, 5), -1000, numpy.int16))
    assert not facts.is_clipped and facts.has_air


def test_padding_and_zero_fill():
    voxels = numpy.full((3, 4, 5), -1000, numpy.int16)
    assert voxel_facts(voxels).corner == -1000
    voxels[::2, ::3, ::4] = 0
    assert voxel_facts(voxels).was_filled_with_zeros
    voxels[0, 0, 0] = -3024
    facts = voxel_facts(voxels)
    assert facts.corner is None and facts.has_padding and not facts.was_filled_with_zeros


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 4, 5), (3, 1, 5), (2, 2, 2)])
def test_thin_volumes(shape):
    facts = voxel_facts(numpy.full(shape, 7.0))
    assert (facts.lowest, facts.highest, facts.corner) == (7.0, 7.0, 7.0)


def test_nan_and_infinity_are_left_out_of_the_range():
    voxels = numpy.zeros((2, 3, 4), numpy.float32)
    voxels[0, 0, :3] = numpy.nan, numpy.inf, -numpy.inf
    facts = voxel_facts(voxels)
    assert (facts.lowest, facts.highest, facts.not_finite) == (0, 0, 3)
    voxels[:] = numpy.nan
    facts = voxel_facts(voxels)
    assert numpy.isnan(facts.lowest) and facts.not_finite == 24
    assert not (facts.is_clipped or facts.has_air or facts.has_padding or facts.was_filled_with_zeros)
