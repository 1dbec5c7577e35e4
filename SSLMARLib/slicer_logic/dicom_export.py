"""A result as a derived DICOM series, written with the headers of the series that its input was loaded from."""

import contextlib
import json
import logging
import re
from pathlib import Path

import slicer

from ..errors import InputError
from .correction import methodTitle
from .dicom import SOURCE_INSTANCES
from .i18n import _
from .job import checksumOf
from .nodes import ATTRIBUTE_PREFIX, METHOD, arrayFromImage
from .strength import CHECKSUM, strengthOf


def whyNoDerivedSeries(corrected) -> str:
    """Return the sentence that says why a result cannot be written by `exportDerivedSeries`, and what to do; "" where it can.

    Quick: of the source's files only the first is looked for.
    """
    if corrected is None:
        return _("Nothing is corrected yet: press Apply, or choose a corrected volume.")
    instances = _instancesOf(corrected)
    if not instances:
        text = _(
            "'{name}' was not made from a scan of Slicer's DICOM database, so there are no headers to keep: load the scan by the DICOM "
            "module and correct it, or export the volume in the Data module."
        )
        return text.format(name=corrected.GetName())
    return "" if _fileOf(instances[0]) else _whyNoFile(corrected)


def exportDerivedSeries(corrected, parentFolder) -> tuple[Path, list[str]]:
    """Write a result, as it is shown now, into a new folder inside parentFolder; the source stays as it is.

    Returns that folder, and what the library warns of, such as values that have no place in the series.

    One file for each of the source's, with its header, as `sslmar correct DICOM_FOLDER OUTPUT_FOLDER` writes them.

    :raises InputError: see `whyNoDerivedSeries`; files of the source are missing or damaged, hold other voxels than the input, or the
      folder cannot be written. Nothing is left behind then.
    """
    from ..ct.dicom import read_series
    from ..ct.dicom_header import UnreadableError, read_header
    from ..ct.dicom_series import series_of
    from ..ct.reading_writing import write_volume
    from ..ct.series_kind import corrected_by

    whyNot = whyNoDerivedSeries(corrected)
    if whyNot:
        raise InputError(whyNot)
    files = [_fileOf(instance) for instance in _instancesOf(corrected)]
    if not all(files):
        raise InputError(_whyNoFile(corrected))
    report = json.loads(corrected.GetAttribute(f"{ATTRIBUTE_PREFIX}Report"))
    folder = _newFolder(Path(parentFolder), corrected.GetName())
    kind = corrected_by(_titleOf(corrected), report["parameters"])
    with _libraryWarnings() as warnings:
        try:
            source = read_series(series_of([read_header(file) for file in dict.fromkeys(files)]))
        except UnreadableError as error:
            text = _("A file of the scan that '{name}' was made from cannot be read ({error}): import the scan again in the DICOM module.")
            raise InputError(text.format(name=corrected.GetName(), error=error)) from error
        write_volume(source.with_voxels(_inOrderOf(source, corrected)), folder, series_kind=kind)
    return folder, warnings


@contextlib.contextmanager
def _libraryWarnings():
    """A list that gets what the library logs as a warning inside the block."""
    warnings, library = [], logging.getLogger(__name__.partition(".")[0])
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: warnings.append(record.getMessage())
    library.addHandler(handler)
    try:
        yield warnings
    finally:
        library.removeHandler(handler)


def _instancesOf(corrected) -> list[str]:
    return (corrected.GetAttribute(SOURCE_INSTANCES) or "").split()


def _fileOf(instance: str) -> str:
    """The file of an instance in Slicer's DICOM database; "" where there is none."""
    database = getattr(slicer, "dicomDatabase", None)
    file = database.fileForInstance(instance) if database is not None else ""
    return file if file and Path(file).is_file() else ""


def _whyNoFile(corrected) -> str:
    text = _("Files of the scan that '{name}' was made from are no longer in Slicer's DICOM database: import it again in the DICOM module.")
    return text.format(name=corrected.GetName())


def _inOrderOf(source, corrected):
    """The result's voxels in the order of the source's slices: that in which the source's voxels are those of the result's input."""
    shown = arrayFromImage(corrected.GetImageData())
    if source.shape == shown.shape:
        for step in (1, -1):
            if checksumOf(source.voxels_hu[::step].astype(shown.dtype)) == corrected.GetAttribute(CHECKSUM):
                return shown[::step]
    text = _(
        "The input of '{name}' has other voxels than its files in the DICOM database (it was edited, cropped or resampled), so their "
        "headers do not fit: export the volume in the Data module."
    )
    raise InputError(text.format(name=corrected.GetName()))


def _titleOf(corrected) -> str:
    """The method, with its strength where that is not 100 %."""
    weights = corrected.GetAttribute(f"{ATTRIBUTE_PREFIX}Weights")
    title = methodTitle(weights if weights and Path(weights).is_file() else corrected.GetAttribute(METHOD))
    strength = strengthOf(corrected)
    return title if strength == 1.0 else f"{title}, {100 * strength:.0f} %"


def _newFolder(parent: Path, name: str) -> Path:
    """A folder inside another that does not exist yet, with a name that every file system takes."""
    name = re.sub(r"[^\w ()%-]", "_", name).strip()
    folder, number = parent / name, 2
    while folder.exists():
        folder, number = parent / f"{name} {number}", number + 1
    return folder
