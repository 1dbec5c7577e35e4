"""The main job: a volume with metal goes in, a corrected volume comes out, slice by slice in the volume's own planes.

    slices with metal -> attenuation -> P -> trace -> method -> FBP of the difference -> its part above the noise added to the slice

No scanner hands out its sinograms, so the slices are forward-projected (Yu et al., section III-E).
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import numpy

from ._version import __version__
from .ct.attenuation import attenuation_difference_to_hu, hu_to_attenuation
from .ct.checks import check_mask, check_metal_share, check_spacing, check_volume, looks_like_hu
from .ct.metal_search import MetalSearch
from .ct.padding import padding_mask
from .ct.scale import LOWEST_12_BIT_HU
from .ct.segmentation import with_bright_rim
from .device import choose_device_with_reason, free_unused_memory, is_out_of_memory, to_array, to_tensor
from .errors import Cancelled, InputError
from .learned_metal import LEARNED, find_metal
from .methods import DEFAULT_METHOD, Method, get_method
from .optional_imports import import_optional

logger = logging.getLogger(__name__)

SLICES_PER_BATCH = {"cpu": 8, "cuda": 16}  # of a method that does not say (see `methods.base.Method`)


@dataclass(frozen=True)
class CorrectionReport:
    """What was done, in numbers; `to_json` is what `sslmar correct --report` writes."""

    method: str
    slices: int
    slices_corrected: int
    metal_voxels: int
    metal_volume_ml: float
    threshold_hu: float | None
    mean_absolute_change_hu: float
    largest_change_hu: float
    seconds: float
    device: str
    batch_size: int
    version: str = __version__
    parameters: dict = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict:
        return asdict(self)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2) + "\n"


@dataclass(frozen=True)
class CorrectionResult:
    """volume_hu (slices, rows, columns) in the input's type, metal_mask boolean of the same shape, report; where it was asked for,
    trust_percent: uint8 of the same shape, 0 to 100, see `trust.trust_share`."""

    volume_hu: numpy.ndarray
    metal_mask: numpy.ndarray
    report: CorrectionReport
    trust_percent: numpy.ndarray | None = None


def reduce_metal_artifacts(
    volume_hu: numpy.ndarray,
    spacing_mm: tuple[float, float, float],
    metal: MetalSearch | numpy.ndarray | str | None = None,
    method: str | os.PathLike | Method = DEFAULT_METHOD,
    device: str = "auto",
    progress: Callable[[float, str], None] | None = None,
    is_cancelled: Callable[[], bool] | None = None,
    *,
    trace_dilation_bins: int | None = None,
    batch_size: int | None = None,
    restore_metal: bool = True,
    trust: bool = False,
    projector=None,
) -> CorrectionResult:
    """Reduce the metal artifacts of a CT volume. The input is never changed; the result is a new array of the same type.

    volume_hu: (slices, rows, columns) in Hounsfield units, integer or float; slices are the axial planes as stored.
    spacing_mm: voxel size in the same axis order, (slices, rows, columns).
    metal: a mask (slices, rows, columns), non-zero = metal; or a `MetalSearch` that says how it is found; None for the usual one, "learned"
        for that with a learned outline. In coarse scans what is bright beside it casts a shadow too (`ct.segmentation.with_bright_rim`).
    method: one of `available_methods()`, a .safetensors file that `sslmar train` wrote, or a `methods.base.Method`.
    device: "auto", "cpu" or "cuda".
    progress: called as progress(fraction from 0 to 1, message).
    is_cancelled: asked between batches; once it returns True, Cancelled is raised.
    trace_dilation_bins: bins by which the metal trace is wider on both sides than the mask's own projection; None for the
        method's own number.
    batch_size: slices corrected at once; None chooses. Where memory runs out it is halved, and at one slice the CPU takes
        over from a GPU (but for a `projector` that was given): the report's warnings say so.
    restore_metal: True puts the original values back inside the mask; False fills it with the reconstruction without metal.
    trust: whether the result has a map of trust too, how much of each voxel was measured and how much filled in: 100 % in slices without
        metal and in padding, which stay as they are, 0 % in metal. What it says and what it does not: `trust.trust_share`.
    projector: a FanBeamProjector on the device, or what has its methods; None takes the benchmark's geometry, which the
        learned methods need.

    Slices without metal, padding outside the field of view and (with restore_metal) the metal itself come back to the bit.
    Raises InputError for data or arguments that cannot be used, also where no metal is found; Cancelled.
    """
    start = time.monotonic()
    progress = progress or (lambda fraction, message: None)
    volume_hu, spacing_mm = check_volume(volume_hu), check_spacing(spacing_mm)
    import_optional("torch")
    corrector = get_method(method)
    if batch_size is not None and (int(batch_size) != batch_size or batch_size < 1):
        raise InputError(f"batch_size is {batch_size}: give a whole number of slices, 1 or more.")
    warnings = [] if looks_like_hu(volume_hu) else ["The values do not look like Hounsfield units: no voxel is near air."]
    for warning in warnings:
        logger.warning(warning)
    device, remark = choose_device_with_reason(device)
    metal_mask, found_by = _find_metal(volume_hu, spacing_mm, metal, device, progress, is_cancelled)
    if trace_dilation_bins is None:
        trace_dilation_bins = corrector.trace_dilation_bins
    progress(0.01, "Preparing the projector")
    choices = _Choices(int(trace_dilation_bins), bool(restore_metal), bool(trust))
    run = _VolumeRun(volume_hu, spacing_mm, metal_mask, corrector, device, batch_size, projector, choices)
    run.warnings += warnings + ([remark] if remark else [])
    run.correct_all(progress, _cancel_check(is_cancelled))
    progress(1.0, "Done")
    parameters = {**found_by, **choices.facts(), **corrector.facts()}
    return CorrectionResult(run.corrected, metal_mask, run.report(parameters, time.monotonic() - start), run.trust_percent)


def _find_metal(volume_hu, spacing_mm, metal, device, progress, is_cancelled) -> tuple[numpy.ndarray, dict]:
    """(mask, what the report says of how it was found, nothing where it was given)"""
    if isinstance(metal, str) and metal != LEARNED:
        raise InputError(f"metal is {metal!r}: give a mask, a MetalSearch, or {LEARNED!r}.")
    search = MetalSearch(learned_outline=metal == LEARNED) if metal is None or isinstance(metal, str) else metal
    progress(0.0, "Finding metal" if isinstance(search, MetalSearch) else "Checking the metal mask")
    if isinstance(search, MetalSearch):
        metal_mask, found_by = find_metal(volume_hu, spacing_mm, search, device, is_cancelled), search.to_dict()
    else:
        metal_mask, found_by = check_mask(search, volume_hu.shape), {}
    check_metal_share(metal_mask)
    return metal_mask, found_by


@dataclass(frozen=True)
class _Choices:
    """What the caller chose of how slices are corrected; see `reduce_metal_artifacts`."""

    trace_dilation_bins: int
    restore_metal: bool
    trust: bool

    def facts(self) -> dict:
        """What the report says of them."""
        return {"trace_dilation_bins": self.trace_dilation_bins, "restore_metal": self.restore_metal}


class _VolumeRun:
    """Corrects the slices with metal of one volume, batch by batch; where memory runs out, fewer at once, at last on the CPU."""

    def __init__(self, volume_hu, spacing_mm, metal_mask, method, device, batch_size, projector, choices):
        self.volume_hu, self.spacing_mm, self.metal_mask, self.method = volume_hu, spacing_mm, metal_mask, method
        self.projector, self.choices = projector, choices
        self.shadow_mask = with_bright_rim(metal_mask, volume_hu, spacing_mm)
        self.slices_per_batch = {**SLICES_PER_BATCH, **method.slices_per_batch}
        self.metal_slices = numpy.flatnonzero(metal_mask.any(axis=(1, 2)))
        self.corrected, self.warnings = volume_hu.copy(), []
        self.trust_percent = numpy.full(volume_hu.shape, 100, dtype=numpy.uint8) if choices.trust else None
        self.changed_hu = self.largest_hu = 0.0
        self.device = device
        self.batch = self.wanted_batch = int(batch_size or self.slices_per_batch[device.split(":")[0]])

    def correct_all(self, progress, check_cancelled) -> None:
        check_cancelled()
        count, done = len(self.metal_slices), 0
        run = self._slice_run(check_cancelled)
        while done < count:
            check_cancelled()
            shown = f"{self.method.title}: slice {self.metal_slices[done] + 1} ({done + 1} of {count} with metal)"
            progress(0.02 + 0.98 * done / count, shown)
            indices = self.metal_slices[done : done + self.batch]
            try:
                change_hu = run.correct_slices(indices, self.corrected)
            except (MemoryError, RuntimeError) as error:
                self._refuse_if_hopeless(error, len(indices))
            else:
                self.changed_hu += float(change_hu.sum(dtype=numpy.float64))
                self.largest_hu = max(self.largest_hu, float(change_hu.max(initial=0)))
                done += len(indices)
                continue
            # Memory ran out. Only here, where the exception holds no tensors any more, can it be given back.
            if self._with_less_memory(indices):
                run = self._slice_run(check_cancelled)
            free_unused_memory()
        if self.batch < self.wanted_batch:
            self.warnings.append(
                f"Memory ran out on {self.device}: the slices were corrected {self.batch} at a time instead of {self.wanted_batch}."
            )
        check_cancelled()

    def report(self, parameters: dict, seconds: float) -> CorrectionReport:
        voxels = int(self.metal_mask.sum())
        return CorrectionReport(
            method=self.method.name,
            slices=int(self.volume_hu.shape[0]),
            slices_corrected=len(self.metal_slices),
            metal_voxels=voxels,
            metal_volume_ml=voxels * float(numpy.prod(self.spacing_mm)) / 1000.0,
            threshold_hu=parameters.get("threshold_hu"),
            mean_absolute_change_hu=self.changed_hu / (len(self.metal_slices) * self.volume_hu[0].size),
            largest_change_hu=self.largest_hu,
            seconds=seconds,
            device=self.device,
            batch_size=self.batch,
            parameters=parameters,
            warnings=self.warnings,
        )

    def _slice_run(self, check_cancelled) -> _SliceRun:
        masks = self.metal_mask, self.shadow_mask
        fixed = self.spacing_mm, self.method, self.projector, self.choices, check_cancelled
        return _SliceRun(self.volume_hu, *masks, *fixed, device=self.device, trust_percent=self.trust_percent)

    def _refuse_if_hopeless(self, error: BaseException, slices: int) -> None:
        if not is_out_of_memory(error):
            raise error
        if slices == 1 and (self.device == "cpu" or self.projector is not None):
            raise InputError(
                f"There is not enough memory on {self.device} to correct one slice: close other programs and try again."
            ) from error

    def _with_less_memory(self, indices) -> bool:
        """Halve the batch, or go over to the CPU; whether it is the latter."""
        if len(indices) > 1:
            self.batch = len(indices) // 2
            logger.warning("Memory ran out on %s: going on with %d slices at a time.", self.device, self.batch)
            return False
        self.warnings.append(
            f"Memory ran out on {self.device} even for one slice: the CPU corrected slice {indices[0] + 1} and all after it."
        )
        logger.warning(self.warnings[-1])
        self.device = "cpu"
        self.batch = self.wanted_batch = min(self.wanted_batch, self.slices_per_batch["cpu"])
        return True


class _SliceRun:
    """Corrects some slices of one volume: everything that stays the same from batch to batch."""

    def __init__(
        self, volume_hu, metal_mask, shadow_mask, spacing_mm, method, projector, choices, check_cancelled, *, device, trust_percent=None
    ):
        import_optional("torch")
        from .ct.resampling import SliceGrid
        from .tomography.projector import get_projector

        self.volume_hu, self.metal_mask, self.shadow_mask, self.method, self.device = volume_hu, metal_mask, shadow_mask, method, device
        self.choices, self.check_cancelled, self.trust_percent = choices, check_cancelled, trust_percent
        self.projector = projector or get_projector(device).prepare()
        self.grid = SliceGrid(volume_hu.shape[1:], spacing_mm[1:], self.projector.geometry.image_shape[0])
        integer = numpy.issubdtype(volume_hu.dtype, numpy.integer)
        self.limits_hu = (numpy.iinfo if integer else numpy.finfo)(volume_hu.dtype)

    def correct_slices(self, indices, corrected: numpy.ndarray) -> numpy.ndarray:
        """Write the corrected slices into `corrected`, and their trust where it is asked for; returns the absolute change (len(indices),
        rows, columns) in HU."""
        import torch

        from .methods.base import MetalAffectedScan
        from .methods.filters import corrected_in_slices

        original = self.volume_hu[indices]
        mask, shadow = self.metal_mask[indices], to_tensor(self.shadow_mask[indices], self.device)
        with torch.inference_mode():
            slices = hu_to_attenuation(to_tensor(original, self.device, torch.float32))
            scan = MetalAffectedScan.from_images(
                self.grid.to_grid(slices), self.grid.mask_to_grid(shadow), self.projector, self.choices.trace_dilation_bins
            )
            self.check_cancelled()
            reconstruction = self.method.image(scan)
            small = self.method.small_change_hu, self.method.small_change_pixels
            result = corrected_in_slices(slices, reconstruction, scan, self.grid, *small)
            self.check_cancelled()
            result = self.method.finish(slices, result, shadow, scan, self.grid)
            change = result - slices
            trust = None if self.trust_percent is None else self._trust_of(scan, change)
        keep = padding_mask(original)
        if trust is not None:
            trust[mask], trust[keep] = 0, 100
            self.trust_percent[indices] = trust
        result = original + to_array(attenuation_difference_to_hu(change))
        if self.choices.restore_metal:
            keep |= mask
        measured = original[~keep]
        lowest_hu = min(LOWEST_12_BIT_HU, float(measured.min())) if measured.size else LOWEST_12_BIT_HU
        lowest_hu = max(lowest_hu, float(self.limits_hu.min))
        numpy.clip(result, lowest_hu, float(self.limits_hu.max), out=result)
        if numpy.issubdtype(original.dtype, numpy.integer):
            numpy.rint(result, out=result)
        result = numpy.where(keep, original, result.astype(original.dtype))
        corrected[indices] = result
        return numpy.abs(numpy.subtract(result, original, dtype=numpy.float64))

    def _trust_of(self, scan, change) -> numpy.ndarray:
        """The trust of corrected slices, from their change in 1/cm, both (slices, rows, columns); uint8."""
        from .trust import trust_share

        share = trust_share(scan, self.grid.to_grid(change), self.method.small_change_hu, self.method.small_change_pixels)
        lost = self.grid.from_grid(1 - share)  # which is 0 beyond the grid
        return to_array((100 * (1 - lost)).round().clamp(0, 100)).astype(numpy.uint8)


def _cancel_check(is_cancelled):
    def check():
        if is_cancelled is not None and is_cancelled():
            raise Cancelled("Cancelled; nothing was changed.")

    return check
