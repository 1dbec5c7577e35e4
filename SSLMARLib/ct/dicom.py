"""A CT series from DICOM files: chosen among those of a folder, zip archive or DICOMDIR, stacked by position, in HU.

`dicom_series` says what there is, `dicom_stack` in which order and on which grid, `dicom_pixels` what the pixels mean. Work is slice by
slice, so a tilted gantry, missing slices and uneven distances are accepted; what a regular grid cannot say about them is logged.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy

from ..errors import InputError
from .dicom_files import DIRECTORY_NAME, is_directory_file, is_zip
from .dicom_header import UnreadableError, read_header
from .dicom_pixels import read_hu
from .dicom_series import DicomSeries, ct_frames, list_series, reason_not_ct, reason_unusable, series_of
from .dicom_stack import DicomImage, Stack, stack_images
from .volume import CTVolume

logger = logging.getLogger(__name__)


def read_dicom(path: Path, series_uid: str | None = None) -> CTVolume:
    """The CT series of a folder, zip archive or DICOMDIR, or of one file (a slice, or all frames of a multi-frame object).

    series_uid: which series, where there are several. Raises InputError for none, for several without a choice, and for what `read_series`
    refuses.
    """
    return read_series(_choose(path, _series_in(path), series_uid), path)


def read_series(series: DicomSeries, path: str | os.PathLike = "") -> CTVolume:
    """The volume of one series of `list_series`. path: what messages call it; without one, the folder of its first file.

    Raises InputError, with what to do, for a series that is no stack of slices in HU: images of different kinds, two images at one place,
    positions beside a line, no pixel spacing, and others.
    """
    path = Path(path) if os.fspath(path) else Path(series.files[0]).parent
    stack = stack_images(path, _images(path, series))
    _check_rescale(path, stack)
    files = tuple(image.header.path for image in stack.images)
    frames = tuple(image.frame.index for image in stack.images) if any(image.header.is_multi_frame for image in stack.images) else ()
    return CTVolume(_voxels(stack), stack.spacing_mm, stack.origin_mm, stack.direction, dicom_files=files, dicom_frames=frames)


def _series_in(path: Path) -> list[DicomSeries]:
    """The series of the folder itself; where it has none, those that its DICOMDIR lists, or those of the folders below."""
    if not path.is_dir():
        if is_zip(path) or is_directory_file(path):
            return list_series(path)
        try:
            return [series_of([read_header(path)])]
        except UnreadableError as error:
            raise InputError(f"{path} cannot be read as DICOM: {error}.") from None
    found = list_series(path, subfolders=False)
    if not found:
        directories = [item for item in path.iterdir() if item.name.upper() == DIRECTORY_NAME and item.is_file()]
        found = list_series(directories[0]) if directories else []
    return found or list_series(path)


def _choose(path: Path, found: list[DicomSeries], series_uid: str | None) -> DicomSeries:
    """The one CT series, or the one that was asked for. Which of two is to be corrected is not for a program to guess."""
    if not found:
        raise InputError(f"{path} holds no DICOM images that can be read; give the folder of a CT series.")
    names = "; ".join(series.describe() for series in found)
    if series_uid is not None:
        chosen = [series for series in found if series.uid == series_uid]
        if len(chosen) != 1:
            number = "no" if not chosen else f"{len(chosen)}"
            raise InputError(f"{path} holds {number} series with the UID {series_uid} ({names}); give the UID of one of them.")
    else:
        chosen = [series for series in found if series.reason_not_ct is None]
        if not chosen and len(found) == 1:
            chosen = found
        if len(chosen) != 1:
            kind, what = (f"{len(chosen)} CT series", "--series UID (series_uid=UID)") if chosen else ("no CT series", "the folder of one")
            raise InputError(f"{path} holds {kind} ({names}); give {what}.")
        if len(found) > 1:
            logger.warning("%s holds several series (%s): %s is read.", path, names, chosen[0].describe())
    return chosen[0]


def _images(path: Path, series: DicomSeries) -> list[DicomImage]:
    """The frames that are slices; what else is in the series is named. A sole series of another modality is warned about."""
    headers = [header for header in series.headers if reason_not_ct(header) is None]
    if not headers:
        headers = [header for header in series.headers if reason_unusable(header) is None]
        if not headers:
            raise InputError(f"{path} holds no CT ({series.describe()}); give a CT series.")
        logger.warning("%s has modality %s, not CT: are its values HU?", path, series.modality or "?")
    images = [DicomImage(header, frame) for header in headers for frame in ct_frames(header)]
    left_out = sum(len(header.frames) for header in series.headers) - len(images)
    if left_out:
        others = {reason_not_ct(header) for header in series.headers if header not in headers} - {None}
        reason = f" ({'; '.join(sorted(others))})" if others else " (scouts, or maps of other values)"
        logger.warning("%s: %d of %d images are left out%s.", path, left_out, left_out + len(images), reason)
    return images


def _check_rescale(path: Path, stack: Stack) -> None:
    """Refuse values that cannot be turned into HU, and say it where the file does not call them so."""
    for image in stack.images:
        if image.header.has_lookup_table:
            raise InputError(f"{path}: {image.name} gives its values by a lookup table, which is not read; export it with rescale slope.")
        if image.frame.slope == 0:
            raise InputError(f"{path}: {image.name} has the rescale slope 0, so all its values are lost; load it again.")
    without = sum(image.frame.slope is None or image.frame.intercept is None for image in stack.images)
    if without:
        logger.warning(
            "%s states no rescale slope and intercept in %d of %d images: its values are taken as HU.", path, without, len(stack.images)
        )
    if any(image.frame.rescale_type == "US" for image in stack.images):
        logger.warning("%s says that the unit of its values is unspecified (Rescale Type US): they are taken as HU.", path)


def _voxels(stack: Stack) -> numpy.ndarray:
    """(slices, rows, columns) HU, in the narrowest type that holds every slice exactly; each file is read once."""
    places: dict[str, list[int]] = {}
    for index, image in enumerate(stack.images):
        places.setdefault(image.header.path, []).append(index)
    header = stack.images[0].header
    voxels_hu = numpy.zeros((len(stack.images), header.rows, header.columns), numpy.int16)
    for indices in places.values():
        frames = [stack.images[index].frame for index in indices]
        for index, plane_hu in zip(indices, read_hu(stack.images[indices[0]].header, frames), strict=True):
            common = numpy.result_type(voxels_hu, plane_hu)
            if common != voxels_hu.dtype:
                voxels_hu = voxels_hu.astype(common)
            voxels_hu[index] = plane_hu
    return voxels_hu
