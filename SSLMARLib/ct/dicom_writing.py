"""A derived CT series as DICOM: one file for each file of the source, its header kept but for `dicom_elements`, its voxels new.

Stored values have the source's rescale, depth and sign, so that unchanged voxels come back to the bit; values that do not fit are brought
to the nearest one that does, as a scanner does it, with a warning.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy
import pydicom
import pydicom.filewriter
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from .._version import __version__
from ..errors import InputError
from .dicom_elements import REMOVED, is_of_removed_group
from .dicom_header import OWN_CODING_SCHEME, DicomFrame, DicomHeader, UnreadableError, quiet_pydicom, read_header
from .dicom_identity import LONGEST_SHORT_TEXT, code, derivation_text, equipment, item, new_uid, now_of, source_reference
from .series_kind import CORRECTED, SERIES_NUMBER_OFFSET, SeriesKind
from .volume import CTVolume

logger = logging.getLogger(__name__)

WORD_REPRESENTATIONS = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
"""Value representations of bytes in the order of the file, and the bytes of one word."""
LARGEST_SERIES_NUMBER = 2**31 - 1


@dataclass(frozen=True)
class _Series:
    """What all files of the new series share."""

    kind: SeriesKind
    uid: str
    seed: str | None


def write_dicom_folder(volume: CTVolume, folder: Path, kind: SeriesKind = CORRECTED, uid_seed: str | None = None) -> None:
    """Write one file for each file of the source into `folder`, which exists; `kind` says what the series is called.

    uid_seed: the new UIDs are random; with a seed, the same source, kind and voxels get the same UIDs again. Raises InputError for a
    volume that is not from DICOM, voxels that are no numbers, or a source that is gone or whose header is damaged.
    """
    files = volume.dicom_files
    if len(files) != volume.shape[0]:
        raise InputError("This volume did not come from DICOM slices, so it has no header to copy; write NRRD or NIfTI.")
    slices_of: dict[str, list[int]] = {}
    for index, path in enumerate(files):
        slices_of.setdefault(path, []).append(index)
    series, beyond = None, []
    for number, (path, indices) in enumerate(slices_of.items(), 1):
        header = _source_header(path)
        if series is None:
            uid = new_uid(uid_seed, "series", header.series_uid or header.study_uid, derivation_text(kind))
            series = _Series(kind, uid, uid_seed)
        indices = sorted(indices, key=volume.frame_of)  # the frames of a file stay in its order
        frames = [header.frames[volume.frame_of(index)] for index in indices]
        stored = numpy.stack(
            [_stored(header, frame, volume.voxels_hu[index], beyond) for frame, index in zip(frames, indices, strict=True)]
        )
        with _refusing_damage(path):
            data = _derived(header, frames, stored, series)
            pydicom.dcmwrite(folder / f"slice_{number:04d}.dcm", data, enforce_file_format=True)
    if beyond:
        logger.warning(
            "%d voxels of %.6g to %.6g HU do not fit into the source's stored values and are set to the nearest that does; "
            "write NRRD or NIfTI to keep them.",
            sum(count for count, _, _ in beyond), min(lowest for _, lowest, _ in beyond), max(highest for _, _, highest in beyond),
        )  # fmt: skip


def refuse_damaged_headers(volume: CTVolume) -> None:
    """Say before any work that the header of a source file could not be copied by `write_dicom_folder`. Raises InputError."""
    for path in dict.fromkeys(volume.dicom_files):
        header = _source_header(path)
        with _refusing_damage(path):
            data = _kept_elements(header)
            pydicom.dcmwrite(io.BytesIO(), data, implicit_vr=False, little_endian=True)


@contextlib.contextmanager
def _refusing_damage(path: str) -> Iterator[None]:
    """What pydicom raises inside, of elements that it cannot copy, becomes one sentence."""
    try:
        with quiet_pydicom():
            yield
    except (OSError, MemoryError):
        raise
    except Exception as error:  # pydicom raises almost anything on damaged elements
        logger.debug("%s could not be copied", path, exc_info=True)
        raise InputError(
            f"The header of {path} cannot be copied ({type(error).__name__}), so it is damaged; write NRRD or NIfTI."
        ) from None


def _source_header(path: str) -> DicomHeader:
    try:
        return read_header(path)
    except UnreadableError:
        raise InputError(f"{path} is needed for its header and cannot be read any more.") from None


def _stored(header: DicomHeader, frame: DicomFrame, plane_hu: numpy.ndarray, beyond: list[tuple[int, float, float]]) -> numpy.ndarray:
    """(rows, columns) in HU as stored values of the source's rescale and depth; what does not fit is counted in `beyond`."""
    slope, intercept = 1.0 if frame.slope is None else frame.slope, frame.intercept or 0.0
    stored = numpy.rint((plane_hu.astype(numpy.float64) - intercept) / slope)
    if not numpy.isfinite(stored).all():
        raise InputError("The volume has NaN or infinite voxels, which DICOM has no place for; replace them first.")
    lowest = -(1 << (header.bits_stored - 1)) if header.signed else 0
    highest = lowest + (1 << header.bits_stored) - 1
    outside = (stored < lowest) | (stored > highest)
    if outside.any():
        beyond.append((int(outside.sum()), float(plane_hu[outside].min()), float(plane_hu[outside].max())))
    return numpy.clip(stored, lowest, highest).astype(f"<{'i' if header.signed else 'u'}{header.bits_allocated // 8}")


