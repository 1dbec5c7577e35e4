"""Masks in DICOM Segmentation objects (PS3.3 A.51, C.8.20): sparse frames of named segments, which refer to the slices of a scan."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy
import pydicom
from pydicom.uid import SegmentationStorage

from ..errors import InputError, plain_text
from .dicom_files import files_of_source
from .dicom_header import DicomFrame, DicomHeader, UnreadableError, quiet_pydicom, read_header
from .mask_labels import Label, chosen_labels, on_grid
from .volume import GEOMETRY_TOLERANCE_MM, CTVolume

logger = logging.getLogger(__name__)

LABEL_MAP_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"
SEGMENTATION_CLASSES = (SegmentationStorage, LABEL_MAP_STORAGE)
FRACTION_OF_METAL = 0.5  # of a fractional segment's largest value: what reaches it is metal


def find_segmentation(path: Path) -> Path | None:
    """The DICOM segmentation that a path names: the file itself, or the only one in a folder; None where it is, or holds, none.

    Raises InputError for a folder that holds several.
    """
    found = [file for file in files_of_source(path, subfolders=False) if _class_of(file) in SEGMENTATION_CLASSES]
    if len(found) > 1:
        raise InputError(f"{path} holds {len(found)} DICOM segmentations ({', '.join(file.name for file in found[:5])}); give one file.")
    return found[0] if found else None


def _class_of(file: Path) -> str:
    try:
        with quiet_pydicom():
            return str(pydicom.dcmread(file, force=True, stop_before_pixels=True, specific_tags=["SOPClassUID"]).get("SOPClassUID", ""))
    except Exception:  # pydicom raises almost anything on damaged elements
        return ""


def read_segmentation(path: Path, like: CTVolume, wanted: str | Sequence[str] | None = None) -> numpy.ndarray:
    """The metal of a DICOM segmentation as bool (slices, rows, columns) on the grid of `like`.

    wanted: name or number (or several) of the segments that are metal; None where one segment alone has voxels. Frames belong to the
    slices that they refer to, where the scan came from DICOM, else to those at their place. Raises InputError as `read_mask` does.
    """
    try:
        header = read_header(path)
        with quiet_pydicom():
            data = pydicom.dcmread(io.BytesIO(Path(path).read_bytes()))  # whose lengths nothing can claim beyond what is there
            labels = [Label(int(one.SegmentNumber), _text(one.get("SegmentLabel"))) for one in data.SegmentSequence]
            pixels = data.pixel_array.reshape(-1, header.rows, header.columns)
            segments = _segments_of_frames(data, len(pixels))
    except (OSError, MemoryError):
        raise
    except UnreadableError as error:
        raise InputError(f"{path} cannot be read as a DICOM segmentation: {error}.") from None
    except Exception:  # pydicom raises almost anything on damaged elements
        raise InputError(f"{path} cannot be read as a DICOM segmentation: it is damaged or incomplete.") from None
    is_fractional = data.get("SegmentationType") == "FRACTIONAL"
    if is_fractional:
        logger.warning("%s: what is to %.0f %% or more metal counts as metal.", path, 100 * FRACTION_OF_METAL)
        pixels = pixels >= max(1, FRACTION_OF_METAL * int(data.get("MaximumFractionalValue") or 1))

    def frame_mask(index: int, label: Label) -> numpy.ndarray:
        if segments is None:
            return pixels[index] == label.value
        return (pixels[index] != 0) & (segments[index] == label.value)

    def has_voxels(label: Label) -> bool:
        return any(frame_mask(index, label).any() for index in range(len(pixels)))

    chosen = chosen_labels(path, labels, has_voxels, wanted)
    places = _Places(path, header, data, like)
    masks, outside = {}, 0
    for index in range(len(pixels)):
        mask = numpy.zeros(pixels.shape[1:], dtype=bool)
        for label in chosen:
            mask |= frame_mask(index, label)
        if mask.any():
            number = places.slice_number(index)
            if 0 <= number < like.shape[2 - places.axis]:
                masks[number] = masks.get(number, False) | mask
            else:
                outside += int(mask.sum())
    if outside and not masks:
        raise InputError(f"The mask {path} lies outside the volume: give the mask of this scan.")
    if outside:
        logger.warning("The mask %s lies partly outside the volume: %d of its voxels are left out.", path, outside)
    if not masks:
        return numpy.zeros(like.shape, dtype=bool)
    first = min(masks)
    stacked = numpy.stack([masks.get(number, numpy.zeros_like(mask)) for number in range(first, max(masks) + 1)])
    return on_grid(path, stacked, places.grid(stacked, first), like, may_be_cropped=True)


def _segments_of_frames(data: pydicom.Dataset, frames: int) -> list[int] | None:
    """The segment number of each frame; None for a label map, whose pixels are segment numbers."""
    if data.get("SegmentationType") == "LABELMAP":
        return None
    shared = (data.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()])[0]
    groups = data.get("PerFrameFunctionalGroupsSequence") or []
    return [
        int((groups[index].get("SegmentIdentificationSequence") or shared.SegmentIdentificationSequence)[0].ReferencedSegmentNumber)
        for index in range(frames)
    ]


class _Places:
    """Where the frames of a segmentation lie: numbers of slices, on a grid that is parallel to the first frame's plane."""

    def __init__(self, path: Path, header: DicomHeader, data: pydicom.Dataset, like: CTVolume):
        self.path, self.like, self.frames = path, like, header.frames
        self.groups = data.get("PerFrameFunctionalGroupsSequence") or []
        self.slice_of_source = _slices_of_sources(like)
        files = sorted(set(like.dicom_files))[:1]
        place = read_header(files[0]).frame_of_reference_uid if files else ""
        refers = any(self._referred(index) is not None for index in range(len(self.frames)))
        if not refers and place and header.frame_of_reference_uid and place != header.frame_of_reference_uid:
            raise InputError(f"The mask {path} is of another frame of reference than the volume: give the mask of this scan.")
        first = self.frames[0]
        if first.position_mm is None or first.orientation is None or first.pixel_spacing_mm is None:
            raise InputError(f"The mask {path} does not say where its frames lie: save it again in the program that made it.")
        between_rows, between_columns = first.pixel_spacing_mm
        columns, rows = first.orientation[0] * between_columns, first.orientation[1] * between_rows
        steps = like.index_to_position_mm()[:3, :3]
        alignment = numpy.abs(numpy.cross(columns, rows) @ (steps / numpy.linalg.norm(steps, axis=0)))
        self.axis = int(alignment.argmax())  # of the volume, along which frames follow each other: 2 for its slices
        self.axes_mm = numpy.column_stack([columns, rows, steps[:, self.axis]])

    def slice_number(self, index: int) -> int:
        """Of a frame, counted from the volume's first slice on. Raises InputError for one that is no whole slice from the first frame."""
        first, offset = (self._offset(self._position(one)) for one in (0, index))
        steps = offset - first
        off_mm = numpy.linalg.norm(self.axes_mm @ (steps - [0, 0, round(steps[2])]))
        turned = self.frames[index].orientation is None or not numpy.allclose(
            self.frames[index].orientation, self.frames[0].orientation, atol=1e-3
        )
        if off_mm > GEOMETRY_TOLERANCE_MM or turned:
            raise InputError(
                f"The mask {self.path}: frame {index + 1} lies elsewhere than the volume's slices; give the mask of this scan."
            )
        return int(round(first[2]) + round(steps[2]))

    def grid(self, voxels: numpy.ndarray, first: int) -> CTVolume:
        """Of the frames that are stacked from slice `first` on."""
        position = self._position(0)
        moved = position + self.axes_mm[:, 2] * (first - round(self._offset(position)[2]))
        spacing_mm = numpy.linalg.norm(self.axes_mm, axis=0)
        return CTVolume(voxels, tuple(spacing_mm[::-1]), tuple(moved), self.axes_mm / spacing_mm)

    def _offset(self, position: numpy.ndarray) -> numpy.ndarray:
        return numpy.linalg.solve(self.axes_mm, position - numpy.array(self.like.origin_mm))

    def _position(self, index: int) -> numpy.ndarray:
        """(3,) mm. A frame on a slice that it refers to lies where the volume's grid has that slice: slices may be unevenly spaced."""
        frame, source = self.frames[index], self._referred(index)
        if frame.position_mm is None:
            raise InputError(f"The mask {self.path} does not say where frame {index + 1} lies: save it again in the program that made it.")
        if source is None:
            return frame.position_mm
        number, source_frame = source
        if source_frame.position_mm is None:
            return frame.position_mm
        place = self.like.index_to_position_mm()[:3] @ [0, 0, number, 1]
        return place + frame.position_mm - source_frame.position_mm

    def _referred(self, index: int) -> tuple[int, DicomFrame] | None:
        group = self.groups[index] if index < len(self.groups) else {}
        for derivation in group.get("DerivationImageSequence") or []:
            for source in derivation.get("SourceImageSequence") or []:
                numbers = source.get("ReferencedFrameNumber") or 1
                number = numbers if isinstance(numbers, int) else int(list(numbers)[0])
                found = self.slice_of_source.get((str(source.get("ReferencedSOPInstanceUID", "")), number - 1))
                if found is not None:
                    return found
        return None


def _slices_of_sources(like: CTVolume) -> dict[tuple[str, int], tuple[int, DicomFrame]]:
    """(SOP Instance UID, index of the frame) -> (number of the slice, its frame) of the volume's own files."""
    headers: dict[str, DicomHeader] = {}
    found = {}
    for number, file in enumerate(like.dicom_files):
        if file not in headers:
            try:
                headers[file] = read_header(file)
            except UnreadableError:
                continue
        header, index = headers[file], like.frame_of(number)
        if header.instance_uid:
            found[header.instance_uid, index] = number, header.frames[index]
    return found


def _text(value) -> str:
    return plain_text(str(value or "")).strip()
