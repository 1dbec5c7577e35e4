"""What one DICOM file says of its images: frame by frame its place, pixel spacing and rescale, read with pydicom.

Nothing is assumed here: what the file does not state is None. An enhanced (multi-frame) object states things for all frames
(Shared Functional Groups) or for each (Per-Frame Functional Groups), PS3.3 C.7.6.16; a plain image states them for itself.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import struct
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy
import pydicom

from ..errors import plain_text

SIGNATURE = b"DICM"
PREAMBLE_BYTES = 128
LONGEST_SIDE_PIXELS = 16384  # no CT slice comes near; a damaged header may claim 65535 x 65535
MOST_FRAMES = 1 << 17
VALUE_REPRESENTATIONS = frozenset(
    b"AE AS AT CS DA DS DT FL FD IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV".split()
)
LONG_REPRESENTATIONS = (b"OB", b"OW", b"OF", b"OD", b"UN")
UNDEFINED_LENGTH = 0xFFFFFFFF
PIXEL_DATA = (0x7FE0, 0x0010)
OWN_CODING_SCHEME = "99SSLMAR"
"""Private (PS3.16 8.2): the standard has no code for metal artifact reduction."""
KEYWORDS = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SpecificCharacterSet"),
    *("SeriesDescription", "Modality", "ImageType", "InstanceNumber", "AcquisitionNumber", "TemporalPositionIdentifier"),
    *("TemporalPositionIndex", "NominalPercentageOfCardiacPhase", "TriggerTime"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "NominalScannedPixelSpacing", "ImagerPixelSpacing"),
    *("SliceThickness", "SpacingBetweenSlices", "RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence"),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored"),
    *("HighBit", "PixelRepresentation", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "DerivationCodeSequence"),
)
SPACING_KEYWORDS = ("PixelSpacing", "NominalScannedPixelSpacing", "ImagerPixelSpacing")
PHASE_KEYWORDS = (*("TemporalPositionIndex", "TemporalPositionIdentifier", "NominalPercentageOfCardiacPhase", "TriggerTime", "StackID"),)


@contextlib.contextmanager
def quiet_pydicom() -> Iterator[None]:
    """What pydicom warns about or logs, inside, of values that are not as the standard asks for, says nothing to a user."""
    logger = logging.getLogger("pydicom")
    before = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before


class UnreadableError(Exception):
    """The file is no DICOM that can be read; the text says why, as the end of a sentence."""


@dataclass(frozen=True)
class DicomFrame:
    """One image of a file. Vectors are LPS, in mm; None is what the file does not state.

    position_mm (3,): center of the first pixel. orientation (2, 3): unit vectors along which columns and rows are counted.
    pixel_spacing_mm: (between rows, between columns), stated in the element `spacing_keyword`.
    slope, intercept: stored value * slope + intercept is what the file means, in `rescale_type`.
    phase: what tells images of one place apart, such as the position in time; empty values left out.
    is_corrected: whether this library derived it from a scan, whose kind the other values of its type still say.
    """

    index: int
    position_mm: numpy.ndarray | None
    orientation: numpy.ndarray | None
    pixel_spacing_mm: tuple[float, float] | None
    spacing_keyword: str
    thickness_mm: float | None
    slope: float | None
    intercept: float | None
    rescale_type: str
    frame_type: tuple[str, ...]
    phase: tuple[str, ...]
    acquisition: str
    is_corrected: bool = False


@dataclass(frozen=True)
class DicomHeader:
    """One file: who it is, how its pixels are stored, and its frames (empty where it holds no image).

    pixel_offset: where the pixel data's value begins in the file; None in a deflated file. pixel_bytes: its length, or None where it is
    encapsulated (compressed).
    """

    path: str
    sop_class_uid: str
    instance_uid: str
    series_uid: str
    study_uid: str
    frame_of_reference_uid: str
    description: str
    modality: str
    image_type: tuple[str, ...]
    transfer_syntax_uid: str
    rows: int
    columns: int
    samples_per_pixel: int
    photometric_interpretation: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    has_lookup_table: bool
    pixel_offset: int | None
    pixel_bytes: int | None
    frames: tuple[DicomFrame, ...]

    @property
    def is_multi_frame(self) -> bool:
        return len(self.frames) > 1


def is_dicom_file(path: str | os.PathLike) -> bool:
    """Whether the file has DICOM's mark after its preamble, or begins at once with the elements of a DICOM data set."""
    try:
        with open(path, "rb") as file:
            return is_dicom_start(file.read(PREAMBLE_BYTES + 8))
    except OSError:
        return False


def is_dicom_start(start: bytes) -> bool:
    """Whether the first 136 bytes are those of a DICOM file, with or without preamble (PS3.10 7.1 asks for one; old files and
    treatment planning systems write none)."""
    return start[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] == SIGNATURE or _begins_without_preamble(start)