def _derived(header: DicomHeader, frames: list[DicomFrame], stored: numpy.ndarray, series: _Series) -> Dataset:
    """The new data set of a file: the source's elements, without the removed ones, with the changed ones."""
    data = _kept_elements(header)
    pixels = stored.tobytes() + b"\0" * (stored.nbytes % 2)
    data.SOPClassUID = header.sop_class_uid or CTImageStorage
    data.SOPInstanceUID = new_uid(series.seed, "instance", series.uid, header.instance_uid, hashlib.sha256(pixels).hexdigest())
    data.SeriesInstanceUID = series.uid
    data.SeriesNumber = min(_whole(data, "SeriesNumber") + SERIES_NUMBER_OFFSET, LARGEST_SERIES_NUMBER)
    data.SeriesDescription = series.kind.describe(header.description)
    date, time = now_of(data)
    for name in ("InstanceCreation", "Series", "Content"):
        setattr(data, f"{name}Date", date)
        setattr(data, f"{name}Time", time)
    data.ContributingEquipmentSequence = [*(data.get("ContributingEquipmentSequence") or []), equipment(series.kind, date + time)]
    if "PerFrameFunctionalGroupsSequence" in data:
        _derive_frames(data, header, frames, series.kind)
    else:
        data.ImageType = _image_type(data.get("ImageType"), "SECONDARY", series.kind)
        for keyword, value in _derivation(
            data, header, [frame.index for frame in frames] if header.is_multi_frame else [], series.kind
        ).items():
            setattr(data, keyword, value)
        if header.is_multi_frame:
            data.NumberOfFrames = len(frames)
    data.HighBit = header.bits_stored - 1
    data.add_new("PixelData", "OB" if header.bits_allocated <= 8 else "OW", pixels)
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID, data.file_meta.MediaStorageSOPInstanceUID = data.SOPClassUID, data.SOPInstanceUID
    data.file_meta.ImplementationVersionName = f"SSLMAR {__version__}"[:16]
    return data


def _kept_elements(header: DicomHeader) -> Dataset:
    source = pydicom.dcmread(header.path, stop_before_pixels=True, force=True)
    if source.original_encoding[1] is False:
        _swap_words(source)
    if source.original_encoding[0]:
        pydicom.filewriter.correct_ambiguous_vr(source, True)
        _state_representations(source)
    with_overlay = frozenset(tag.group for tag in source.keys() if 0x6000 <= tag.group <= 0x60FE and tag.element == 0x3000)
    for tag in list(source.keys()):
        if is_of_removed_group(tag.group, tag.element, with_overlay):
            del source[tag]
    for keyword in REMOVED:
        if keyword in source:
            delattr(source, keyword)
    return source


