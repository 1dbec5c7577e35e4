"""What a batch has to do: every DICOM series and every image file below a folder, each under a name of its own."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..ct.dicom_files import remove_unpacked
from ..ct.dicom_series import DicomSeries, list_series
from ..ct.image_file import known_suffix
from ..errors import InputError, plain_text

ARCHIVE_SUFFIX = ".zip"
SEGMENTATION_SUFFIX = ".seg.nrrd"
LONGEST_NAME = 40
HASH_DIGITS = 10


@dataclass(frozen=True)
class BatchCase:
    """One scan of a batch.

    name: of its folder in the output; the same in each run. path: the image file, the archive, or the folder of the first slice; shown:
    the same as seen from the input folder. files: of a DICOM series, () for an image file or an archive. series_uid: None for an image
    file. images: slices of a DICOM series, 0 where only reading tells. reason_skipped: why it is no CT, or None. source_files,
    source_bytes: how many files it has, and their size together; another number later means that the scan was still arriving.
    """

    name: str
    path: str
    shown: str
    files: tuple[str, ...] = ()
    series_uid: str | None = None
    study_uid: str = ""
    description: str = ""
    modality: str = ""
    images: int = 0
    reason_skipped: str | None = None
    source_files: int = 1
    source_bytes: int = 0

    def record(self) -> dict:
        """The part of the case's line in the journal and the summary that is known before any work."""
        return {
            "case": self.name,
            "input": self.shown,
            "modality": self.modality,
            "description": self.description,
            "study_uid": self.study_uid,
            "series_uid": self.series_uid or "",
            "images": self.images,
            "source_files": self.source_files,
            "source_bytes": self.source_bytes,
        }


def find_cases(source: Path) -> tuple[list[BatchCase], list[str]]:
    """(the cases in the order of their folders, a sentence for each file or folder that could not be read).

    source: a folder, zip archive, DICOMDIR or single file. A series whose files lie in several folders is one case. Of what is read, only
    the names of files stay in memory. Raises InputError where `source` is not there.
    """
    if not (source.is_dir() or source.is_file()):
        raise InputError(f"The input {source} does not exist, or is no folder or file.")
    root = source if source.is_dir() else source.parent
    problems: list[str] = []
    places, images, archives = _places(source, problems)
    found: dict[str, BatchCase] = {}
    for place, subfolders in places:
        for series in _series_of(place, subfolders, problems):
            case = _dicom_case(root, series)
            key = _key_of(root, series)
            found[key] = _joined(found[key], case) if key in found else case
    for archive in archives:
        for series in _series_of(archive, True, problems):
            _add_archived(found, root, archive, series)
        remove_unpacked()
    for path in images:
        shown = _shown(root, path)
        stem = path.name[: -len(known_suffix(path))]
        found[f"file {shown}"] = BatchCase(_name(stem, f"file {shown}"), str(path), shown, source_bytes=_size(path))
    return sorted(found.values(), key=lambda case: (case.shown, case.name)), problems


def _places(source: Path, problems: list[str]) -> tuple[list[tuple[Path, bool]], list[Path], list[Path]]:
    """(where DICOM is looked for, and whether in the folders below too; image files; archives)"""
    if not source.is_dir():
        if known_suffix(source):
            return [], [source], []
        return ([], [], [source]) if source.suffix.lower() == ARCHIVE_SUFFIX else ([(source, True)], [], [])
    images, archives = [], []
    for folder, subfolders, names in os.walk(source, onerror=lambda error: problems.append(_cannot_read(error))):
        subfolders.sort()
        for path in (Path(folder, name) for name in sorted(names) if not name.startswith(".")):
            if path.suffix.lower() == ARCHIVE_SUFFIX:
                archives.append(path)
            elif known_suffix(path) and not path.name.lower().endswith(SEGMENTATION_SUFFIX):
                images.append(path)
    folders = sorted(item for item in source.iterdir() if item.is_dir() and os.access(item, os.R_OK | os.X_OK))
    return [(source, False), *((folder, True) for folder in folders)], images, archives


def _cannot_read(error: OSError) -> str:
    return plain_text(f"{error.filename} cannot be read: {error.strerror}.")


def _series_of(place: Path, subfolders: bool, problems: list[str]) -> list[DicomSeries]:
    unreadable: list[str] = []
    try:
        return list_series(place, subfolders, unreadable)
    except InputError as error:
        problems.append(str(error))
        return []
    finally:
        problems += [plain_text(f"{place}: left out, as no image could be read in {item}.") for item in unreadable]


def _dicom_case(root: Path, series: DicomSeries) -> BatchCase:
    folder = Path(series.files[0]).parent
    return BatchCase(
        name=_name(series.description, _key_of(root, series)),
        path=str(folder),
        shown=_shown(root, folder),
        files=series.files,
        series_uid=series.uid,
        study_uid=series.study_uid,
        description=series.description,
        modality=series.modality,
        images=series.number_of_slices,
        reason_skipped=series.reason_not_ct,
        source_files=len(series.files),
        source_bytes=sum(_size(Path(file)) for file in series.files),
    )


def _add_archived(found: dict[str, BatchCase], root: Path, archive: Path, series: DicomSeries) -> None:
    """A series of an archive; whoever corrects it unpacks the archive anew, maybe on another computer."""
    shown, key = _shown(root, archive), _key_of(archive, series)
    reason = series.reason_not_ct
    if reason is None and key in found:
        reason = f"the same series is in {found[key].shown}"
    if key in found:
        key += f" in {shown}"
    found[key] = BatchCase(
        name=_name(series.description, key),
        path=str(archive),
        shown=shown,
        series_uid=series.uid,
        study_uid=series.study_uid,
        description=series.description,
        modality=series.modality,
        images=series.number_of_slices,
        reason_skipped=reason,
        source_bytes=_size(archive),
    )


def _joined(first: BatchCase, second: BatchCase) -> BatchCase:
    """One series that was met in two folders."""
    return BatchCase(
        **{
            **vars(first),
            "files": first.files + second.files,
            "images": first.images + second.images,
            "reason_skipped": None if None in (first.reason_skipped, second.reason_skipped) else first.reason_skipped,
            "source_files": first.source_files + second.source_files,
            "source_bytes": first.source_bytes + second.source_bytes,
        }
    )


def _key_of(root: Path, series: DicomSeries) -> str:
    """What makes a series this one: its UID; where that was emptied, its study and where it lies."""
    return f"series {series.uid}" if series.uid else f"no UID {series.study_uid} {_shown(root, Path(series.files[0]))}"


def _name(title: str, key: str) -> str:
    """A folder's name of letters, digits and hyphens: of the title, which need not be alone with it, and of the key, which is."""
    words = re.sub(r"[^a-z0-9]+", "-", title.lower())[:LONGEST_NAME].strip("-") or "scan"
    return f"{words}-{hashlib.sha256(key.encode('utf-8', 'surrogateescape')).hexdigest()[:HASH_DIGITS]}"


def _shown(root: Path, path: Path) -> str:
    shown = os.path.relpath(path, root)
    return path.name if shown.startswith("..") else Path(shown).as_posix()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
