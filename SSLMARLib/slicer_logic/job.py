"""What is computed of one volume: numpy arrays in, numpy arrays out. Nothing here knows a node, so a thread may hold it."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy

from ..ct.metal_search import MetalSearch
from ..errors import Cancelled, NoMetalError
from ..expected_time import SLICES_BEGIN, Stopwatch
from ..methods import get_method

Progress = Callable[[float, str], None]
IsCancelled = Callable[[], bool]
CORRECTED = 0.95  # of the progress: the rest is measuring
FIRST_SLICE = CORRECTED * SLICES_BEGIN  # of the progress: the start before it is no measure of the time that is left


@dataclass(frozen=True, eq=False)
class ComputedCorrection:
    """What `Job.compute` returns: arrays (slices, rows, columns), the library's report, the measures.

    metal_shown: where metal has a value of its own (metalHu), None where it stayed as it was. Those from changed_slices on
    are empty for a preview: the indices of the changed slices, a checksum of the input, `VolumeMeasures`, the regions
    measured. trust_percent: see `CorrectionResult`.
    """

    volume_hu: numpy.ndarray
    metal_mask: numpy.ndarray
    report: object
    metal_shown: numpy.ndarray | None = None
    seconds_per_slice: float = 0.0
    changed_slices: numpy.ndarray | None = None
    input_checksum: str = ""
    measures: object = None
    regions: tuple = ()
    trust_percent: numpy.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Job:
    """One volume and what is to be done with it.

    voxelsHu has the axes (slices, rows, columns), spacingMm the same order; no other code writes to it. metal: a mask of these axes, or
    the `MetalSearch` that finds it. With a sliceIndex a mask has that slice only, and so have the voxels where there is a mask.
    """

    voxelsHu: numpy.ndarray | None
    spacingMm: tuple[float, float, float]
    metal: numpy.ndarray | MetalSearch
    method: object
    device: str
    options: dict
    metalHu: float | None = None
    sliceIndex: int | None = None

    def compute(self, progress: Progress | None = None, isCancelled: IsCancelled | None = None) -> ComputedCorrection:
        """Run `SSLMARLib.reduce_metal_artifacts` and measure. Any thread; as translations belong to the application, messages are
        in English, like the library's own.

        :raises MARError: as that function does; `Cancelled` when isCancelled() returned True.
        """
        if self.sliceIndex is not None:  # the library, which has this slice alone, would call it slice 1
            text = f"Slice {self.sliceIndex + 1}: {get_method(self.method).title}"
            return self.computeVoxels(None if progress is None else lambda fraction, message: progress(fraction, text), isCancelled)
        correcting = None if progress is None else lambda fraction, message: progress(CORRECTED * fraction, message)
        return self._measured(self.computeVoxels(correcting, isCancelled), progress, isCancelled)

    def computeVoxels(self, progress: Progress | None = None, isCancelled: IsCancelled | None = None) -> ComputedCorrection:
        """As `compute`, without measuring the result."""
        from ..correction import reduce_metal_artifacts

        stopwatch = Stopwatch(progress)
        job = self if self.sliceIndex is None else self.ofItsSlice()
        result = reduce_metal_artifacts(
            job.voxelsHu,
            job.spacingMm,
            metal=job.metal,
            method=job.method,
            device=job.device,
            progress=stopwatch,
            is_cancelled=isCancelled,
            **job.options,
        )
        shown = None
        if self.metalHu is not None:
            shown = result.metal_mask
            if isinstance(self.metal, MetalSearch) and (self.metal.dilation_mm > 0 or not self.metal.learned_outline):
                shown = shown & (job.voxelsHu >= self.metal.threshold_hu)
            result.volume_hu[shown] = self.metalHu
        seconds = stopwatch.seconds_per_slice(result.report.slices_corrected)
        return ComputedCorrection(result.volume_hu, result.metal_mask, result.report, shown, seconds, trust_percent=result.trust_percent)

    def ofItsSlice(self) -> "Job":
        """The same job with the voxels and the metal of its slice alone, so that metal is not looked for again.

        :raises NoMetalError: the search finds no metal in the slice.
        """
        if not isinstance(self.metal, MetalSearch):
            return self
        voxelsHu, metal = self._sliceBySearch()
        return replace(self, voxelsHu=voxelsHu, metal=metal)

    def _sliceBySearch(self):
        """The one slice and its metal, found in the whole volume as a whole run finds it."""
        from ..learned_metal import find_metal

        mask = find_metal(self.voxelsHu, self.spacingMm, self.metal)[self.sliceIndex]
        if not mask.any():
            raise NoMetalError(
                f"Slice {self.sliceIndex + 1} holds no metal above {self.metal.threshold_hu:g} HU, so a correction does not "
                "change it: choose a slice with metal for the preview, or lower the threshold."
            )
        return self.voxelsHu[self.sliceIndex : self.sliceIndex + 1], mask[numpy.newaxis]

    def _measured(self, computed: ComputedCorrection, progress, isCancelled) -> ComputedCorrection:
        from ..evaluation.volume_measures import measure_volume, regions_of_slices

        def checkCancelled():
            if isCancelled is not None and isCancelled():
                raise Cancelled("The correction was cancelled; no volume was made.")

        checkCancelled()
        computed = replace(
            computed, changed_slices=changedSlices(self.voxelsHu, computed.volume_hu), input_checksum=checksumOf(self.voxelsHu)
        )
        if not computed.metal_mask.any():
            return computed
        progress = progress or (lambda fraction, message: None)

        def measuring(done, count):
            checkCancelled()
            progress(CORRECTED + (1.0 - CORRECTED) * done / (count + 1), f"Measuring slice {done + 1} of {count}")

        regions = regions_of_slices(self.voxelsHu, computed.metal_mask, self.spacingMm, measuring)
        progress(1.0 - (1.0 - CORRECTED) / (len(regions) + 1), "Measuring what has changed")
        measures = measure_volume(self.voxelsHu, computed.volume_hu, regions, self.spacingMm)
        progress(1.0, "Done")
        return replace(computed, measures=measures, regions=tuple(regions))


@dataclass(frozen=True, eq=False)
class FrameJob:
    """The job of one frame of a sequence: its progress is that of all frames, and no metal is no failure."""

    job: Job
    index: int
    count: int

    def compute(self, progress: Progress | None = None, isCancelled: IsCancelled | None = None) -> ComputedCorrection | NoMetalError:
        """As `Job.compute`; for a frame without metal the error that says so is returned."""
        if isCancelled is not None and isCancelled():
            raise Cancelled("The correction was cancelled; no sequence was made.")

        def progressOfAll(fraction, message):
            progress((self.index + fraction) / self.count, f"Frame {self.index + 1} of {self.count}: {message}")

        try:
            computed = self.job.compute(progressOfAll if progress is not None else None, isCancelled)
        except NoMetalError as error:
            computed = error.with_traceback(None)  # that would keep the frame's voxels
        if progress is not None and self.index == self.count - 1:
            progress(1.0, "Done")
        return computed


def checksumOf(voxels: numpy.ndarray) -> str:
    """A checksum of voxels (slices, rows, columns) and their type, as text."""
    value = zlib.crc32(f"{voxels.shape} {voxels.dtype.str}".encode())
    for plane in voxels:
        value = zlib.crc32(numpy.ascontiguousarray(plane), value)
    return f"{value:08x}"


def changedSlices(before: numpy.ndarray, after: numpy.ndarray) -> numpy.ndarray:
    """Indices of the slices in which two volumes (slices, rows, columns) differ."""
    return numpy.flatnonzero([not numpy.array_equal(one, other) for one, other in zip(before, after, strict=True)])
