"""CTVolume: geometry as the files state it, and what counts as the same."""

from __future__ import annotations

from dataclasses import replace

import numpy
import pytest
import SimpleITK
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from SSLMARLib.ct.volume import CTVolume
from SSLMARLib.errors import InputError


@given(
    angles=st.tuples(*[st.floats(-3, 3)] * 3),
    spacing=st.tuples(*[st.floats(0.1, 10)] * 3),
    origin=st.tuples(*[st.floats(-500, 500)] * 3),
    flip=st.booleans(),
)
def test_positions_agree_with_simple_itk(angles, spacing, origin, flip):
    direction = Rotation.from_euler("xyz", angles).as_matrix() * [1, 1, -1 if flip else 1]
    volume = CTVolume(numpy.zeros((4, 3, 2), numpy.int16), spacing, origin, direction)
    image = SimpleITK.Image([2, 3, 4], SimpleITK.sitkInt16)
    image.SetSpacing(spacing[::-1])
    image.SetOrigin(origin)
    image.SetDirection(direction.ravel())
    position = volume.index_to_position_mm() @ [1, 2, 3, 1]
    numpy.testing.assert_allclose(position[:3], image.TransformIndexToPhysicalPoint((1, 2, 3)), atol=1e-9)
    assert not volume.is_sheared


def test_same_geometry_looks_at_the_far_corners():
    volume = CTVolume(numpy.zeros((30, 512, 512), numpy.int16), (1.5, 0.515625, 0.515625))
    assert volume.same_geometry(replace(volume, spacing_mm=(1.5, 0.5156, 0.5156)))  # rounded by another program
    assert not volume.same_geometry(replace(volume, spacing_mm=(1.5, 0.515, 0.515)))
    assert not volume.same_geometry(replace(volume, origin_mm=(0.1, 0, 0)))
    assert volume.same_geometry(replace(volume, origin_mm=(0.1, 0, 0)), tolerance_mm=0.2)
    assert not volume.same_geometry(replace(volume, direction=numpy.diag([1, 1, -1])))
    assert not volume.same_geometry(replace(volume, voxels_hu=numpy.zeros((29, 512, 512))))


def test_shear_is_noticed():
    direction = numpy.array([[1, 0, 0], [0, 1, 0.2588], [0, 0, 0.9659]])
    assert CTVolume(numpy.zeros((1, 1, 1)), (1, 1, 1), direction=direction).is_sheared


@pytest.mark.parametrize(
    "fault, message",
    [
        ({"spacing_mm": (1, 0, 1)}, "spacing"),
        ({"spacing_mm": (1, numpy.nan, 1)}, "spacing"),
        ({"spacing_mm": (1, 1)}, "spacing"),
        ({"origin_mm": (0, 0, numpy.inf)}, "origin"),
        ({"direction": numpy.zeros((3, 3))}, "direction"),
        ({"voxels_hu": numpy.zeros((3, 3))}, "3 axes"),
    ],
)
def test_impossible_geometry_is_refused(fault, message):
    with pytest.raises(InputError, match=message):
        CTVolume(**{"voxels_hu": numpy.zeros((2, 3, 4)), "spacing_mm": (1, 1, 1)} | fault)


def test_with_voxels_keeps_everything_else():
    volume = CTVolume(numpy.zeros((2, 3, 4)), (3, 2, 1), (7, 8, 9), metadata={"key": "value"}, dicom_files=("a", "b"))
    other = volume.with_voxels(numpy.ones((2, 3, 4)))
    assert other.same_geometry(volume) and other.metadata == volume.metadata and other.dicom_files == volume.dicom_files
    with pytest.raises(InputError, match="4 x 3 x 1"):
        volume.with_voxels(numpy.ones((1, 3, 4)))
    with pytest.raises(ValueError):
        volume.direction[0, 0] = 2
