"""The 2D fan-beam geometry with a flat detector. It is defined in one place: ODL's `FanBeamGeometry`.

Image axes are ODL's: axis 0 is x, axis 1 is y, pixel centers at (index - (n - 1) / 2) * pixel_size_cm. View v stands at
the angle (v + 1/2) * 2 pi / views; the source of angle 0 is at (0, -source_radius_cm).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy

from ..errors import InputError
from ..optional_imports import import_optional

BENCHMARK_IMAGE_SHAPE = (416, 416)
BENCHMARK_PIXEL_SIZE_CM = 512 / 416 * 0.03
BENCHMARK_RADIUS_PIXELS = 1075


@dataclass(frozen=True, kw_only=True)
class FanBeamGeometry:
    """A full turn of a fan beam onto a flat detector, centered on the image.

    All lengths are in cm. The defaults are the benchmark's and the paper's: a 416 x 416 image, 640 views, 641 bins, source and
    detector 1075 pixels from the axis each, and a detector of 2 sqrt(2) image widths, which sees the image's corners.

    image_shape: (rows, columns) = (pixels along x, pixels along y).
    detector_width_cm: width of the whole flat detector; default 2 sqrt(2) times the longer side of the image.
    source_radius_cm, detector_radius_cm: distance of source and detector from the axis; default 1075 pixels.

    Raises InputError where the arguments contradict each other.
    """

    image_shape: tuple[int, int] = BENCHMARK_IMAGE_SHAPE
    pixel_size_cm: float = BENCHMARK_PIXEL_SIZE_CM
    views: int = 640
    bins: int = 641
    detector_width_cm: float = field(default=None)  # type: ignore[assignment]
    source_radius_cm: float = field(default=None)  # type: ignore[assignment]
    detector_radius_cm: float = field(default=None)  # type: ignore[assignment]

    def __post_init__(self):
        if len(self.image_shape) != 2 or any(int(n) != n or n < 1 for n in self.image_shape):
            raise InputError(f"image_shape is {self.image_shape}: give two positive whole numbers (rows, columns).")
        for name in ("views", "bins"):
            value = getattr(self, name)
            if int(value) != value or value < 1:
                raise InputError(f"{name} is {value}: give a positive whole number.")
            object.__setattr__(self, name, int(value))
        object.__setattr__(self, "image_shape", tuple(int(n) for n in self.image_shape))
        self._check_length("pixel_size_cm")
        radius_cm = BENCHMARK_RADIUS_PIXELS * self.pixel_size_cm
        defaults = {
            "detector_width_cm": 2 * math.sqrt(2) * max(self.image_shape) * self.pixel_size_cm,
            "source_radius_cm": radius_cm,
            "detector_radius_cm": radius_cm,
        }
        for name, default in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, default)
            self._check_length(name)
        half_diagonal_cm = math.hypot(*self.image_shape) * self.pixel_size_cm / 2
        if self.source_radius_cm <= half_diagonal_cm:
            raise InputError(
                f"source_radius_cm is {self.source_radius_cm:g}, inside the image, whose half diagonal is "
                f"{half_diagonal_cm:g} cm: move the source outside the image."
            )

    def _check_length(self, name: str):
        value = float(getattr(self, name))
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"{name} is {value}: give a positive length in cm.")
        object.__setattr__(self, name, value)

    @property
    def magnification(self) -> float:
        """Length on the detector over length at the axis."""
        return (self.source_radius_cm + self.detector_radius_cm) / self.source_radius_cm

    @property
    def bin_width_cm(self) -> float:
        """Width of one detector cell, on the detector."""
        return self.detector_width_cm / self.bins

    @property
    def sinogram_shape(self) -> tuple[int, int]:
        """(views, bins)"""
        return self.views, self.bins

    def odl_geometry(self):
        """The same geometry as an `odl.applications.tomo.FanBeamGeometry`."""
        odl, tomo = import_optional("odl"), import_optional("odl.applications.tomo")
        half_width_cm = self.detector_width_cm / 2
        return tomo.FanBeamGeometry(
            odl.uniform_partition(0, 2 * numpy.pi, self.views),
            odl.uniform_partition(-half_width_cm, half_width_cm, self.bins),
            src_radius=self.source_radius_cm,
            det_radius=self.detector_radius_cm,
        )

    def odl_image_space(self, dtype: str = "float32"):
        """The space of images (1/cm) as an ODL discretized space, axis 0 x and axis 1 y."""
        odl = import_optional("odl")
        half_extent_cm = [n * self.pixel_size_cm / 2 for n in self.image_shape]
        return odl.uniform_discr([-h for h in half_extent_cm], half_extent_cm, list(self.image_shape), dtype=dtype)

    @classmethod
    def from_odl(cls, image_space, geometry) -> FanBeamGeometry:
        """The geometry of an ODL image space and an ODL geometry.

        Raises InputError for what is not a full turn of a flat-detector fan beam centered on square pixels.
        """
        tomo = import_optional("odl.applications.tomo")
        if not isinstance(geometry, tomo.FanBeamGeometry) or geometry.det_curvature_radius is not None:
            raise InputError(
                f"SSLMAR's projector knows the 2D fan beam with a flat detector only, not {type(geometry).__name__}"
                f"{' with a curved detector' if isinstance(geometry, tomo.FanBeamGeometry) else ''}: choose another engine."
            )
        sides_cm = numpy.asarray(image_space.cell_sides, dtype=float)
        if not numpy.allclose(sides_cm, sides_cm[0], rtol=1e-6):
            raise InputError(f"The image's pixels are {tuple(sides_cm)} cm: SSLMAR's projector needs square pixels.")
        result = cls(
            image_shape=image_space.shape,
            pixel_size_cm=sides_cm[0],
            views=geometry.angles.size,
            bins=geometry.det_partition.size,
            detector_width_cm=float(geometry.det_partition.extent[0]),
            source_radius_cm=float(geometry.src_radius),
            detector_radius_cm=float(geometry.det_radius),
        )
        centered = numpy.allclose(numpy.asarray(image_space.min_pt) + numpy.asarray(image_space.max_pt), 0, atol=1e-9)
        same = all(
            numpy.allclose(ours, theirs, atol=1e-6 * result.source_radius_cm)
            for ours, theirs in zip(ray_points(result.odl_geometry()), ray_points(geometry), strict=True)
        )
        if not (centered and same):
            raise InputError(
                "SSLMAR's projector needs a full turn of evenly spaced views, a detector centered on the axis and an image "
                "centered on the axis: this ODL geometry has another arc, a shift or a tilt."
            )
        return result


def ray_points(odl_geometry) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Source points (views, 2) and detector cell centers (views, bins, 2) of an ODL geometry; x, y in cm, float64."""
    angles = numpy.asarray(odl_geometry.angles)
    bin_centers_cm = numpy.asarray(odl_geometry.det_partition.grid.coord_vectors[0])
    sources = numpy.asarray(odl_geometry.src_position(angles)).reshape(-1, 2)
    mesh = numpy.meshgrid(angles, bin_centers_cm, indexing="ij")
    cells = numpy.asarray(odl_geometry.det_point_position(*mesh)).reshape(angles.size, bin_centers_cm.size, 2)
    return sources, cells