def _state_representations(data: Dataset) -> None:
    """An implicit VR file leaves open what some elements are, and pydicom cannot decide all; bytes are words then (PS3.5 A.1)."""
    for element in data:
        if element.VR == "SQ":
            for one in element.value:
                _state_representations(one)
        elif " or " in element.VR:
            element.VR = "OW" if isinstance(element.value, bytes) else "US"


def _swap_words(data: Dataset) -> None:
    """What pydicom leaves as it is in a big endian file, such as overlays and lookup tables, in the order of the new one."""
    for element in data:
        size = WORD_REPRESENTATIONS.get(element.VR)
        if element.VR == "SQ":
            for one in element.value:
                _swap_words(one)
        elif size and isinstance(element.value, bytes) and len(element.value) % size == 0:
            element.value = numpy.frombuffer(element.value, f">u{size}").astype(f"<u{size}").tobytes()


def _derivation(data: Dataset, header: DicomHeader, frames: list[int], kind: SeriesKind) -> dict[str, object]:
    """How the image came to be: the source's own derivation is kept behind it. frames: indices, for a file of several."""
    former = str(data.get("DerivationDescription") or "")
    elements = {
        "DerivationDescription": "; ".join(filter(None, (derivation_text(kind), former)))[:LONGEST_SHORT_TEXT],
        "DerivationCodeSequence": [*(data.get("DerivationCodeSequence") or []), code(kind.code, OWN_CODING_SCHEME, kind.code_meaning)],
    }
    if header.instance_uid:
        purpose = code("121322", "DCM", "Source image for image processing operation")
        numbers = [index + 1 for index in frames] or [None]
        class_uid = header.sop_class_uid or CTImageStorage
        elements["SourceImageSequence"] = [source_reference(class_uid, header.instance_uid, purpose, number) for number in numbers]
    return elements


def _derive_frames(data: Dataset, header: DicomHeader, frames: list[DicomFrame], kind: SeriesKind) -> None:
    """The functional groups of an enhanced object: those of the frames that are written, each with its frame type and derivation."""
    enhanced = "CTImageFrameTypeSequence"
    groups = [data.PerFrameFunctionalGroupsSequence[frame.index] for frame in frames]
    shared = (data.get("SharedFunctionalGroupsSequence") or [])[:1]
    value_2 = "PRIMARY" if any(enhanced in group for group in [*shared, *groups]) else "SECONDARY"
    for group, frame in zip(groups, frames, strict=True):
        former = (group.get("DerivationImageSequence") or [Dataset()])[-1]
        group.DerivationImageSequence = [item(**_derivation(former, header, [frame.index], kind))]
    for group in [*shared, *groups]:
        for one in (group.get(enhanced) or [])[:1]:
            one.FrameType = _image_type(one.get("FrameType"), value_2, kind)
    data.ImageType = _image_type(data.get("ImageType"), value_2, kind)
    data.PerFrameFunctionalGroupsSequence, data.NumberOfFrames = groups, len(frames)
    if header.instance_uid:
        evidence = item(ReferencedSOPClassUID=header.sop_class_uid or CTImageStorage, ReferencedSOPInstanceUID=header.instance_uid)
        series = item(SeriesInstanceUID=header.series_uid, ReferencedSOPSequence=[evidence])
        data.SourceImageEvidenceSequence = [item(StudyInstanceUID=header.study_uid, ReferencedSeriesSequence=[series])]


def _image_type(former, value_2: str, kind: SeriesKind) -> list[str]:
    values = [] if not former else [former] if isinstance(former, str) else list(former)
    return ["DERIVED", value_2, *(values[2:] or ["AXIAL"]), *([kind.mark] if kind.mark else [])]


def _whole(data: Dataset, keyword: str) -> int:
    try:
        return int(data.get(keyword) or 0)
    except (TypeError, ValueError):
        return 0
