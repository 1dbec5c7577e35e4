"""Sinograms of other 2D geometries of ODL on the rays of the product's, and back: each ray is looked up among the other geometry's rays.

A line is known by its angle theta and its signed distance s from the axis. Where source and detector turn around the axis, s depends on the
bin alone, and theta is the view's angle plus the bin's; so a line's place among the views and bins is found by two interpolations.
"""

import math

import numpy
import torch

from ..errors import InputError
from ..optional_imports import import_optional
from .geometry import ray_points

AXIS_TOLERANCE = 1e-4  # of the largest distance from the axis
FULL_TURN = 2 * math.pi


class Rays:
    """All lines of an ODL geometry with one detector row: fan beam, flat or curved detector, or parallel beam; any arc.

    theta (views, bins) in radians, distance_cm (bins,). is_full_turn: whether the views close to a ring. Raises InputError for what does
    not turn around the axis.
    """

    def __init__(self, odl_geometry):
        self.angles = numpy.asarray(odl_geometry.angles, dtype=float)
        theta, distance_cm = _lines(odl_geometry)
        self.distance_cm = distance_cm[0]
        largest_cm = max(float(numpy.abs(self.distance_cm).max()), 1e-9)
        turned = numpy.unwrap(theta - theta[0], axis=0)
        self.sign = 1.0 if len(self.angles) < 2 or (turned[1, 0] > 0) == (self.angles[1] > self.angles[0]) else -1.0
        expected = self.sign * (self.angles - self.angles[0])[:, None]
        off = numpy.abs(numpy.exp(1j * (turned - expected)) - 1).max()
        steps = numpy.sign(numpy.diff(self.distance_cm))
        wanders = numpy.ptp(distance_cm, axis=0).max() > AXIS_TOLERANCE * largest_cm
        if wanders or off > AXIS_TOLERANCE or not (steps == (steps[0] or 1)).all():
            raise InputError("The geometry's source and detector do not turn around the axis: give a fan beam or parallel beam that turns.")
        if (numpy.diff(self.angles) <= 0).any():
            raise InputError("The geometry's angles do not increase from view to view: sort the views.")
        self.theta = theta
        self.first_theta = numpy.unwrap(theta[0])
        step = float(numpy.diff(self.angles).mean()) if len(self.angles) > 1 else FULL_TURN
        self.is_full_turn = self.angles[-1] - self.angles[0] + 1.5 * step > FULL_TURN

    @property
    def shape(self) -> tuple[int, int]:
        """(views, bins)"""
        return self.theta.shape

    def locate(self, theta: numpy.ndarray, distance_cm: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
        """Where lines lie: (view, bin, whether such a ray was measured), as floats between views and bins; each of the lines' shape."""
        view, place, found = self._locate(theta, distance_cm)
        other_view, other_place, other_found = self._locate(theta + math.pi, -distance_cm)  # the same line from the other end
        return numpy.where(found, view, other_view), numpy.where(found, place, other_place), found | other_found

    def _locate(self, theta, distance_cm):
        order = slice(None) if self.distance_cm[-1] > self.distance_cm[0] else slice(None, None, -1)
        bins = numpy.arange(len(self.distance_cm), dtype=float)
        place = numpy.interp(distance_cm, self.distance_cm[order], bins[order])
        half_bin = 0.5 * numpy.abs(numpy.diff(self.distance_cm)).max()
        on_detector = (distance_cm > self.distance_cm.min() - half_bin) & (distance_cm < self.distance_cm.max() + half_bin)
        turned = self.sign * (theta - numpy.interp(place, bins, self.first_theta))
        angle = self.angles[0] + numpy.mod(turned, FULL_TURN)
        angles, views = self.angles, numpy.arange(len(self.angles), dtype=float)
        if self.is_full_turn:
            angles, views = numpy.append(angles, angles[0] + FULL_TURN), numpy.append(views, float(len(views)))
        half_step = 0.5 * (angles[1] - angles[0]) if len(angles) > 1 else 0.0
        angle = numpy.where(angle > self.angles[0] + FULL_TURN - half_step, angle - FULL_TURN, angle) if not self.is_full_turn else angle
        return numpy.interp(angle, angles, views), place, on_detector & (angle <= angles[-1] + half_step)


class Rebinning:
    """Carries sinograms between the rays of an ODL geometry and those of a projector whose image is `scale` times smaller."""

    def __init__(self, own: Rays, projector, image_side_cm: float):
        self.own, self.scale = own, image_side_cm / (projector.geometry.image_shape[0] * projector.geometry.pixel_size_cm)
        working = Rays(projector.geometry.odl_geometry())
        distance_cm = numpy.broadcast_to(working.distance_cm * self.scale, working.shape)
        view, place, found = own.locate(working.theta, distance_cm)
        missing = ~found & (numpy.abs(distance_cm) < 0.98 * min(-own.distance_cm.min(), own.distance_cm.max()))
        if missing.mean() > 1e-3:
            raise InputError(
                f"The views of the sinogram do not cover {100 * missing.mean():.0f} % of the lines through the image: half a turn and the "
                "fan's angle are needed."
            )
        self._to = view, place, found, own.is_full_turn
        own_distance_cm = numpy.broadcast_to(own.distance_cm / self.scale, own.shape)
        self._from = (*working.locate(own.theta, own_distance_cm), True)

    def to_projector(self, sinogram: torch.Tensor) -> torch.Tensor:
        """(slices, views, bins) of the geometry to (slices, views, bins) of the projector; rays that were not measured are 0."""
        return _sampled(sinogram, *self._to) / self.scale

    def from_projector(self, sinogram: torch.Tensor) -> torch.Tensor:
        """The other way."""
        return _sampled(sinogram, *self._from) * self.scale


def _lines(odl_geometry) -> tuple[numpy.ndarray, numpy.ndarray]:
    """(theta in radians, s in cm) of every ray, (views, bins) both."""
    tomo = import_optional("odl.applications.tomo")
    if isinstance(odl_geometry, tomo.FanBeamGeometry):
        sources, cells = ray_points(odl_geometry)
        directions = cells - sources[:, None]
        points = numpy.broadcast_to(sources[:, None], cells.shape)
    elif isinstance(odl_geometry, tomo.Parallel2dGeometry):
        angles = numpy.asarray(odl_geometry.angles)
        bins_cm = numpy.asarray(odl_geometry.det_partition.grid.coord_vectors[0])
        mesh = numpy.meshgrid(angles, bins_cm, indexing="ij")
        points = numpy.asarray(odl_geometry.det_point_position(*mesh)).reshape(angles.size, bins_cm.size, 2)
        directions = -numpy.asarray(odl_geometry.det_to_src(*mesh)).reshape(points.shape)
    else:
        raise InputError(f"The geometry is {type(odl_geometry).__name__}: give ODL's FanBeamGeometry or Parallel2dGeometry.")
    directions = directions / numpy.linalg.norm(directions, axis=-1, keepdims=True)
    distance_cm = points[..., 0] * directions[..., 1] - points[..., 1] * directions[..., 0]
    return numpy.arctan2(directions[..., 1], directions[..., 0]), distance_cm


def _sampled(sinogram: torch.Tensor, view, place, found, is_full_turn: bool) -> torch.Tensor:
    """Bilinear between views and bins; 0 where no ray was found."""
    views, bins = sinogram.shape[-2:]
    first_view, first_bin = numpy.floor(view).astype(int), numpy.floor(numpy.clip(place, 0, bins - 1)).astype(int)
    result = torch.zeros(*sinogram.shape[:-2], *view.shape, dtype=sinogram.dtype, device=sinogram.device)
    for view_step in (0, 1):
        row = (first_view + view_step) % views if is_full_turn else numpy.clip(first_view + view_step, 0, views - 1)
        row_weight = view - first_view if view_step else 1 - (view - first_view)
        for bin_step in (0, 1):
            column = numpy.clip(first_bin + bin_step, 0, bins - 1)
            weight = row_weight * (place - first_bin if bin_step else 1 - (place - first_bin)) * found
            taken = sinogram[..., torch.from_numpy(row).to(sinogram.device), torch.from_numpy(column).to(sinogram.device)]
            result += taken * torch.from_numpy(weight).to(sinogram)
    return result
