"""The metal of a scan as a DICOM Segmentation object (PS3.3 A.51, C.8.20): one segment, frames of the slices with metal alone."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import pack_bits
from pydicom.uid import ExplicitVRLittleEndian, SegmentationStorage

from .._version import __version__
from ..errors import InputError
from .dicom_header import DicomFrame, DicomHeader, UnreadableError, quiet_pydicom, read_header
from .dicom_identity import MANUFACTURER, MODEL, code, item, new_uid, now_of, source_reference
from .volume import CTVolume

OF_PATIENT_AND_STUDY = (
    *("SpecificCharacterSet", "TimezoneOffsetFromUTC", "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"),
    *("PatientAge", "PatientSize", "PatientWeight", "PatientIdentityRemoved", "DeidentificationMethod", "StudyInstanceUID", "StudyDate"),
    *("StudyTime", "StudyID", "StudyDescription", "AccessionNumber", "ReferringPhysicianName", "FrameOfReferenceUID"),
    "PositionReferenceIndicator",
)
MAY_BE_EMPTY = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID", "AccessionNumber")
SERIES_NUMBER_OFFSET = 2000
NAME = "Metal"


def write_segmentation(volume: CTVolume, mask: numpy.ndarray, path: Path, found_by: str = "", uid_seed: str | None = None) -> None:
    """Write `path`. volume: from DICOM, whose first file gives patient, study and frame of reference. mask: bool (slices, rows, columns).

    found_by: how the metal was found; "" for a mask that was given. Raises InputError for a volume that is not from DICOM, without a
    place for its frames, and for an empty mask; OSError.
    """
    if not volume.dicom_files:
        raise InputError("This volume did not come from DICOM, so a DICOM segmentation has nothing to refer to; write NRRD or NIfTI.")
    numbers = [int(number) for number in numpy.flatnonzero(mask.any(axis=(1, 2)))]
    if not numbers:
        raise InputError("There is no metal in the mask, and a DICOM segmentation cannot be empty.")
    try:
        headers = {file: read_header(file) for file in dict.fromkeys(volume.dicom_files)}
    except UnreadableError as error:
        raise InputError(f"A file of the scan is needed for its header and cannot be read any more: {error}.") from None
    sources = [(headers[volume.dicom_files[number]], volume.frame_of(number)) for number in numbers]
    frames = [header.frames[index] for header, index in sources]
    if any(value is None for frame in frames for value in (frame.position_mm, frame.orientation, frame.pixel_spacing_mm)):
        raise InputError("The scan does not say where its slices lie, so a DICOM segmentation cannot either; write NRRD or NIfTI.")
    pixels = pack_bits(mask[numbers].astype(numpy.uint8))
    with quiet_pydicom():
        data = _series_level(sources[0][0], hashlib.sha256(pixels).hexdigest(), uid_seed)
        _describe_segment(data, found_by)
        _place_frames(data, sources, frames, volume)
        data.ReferencedSeriesSequence = [_referenced_series(list(headers.values()))]
        data.Rows, data.Columns = mask.shape[1:]
        data.NumberOfFrames = len(frames)
        data.add_new("PixelData", "OB", pixels)
        pydicom.dcmwrite(path, data, enforce_file_format=True)


def _series_level(source: DicomHeader, pixels_sha256: str, uid_seed: str | None) -> Dataset:
    """Patient, study and frame of reference of the source; a series, equipment and instance of their own."""
    of_source = pydicom.dcmread(source.path, stop_before_pixels=True, force=True, specific_tags=[*OF_PATIENT_AND_STUDY, "SeriesNumber"])
    data = Dataset()
    for keyword in OF_PATIENT_AND_STUDY:
        if keyword in of_source:
            data[keyword] = of_source[keyword]
    for keyword in (*MAY_BE_EMPTY, "ReferringPhysicianName", "PositionReferenceIndicator"):
        if keyword not in data:
            setattr(data, keyword, "")
    date, time = now_of(data)
    data.SOPClassUID = SegmentationStorage
    data.SeriesInstanceUID = new_uid(uid_seed, "metal series", source.series_uid or source.study_uid)
    data.SOPInstanceUID = new_uid(uid_seed, "metal instance", data.SeriesInstanceUID, pixels_sha256)
    for name in ("InstanceCreation", "Series", "Content"):
        setattr(data, f"{name}Date", date)
        setattr(data, f"{name}Time", time)
    number = of_source.get("SeriesNumber")
    data.Modality, data.SeriesNumber = "SEG", (int(number) if str(number or "").lstrip("-").isdigit() else 0) + SERIES_NUMBER_OFFSET
    data.SeriesDescription = f"{source.description[:54]} ({NAME})".strip()
    data.Manufacturer, data.ManufacturerModelName, data.SoftwareVersions = MANUFACTURER, MODEL, __version__
    data.DeviceSerialNumber = __version__  # of software there is no other; the standard wants one
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID, data.file_meta.MediaStorageSOPInstanceUID = data.SOPClassUID, data.SOPInstanceUID
    data.file_meta.ImplementationVersionName = f"SSLMAR {__version__}"[:16]
    return data


def _describe_segment(data: Dataset, found_by: str) -> None:
    segment = item(
        SegmentNumber=1,
        SegmentLabel=NAME,
        SegmentedPropertyCategoryCodeSequence=[code("260787004", "SCT", "Physical object")],
        SegmentedPropertyTypeCodeSequence=[code("40388003", "SCT", "Implant")],
        SegmentAlgorithmType="AUTOMATIC" if found_by else "MANUAL",
    )
    if found_by:
        segment.SegmentAlgorithmName = f"SSLMAR {__version__}: {found_by}"[:64]
    data.ImageType, data.InstanceNumber, data.ContentLabel = ["DERIVED", "PRIMARY"], 1, NAME.upper()
    data.ContentDescription, data.ContentCreatorName, data.LossyImageCompression = "Metal in a CT scan", "", "00"
    data.SegmentationType, data.SegmentSequence = "BINARY", [segment]
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 1, 1, 0


def _place_frames(data: Dataset, sources: list[tuple[DicomHeader, int]], frames: list[DicomFrame], volume: CTVolume) -> None:
    """The functional groups: what all frames share, and where each lies and what it was made from."""
    organization = new_uid(data.SOPInstanceUID, "dimensions")
    data.DimensionOrganizationSequence = [item(DimensionOrganizationUID=organization)]
    data.DimensionIndexSequence = [
        _dimension(organization, "ReferencedSegmentNumber", "SegmentIdentificationSequence"),
        _dimension(organization, "ImagePositionPatient", "PlanePositionSequence"),
    ]
    first = frames[0]
    measures = item(PixelSpacing=_decimal(first.pixel_spacing_mm), SliceThickness=_decimal([first.thickness_mm or volume.spacing_mm[0]])[0])
    measures.SpacingBetweenSlices = _decimal([volume.spacing_mm[0]])[0]
    data.SharedFunctionalGroupsSequence = [
        item(
            PixelMeasuresSequence=[measures],
            PlaneOrientationSequence=[item(ImageOrientationPatient=_decimal(first.orientation.ravel()))],
            SegmentIdentificationSequence=[item(ReferencedSegmentNumber=1)],
        )
    ]
    groups = []
    for number, ((header, index), frame) in enumerate(zip(sources, frames, strict=True), 1):
        group = item(
            FrameContentSequence=[item(DimensionIndexValues=[1, number])],
            PlanePositionSequence=[item(ImagePositionPatient=_decimal(frame.position_mm))],
        )
        if header.instance_uid:
            purpose = code("121322", "DCM", "Source image for image processing operation")
            reference = source_reference(header.sop_class_uid, header.instance_uid, purpose, index + 1 if header.is_multi_frame else None)
            derivation = item(DerivationCodeSequence=[code("113076", "DCM", "Segmentation")], SourceImageSequence=[reference])
            group.DerivationImageSequence = [derivation]
        groups.append(group)
    data.PerFrameFunctionalGroupsSequence = groups


def _dimension(organization: str, pointer: str, group: str) -> Dataset:
    tag = pydicom.datadict.tag_for_keyword
    return item(DimensionOrganizationUID=organization, DimensionIndexPointer=tag(pointer), FunctionalGroupPointer=tag(group))


def _referenced_series(headers: list[DicomHeader]) -> Dataset:
    instances = [item(ReferencedSOPClassUID=one.sop_class_uid, ReferencedSOPInstanceUID=one.instance_uid) for one in headers]
    return item(SeriesInstanceUID=headers[0].series_uid, ReferencedInstanceSequence=instances)


def _decimal(values) -> list[pydicom.valuerep.DSfloat]:
    return [pydicom.valuerep.DSfloat(float(value), auto_format=True) for value in values]
