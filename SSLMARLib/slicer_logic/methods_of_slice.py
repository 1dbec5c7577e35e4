"""One slice corrected by several methods, to choose one of them by sight; and a slice as a picture."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace

import numpy
import slicer
import vtk

from ..errors import Cancelled
from ..expected_time import remember_run
from .correction import Computable, Correction, methodTitle
from .job import ComputedCorrection, IsCancelled, Job, Progress
from .nodes import ijkToRas, imageFromArray
from .windows import SOFT_TISSUE_WINDOW_LEVEL_HU

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class SliceByMethod:
    """What one method made of the slice, or the error that says why it made nothing."""

    method: str
    computed: ComputedCorrection | None = None
    error: Exception | None = None


@dataclass(frozen=True, eq=False)
class MethodsJob:
    """The job of one slice by each of the methods in turn. done: grows meanwhile, so that its owner can show what is there."""

    job: Job
    methods: tuple[str, ...]
    done: list

    def compute(self, progress: Progress | None = None, isCancelled: IsCancelled | None = None) -> list:
        """As `Job.compute`, without measuring; a method that fails does not stop the others.

        :raises NoMetalError: the slice holds no metal; `Cancelled` when isCancelled() returned True.
        """
        job, count = replace(self.job.ofItsSlice(), metalHu=None), len(self.methods)
        for number, method in enumerate(self.methods):
            if progress is not None:
                progress(number / count, f"Slice {job.sliceIndex + 1}: {methodTitle(method)} ({number + 1} of {count} methods)")
            try:
                self.done.append(SliceByMethod(method, replace(job, method=method).computeVoxels(isCancelled=isCancelled)))
            except Cancelled:
                raise
            except Exception as error:  # shown in the place of this method's slice
                logger.warning("%s could not correct the slice: %s", methodTitle(method), error)
                self.done.append(SliceByMethod(method, error=error.with_traceback(None)))
        return self.done


@dataclass(frozen=True, eq=False)
class MethodsOfSlice(Computable):
    """A correction of one slice (see `prepareCorrection`) by several methods; computed as `Correction` is, its result is `done`."""

    correction: Correction
    methods: tuple[str, ...]
    done: list = field(default_factory=list)

    @property
    def inputVolume(self):
        """The node whose removal ends the run."""
        return self.correction.inputVolume

    @property
    def uncorrectedHu(self) -> numpy.ndarray:
        """The slice (rows, columns) as it is."""
        job = self.correction.job
        return job.voxelsHu[job.sliceIndex if len(job.voxelsHu) > 1 else 0]

    def jobs(self):
        yield MethodsJob(self.correction.job, self.methods, self.done)

    def resultOf(self, results: list) -> list:
        return results[0]

    def rememberTimes(self) -> None:
        """Let the times be those that are expected from now on; main thread only."""
        for one in self.done:
            if one.computed is not None:
                remember_run(one.computed.report, one.computed.seconds_per_slice, self.correction.job.device)


def sliceImage(voxelsHu: numpy.ndarray, volume, sliceNode):
    """Return a slice (rows, columns) of a volume node as a vtkImageData of gray RGB, in the volume's window and level
    (those of soft tissue where it has none).

    Its axes are those of the slice view: x to the right and y upward, as near as turning by right angles and mirroring comes; its
    spacing is the size of a pixel (mm).
    """
    display = volume.GetDisplayNode()
    window, level = (display.GetWindow(), display.GetLevel()) if display is not None else SOFT_TISSUE_WINDOW_LEVEL_HU
    gray = 255.0 * (voxelsHu - (level - window / 2.0)) / max(window, 1e-6)
    gray = numpy.rint(numpy.clip(gray, 0.0, 255.0)).astype(numpy.uint8).T  # (columns, rows): axes i, j
    spacing = list(volume.GetSpacing()[:2])
    axes = _axesInView(volume, sliceNode)
    if abs(axes[0, 1]) + abs(axes[1, 0]) > abs(axes[0, 0]) + abs(axes[1, 1]):
        gray, axes, spacing = gray.T, axes[:, ::-1], spacing[::-1]
    backward = tuple(axis for axis in (0, 1) if axes[axis, axis] < 0)
    gray = numpy.flip(gray, backward).T  # (y, x)
    image = imageFromArray(gray[numpy.newaxis], vtk.VTK_UNSIGNED_CHAR)
    image.SetSpacing(*spacing, 1.0)
    colors = vtk.vtkImageAppendComponents()
    for _ in range(3):
        colors.AddInputData(image)
    colors.Update()
    return colors.GetOutput()


def _axesInView(volume, sliceNode) -> numpy.ndarray:
    """(2, 2): how far one step along i, and one along j, goes to the right, and upward, in a slice view; at the volume's center."""
    toWorld = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(volume.GetParentTransformNode(), None, toWorld)
    matrix, center = ijkToRas(volume), [(size - 1) / 2.0 for size in volume.GetImageData().GetDimensions()]

    def world(i, j):
        return numpy.array(toWorld.TransformPoint(matrix.MultiplyPoint((center[0] + i, center[1] + j, center[2], 1.0))[:3]))

    steps = numpy.array([world(1, 0) - world(0, 0), world(0, 1) - world(0, 0)]).T
    return slicer.util.arrayFromVTKMatrix(sliceNode.GetSliceToRAS())[:3, :2].T @ steps
