"""A volume that is the result on one side of a line and the input on the other; moving the line copies a strip of voxels."""

from __future__ import annotations

import slicer

from .job import changedSlices
from .nodes import arrayFromImage, ijkToRas


class Swipe:
    """Keeps a volume node, which starts as a copy of the input, up to date with the line's place.

    The line stands across the index axis that runs most from the patient's right to the left.
    """

    def __init__(self, inputVolume, correctedVolume, node):
        self._input, self._corrected, self._node = inputVolume, correctedVolume, node
        towardRight = slicer.util.arrayFromVTKMatrix(ijkToRas(node))[0, :3]
        column = int(abs(towardRight).argmax())
        self._axis = 2 - column  # of arrays (slices, rows, columns)
        self._right_is_last = towardRight[column] > 0
        self._length = arrayFromImage(node.GetImageData()).shape[self._axis]
        self._shown = 0  # planes along the axis that show the result
        self._times = None
        self._changed = ()

    def moveTo(self, fraction: float) -> None:
        """Show the result in a fraction of the volume, from the patient's right on."""
        before, after, shown = (
            arrayFromImage(volume.GetImageData()) for volume in (self._input, self._corrected, self._node)
        )
        times = (self._input.GetImageData().GetMTime(), self._corrected.GetImageData().GetMTime())
        if times != self._times:
            if self._times is not None:
                shown[:] = before
            self._changed, self._shown, self._times = changedSlices(before, after), 0, times
        wanted = round(fraction * self._length)
        source = after if wanted > self._shown else before
        first, last = sorted((wanted, self._shown))
        if self._right_is_last:
            first, last = self._length - last, self._length - first
        self._copy(source, shown, first, last)
        self._shown = wanted
        slicer.util.arrayFromVolumeModified(self._node)

    def _copy(self, source, target, first: int, last: int) -> None:
        """Copy the planes from first up to last along the axis, of the slices that differ at all."""
        if self._axis == 0:
            target[first:last] = source[first:last]
            return
        part = (slice(first, last),) if self._axis == 1 else (slice(None), slice(first, last))
        for index in self._changed:
            target[index][part] = source[index][part]