def _begins_without_preamble(start: bytes) -> bool:
    if len(start) < 16:
        return False
    for order in "<>":
        group, element, length = struct.unpack(order + "HHI", start[:8])
        if group not in (0x0002, 0x0008) or element > 0x0070:
            continue
        if start[4:6] in VALUE_REPRESENTATIONS:
            return True
        if order == "<" and length <= 1024 and length % 2 == 0:  # implicit VR is always little endian
            following = struct.unpack("<HH", start[8 + length : 12 + length].ljust(4, b"\xff"))
            return 12 + length > len(start) or (following[0] in (0x0002, 0x0008) and following > (group, element))
    return False


def read_header(path: str | os.PathLike) -> DicomHeader:
    """The header of one file. Raises UnreadableError for what is no DICOM, damaged, or cut off within its pixels."""
    try:
        with open(path, "rb") as file, quiet_pydicom():
            size = os.fstat(file.fileno()).st_size
            start = file.read(PREAMBLE_BYTES + 8)
            if not is_dicom_start(start):
                raise UnreadableError("it is no DICOM file")
            file.seek(0)
            data = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=list(KEYWORDS))
            syntax = _transfer_syntax(data)
            deflated = syntax == pydicom.uid.DeflatedExplicitVRLittleEndian
            place = (None, None) if deflated else _pixel_place(file, syntax)
            header = _header_of(os.fspath(path), data, syntax, *place)
    except UnreadableError:
        raise
    except OSError as error:
        raise UnreadableError(f"it cannot be read ({error.strerror or type(error).__name__})") from None
    except Exception:  # pydicom raises almost anything on damaged elements
        raise UnreadableError("it is damaged or incomplete") from None
    _refuse_incomplete(header, size, deflated)
    return header


def _refuse_incomplete(header: DicomHeader, file_bytes: int, deflated: bool) -> None:
    if not header.frames and (not header.sop_class_uid or pydicom.uid.UID(header.sop_class_uid).name.endswith("Image Storage")):
        raise UnreadableError("it is damaged or incomplete")
    if not header.frames or deflated or header.samples_per_pixel != 1:
        return
    if header.pixel_offset is None:
        raise UnreadableError("it holds no pixels")
    if header.pixel_bytes is not None:
        bits = header.rows * header.columns * header.bits_allocated * len(header.frames)
        if min(header.pixel_bytes, file_bytes - header.pixel_offset) * 8 < bits:
            raise UnreadableError("it is cut off: pixels are missing")


def _transfer_syntax(data: pydicom.FileDataset) -> str:
    stated = str(data.file_meta.get("TransferSyntaxUID", "") or "") if getattr(data, "file_meta", None) else ""
    if stated:
        return stated
    implicit, little = data.original_encoding
    if implicit:
        return pydicom.uid.ImplicitVRLittleEndian
    return pydicom.uid.ExplicitVRLittleEndian if little is not False else pydicom.uid.ExplicitVRBigEndian


def _pixel_place(file: BinaryIO, syntax: str) -> tuple[int | None, int | None]:
    """Offset of the pixel data's value and its length (None: encapsulated). pydicom stops before the element's tag."""
    order = ">" if syntax == pydicom.uid.ExplicitVRBigEndian else "<"
    start = file.tell()
    element = file.read(12)
    if len(element) < 12 or struct.unpack(order + "HH", element[:4]) != PIXEL_DATA:
        return None, None
    if element[4:6] in LONG_REPRESENTATIONS:
        length, offset = struct.unpack(order + "I", element[8:12])[0], start + 12
    else:
        length, offset = struct.unpack(order + "I", element[4:8])[0], start + 8
    return offset, None if length == UNDEFINED_LENGTH else length


def _header_of(path: str, data: pydicom.Dataset, syntax: str, pixel_offset: int | None, pixel_bytes: int | None) -> DicomHeader:
    rows, columns, bits = _whole(data, "Rows"), _whole(data, "Columns"), _whole(data, "BitsAllocated")
    number_of_frames = _whole(data, "NumberOfFrames") or 1
    has_image = rows > 0 and columns > 0
    if has_image and (max(rows, columns) > LONGEST_SIDE_PIXELS or number_of_frames > MOST_FRAMES):
        raise UnreadableError(f"it claims {number_of_frames} images of {columns} x {rows} pixels, so it is damaged")
    bits_stored = _whole(data, "BitsStored") or bits
    high_bit = _whole(data, "HighBit") or bits_stored - 1
    if has_image and (bits not in (1, 8, 16, 32, 64) or not 0 < bits_stored <= high_bit + 1 <= bits):
        raise UnreadableError(f"its pixels of {bits} bits, {bits_stored} of them used, cannot be read")
    return DicomHeader(
        path=path,
        sop_class_uid=_text(data, "SOPClassUID"),
        instance_uid=_text(data, "SOPInstanceUID"),
        series_uid=_text(data, "SeriesInstanceUID"),
        study_uid=_text(data, "StudyInstanceUID"),
        frame_of_reference_uid=_text(data, "FrameOfReferenceUID"),
        description=_text(data, "SeriesDescription"),
        modality=_text(data, "Modality").upper(),
        image_type=_texts(data, "ImageType"),
        transfer_syntax_uid=str(syntax),
        rows=rows,
        columns=columns,
        samples_per_pixel=_whole(data, "SamplesPerPixel") or 1,
        photometric_interpretation=_text(data, "PhotometricInterpretation"),
        bits_allocated=bits,
        bits_stored=bits_stored,
        high_bit=high_bit,
        signed=_whole(data, "PixelRepresentation") == 1,
        has_lookup_table=bool(data.get("ModalityLUTSequence")),
        pixel_offset=pixel_offset,
        pixel_bytes=pixel_bytes,
        frames=tuple(_frame_of(data, index) for index in range(number_of_frames)) if has_image else (),
    )


