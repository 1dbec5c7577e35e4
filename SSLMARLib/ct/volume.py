"""A CT volume: voxels in Hounsfield units with the geometry that its file gave them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy

from ..errors import InputError

GEOMETRY_TOLERANCE_MM = 0.05
"""Two grids count as the same when no corner voxel is farther apart than this: well below any CT voxel, well above
what NIfTI's single precision and programs that round a spacing to four decimals lose."""


@dataclass(frozen=True, eq=False)
class CTVolume:
    """Voxels and where they lie in the patient. Raises InputError for a geometry that is none.

    voxels_hu: (slices, rows, columns), HU, in the data type of the file.
    spacing_mm: distance of neighboring voxels along (slices, rows, columns), > 0: array order, as `voxels_hu`.
    origin_mm: (x, y, z) of the first voxel's center, in LPS (x to the patient's left, y to posterior, z to superior).
    direction: (3, 3); its columns are the unit vectors, in LPS, along which the column index i, the row index j and the
        slice index k grow (SimpleITK's convention). Left-handed and sheared (tilted gantry) axes stay as they are.
    metadata: entries of the file's header that are written again to a file of the same format.
    dimensions: 2 when the file held one slice without a third axis, and is written so again.
    dicom_files: the file of each slice when the volume came from DICOM: their headers are copied when DICOM is written.
    dicom_frames: the index of each slice's frame in its file; empty where each file holds one.
    """

    voxels_hu: numpy.ndarray
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: numpy.ndarray = field(default_factory=lambda: numpy.eye(3))
    metadata: Mapping[str, str] = field(default_factory=dict)
    dimensions: int = 3
    dicom_files: tuple[str, ...] = ()
    dicom_frames: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.voxels_hu.ndim != 3:
            raise InputError(f"A CT volume has 3 axes (slices, rows, columns), not {self.voxels_hu.ndim}.")
        spacing_mm = tuple(float(value) for value in self.spacing_mm)
        if len(spacing_mm) != 3 or not all(numpy.isfinite(value) and value > 0 for value in spacing_mm):
            raise InputError(f"The spacing {spacing_mm} mm is not three positive numbers (slices, rows, columns).")
        origin_mm = tuple(float(value) for value in self.origin_mm)
        if len(origin_mm) != 3 or not numpy.isfinite(origin_mm).all():
            raise InputError(f"The origin {origin_mm} mm is not three finite numbers (x, y, z).")
        direction = numpy.array(self.direction, dtype=numpy.float64)
        if direction.shape != (3, 3) or not numpy.isfinite(direction).all() or abs(numpy.linalg.det(direction)) < 1e-6:
            raise InputError("The direction is not three linearly independent axes: the file's geometry is damaged.")
        direction.flags.writeable = False
        for name, value in (("spacing_mm", spacing_mm), ("origin_mm", origin_mm), ("direction", direction)):
            object.__setattr__(self, name, value)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, rows, columns)."""
        return self.voxels_hu.shape

    @property
    def is_sheared(self) -> bool:
        """Whether the axes are not at right angles to each other, as with an uncorrected gantry tilt."""
        unit = self.direction / numpy.linalg.norm(self.direction, axis=0)
        return bool(numpy.abs(unit.T @ unit - numpy.eye(3)).max() > 1e-4)

    def frame_of(self, index: int) -> int:
        """The index of a slice's frame in its DICOM file."""
        return self.dicom_frames[index] if self.dicom_frames else 0

    def index_to_position_mm(self) -> numpy.ndarray:
        """The (4, 4) matrix from (i, j, k, 1), that is column, row and slice index, to (x, y, z, 1) in LPS and mm."""
        matrix = numpy.eye(4)
        matrix[:3, :3] = self.direction * numpy.array(self.spacing_mm[::-1])
        matrix[:3, 3] = self.origin_mm
        return matrix

    def with_voxels(self, voxels: numpy.ndarray) -> CTVolume:
        """This geometry and header with other voxels (slices, rows, columns). Raises InputError for another size."""
        if voxels.shape != self.shape:
            raise InputError(f"Voxels of size {describe_size(voxels.shape)} do not fit {describe_size(self.shape)}.")
        return replace(self, voxels_hu=voxels)

    def same_geometry(self, other: CTVolume, tolerance_mm: float = GEOMETRY_TOLERANCE_MM) -> bool:
        """Whether size and position agree: every corner voxel of one lies within `tolerance_mm` of the other's."""
        if self.shape != other.shape:
            return False
        last_index = numpy.array(self.shape[::-1]) - 1
        corners = numpy.array([[*(last_index * corner), 1] for corner in itertools.product((0, 1), repeat=3)], float).T
        distances_mm = numpy.linalg.norm((self.index_to_position_mm() - other.index_to_position_mm()) @ corners, axis=0)
        return bool(distances_mm.max() <= tolerance_mm)

    def describe_geometry(self) -> str:
        """Size, spacing and origin in one phrase for messages, in the order in which users know them (x, y, z)."""
        spacing = " x ".join(f"{value:.5g}" for value in self.spacing_mm[::-1])
        origin = ", ".join(f"{value:.5g}" for value in self.origin_mm)
        axes = "; ".join(", ".join(f"{value:.4g}" for value in axis) for axis in self.direction.T)
        return f"{describe_size(self.shape)} voxels of {spacing} mm, origin ({origin}) mm, axes ({axes})"


def describe_size(shape: tuple[int, ...]) -> str:
    """A shape (slices, rows, columns) as `columns x rows x slices`, the order of viewers and file headers."""
    return " x ".join(str(length) for length in shape[::-1])
