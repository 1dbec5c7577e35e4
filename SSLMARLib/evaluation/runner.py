"""Runs every method on every case and keeps what was measured, a line of JSON for each group of cases and method.

The lines go to a resume file as they come: an evaluation that was stopped goes on where it was, and its memory is
that of one group. The same cases give the same records: nothing that changes from run to run (times, paths) is in
them.
"""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy

from .. import __version__
from ..errors import InputError
from ..methods import get_method
from .cases import BenchmarkGroup, VolumeGroup
from .corrected_slices import SliceBeforeCorrection, corrected_slices
from .figures import FigureRow
from .metrics import compare, rmse_hu, ssim
from .no_reference import measure_without_reference
from .settings import UNCORRECTED, EvaluationSettings

FIGURE_CASES = 3
_logger = logging.getLogger(__name__)


@dataclass
class ResumeFile:
    """Finished work, on disk if there is a path: a line of settings that must agree, then one a group and method."""

    path: Path | None
    settings: dict
    finished: dict[tuple[str, str], list[dict]] = field(default_factory=dict)

    def __post_init__(self):
        if self.path is None or not Path(self.path).exists():
            return
        lines = Path(self.path).read_text(encoding="utf-8").splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]  # a line cut off by a crash is done again
        try:
            found, *entries = [json.loads(line) for line in whole] or [None]
            finished = {(entry["group"], entry["method"]): entry["records"] for entry in entries}
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{self.path} is not a resume file of an evaluation: choose another name.") from error
        if found is not None and found != self.settings:
            different = [name for name in self.settings if not isinstance(found, dict) or found.get(name) != self.settings[name]]
            raise InputError(
                f"{self.path} holds the results of another evaluation ({', '.join(different) or 'settings'} differ): "
                "delete it, or choose another name."
            )
        self.finished.update(finished)
        Path(self.path).write_text("".join(whole), encoding="utf-8")
        _logger.info("%s: %d groups of cases and methods are done already.", self.path, len(finished))

    def add(self, group: str, method: str, records: list[dict]) -> None:
        """Keep the records of a group and method."""
        self.finished[group, method] = records
        if self.path is None:
            return
        is_new = not Path(self.path).exists() or Path(self.path).stat().st_size == 0
        with open(self.path, "a", encoding="utf-8") as file:
            if is_new:
                file.write(json.dumps(self.settings) + "\n")
            file.write(json.dumps({"group": group, "method": method, "records": records}) + "\n")


def weights_in_use(settings: EvaluationSettings) -> dict:
    """{"weights": method -> SHA-256} of the methods that have learned, or nothing: results of other weights are other results."""
    facts = {label: get_method(method).facts() for label, method in settings.computed.items()}
    found = {label: known["weights_sha256"] for label, known in facts.items() if "weights_sha256" in known}
    return {"weights": found} if found else {}


def run_evaluation(
    groups: Sequence[BenchmarkGroup | VolumeGroup],
    settings: EvaluationSettings,
    resume_path: Path | None = None,
    progress: Callable[[float, str], None] | None = None,
    is_cancelled: Callable[[], bool] | None = None,
    source: dict | None = None,
) -> list[dict]:
    """The records of all cases, in the order of groups, methods, FBPs and cases; `measure_slice` says what one holds.

    resume_path: a file of JSON lines, continued if it exists and holds the same evaluation, and written as the work
    goes on. source: what else must agree for that (folder, masks). Raises InputError, or Cancelled when
    `is_cancelled()` is true.
    """
    agreed = {
        "version": __version__,
        "fbps": list(settings.fbps),
        "trace_source": settings.trace_source,
        **(source or {}),
        **weights_in_use(settings),
    }
    resume = ResumeFile(resume_path, agreed)
    steps, done = len(groups) * len(settings.methods), 0

    def report(fraction: float, message: str):
        if progress is not None:
            progress((done + fraction) / steps, message)

    for group in groups:
        missing = [method for method in settings.methods if (group.identity, method) not in resume.finished]
        done += len(settings.methods) - len(missing)
        report(0.0, group.identity)
        if not missing:
            continue
        for method, slices in corrected_slices(group, missing, settings, report, is_cancelled):
            resume.add(group.identity, method, [measure_slice(method, *pair) for pair in slices])
            done += 1
            report(0.0, f"{group.identity} {method}")
    return [record for group in groups for method in settings.methods for record in resume.finished[group.identity, method]]


def measure_slice(method: str, before: SliceBeforeCorrection, corrected_hu: numpy.ndarray) -> dict:
    """One record: slice, mask, method, fbp, reference, metal_pixels, then the measures, None without a reference.

    reference: "poly_CT" (the metal-free polychromatic sinogram by the same FBP), "truth" (the metal-free volume) or
    None (a real scan). `metrics.compare` against it, against the benchmark's `image` in against_image, and
    without_reference.
    """
    record = {
        "slice": before.slice_name,
        "mask": before.mask_name,
        "method": method,
        "fbp": before.fbp,
        "reference": before.reference_name,
        "metal_pixels": int(before.metal_mask.sum()),
        "rmse_hu": None,
        "ssim": None,
    }
    if before.reference_hu is not None:
        record |= compare(corrected_hu, before.reference_hu, before.metal_mask)
    if before.image_hu is not None:
        record["against_image"] = compare(corrected_hu, before.image_hu, before.metal_mask)
    record["without_reference"] = measure_without_reference(
        before.uncorrected_hu, corrected_hu, before.metal_mask, before.spacing_mm, before.regions
    )
    return _finite(record)


def _finite(value):
    """None in place of infinity (the PSNR of two equal images), which JSON does not have."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return None if isinstance(value, float) and not numpy.isfinite(value) else value


def figure_rows(groups: Sequence[BenchmarkGroup | VolumeGroup], settings: EvaluationSettings, count: int = FIGURE_CASES) -> list[FigureRow]:
    """Cases for `figures.figure_comparison`, spread evenly over the groups; the primary FBP. Runs the methods again."""
    chosen = sorted({round(position) for position in numpy.linspace(0, len(groups) - 1, min(count, len(groups)))})
    titles = {name: name for name in settings.methods} | {name: get_method(one).title for name, one in settings.computed.items()}
    rows = []
    for number in chosen:
        images, captions = {}, {}
        for method, slices in corrected_slices(groups[number].first_case(), settings.methods, settings, largest_metal_only=True):
            before, corrected_hu = next(iter(slices))
            if before.reference_hu is not None:
                images.setdefault("reference", before.reference_hu)
                error_hu = rmse_hu(corrected_hu, before.reference_hu, before.metal_mask)
                captions[titles[method]] = f"{error_hu:.1f} HU / {ssim(corrected_hu, before.reference_hu, before.metal_mask):.4f}"
            else:
                images.setdefault(UNCORRECTED, before.uncorrected_hu)
            images[titles[method]] = corrected_hu
        is_own_mask = before.mask_name.startswith(before.slice_name.rpartition(":")[0] or before.slice_name)
        label = before.slice_name if is_own_mask else f"{before.slice_name}, mask {before.mask_name}"
        rows.append(FigureRow(label, images, before.metal_mask, captions, before.direction))
    return rows
