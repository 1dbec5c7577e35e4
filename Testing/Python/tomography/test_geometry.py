"""The geometry: the benchmark's figures, ODL's definition, and what is refused."""

from __future__ import annotations

import math

import numpy
import pytest

from SSLMARLib.errors import InputError
from SSLMARLib.tomography import FanBeamGeometry
from SSLMARLib.tomography.geometry import ray_points


def test_defaults_are_the_benchmark():
    geometry = FanBeamGeometry()
    pixel_cm = 512 / 416 * 0.03
    assert geometry.image_shape == (416, 416) and geometry.sinogram_shape == (640, 641)
    assert geometry.detector_width_cm == pytest.approx(2 * math.sqrt(2) * 416 * pixel_cm)
    assert geometry.source_radius_cm == geometry.detector_radius_cm == pytest.approx(1075 * pixel_cm)
    assert geometry.magnification == 2
    numpy.testing.assert_allclose(geometry.odl_geometry().angles, (numpy.arange(640) + 0.5) * 2 * math.pi / 640)


def test_ray_points_follow_the_description():
    geometry = FanBeamGeometry(image_shape=(8, 8), pixel_size_cm=1, views=4, bins=3, source_radius_cm=20, detector_radius_cm=10)
    sources, cells = ray_points(geometry.odl_geometry())
    angle = math.pi / 4
    numpy.testing.assert_allclose(sources[0], [20 * math.sin(angle), -20 * math.cos(angle)], atol=1e-12)
    numpy.testing.assert_allclose(cells[0, 1], [-10 * math.sin(angle), 10 * math.cos(angle)], atol=1e-12)
    assert numpy.linalg.norm(cells[0, 1] - cells[0, 0]) == pytest.approx(geometry.bin_width_cm)


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ({"views": 0}, "views is 0"),
        ({"bins": 2.5}, "bins is 2.5"),
        ({"image_shape": (3,)}, "image_shape"),
        ({"image_shape": (0, 4)}, "image_shape"),
        ({"pixel_size_cm": -1}, "pixel_size_cm is -1"),
        ({"detector_width_cm": float("nan")}, "detector_width_cm is nan"),
        ({"source_radius_cm": 5}, "inside the image"),
    ],
)
def test_contradictions_are_refused(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        FanBeamGeometry(**arguments)


def test_arguments_are_keyword_only():
    with pytest.raises(TypeError):
        FanBeamGeometry((416, 416))
