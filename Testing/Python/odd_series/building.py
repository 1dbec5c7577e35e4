"""A plain CT series as pydicom data sets, with its truth, for the kinds to make odd."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRBigEndian, ExplicitVRLittleEndian

ROOT = "1.2.826.0.1.3680043.8.498.77"
ROW_MM, COLUMN_MM, DISTANCE_MM = 0.75, 0.5, 2.0
FIRST_MM = (-12.5, 30.25, -400.0)
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True)
class Kind:
    """name: of the function that makes it. standard: where the right outcome comes from. refused: what the refusal's sentence holds, or
    None. said: what the log holds, in any order; where it is empty, nothing is warned about."""

    name: str
    make: Callable[[], Series]
    standard: str
    refused: str | None
    said: tuple[str, ...]


KINDS: list[Kind] = []


def kind(standard: str, *, refused: str | None = None, said: tuple[str, ...] | str = (), **options):
    """Register a function that makes a series odd. options: of Series."""

    def register(change: Callable[[Series], None]) -> Callable[[Series], None]:
        def make() -> Series:
            series = Series(**options)
            change(series)
            return series

        said_texts = (said,) if isinstance(said, str) else said
        KINDS.append(Kind(change.__name__, make, standard, refused, said_texts))
        return change

    return register


@dataclass
class Series:
    """images: one data set for each file, slice by slice from the feet up, without pixels. stored: (slices, rows, columns), their stored
    values. values_hu, spacing_mm, origin_mm, direction: the truth, as CTVolume has it. pixels: other bytes of single files.
    no_preamble: files that are written as the data set alone. further: files by name."""

    count: int = 6
    rows: int = 10
    columns: int = 8
    signed: bool = True
    transfer_syntax: str = ExplicitVRLittleEndian
    images: list[Dataset] = field(default_factory=list)
    pixels: dict[int, bytes] = field(default_factory=dict)
    no_preamble: set[int] = field(default_factory=set)
    further: dict[str, bytes] = field(default_factory=dict)
    spacing_mm: tuple[float, float, float] = (DISTANCE_MM, ROW_MM, COLUMN_MM)
    origin_mm: tuple[float, float, float] = FIRST_MM

    def __post_init__(self) -> None:
        random = numpy.random.default_rng(self.count + self.rows)
        self.stored = random.integers(0, 2000, (self.count, self.rows, self.columns)).astype(numpy.int16 if self.signed else numpy.uint16)
        self.values_hu = self.stored.astype(numpy.float64) - 1024
        self.direction = numpy.eye(3)
        self.images = [self._image(index) for index in range(self.count)]

    def _image(self, index: int) -> Dataset:
        data = Dataset()
        data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, f"{ROOT}.3.{index + 1}"
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = f"{ROOT}.1", f"{ROOT}.2", f"{ROOT}.4"
        data.Modality, data.ImageType, data.SeriesDescription = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"], "Odd"
        data.PatientName, data.PatientID, data.StudyDate, data.StudyTime = "Odd^Series", "1", "20260101", "120000"
        data.AccessionNumber, data.StudyID, data.SeriesNumber = "1", "1", 1
        data.InstanceNumber, data.AcquisitionNumber, data.KVP = self.count - index, 1, 120
        data.PixelSpacing, data.SliceThickness = [ROW_MM, COLUMN_MM], DISTANCE_MM
        data.ImageOrientationPatient = list(AXIAL)
        data.ImagePositionPatient = [FIRST_MM[0], FIRST_MM[1], FIRST_MM[2] + DISTANCE_MM * index]
        data.Rows, data.Columns, data.SamplesPerPixel, data.PhotometricInterpretation = self.rows, self.columns, 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, int(self.signed)
        data.RescaleIntercept, data.RescaleSlope, data.RescaleType = -1024, 1, "HU"
        return data

    def set_all(self, **elements) -> None:
        for image in self.images:
            for keyword, value in elements.items():
                setattr(image, keyword, value)

    def delete_all(self, *keywords: str) -> None:
        for image in self.images:
            for keyword in keywords:
                if keyword in image:
                    delattr(image, keyword)

    def place(self, positions_mm) -> None:
        """Put the slices elsewhere: (slices, 3)."""
        for image, position_mm in zip(self.images, positions_mm, strict=True):
            image.ImagePositionPatient = [float(round(value, 9)) for value in position_mm]

    def positions_mm(self) -> numpy.ndarray:
        return numpy.array([[float(value) for value in image.ImagePositionPatient] for image in self.images])

    def keep(self, indices: list[int]) -> None:
        """These slices only, in this order."""
        self.images = [self.images[index] for index in indices]
        self.stored, self.values_hu = self.stored[indices], self.values_hu[indices]

    def bytes_of(self, index: int) -> bytes:
        stored = self.stored[index]
        return stored.astype(stored.dtype.newbyteorder(">")).tobytes() if self.transfer_syntax == ExplicitVRBigEndian else stored.tobytes()

    def write(self, folder: Path) -> None:
        """The files, under names that are in no order."""
        for index, image in enumerate(self.images):
            data = Dataset()
            data.update(image)
            data.file_meta = FileMetaDataset()
            data.file_meta.TransferSyntaxUID = self.transfer_syntax
            data.file_meta.MediaStorageSOPClassUID = image.get("SOPClassUID") or CTImageStorage
            data.file_meta.MediaStorageSOPInstanceUID = image.get("SOPInstanceUID") or f"{ROOT}.9.{index + 1}"
            if "Rows" in data:
                data.PixelData = self.pixels.get(index) or self.bytes_of(index)
                data["PixelData"].VR = "OW" if data.BitsAllocated > 8 else "OB"
                if (
                    pydicom.uid.UID(self.transfer_syntax).is_compressed
                    and self.transfer_syntax != pydicom.uid.DeflatedExplicitVRLittleEndian
                ):
                    data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
            path = folder / f"{zlib.crc32(bytes([index])):08x}"
            if index in self.no_preamble:
                del data.file_meta
                syntax = pydicom.uid.UID(self.transfer_syntax)
                pydicom.dcmwrite(path, data, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian)
            else:
                data.save_as(path, enforce_file_format=True)
        for name, content in self.further.items():
            (folder / name).write_bytes(content)
