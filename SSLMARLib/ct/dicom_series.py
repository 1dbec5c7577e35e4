"""The DICOM series of a folder, a zip archive or a DICOMDIR: what each is, and which of them are CT."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError
from .dicom_files import files_of_source
from .dicom_header import DicomFrame, DicomHeader, UnreadableError, read_header
from .file_checks import refuse_name

logger = logging.getLogger(__name__)

CT_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.2": "CT Image",
    "1.2.840.10008.5.1.4.1.1.2.1": "Enhanced CT Image",
    "1.2.840.10008.5.1.4.1.1.2.2": "Legacy Converted Enhanced CT Image",
}
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
GRAYSCALE_WORD_CAPTURE = "1.2.840.10008.5.1.4.1.1.7.3"
HOUNSFIELD_TYPES = ("", "HU", "US", "HU_MOD")
"""Rescale Type of CT values (PS3.3 C.11.1.1.2): none is HU, US is unspecified, HU_MOD is HU of for example a virtual energy."""
MAPS = frozenset("CBF CBV MTT TTP TTD TTS TMAX BLOOD_FLOW BLOOD_VOLUME PERMEABILITY".split())
"""Image type values of maps that are made from a perfusion scan; PERFUSION alone also marks the scan itself."""
NO_HU_CONTRASTS = frozenset("DIVISION MULTIPLICATION STD_DEVIATION SUBTRACTION QUANTITY ENERGY_PROP_WT".split())
"""Derived Pixel Contrast, value 4 of an enhanced image's type (PS3.3 C.8.16.1.4)."""
NAMES_LISTED = 5


@dataclass(frozen=True)
class DicomSeries:
    """One series as it lies in files.

    uid, study_uid: Series and Study Instance UID; "" where they were emptied. description, modality: as the header has them, in plain text.
    files: all files of the series, in the order of their names. number_of_slices: images that a CT volume would be made of (frames count
    each); scouts and screenshots are not among them. reason_not_ct: None for a CT series, else a phrase that says why it is none.
    """

    uid: str
    files: tuple[str, ...]
    description: str
    modality: str
    number_of_slices: int
    reason_not_ct: str | None
    study_uid: str
    headers: tuple[DicomHeader, ...] = field(repr=False, compare=False, default=())

    def describe(self) -> str:
        """Modality, description, number of images and UID in one phrase for messages."""
        frames = sum(len(header.frames) for header in self.headers)
        images = "1 image" if frames == 1 else f"{frames} images"
        name = f'{self.modality or "no modality"} "{self.description}", {images}, first file {Path(self.files[0]).name}'
        name += f", UID {self.uid or 'none'}"
        return f"{name}: {self.reason_not_ct}" if self.reason_not_ct else name


def list_series(path: str | os.PathLike, subfolders: bool = True, unreadable: list[str] | None = None) -> list[DicomSeries]:
    """Every DICOM series of a folder (and the folders below it), zip archive, DICOMDIR or single file, in the order of the files.

    Files that are no DICOM are passed over; DICOM files that cannot be read are named in a warning, or each in the list `unreadable`
    where one is given. The list is empty where there is none. A zip archive's files are unpacked and stay until the process ends.
    Raises InputError for a path that is not there or may not be read, and for a damaged archive or DICOMDIR.
    """
    path = Path(path)
    refuse_name(path)
    if not path.exists():
        raise InputError(f"{path} does not exist.")
    headers, failures = [], [] if unreadable is None else unreadable
    for file in files_of_source(path, subfolders):
        try:
            refuse_name(file)
            headers.append(read_header(file))
        except UnreadableError as error:
            failures.append(f"{file.name}: {error}")
        except InputError as error:
            failures.append(str(error).rstrip("."))
    if failures and unreadable is None:
        more = f"; and {len(failures) - NAMES_LISTED} more" if len(failures) > NAMES_LISTED else ""
        logger.warning("%s: left out, as no image could be read in them: %s%s.", path, "; ".join(failures[:NAMES_LISTED]), more)
    groups = defaultdict(list)
    for header in headers:
        groups[header.series_uid or ("no series UID", header.study_uid)].append(header)
    return [series_of(group) for group in groups.values()]


def series_of(headers: list[DicomHeader]) -> DicomSeries:
    """What the files of one series are, as `list_series` says it."""
    reasons = [reason_not_ct(header) for header in headers]
    slices = [header for header, reason in zip(headers, reasons, strict=True) if reason is None]
    first = slices[0] if slices else headers[0]
    return DicomSeries(
        uid=first.series_uid,
        files=tuple(header.path for header in headers),
        description=first.description,
        modality=first.modality,
        number_of_slices=sum(len(ct_frames(header)) for header in slices),
        reason_not_ct=None if slices else next(reason for reason in reasons if reason is not None),
        study_uid=first.study_uid,
        headers=tuple(headers),
    )


def reason_not_ct(header: DicomHeader) -> str | None:
    """Why the images of a file are no CT slices in HU, as a phrase; None if they are (or some of its frames are)."""
    reason = reason_unusable(header)
    if reason is not None:
        return reason
    is_ct_class = header.sop_class_uid in CT_CLASSES
    if header.modality != "CT" and (header.modality or not is_ct_class):
        return f"its modality is {header.modality or 'not stated'}, not CT"
    return None


def reason_unusable(header: DicomHeader) -> str | None:
    """Why the images of a file are no slices with a place and a value for each pixel, of whatever modality; None if they are."""
    if not header.frames:
        return "it holds no image"
    if header.samples_per_pixel != 1 or header.photometric_interpretation not in ("MONOCHROME1", "MONOCHROME2", ""):
        return "it is in color, and colors are no Hounsfield units"
    if header.modality == "RTDOSE":
        return "it is a dose grid"
    if header.sop_class_uid.startswith(SECONDARY_CAPTURE) and not _is_captured_ct(header):
        return "it is a screenshot (secondary capture)"
    if not ct_frames(header):
        return next(filter(None, map(_reason_of_frame, header.frames)))
    return None


def _is_captured_ct(header: DicomHeader) -> bool:
    """Multi-frame grayscale word captures hold CT of devices that know no better class: those that state where each frame lies."""
    return header.sop_class_uid == GRAYSCALE_WORD_CAPTURE and all(frame.position_mm is not None for frame in header.frames)


def ct_frames(header: DicomHeader) -> tuple[DicomFrame, ...]:
    """The frames that are no scout, no map and of HU."""
    return tuple(frame for frame in header.frames if _reason_of_frame(frame) is None)


def _reason_of_frame(frame: DicomFrame) -> str | None:
    kind = frame.frame_type
    if "LOCALIZER" in kind:
        return "it is a scout (localizer)"
    is_derived = "DERIVED" in kind[:1] and not frame.is_corrected
    if MAPS.intersection(kind) or (is_derived and "PERFUSION" in kind) or (is_derived and NO_HU_CONTRASTS.intersection(kind[3:])):
        return f"it is a map of other values than HU (image type {'/'.join(kind)})"
    if frame.rescale_type not in HOUNSFIELD_TYPES:
        return f"its values are in {frame.rescale_type}, not in HU"
    return None
