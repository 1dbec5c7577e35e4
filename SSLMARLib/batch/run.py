"""A whole batch: what is done is kept, what is half done is removed, the rest is spread over a pool."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from .cases import BatchCase, find_cases
from .journal import JOURNAL_NAME, Journal
from .one_case import FAILED, SKIPPED, BatchSettings, finished_record, run_case
from .pools import open_pool, run_all
from .summary import write_summary

LOCK_NAME = ".batch.lock"
UNFINISHED, REMOVED = ".*.part", ".*.removed"


@dataclass(frozen=True)
class BatchResult:
    """records: one for each scan, in the order of the input; problems: a sentence for each file that could not be read; earlier: how many
    scans were done before this run."""

    records: list[dict]
    problems: list[str]
    earlier: int

    @property
    def is_all_well(self) -> bool:
        return not self.problems and all(record["status"] != FAILED for record in self.records)


def run_batch(
    source: str | os.PathLike,
    output: str | os.PathLike,
    settings: BatchSettings,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    on_record: Callable[[dict, int, int], None] | None = None,
) -> BatchResult:
    """Correct every CT scan with metal below `source` into the folder `output`, which is made where it is missing.

    workers: processes on this computer; scheduler: the address of a Dask scheduler instead. on_record: called with the record of each case
    that this run did, or found changed, how many are finished and how many there are. Raises InputError for folders that cannot be used,
    for an output that was begun with other settings or is in use, and where there is no scan at all.
    """
    source, output = Path(source).absolute(), Path(output).absolute()
    _refuse_places(source, output)
    cases, problems = find_cases(source)
    if not cases:
        raise InputError(
            f"The input {source} holds no scan: give a folder with DICOM, NRRD, NIfTI or MetaImage files. {' '.join(problems)}"
        )
    compared = settings.to_compare()
    with _locked(output):
        journal = Journal(output)
        if journal.settings is None and any(not item.name.startswith(".") and item.name != JOURNAL_NAME for item in output.iterdir()):
            raise InputError(f"The output {output} holds other files: give an empty folder, or a new name.")
        journal.begin(compared)
        _remove_unfinished(output)
        records = {case.name: record for case in cases if (record := _known_record(case, output, journal)) is not None}
        earlier, open_cases = len(records), [case for case in cases if case.name not in records]
        for record in records.values():
            if on_record is not None and record["status"] == FAILED:
                on_record(record, earlier, len(cases))
        try:
            with open_pool(workers, scheduler) if open_cases else contextlib.nullcontext() as pool:
                for case, record, error in run_all(pool, run_case, open_cases, settings, str(output)):
                    if record is None:
                        record = finished_record(case, output) or case.record() | {"status": FAILED, "reason": error}
                    records[case.name] = record
                    journal.add(record)
                    if on_record is not None:
                        on_record(record, len(records), len(cases))
        finally:
            _remove_unfinished(output)
        ordered = [records[case.name] for case in cases]
        write_summary(output, ordered, problems, compared)
    return BatchResult(ordered, problems, earlier)


def _refuse_places(source: Path, output: Path) -> None:
    """Neither may be inside the other: results would become scans of the next run."""
    real_source, real_output = (Path(os.path.realpath(path)) for path in (source, output))
    if real_output.is_relative_to(real_source) or real_source.is_relative_to(real_output):
        raise InputError(f"The output {output} and the input {source} lie in each other: give an output folder outside of the input.")
    if not output.parent.is_dir():
        raise InputError(f"The folder {output.parent} of the output does not exist; make it first.")
    if output.exists() and not output.is_dir():
        raise InputError(f"The output {output} is a file; give the name of a folder.")


@contextlib.contextmanager
def _locked(output: Path) -> Iterator[None]:
    """The output folder for this process alone; the system lets go of the lock when the process ends, however it does."""
    from filelock import FileLock, Timeout

    try:
        output.mkdir(exist_ok=True)
        lock = FileLock(output / LOCK_NAME, timeout=0)
        lock.acquire()
    except Timeout:
        raise InputError(f"Another `sslmar batch` is writing into {output}: wait until it ends, or give another OUTPUT.") from None
    except OSError as error:
        raise InputError(f"The output folder {output} cannot be written ({error.strerror}): choose another one.") from None
    try:
        yield
    finally:
        lock.release()


def _remove_unfinished(output: Path) -> None:
    """Remove what killed workers left. Another name first: a worker that is still alive somewhere cannot finish in it any more."""
    for item in output.glob(UNFINISHED):
        with contextlib.suppress(OSError):
            os.rename(item, output / f".{secrets.token_hex(8)}.removed")
    for item in output.glob(REMOVED):
        shutil.rmtree(item, ignore_errors=True)


def _known_record(case: BatchCase, output: Path, journal: Journal) -> dict | None:
    """What became of a case in an earlier run, or without any work; None where it has to be done (again)."""
    if case.reason_skipped is not None:
        return case.record() | {"status": SKIPPED, "reason": f"This is no CT: {case.reason_skipped}."}
    record = finished_record(case, output)
    if record is None:
        noted = journal.records.get(case.name, {})
        same = all(noted.get(name) == value for name, value in case.record().items() if name.startswith("source_"))
        return noted if same and noted.get("status") == SKIPPED else None
    if journal.records.get(case.name) != record:  # a kill came between the folder and its line
        journal.add(record)
    return record
