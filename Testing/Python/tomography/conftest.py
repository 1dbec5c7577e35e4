"""An analytic phantom whose line integrals are known in closed form, and small geometries."""

from __future__ import annotations

import numpy
import pytest
import torch

from SSLMARLib.tomography import FanBeamGeometry
from SSLMARLib.tomography.geometry import ray_points

WATER_PER_CM = 0.192


class GaussianPhantom:
    """A sum of round Gaussians, smooth at the scale of a pixel: sampled image and exact line integrals."""

    # amplitude (1/cm), center x, y and sigma in units of the image's half side
    BLOBS = ((0.192, 0.0, 0.0, 0.22), (0.15, 0.3, -0.2, 0.08), (-0.08, -0.25, 0.3, 0.1), (0.25, -0.2, -0.35, 0.07))

    def __init__(self, geometry: FanBeamGeometry):
        half_side = max(geometry.image_shape) * geometry.pixel_size_cm / 2
        axes = [(numpy.arange(n) - (n - 1) / 2) * geometry.pixel_size_cm for n in geometry.image_shape]
        x, y = numpy.meshgrid(*axes, indexing="ij")
        sources, cells = ray_points(geometry.odl_geometry())
        direction = cells - sources[:, None]
        direction /= numpy.linalg.norm(direction, axis=-1, keepdims=True)
        image, sinogram = numpy.zeros(geometry.image_shape), numpy.zeros(geometry.sinogram_shape)
        for amplitude, *center_and_sigma in self.BLOBS:
            center_x, center_y, sigma = (value * half_side for value in center_and_sigma)
            image += amplitude * numpy.exp(-((x - center_x) ** 2 + (y - center_y) ** 2) / (2 * sigma**2))
            offset = numpy.array([center_x, center_y]) - sources[:, None]
            distance = offset[..., 0] * direction[..., 1] - offset[..., 1] * direction[..., 0]
            sinogram += amplitude * sigma * numpy.sqrt(2 * numpy.pi) * numpy.exp(-(distance**2) / (2 * sigma**2))
        self.image = torch.from_numpy(image).float()
        self.sinogram = torch.from_numpy(sinogram).float()


@pytest.fixture(scope="session")
def phantom(projector) -> GaussianPhantom:
    return GaussianPhantom(projector.geometry)


@pytest.fixture
def gaussian_phantom():
    return GaussianPhantom


def small(**changes) -> FanBeamGeometry:
    values = {"image_shape": (24, 24), "pixel_size_cm": 0.5, "views": 40, "bins": 37, "source_radius_cm": 40.0}
    return FanBeamGeometry(**{**values, "detector_radius_cm": 30.0, **changes})


GEOMETRIES = {
    "eight-fold": small(),
    "four-fold": small(views=36),
    "two-fold, not square": small(image_shape=(20, 26), views=30),
    "two-fold, square": small(views=30),
    "no symmetry": small(image_shape=(17, 23), views=31),
    "even bins": small(bins=50),
    "narrow detector": small(detector_width_cm=6.0),
    "one bin": small(bins=1, detector_width_cm=1.0),
    "odd image": small(image_shape=(25, 25)),
}


@pytest.fixture(params=GEOMETRIES.values(), ids=GEOMETRIES.keys())
def small_geometry(request) -> FanBeamGeometry:
    return request.param
