"""Stored values of a file to what they stand for: slope and offset."""

import numpy


def rescaled(voxels: numpy.ndarray, slope: float, offset: float) -> numpy.ndarray:
    """Stored values times slope plus offset, as int16 or int32 where they are whole numbers, else float32 (float64 of 8 bytes)."""
    if (slope, offset) == (1, 0):
        return voxels
    if voxels.dtype.kind in "iu" and slope == round(slope) and offset == round(offset):
        ends = [int(end) * round(slope) + round(offset) for end in (voxels.min(), voxels.max())]
        for data_type in (numpy.int16, numpy.int32):
            limits = numpy.iinfo(data_type)
            if limits.min <= min(ends) and max(ends) <= limits.max:
                return (voxels.astype(numpy.int64) * round(slope) + round(offset)).astype(data_type)
    values = voxels.astype(numpy.float64) * slope + offset
    return values if voxels.dtype.itemsize == 8 else values.astype(numpy.float32)
