"""Volumes and masks from and to files: NRRD, NIfTI, MetaImage, and folders of DICOM slices.

An output appears under its name only when it is complete: it is written into a temporary folder beside it and then
renamed, and whatever goes wrong before, Ctrl-C included, leaves nothing behind.
"""

import contextlib
import errno
import logging
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy

from ..atomic_files import replace_folder, unfinished_beside
from ..errors import InputError
from .file_checks import refuse_name, refuse_not_finite, refuse_unreadable
from .image_file import FORMATS, known_suffix, read_image_file, read_mask_layers, write_image_file
from .mask_labels import LabeledVoxels, labels_of_header, mask_of_label
from .series_kind import CORRECTED, SeriesKind
from .volume import CTVolume

logger = logging.getLogger(__name__)

SEGMENTATION_SUFFIX = ".dcm"  # of a mask that is written as DICOM Segmentation
DETACHED_HEADER_SUFFIXES = (".mhd", ".nhdr")
DETACHED_DATA_SUFFIXES = (".raw", ".zraw", ".raw.gz")
READABLE = f"{', '.join(FORMATS)} or a folder of DICOM slices (or a zip archive or DICOMDIR of them)"


def read_volume(path: str | os.PathLike, series_uid: str | None = None) -> CTVolume:
    """Read a CT volume: NRRD, NIfTI, MetaImage, a folder, zip archive or DICOMDIR of DICOM slices, or one DICOM file.

    series_uid: which DICOM series to read, where there are several (`dicom_series.list_series` lists them). Raises InputError for a file
    that is missing, damaged, of unknown type, 4D, color, or has NaN or infinite voxels, and for DICOM that `dicom.read_series` refuses.
    """
    return _read(Path(path), series_uid)


def read_mask(path: str | os.PathLike, like: CTVolume, label: str | Sequence[str] | None = None) -> numpy.ndarray:
    """Read the metal of a mask, label map, `.seg.nrrd` file of Slicer or DICOM segmentation (a file, or a folder that holds one) as bool
    (slices, rows, columns) on the grid of a volume.

    label: name or value (or several) of what is metal; None where the file holds one label. The mask's axes may be turned or in another
    order, and `.seg.nrrd` and DICOM may hold a part of the volume only. NaN is no metal. Raises InputError for several labels without a
    choice, a label that is not there, and a mask whose voxels lie elsewhere (corners more than GEOMETRY_TOLERANCE_MM away).
    """
    path = Path(path)
    refuse_name(path)
    if known_suffix(path) and not path.is_dir():
        refuse_unreadable(path)
        grid, voxels = read_mask_layers(path)
        labels = labels_of_header(grid.metadata)
        if not labels and voxels.shape[3] > 1:
            raise InputError(f"{path} holds {voxels.shape[3]} values in each voxel; give a mask with one value in each voxel.")
        content = LabeledVoxels(voxels, grid, labels, may_be_cropped=bool(labels))
    elif _is_dicom(path) and (segmentation := _find_segmentation(path)) is not None:
        from .dicom_segmentation_reading import read_segmentation

        return read_segmentation(segmentation, like, label)
    else:
        grid = _read(path)
        content = LabeledVoxels(grid.voxels_hu[..., numpy.newaxis], grid)
    return mask_of_label(path, content, like, label)


def write_volume(
    volume: CTVolume, path: str | os.PathLike, overwrite: bool = False, *, series_kind: SeriesKind = CORRECTED, uid_seed: str | None = None
) -> None:
    """Write a volume in the format of the path's suffix, or as a folder of DICOM slices if it came from DICOM.

    series_kind: how a DICOM series is described (`series_kind.corrected_by` names the method). uid_seed: of a DICOM series' new UIDs,
        which are random without one.
    Raises InputError if the output exists and `overwrite` is False, its folder is missing or not writable, the disk is
    full, or the format has no place for the values.
    """
    path = Path(path)
    _refuse_suffix(path, is_dicom=bool(volume.dicom_files))
    if any(_is_inside(Path(file), path) for file in volume.dicom_files):
        raise InputError(f"The output {path} is the input itself; give another name.")
    _refuse_place(path, overwrite, is_folder=known_suffix(path) is None)
    with _temporary_folder_beside(path) as temporary:
        suffix = known_suffix(path)
        if suffix is None:
            content = temporary / "content"
            content.mkdir()
            from .dicom_writing import write_dicom_folder  # pydicom takes its time to load, and other files do not need it

            write_dicom_folder(volume, content, series_kind, uid_seed)
            replace_folder(content, path)
        else:
            _write_file(volume, path, temporary)


