"""One case of a batch from its files to a finished folder. It never raises: whatever goes wrong becomes the case's record."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..atomic_files import unfinished_beside, write_text
from ..errors import InputError, MARError, NoMetalError, plain_text
from .cases import BatchCase

logger = logging.getLogger(__name__)

CORRECTED, SKIPPED, FAILED = "corrected", "skipped", "failed"
REPORT_NAME, FIGURE_NAME, VOLUME_NAME = "report.json", "figure.png", "corrected"


@dataclass(frozen=True)
class BatchSettings:
    """How every case is corrected: the arguments of `reduce_metal_artifacts` as plain values that travel between computers.

    metal: the fields of a MetalSearch. figures: whether a picture is drawn for each case.
    """

    method: str
    metal: dict = field(default_factory=dict)
    trace_dilation_bins: int | None = None
    restore_metal: bool = True
    device: str = "auto"
    batch_size: int | None = None
    figures: bool = True

    def to_compare(self) -> dict:
        """What must be the same for all cases of an output folder, whichever computer does them."""
        from ..methods import get_method

        values = asdict(self)
        for name in ("device", "batch_size", "figures"):
            del values[name]
        return values | {"method": Path(self.method).name, **get_method(self.method).facts()}


def run_case(case: BatchCase, settings: BatchSettings, output: str) -> dict:
    """Correct one case into the folder `output`/case.name, which appears when all of it is written; returns the record.

    The record's status is CORRECTED, SKIPPED (no metal) or FAILED, with a reason. A case that is there already is not done again.
    """
    start = time.monotonic()
    record = case.record()
    with _warnings_of_this_thread() as warnings:
        try:
            record = finished_record(case, output) or _correct(case, settings, Path(output), warnings, start)
        except NoMetalError as error:
            record |= {"status": SKIPPED, "reason": str(error)}
        except MARError as error:
            record |= {"status": FAILED, "reason": str(error)}
        except MemoryError:
            record |= {"status": FAILED, "reason": "The memory is not enough for this scan: use fewer workers or a larger computer."}
        except Exception as error:  # one bad scan must not stop a night's work
            logger.debug("%s failed", case.name, exc_info=True)
            record |= {"status": FAILED, "reason": plain_text(f"{type(error).__name__}: {error}")}
        finally:
            from ..ct.dicom_files import remove_unpacked

            remove_unpacked()
    return {"seconds": round(time.monotonic() - start, 2), "warnings": warnings, "peak_memory_gb": peak_memory_gb()} | record


def finished_record(case: BatchCase, output: str | os.PathLike) -> dict | None:
    """The record of a case whose folder is there, None without; FAILED where its source has changed since."""
    folder = Path(output, case.name)
    if not folder.is_dir():
        return None
    try:
        record = json.loads((folder / REPORT_NAME).read_text(encoding="utf-8"))["batch"]
    except (OSError, ValueError, KeyError):
        return case.record() | {"status": FAILED, "reason": f"The folder {folder} is no result of this batch: remove it and run again."}
    then, now = ((facts["source_files"], facts["source_bytes"]) for facts in (record, case.record()))
    if then != now:
        files = f"{then[0]} files of {then[1]} bytes then, {now[0]} of {now[1]} now"
        reason = f"The scan has changed since it was corrected ({files}): remove the folder {folder} and run again."
        return case.record() | {"status": FAILED, "reason": reason}
    return record


def _correct(case: BatchCase, settings: BatchSettings, output: Path, warnings: list[str], start: float) -> dict:
    from ..correction import reduce_metal_artifacts
    from ..ct.metal_search import MetalSearch
    from ..ct.reading_writing import refuse_unwritable, write_volume
    from ..ct.series_kind import corrected_by
    from ..evaluation.figures import figure_of_most_changed_slice
    from ..methods import get_method

    volume = _read(case)
    method = get_method(settings.method)
    suffix = _suffix(case, volume)
    refuse_unwritable(volume, f"{VOLUME_NAME}{suffix}")
    result = reduce_metal_artifacts(
        volume.voxels_hu,
        volume.spacing_mm,
        MetalSearch(**settings.metal),
        method,
        settings.device,
        trace_dilation_bins=settings.trace_dilation_bins,
        batch_size=settings.batch_size,
        restore_metal=settings.restore_metal,
    )
    folder = output / case.name
    try:
        with unfinished_beside(folder) as temporary:
            temporary.mkdir()
            kind = corrected_by(method.title, result.report.parameters)
            write_volume(volume.with_voxels(result.volume_hu), temporary / f"{VOLUME_NAME}{suffix}", series_kind=kind)
            if settings.figures:
                figure_of_most_changed_slice(volume, result, method.title, temporary / FIGURE_NAME)
            report = result.report.to_dict()
            warnings += [warning for warning in report["warnings"] if warning not in warnings]
            record = case.record() | {
                "status": CORRECTED,
                "reason": "",
                "output": f"{case.name}/{VOLUME_NAME}{suffix}",
                **{name: report[name] for name in ("slices", "slices_corrected", "metal_volume_ml", "mean_absolute_change_hu", "device")},
                "seconds": round(time.monotonic() - start, 2),
                "peak_memory_gb": peak_memory_gb(),
                "warnings": list(warnings),
            }
            write_text(json.dumps({"batch": record, "correction": report}, indent=2) + "\n", temporary / REPORT_NAME)
            _to_disk(temporary)
            return _give_name(temporary, folder, case) or record
    except OSError as error:
        raise InputError(f"The result {folder} could not be written ({error.strerror or error}): check the disk.") from None


def _read(case: BatchCase):
    from ..ct.dicom import read_series
    from ..ct.dicom_header import UnreadableError, read_header
    from ..ct.dicom_series import series_of
    from ..ct.reading_writing import read_volume

    if not case.files:
        return read_volume(case.path, case.series_uid)
    headers = []
    for file in case.files:
        try:
            headers.append(read_header(Path(file)))
        except (UnreadableError, OSError) as error:
            raise InputError(f"{file} cannot be read any more: {error}.") from None
    return read_series(series_of(headers), case.path)


def _suffix(case: BatchCase, volume) -> str:
    """Of the file that is written: none for a DICOM folder, else as the source has."""
    from ..ct.image_file import known_suffix

    return "" if volume.dicom_files else known_suffix(Path(case.path))


def _give_name(temporary: Path, folder: Path, case: BatchCase) -> dict | None:
    """The whole folder gets its name at once. None, or the record of another worker that was faster: one result stays."""
    try:
        os.rename(temporary, folder)
    except OSError:
        record = finished_record(case, folder.parent)
        if record is None:
            raise
        return record
    return None


def _to_disk(folder: Path) -> None:
    """What a power cut must not take away once the folder has its name."""
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb+") as file:
                os.fsync(file.fileno())


@contextlib.contextmanager
def _warnings_of_this_thread() -> Iterator[list[str]]:
    """The sentences that the library logs inside, for the record; other threads may be at other cases."""
    sentences: list[str] = []
    thread = threading.get_ident()

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == thread:
                sentences.append(plain_text(record.getMessage()))

    library, collector = logging.getLogger(__package__.partition(".")[0]), Collector(logging.WARNING)
    library.addHandler(collector)
    try:
        yield sentences
    finally:
        library.removeHandler(collector)


def peak_memory_gb() -> float | None:
    """The most memory that this process has had so far; None where the system does not say."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e9, 3)