def _frame_of(data: pydicom.Dataset, index: int) -> DicomFrame:
    places = [*_groups(data, "PerFrameFunctionalGroupsSequence", index), *_groups(data, "SharedFunctionalGroupsSequence", 0)]
    single = (_whole(data, "NumberOfFrames") or 1) == 1

    def find(keyword: str, sequence: str = "", at_top: bool = True):
        """The first place that states it: this frame's group, the shared one, the data set itself."""
        for group in places:
            items = group.get(sequence) if sequence else None
            if items and items[0].get(keyword) not in (None, ""):
                return items[0]
        return data if at_top else {}

    measures = {keyword: find(keyword, "PixelMeasuresSequence") for keyword in ("PixelSpacing", "SliceThickness", "SpacingBetweenSlices")}
    spacing_keyword, spacing = "", None
    for keyword in SPACING_KEYWORDS:
        spacing = _numbers(measures.get(keyword, data), keyword, 2)
        if spacing is not None and min(spacing) > 0:
            spacing_keyword = keyword
            break
        spacing = None
    transformation = "PixelValueTransformationSequence"
    phase_sequence = {"NominalPercentageOfCardiacPhase": "CardiacSynchronizationSequence"}
    content = [find(keyword, phase_sequence.get(keyword, "FrameContentSequence")) for keyword in PHASE_KEYWORDS]
    position = _numbers(find("ImagePositionPatient", "PlanePositionSequence", at_top=single), "ImagePositionPatient", 3)
    orientation = _numbers(find("ImageOrientationPatient", "PlaneOrientationSequence"), "ImageOrientationPatient", 6)
    acquisition = find("FrameAcquisitionNumber", "FrameContentSequence", at_top=False)
    return DicomFrame(
        index=index,
        position_mm=None if position is None else numpy.array(position),
        orientation=None if orientation is None else numpy.array(orientation).reshape(2, 3),
        pixel_spacing_mm=None if spacing is None else (spacing[0], spacing[1]),
        spacing_keyword=spacing_keyword,
        thickness_mm=_positive(measures["SpacingBetweenSlices"], "SpacingBetweenSlices")
        or _positive(measures["SliceThickness"], "SliceThickness"),
        slope=_number(find("RescaleSlope", transformation), "RescaleSlope"),
        intercept=_number(find("RescaleIntercept", transformation), "RescaleIntercept"),
        rescale_type=_text(find("RescaleType", transformation), "RescaleType").upper(),
        frame_type=_texts(find("FrameType", "CTImageFrameTypeSequence", at_top=False), "FrameType") or _texts(data, "ImageType"),
        phase=tuple(_text(place, keyword) for place, keyword in zip(content, PHASE_KEYWORDS, strict=True)),
        acquisition=_text(acquisition, "FrameAcquisitionNumber") or _text(data, "AcquisitionNumber"),
        is_corrected=any(
            one.get("CodingSchemeDesignator") == OWN_CODING_SCHEME
            for one in find("DerivationCodeSequence", "DerivationImageSequence").get("DerivationCodeSequence") or []
        ),
    )


def _groups(data: pydicom.Dataset, keyword: str, index: int) -> list[pydicom.Dataset]:
    items = data.get(keyword) or []
    return [items[index]] if index < len(items) else []


def _text(data: pydicom.Dataset | dict, keyword: str) -> str:
    value = data.get(keyword)
    return "" if value is None else plain_text(str(value)).strip(" \0")


def _texts(data: pydicom.Dataset | dict, keyword: str) -> tuple[str, ...]:
    value = data.get(keyword)
    if value is None:
        return ()
    values = [value] if isinstance(value, str) else list(value)
    return tuple(plain_text(str(item)).strip(" \0").upper() for item in values)


def _numbers(data: pydicom.Dataset | dict, keyword: str, count: int) -> tuple[float, ...] | None:
    """So many finite numbers, or None for anything else."""
    try:
        value = data.get(keyword)
        numbers = tuple(float(item) for item in value) if isinstance(value, Sequence) and not isinstance(value, str) else (float(value),)
    except (TypeError, ValueError, OverflowError):
        return None
    return numbers if len(numbers) == count and all(math.isfinite(number) for number in numbers) else None


def _number(data: pydicom.Dataset | dict, keyword: str) -> float | None:
    numbers = _numbers(data, keyword, 1)
    return None if numbers is None else numbers[0]


def _positive(data: pydicom.Dataset | dict, keyword: str) -> float | None:
    number = _number(data, keyword)
    return abs(number) if number else None


def _whole(data: pydicom.Dataset | dict, keyword: str) -> int:
    number = _number(data, keyword)
    return 0 if number is None else int(number)
