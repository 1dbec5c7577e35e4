"""What the values of a volume tell before any correction: range, cut-off, padding, whether they can be Hounsfield units."""

from dataclasses import dataclass

import numpy

from .scale import BODY_ABOVE_HU, LOWEST_12_BIT_HU

FEWEST_CLIPPED_VOXELS = 10
LOWEST_CLIPPED_HU = 2500  # a cut-off below this would be a window that someone applied


@dataclass(frozen=True)
class VoxelFacts:
    """lowest, highest: finite values. voxels_at_highest: how many hold exactly that. not_finite: NaN and infinite voxels.

    corner: the value that all eight corners hold, None where they differ.
    """

    lowest: float
    highest: float
    voxels_at_highest: int
    not_finite: int
    corner: float | None

    @property
    def is_clipped(self) -> bool:
        """Whether the scanner (or a file format) cut bright values off: several voxels hold exactly the maximum."""
        return self.highest >= LOWEST_CLIPPED_HU and self.voxels_at_highest >= FEWEST_CLIPPED_VOXELS

    @property
    def has_padding(self) -> bool:
        return self.lowest < LOWEST_12_BIT_HU

    @property
    def has_air(self) -> bool:
        """Whether any voxel is near air, as in every CT scan of a body."""
        return self.lowest < BODY_ABOVE_HU

    @property
    def was_filled_with_zeros(self) -> bool:
        """Whether all corners are exactly 0 HU though there is air: programs that resample fill with zeros."""
        return self.corner == 0 and self.has_air


def voxel_facts(voxels: numpy.ndarray) -> VoxelFacts:
    """Look at a volume (slices, rows, columns) of integers or floats, slice by slice, which takes no memory."""
    lowest, highest, at_highest, not_finite = [], [], [], 0
    for plane in voxels:
        if plane.dtype.kind == "f":
            finite = numpy.isfinite(plane)
            count = int(plane.size - numpy.count_nonzero(finite))
            if count:
                not_finite += count
                plane = plane[finite]
                if not plane.size:
                    continue
        lowest.append(plane.min())
        highest.append(plane.max())
        at_highest.append(int(numpy.count_nonzero(plane == highest[-1])) if highest[-1] >= LOWEST_CLIPPED_HU else 0)
    if not lowest:
        return VoxelFacts(numpy.nan, numpy.nan, 0, not_finite, None)
    top = max(highest)
    corners = voxels[:: max(len(voxels) - 1, 1), :: max(voxels.shape[1] - 1, 1), :: max(voxels.shape[2] - 1, 1)]
    return VoxelFacts(
        lowest=float(min(lowest)),
        highest=float(top),
        voxels_at_highest=sum(count for value, count in zip(highest, at_highest, strict=True) if value == top),
        not_finite=not_finite,
        corner=float(corners.flat[0]) if (corners == corners.flat[0]).all() else None,
    )