def write_mask(
    mask: numpy.ndarray,
    volume: CTVolume,
    path: str | os.PathLike,
    overwrite: bool = False,
    *,
    found_by: str = "",
    uid_seed: str | None = None,
) -> None:
    """Write a mask, bool (slices, rows, columns), of a volume: NRRD, NIfTI or MetaImage with 1 where there is metal or, of a volume that
    came from DICOM, a DICOM segmentation (.dcm).

    found_by, uid_seed: of a DICOM segmentation: how the metal was found ("" where somebody drew it), and the seed of its new UIDs, which
        are random without one. Raises InputError as `write_volume` does, and for a DICOM segmentation of no metal.
    """
    path = Path(path)
    if not _is_segmentation_name(path):
        write_volume(replace(volume, voxels_hu=mask.astype(numpy.uint8), metadata={}, dicom_files=()), path, overwrite)
        return
    _refuse_place(path, overwrite, is_folder=False)
    if any(_real(Path(file)) == _real(path) for file in volume.dicom_files):
        raise InputError(f"The output {path} is the input itself; give another name.")
    from .dicom_segmentation_writing import write_segmentation

    with _temporary_folder_beside(path) as temporary:
        write_segmentation(volume, mask, temporary / path.name, found_by, uid_seed)
        os.replace(temporary / path.name, path)


def refuse_output(
    output_path: str | os.PathLike,
    input_paths: str | os.PathLike | Iterable[str | os.PathLike] | None,
    overwrite: bool,
    kind: str = "volume",
) -> None:
    """Say before any work what `write_volume` would refuse later. Raises InputError.

    input_paths: the volume's path, or several paths of which the first is the volume's; none of them may be the output,
    not through a link either. kind: "volume" needs a known suffix, or none (a DICOM folder) where the input is DICOM;
    "mask" needs a known suffix, or .dcm where the input is DICOM; "map" needs a known suffix. Refused too: a missing or
    unwritable folder, and what exists already unless `overwrite`. An existing folder is only overwritten if it holds nothing but DICOM.
    """
    output_path = Path(output_path)
    if input_paths is None or isinstance(input_paths, (str, os.PathLike)):
        input_paths = [] if input_paths is None else [input_paths]
    input_paths = [Path(path) for path in input_paths]
    output_files = {_real(item) for item in files_of(output_path)}
    for input_path in input_paths:
        if output_files & {_real(item) for item in files_of(input_path)} or _is_inside(input_path, output_path):
            raise InputError(f"The output {output_path} is the input itself; give another name.")
    is_dicom = bool(input_paths) and _is_dicom(input_paths[0])
    is_segmentation = kind == "mask" and is_dicom and _is_segmentation_name(output_path)
    if not is_segmentation:
        _refuse_suffix(output_path, kind == "volume" and is_dicom, kind)
    _refuse_place(output_path, overwrite, is_folder=known_suffix(output_path) is None and not is_segmentation)


def refuse_unwritable(volume: CTVolume, path: str | os.PathLike) -> None:
    """Say before any work what in the volume's source `write_volume` could not copy to this output. Raises InputError."""
    if volume.dicom_files and known_suffix(Path(path)) is None:
        from .dicom_writing import refuse_damaged_headers

        refuse_damaged_headers(volume)


def refuse_same_output(paths: Iterable[str | os.PathLike | None]) -> None:
    """Say before any work that two outputs of one job would be the same file, links included. Raises InputError."""
    seen: set[str] = set()
    for path in paths:
        names = set() if path is None else {_real(item) for item in files_of(Path(path))}
        if names & seen:
            raise InputError(f"The output {path} would replace another output of this run; give each a name of its own.")
        seen |= names


def _write_file(volume: CTVolume, path: Path, temporary: Path) -> None:
    """Write the file in the temporary folder, then move it. The data of a detached header come before it and never under the name
    that the former header gives, so that the header in place has its own data at any moment."""
    suffix = known_suffix(path)
    stem, former = path.name[: -len(suffix)], _data_file_of(path)
    if former is not None and former.name.lower() == f"{stem}.raw".lower():
        stem = f"{stem}.{secrets.token_hex(4)}"
    content = temporary / (stem + suffix)
    write_image_file(volume, content)
    moved = [path.with_name(item.name) for item in temporary.iterdir() if item != content]
    try:
        for item in moved:
            os.replace(temporary / item.name, item)
        os.replace(content, path)
    except BaseException:
        for item in moved:
            if item != _data_file_of(path):
                item.unlink(missing_ok=True)
        raise
    if former is not None and former not in moved:
        with contextlib.suppress(OSError):
            former.unlink()


def _data_file_of(path: Path) -> Path | None:
    """The data file beside a detached header which the header names and which is its own by its name; None without."""
    suffix = known_suffix(path)
    if suffix not in DETACHED_HEADER_SUFFIXES or not path.is_file():
        return None
    with open(path, "rb") as file:
        found = re.search(rb"^(?:ElementDataFile *=|data ?file:) *([^\r\n]+?) *\r?$", file.read(1 << 16), re.MULTILINE | re.IGNORECASE)
    data_path = None if found is None else path.with_name(Path(os.fsdecode(found[1])).name)
    own = data_path is not None and data_path.name.startswith(f"{path.name[: -len(suffix)]}.")
    return data_path if own and data_path.name.lower().endswith(DETACHED_DATA_SUFFIXES) else None


