"""DICOM series made with pydicom, an implementation other than the one that reads them here."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy
import pytest

ROWS, COLUMNS = 12, 9
TESTING_PYTHON = Path(__file__).resolve().parents[1]
if str(TESTING_PYTHON) not in sys.path:
    sys.path.append(str(TESTING_PYTHON))  # where the package odd_series is


@pytest.fixture
def make_dicom_series():
    """A function that writes a CT series with shuffled file names and returns its HU (slices, rows, columns)."""
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import Dataset, FileMetaDataset

    def make(
        folder: Path,
        slices: int = 5,
        *,
        intercept: float = -1024,
        slope: float = 1,
        padding: int | None = None,
        signed: bool = True,
        tilt_degrees: float = 0.0,
        missing: tuple[int, ...] = (),
        description: str = "Head native",
        image_type: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "AXIAL"),
        modality: str = "CT",
        patient_name: str = "Müller^Jörg",
        prefix: str = "IM",
        distance_mm: float = 1.5,
        **tags,
    ) -> numpy.ndarray:
        folder.mkdir(exist_ok=True)
        generator = numpy.random.default_rng(slices + len(description))
        stored = generator.integers(100, 3500, (slices, ROWS, COLUMNS)).astype(numpy.int16 if signed else numpy.uint16)
        if padding is not None:
            stored[:, :2] = padding
        tilt = math.radians(tilt_degrees)
        series_uid, study_uid, frame_uid = (pydicom.uid.generate_uid() for _ in range(3))
        for index in range(slices):
            if index in missing:
                continue
            data = Dataset()
            data.file_meta = FileMetaDataset()
            data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
            data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
            data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
            data.SpecificCharacterSet = "ISO_IR 100"
            data.StudyInstanceUID, data.SeriesInstanceUID = study_uid, series_uid
            data.FrameOfReferenceUID = frame_uid
            data.Modality, data.ImageType, data.SeriesDescription = modality, list(image_type), description
            data.PatientName, data.PatientID, data.StudyDate, data.StudyTime = (patient_name, "P-42", "20200131", "101500")
            data.AccessionNumber, data.StudyID, data.SeriesNumber, data.InstanceNumber = "A7", "S1", 3, slices - index
            data.PixelSpacing, data.SliceThickness, data.KVP = [0.515625, 0.4], 1.25, 120
            data.ImageOrientationPatient = [1, 0, 0, 0, round(math.cos(tilt), 12), -round(math.sin(tilt), 12)]
            data.ImagePositionPatient = [-120.123456, -30.5, round(485.5 + distance_mm * index, 6)]
            data.Rows, data.Columns, data.SamplesPerPixel = ROWS, COLUMNS, 1
            data.PhotometricInterpretation, data.PixelRepresentation = "MONOCHROME2", int(signed)
            data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
            data.RescaleIntercept, data.RescaleSlope, data.RescaleType = intercept, slope, "HU"
            if padding is not None:
                data.add_new(0x00280120, "SS" if signed else "US", padding)
            reference = Dataset()
            reference.ReferencedSOPInstanceUID = pydicom.uid.generate_uid()
            data.ReferencedImageSequence = [reference]
            for key, value in tags.items():
                setattr(data, key, value)
            data.PixelData = stored[index].tobytes()
            data.save_as(folder / f"{prefix}{(index * 7 + 3) % 101:03d}", enforce_file_format=True)
        kept = [index for index in range(slices) if index not in missing]
        return stored[kept].astype(numpy.float64) * slope + intercept

    return make
