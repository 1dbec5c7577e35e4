"""From a group of cases to what each method makes of its slices, beside all that they are compared with."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy
import torch

from ..ct.attenuation import attenuation_to_hu
from ..device import to_array, to_tensor
from ..errors import Cancelled, InputError
from ..methods import get_method
from ..methods.base import MetalAffectedScan
from ..sinogram import metal_trace
from ..tomography import get_projector
from .benchmark_fbp import get_reconstruction
from .cases import BENCHMARK_SPACING_MM, BenchmarkCases, BenchmarkGroup, VolumeGroup
from .no_reference import MeasuringRegions, measuring_regions
from .settings import UNCORRECTED, EvaluationSettings

BENCHMARK_REFERENCE = "poly_CT"  # FBP of the metal-free polychromatic sinogram, by the same FBP as the methods
VOLUME_REFERENCE = "truth"


@dataclass(frozen=True)
class SliceBeforeCorrection:
    """One slice and its references; images (rows, columns) in HU, metal_mask bool, spacing_mm (rows, columns).

    slice_name: of a volume its name and the number of the slice, from 1 on. reference_hu: the primary reference, None
    for a real scan; image_hu: the benchmark's `image`, its secondary reference.
    """

    slice_name: str
    mask_name: str
    fbp: str
    uncorrected_hu: numpy.ndarray
    metal_mask: numpy.ndarray
    spacing_mm: tuple[float, float]
    reference_name: str | None = None
    reference_hu: numpy.ndarray | None = None
    image_hu: numpy.ndarray | None = None
    direction: numpy.ndarray | None = None

    @cached_property
    def regions(self) -> MeasuringRegions:
        return measuring_regions(self.uncorrected_hu, self.metal_mask, self.spacing_mm)


CorrectedSlices = Iterable[tuple[SliceBeforeCorrection, numpy.ndarray]]  # the slice and its corrected image (HU)


def corrected_slices(
    group: BenchmarkGroup | VolumeGroup,
    methods: Sequence[str],
    settings: EvaluationSettings,
    progress: Callable[[float, str], None] | None = None,
    is_cancelled: Callable[[], bool] | None = None,
    largest_metal_only: bool = False,
) -> Iterator[tuple[str, CorrectedSlices]]:
    """Yield (method, its corrected slices) for the methods in turn; each must be used up before the next is asked for.

    methods: some of settings.methods.
    progress is called with the fraction of the current method. largest_metal_only: of a volume just the slice with
    most metal. Raises InputError for files that cannot be used, Cancelled when `is_cancelled()` is true.
    """
    if isinstance(group, BenchmarkGroup):
        run = _BenchmarkRun(group, settings)
    else:
        run = _VolumeRun(group, settings, progress, is_cancelled, largest_metal_only)
    for method in methods:
        if is_cancelled is not None and is_cancelled():
            raise Cancelled("The evaluation was cancelled.")
        yield method, run.correct(method)


class _BenchmarkRun:
    """The cases of a benchmark group as a batch: sinograms are corrected, then reconstructed by every FBP asked for."""

    def __init__(self, group: BenchmarkGroup, settings: EvaluationSettings):
        cases: BenchmarkCases = group.load()
        self.group, self.others = group, settings.others
        projector, self.chosen = get_projector(settings.device), settings.chosen
        self.reconstructions = {fbp: get_reconstruction(fbp, settings.device) for fbp in settings.fbps}
        with torch.inference_mode():
            masks = to_tensor(cases.metal_masks, settings.device)
            if settings.trace_source == "file":
                trace = to_tensor(cases.file_traces, settings.device)
            else:
                trace = metal_trace(masks, projector)
            sinograms = to_tensor(cases.metal_affected_sinograms, settings.device)
            self.scan = MetalAffectedScan(sinograms, trace, masks, projector)
            uncorrected = self._images_hu(self.scan.sinogram)
            references = self._images_hu(to_tensor(cases.poly_sinogram[None], settings.device))
        image_hu = attenuation_to_hu(cases.image.astype(numpy.float64))
        self.slices = [
            SliceBeforeCorrection(
                slice_name=group.slice_name,
                mask_name=name,
                fbp=fbp,
                uncorrected_hu=uncorrected[fbp][index],
                metal_mask=cases.metal_masks[index],
                spacing_mm=BENCHMARK_SPACING_MM,
                reference_name=BENCHMARK_REFERENCE,
                reference_hu=references[fbp][0],
                image_hu=image_hu,
            )
            for fbp in settings.fbps
            for index, name in enumerate(group.mask_names)
        ]

    def _images_hu(self, sinograms) -> dict[str, numpy.ndarray]:
        return {fbp: _to_hu(reconstruct(sinograms)) for fbp, reconstruct in self.reconstructions.items()}

    def correct(self, method: str) -> CorrectedSlices:
        if method == UNCORRECTED:
            return [(one, one.uncorrected_hu) for one in self.slices]
        if method in self.others:
            return list(zip(self.slices, len(self.reconstructions) * list(self.group.results_of(method)), strict=True))
        with torch.inference_mode():
            images = map(_to_hu, get_method(self.chosen[method]).images(self.scan, list(self.reconstructions.values())))
            return list(zip(self.slices, (image for batch in images for image in batch), strict=True))


def _to_hu(images) -> numpy.ndarray:
    return attenuation_to_hu(to_array(images).astype(numpy.float64))


class _VolumeRun:
    """The slices with metal of a volume, as `sslmar correct` corrects them, by the exact FBP in any case."""

    def __init__(self, group: VolumeGroup, settings, progress, is_cancelled, largest_metal_only: bool):
        volume, truth, metal_mask = group.load()
        self.voxels_hu, self.spacing_mm, truth_hu = volume.voxels_hu, volume.spacing_mm, None if truth is None else truth.voxels_hu
        metal_pixels = metal_mask.sum(axis=(1, 2))
        if not metal_pixels.any():
            raise InputError(f"{group.volume_path} has no metal in its mask, so there is nothing to evaluate.")
        first = 0
        if largest_metal_only:  # copies, as views would keep the whole volumes of all methods in memory
            first = int(metal_pixels.argmax())
            self.voxels_hu, metal_mask, truth_hu = (
                None if array is None else array[first : first + 1].copy() for array in (self.voxels_hu, metal_mask, truth_hu)
            )
        self.metal_mask = metal_mask
        self.chosen = settings.chosen
        self.options = {"device": settings.device, "progress": progress, "is_cancelled": is_cancelled}
        self.slices = {
            int(number): SliceBeforeCorrection(
                slice_name=f"{group.slice_name}:{first + number + 1}",
                mask_name=group.mask_name,
                fbp="exact",
                uncorrected_hu=self.voxels_hu[number],
                metal_mask=metal_mask[number],
                spacing_mm=self.spacing_mm[1:],
                reference_name=None if truth_hu is None else VOLUME_REFERENCE,
                reference_hu=None if truth_hu is None else truth_hu[number],
                direction=volume.direction,
            )
            for number in numpy.flatnonzero(metal_mask.any(axis=(1, 2)))
        }

    def correct(self, method: str) -> CorrectedSlices:
        from ..correction import reduce_metal_artifacts

        corrected_hu = self.voxels_hu
        if method != UNCORRECTED:
            corrected_hu = reduce_metal_artifacts(
                self.voxels_hu, self.spacing_mm, self.metal_mask, self.chosen[method], **self.options
            ).volume_hu
        return [(one, corrected_hu[number]) for number, one in self.slices.items()]