@contextlib.contextmanager
def _temporary_folder_beside(path: Path) -> Iterator[Path]:
    """A folder on the output's disk, gone afterwards whatever happens; what fails inside becomes one sentence."""
    try:
        with unfinished_beside(path) as temporary:
            temporary.mkdir(mode=0o700)
            yield temporary
    except (OSError, RuntimeError) as error:
        raise _writing_failed(path, error) from None


def _read(path: Path, series_uid: str | None = None) -> CTVolume:
    refuse_name(path)
    if not path.is_dir():
        refuse_unreadable(path)
    if not path.is_dir() and known_suffix(path):
        if series_uid is not None:
            raise InputError(f"{path} is no DICOM, so it holds no series to choose from; leave out --series (series_uid).")
        volume = read_image_file(path)
    elif _is_dicom(path):
        from .dicom import read_dicom  # pydicom takes its time to load, and other files do not need it

        volume = read_dicom(path, series_uid)
    else:
        raise InputError(f"{path} is of no known type; give {READABLE}.")
    if volume.voxels_hu.dtype.kind == "f":
        finite = sum(int(numpy.count_nonzero(numpy.isfinite(plane))) for plane in volume.voxels_hu)
        refuse_not_finite(path, volume.voxels_hu.size - finite)
    return volume


def _is_dicom(path: Path) -> bool:
    if path.is_dir() or known_suffix(path) is not None:
        return path.is_dir()
    from .dicom_files import is_zip
    from .dicom_header import is_dicom_file

    return is_dicom_file(path) or is_zip(path)


def _real(path: Path) -> str:
    return os.path.normcase(os.path.realpath(path))


def _is_inside(path: Path, folder: Path) -> bool:
    return _real(folder) in (_real(parent) for parent in Path(os.path.abspath(path)).parents)


def files_of(path: Path) -> list[Path]:
    """The file, and the data files that a detached header of this name may have."""
    suffix = known_suffix(path)
    if suffix not in DETACHED_HEADER_SUFFIXES:
        return [path]
    stem, named = path.name[: -len(suffix)], _data_file_of(path)
    data_paths = [path.with_name(stem + data_suffix) for data_suffix in DETACHED_DATA_SUFFIXES]
    return [path, *data_paths, *([] if named is None or named in data_paths else [named])]


def _is_segmentation_name(path: Path) -> bool:
    return path.suffix.lower() == SEGMENTATION_SUFFIX


def _find_segmentation(path: Path) -> Path | None:
    from .dicom_segmentation_reading import find_segmentation

    return find_segmentation(path)


def _refuse_suffix(path: Path, is_dicom: bool, kind: str = "volume") -> None:
    """Without a known suffix it is a DICOM folder; a suffix of letters is rather a format that is not written."""
    if known_suffix(path) is None and (not is_dicom or path.suffix[1:2].isalpha()):
        dicom = {"volume": " (a DICOM folder only for a volume from DICOM)", "mask": " (.dcm only for a scan from DICOM)"}.get(kind, "")
        if is_dicom:
            dicom = ", or a folder name without suffix"
        raise InputError(f"The output {path} has no known suffix; name it {', '.join(FORMATS)}{dicom}.")


def _refuse_place(path: Path, overwrite: bool, is_folder: bool) -> None:
    refuse_name(path)
    parent = path.parent
    if not parent.is_dir():
        raise InputError(f"The folder {parent} of the output does not exist; make it first.")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise InputError(f"The folder {parent} of the output is not writable; choose another one.")
    existing = [item for item in files_of(path) if os.path.lexists(item)]
    if not existing:
        return
    if path.is_dir() != is_folder and path.exists():
        raise InputError(f"The output {path} exists and is a {'file' if is_folder else 'folder'}; give another name.")
    if not overwrite and not (is_folder and not any(path.iterdir())):
        raise InputError(f"The output {existing[0]} exists; give --overwrite (overwrite=True) to replace it.")
    if is_folder:
        from .dicom_header import is_dicom_file

        if not all(item.is_file() and is_dicom_file(item) for item in path.iterdir()):
            raise InputError(f"The folder {path} holds more than DICOM files and is not overwritten; give another name.")


def _writing_failed(path: Path, error: Exception) -> InputError:
    """One sentence for what stopped the writing; SimpleITK's own text of many lines goes to the debug log."""
    logger.debug("writing %s failed: %s", path, error)
    code = getattr(error, "errno", None)
    try:
        free_bytes = shutil.disk_usage(path.parent).free
    except OSError:
        free_bytes = None
    if code in (errno.EACCES, errno.EPERM, errno.EROFS):
        return InputError(f"The folder {path.parent} of the output is not writable; choose another one.")
    if code == errno.ENOSPC or (free_bytes is not None and free_bytes < 1 << 20):
        return InputError(f"The output {path} could not be written: the disk is full.")
    free = "" if free_bytes is None else f" ({free_bytes / 1e9:.1f} GB are free there)"
    if code is not None:
        return InputError(f"The output {path} could not be written ({os.strerror(code)}): look at its name, the disk and its quota{free}.")
    return InputError(f"The output {path} could not be written completely: look at the disk and its quota{free}.")
