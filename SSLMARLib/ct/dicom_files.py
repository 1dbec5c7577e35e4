"""Which files a folder, a zip archive, a DICOMDIR or a single file brings: each that may be DICOM, whatever its name."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path

import pydicom

from ..errors import InputError, short_text
from .dicom_header import PREAMBLE_BYTES, is_dicom_file, is_dicom_start, quiet_pydicom
from .file_checks import refuse_name

logger = logging.getLogger(__name__)

DIRECTORY_NAME = "DICOMDIR"
DIRECTORY_CLASS = pydicom.uid.MediaStorageDirectoryStorage
FREE_BYTES_LEFT = 1 << 28  # what unpacking an archive leaves free on the disk
NAMES_LISTED = 5
UNPACKED_PREFIX = "sslmar-zip-"
_unpacked: dict[tuple, Path] = {}


def is_zip(path: Path) -> bool:
    """Whether the file is a zip archive, whatever its name."""
    try:
        with open(path, "rb") as file:
            return file.read(4) in (b"PK\3\4", b"PK\5\6")
    except OSError:
        return False


def is_directory_file(path: Path) -> bool:
    """Whether the file is a DICOMDIR, the table of contents of a medium, whatever its name."""
    if path.name.upper() == DIRECTORY_NAME:
        return is_dicom_file(path)
    if not is_dicom_file(path):
        return False
    try:
        with quiet_pydicom():
            return pydicom.filereader.read_file_meta_info(path).get("MediaStorageSOPClassUID") == DIRECTORY_CLASS
    except Exception:  # pydicom raises almost anything on damaged elements
        return False


def files_of_source(path: Path, subfolders: bool = True) -> list[Path]:
    """The files of a folder (links to folders are not followed), zip archive or DICOMDIR; else the file itself.

    What cannot be DICOM is left out of all but a single file. A zip archive is unpacked into a temporary folder that is there until the
    process ends. Raises InputError for an archive or DICOMDIR that cannot be read, and for a folder that may not be.
    """
    if path.is_dir():
        if not os.access(path, os.R_OK | os.X_OK):
            raise InputError(f"{path} cannot be read: permission denied.")
        return [item for item in _files_below(path, subfolders) if item.name.upper() != DIRECTORY_NAME and _may_be_read(item)]
    if is_zip(path):
        return [item for item in _files_below(_unpack(path)) if item.name.upper() != DIRECTORY_NAME]
    if is_directory_file(path):
        return _files_of_directory(path)
    return [path]


def _files_below(folder: Path, subfolders: bool = True) -> list[Path]:
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(folders) if subfolders else []
        found += [Path(place, name) for name in sorted(names)]
    return found


def _may_be_read(path: Path) -> bool:
    """Whether it begins as DICOM does. A file that may not be opened counts, so that it is named later."""
    if not path.is_file():
        return False
    return is_dicom_file(path) or not os.access(path, os.R_OK)


def _unpack(archive: Path) -> Path:
    """The temporary folder that holds the archive's DICOM files; the same one while the archive stays as it is."""
    facts = archive.stat()
    key = (os.path.realpath(archive), facts.st_mtime_ns, facts.st_size)
    if key in _unpacked:
        return _unpacked[key]
    _remove_of_dead_processes()
    folder = Path(tempfile.mkdtemp(prefix=f"{UNPACKED_PREFIX}{os.getpid()}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _unpacked[key] = folder
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in opened.infolist():
                if not member.is_dir():
                    _unpack_member(archive, opened, member, folder)
    except BaseException as error:
        shutil.rmtree(_unpacked.pop(key), ignore_errors=True)
        raise _unpacking_failed(archive, error) from None
    return folder


def _unpacking_failed(archive: Path, error: BaseException) -> BaseException:
    """The sentence for what was raised; what has one, or is none of the archive's, as it is."""
    if isinstance(error, InputError) or not isinstance(error, Exception):
        return error
    if isinstance(error, zipfile.BadZipFile | zlib.error | EOFError | ValueError):
        return InputError(f"The archive {archive} is damaged ({short_text(error)}): make or load it again.")
    if isinstance(error, OSError):
        return InputError(f"The archive {archive} could not be unpacked ({error.strerror or error}): unpack it and give the folder.")
    if isinstance(error, RuntimeError):  # NotImplementedError too: what zipfile raises for a password and for methods that it does not know
        return InputError(f"The archive {archive} is encrypted or of a kind that is not read: unpack it and give the folder.")
    return error


def _remove_of_dead_processes() -> None:
    """What a killed process left unpacked: it is a patient's."""
    if os.name != "posix":  # elsewhere signal 0 is no question but a signal
        return
    for folder in Path(tempfile.gettempdir()).glob(f"{UNPACKED_PREFIX}*-*"):
        number = folder.name.removeprefix(UNPACKED_PREFIX).split("-")[0]
        try:
            os.kill(int(number), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except (ValueError, OSError):  # of another kind, or another user's
            continue


def remove_unpacked() -> None:
    """Remove the unpacked files of all archives; who needs one of them again unpacks it again."""
    while _unpacked:
        _, folder = _unpacked.popitem()
        shutil.rmtree(folder, ignore_errors=True)


def _unpack_member(archive: Path, opened: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    with opened.open(member) as source:
        start = source.read(PREAMBLE_BYTES + 8)
        if not is_dicom_start(start):
            return
        if member.file_size > shutil.disk_usage(folder).free - FREE_BYTES_LEFT:
            raise InputError(f"The archive {archive} needs more room than the disk of {folder.parent} has: unpack it elsewhere.")
        target = folder / f"{len(os.listdir(folder)):06d}"  # no name of an archive is trusted as a path
        left = member.file_size - len(start)
        with open(target, "wb") as file:
            file.write(start)
            while left > 0 and (block := source.read(min(left, 1 << 20))):
                file.write(block)
                left -= len(block)


def _files_of_directory(path: Path) -> list[Path]:
    """The files that a DICOMDIR lists and that are there; those that are not are named in a warning."""
    try:
        with quiet_pydicom():
            records = pydicom.dcmread(path, force=True).get("DirectoryRecordSequence") or []
            listed = [record.get("ReferencedFileID") for record in records]
            names = [[name] if isinstance(name, str) else list(name) for name in listed if name]
    except Exception:  # pydicom raises almost anything on damaged elements
        raise InputError(f"{path} is a damaged DICOMDIR: give the folder with the images instead.") from None
    found, missing = [], []
    for parts in names:
        file = _find(path.parent, [str(part) for part in parts])
        if file is None:
            missing.append("/".join(map(str, parts)))
        else:
            found.append(file)
    if missing:
        more = f" and {len(missing) - NAMES_LISTED} more" if len(missing) > NAMES_LISTED else ""
        logger.warning("%s lists files that are not there: %s%s.", path, ", ".join(missing[:NAMES_LISTED]), more)
    return found


def _find(folder: Path, parts: list[str]) -> Path | None:
    """A file by its names below the folder; a medium's names are in capitals, and may be in small letters once they are copied."""
    for part in parts:
        if part in ("", ".", "..") or "/" in part:
            return None
        candidates = [folder / part, folder / part.lower()]
        folder = next((item for item in candidates if item.exists()), None)
        if folder is None:
            return None
    try:
        refuse_name(folder)
    except InputError:
        return None
    return folder if folder.is_file() else None
