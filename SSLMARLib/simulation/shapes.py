"""Metal shapes in the body's own frame, and the rasterizer that turns them into masks.

Positions are (z, y, x) in body widths: x along the columns, y along the rows (to posterior in an axial slice), z
along the slices, from the middle of the body. So one drawing fits every pixel size, every body, a slice and a volume.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy

from ..errors import InputError

Point = tuple[float, float, float]

THINNEST_RADIUS_PIXELS = 0.6  # a wire stays connected, however coarse the pixels are


@dataclass(frozen=True)
class Rod:
    """A round rod with round ends between two points, tapered from one radius to the other."""

    start: Point
    end: Point
    start_radius: float
    end_radius: float

    def bounds(self) -> tuple[numpy.ndarray, numpy.ndarray]:
        points, radius = numpy.array([self.start, self.end]), max(self.start_radius, self.end_radius)
        return points.min(axis=0) - radius, points.max(axis=0) + radius

    def contains(self, z, y, x, thinnest_radius) -> numpy.ndarray:
        start, axis = numpy.array(self.start), numpy.subtract(self.end, self.start)
        offsets = (z - start[0], y - start[1], x - start[2])
        along = sum(offset * component for offset, component in zip(offsets, axis, strict=True))
        along = (along / max(float(axis @ axis), 1e-12)).clip(0, 1)
        distance_squared = sum((offset - along * component) ** 2 for offset, component in zip(offsets, axis, strict=True))
        radius = self.start_radius + (self.end_radius - self.start_radius) * along
        return distance_squared <= numpy.maximum(radius, thinnest_radius) ** 2


@dataclass(frozen=True)
class Body:
    """A solid or hollow ellipsoid (power 2), rounded box (4 and more), turned in the plane of the slice by `angle` radians.

    wall: thickness of a hollow one, 0 for a solid one. opening: (z, y, x) direction of the side that is missing, as in
    the cup of a hip; None for a closed one.
    """

    center: Point
    half_axes: Point
    angle: float = 0.0
    power: float = 2.0
    wall: float = 0.0
    opening: Point | None = None

    def bounds(self) -> tuple[numpy.ndarray, numpy.ndarray]:
        reach = numpy.array([self.half_axes[0], *[math.hypot(*self.half_axes[1:])] * 2])
        return numpy.array(self.center) - reach, numpy.array(self.center) + reach

    def contains(self, z, y, x, thinnest_radius) -> numpy.ndarray:
        z, y, x = z - self.center[0], y - self.center[1], x - self.center[2]
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        turned = (z, cosine * y - sine * x, sine * y + cosine * x)
        inside = self._level(turned, [max(half, thinnest_radius) for half in self.half_axes]) <= 1
        if self.wall > 0:
            wall = max(self.wall, 1.5 * thinnest_radius)
            if min(self.half_axes) > wall:
                inside &= self._level(turned, [half - wall for half in self.half_axes]) > 1
        if self.opening is not None:
            inside &= self.opening[0] * z + self.opening[1] * y + self.opening[2] * x <= 0
        return inside

    def _level(self, offsets, half_axes):
        return sum((abs(offset) / half) ** self.power for offset, half in zip(offsets, half_axes, strict=True))


Shape = Rod | Body


@dataclass(frozen=True)
class BodyFrame:
    """Where the body's middle lies and how many voxels one body width is, along (slices, rows, columns).

    aspect: the body's height along the rows over its width along the columns.
    """

    center: Point
    voxels_per_width: Point
    aspect: float

    @classmethod
    def of_body(cls, body: numpy.ndarray, spacing_mm: Point = (1.0, 1.0, 1.0), center_slice: float | None = None) -> BodyFrame:
        """The frame of a body mask (slices, rows, columns), or (rows, columns): the bounding box of its typical slice.

        spacing_mm: (slices, rows, columns). center_slice: where z = 0 lies, by default the middle. InputError for no
        body.
        """
        body = body if body.ndim == 3 else body[None]
        boxes = []
        for one_slice in body:
            rows, columns = numpy.flatnonzero(one_slice.any(axis=1)), numpy.flatnonzero(one_slice.any(axis=0))
            if rows.size:
                boxes.append((rows[0], rows[-1], columns[0], columns[-1]))
        if not boxes:
            raise InputError("There is no body in which metal could lie: no region above -500 HU was found.")
        top, bottom, left, right = numpy.median(boxes, axis=0)
        width_mm, height_mm = (right - left + 1) * spacing_mm[2], (bottom - top + 1) * spacing_mm[1]
        center_slice = (len(body) - 1) / 2 if center_slice is None else float(center_slice)
        return cls(
            center=(center_slice, float(top + bottom) / 2, float(left + right) / 2),
            voxels_per_width=tuple(float(width_mm / spacing) for spacing in spacing_mm),
            aspect=float(height_mm / width_mm),
        )


def rasterize(shapes: tuple[Shape, ...], frame: BodyFrame, image_shape: tuple[int, int, int]) -> numpy.ndarray:
    """Shapes -> boolean (slices, rows, columns). Metal is where a voxel's center lies in it, at any height of its slice."""
    mask = numpy.zeros(image_shape, dtype=bool)
    center, scale = numpy.array(frame.center), numpy.array(frame.voxels_per_width)
    thinnest_radius = THINNEST_RADIUS_PIXELS / min(scale[1:])
    per_slice = max(1, math.ceil(min(scale[1:]) / scale[0] - 0.5))  # a thick slice is looked at as several thin ones
    heights = ((numpy.arange(per_slice) + 0.5) / per_slice - 0.5) / scale[0]
    for shape in shapes:
        low, high = shape.bounds()
        low = numpy.floor((low - thinnest_radius) * scale + center - [0.5, 0, 0]).astype(int).clip(0)
        high = numpy.minimum(numpy.ceil((high + thinnest_radius) * scale + center + [0.5, 0, 0]).astype(int) + 1, image_shape)
        if (low >= high).any():
            continue
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        z, y, x = numpy.ogrid[box]
        z, y, x = ((index - c) / s for index, c, s in zip((z, y, x), center, scale, strict=True))
        for height in heights:
            mask[box] |= shape.contains(z + height, y, x, thinnest_radius)
    return mask
