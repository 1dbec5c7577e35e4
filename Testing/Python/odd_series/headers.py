"""Odd headers and files: what is no CT, what was anonymized, cut or written without a preamble. Truths: PS3.3 (CT Image module C.8.2.1, RT
Dose C.8.8.3, image pixel C.7.6.3) and PS3.10 7.1 (the file's form)."""

from __future__ import annotations

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from .building import FIRST_MM, Series, kind

FILE = "PS3.10 7.1"


@kind("PS3.3 C.12.1: type 1, but anonymizers empty it; the rest of the header is as good as before")
def emptied_class_uid(series: Series) -> None:
    series.set_all(SOPClassUID="")


@kind("PS3.3 A.3: a CT Image is CT, though its modality was emptied")
def emptied_modality(series: Series) -> None:
    series.set_all(Modality="")


@kind("PS3.3 C.12.1.1.2: text of a header is text", said=())
def escape_codes_in_the_description(series: Series) -> None:
    series.set_all(SeriesDescription="\x1b[31mred\x07")


@kind(FILE, transfer_syntax=ImplicitVRLittleEndian)
def no_preamble_implicit(series: Series) -> None:
    series.no_preamble = set(range(6))


@kind(FILE)
def no_preamble_explicit(series: Series) -> None:
    series.no_preamble = set(range(6))


@kind(FILE, transfer_syntax=ExplicitVRBigEndian)
def no_preamble_big_endian(series: Series) -> None:
    series.no_preamble = set(range(6))


@kind(FILE)
def some_without_preamble(series: Series) -> None:
    series.no_preamble = {1, 4}


@kind("PS3.10 8: what is no DICOM is no part of it")
def other_files_beside_it(series: Series) -> None:
    series.further = {
        "notes.txt": b"text " * 100,
        "preview.png": b"\x89PNG\r\n\x1a\n" + b"\0" * 200,
        "DICOMDIR": b"\0" * 128 + b"DICM",
        "empty": b"",
    }


@kind("PS3.3 C.7.6.1.1.3: a referenced image's place is not this image's")
def positions_in_nested_sequences(series: Series) -> None:
    for image in series.images:
        reference = Dataset()
        reference.ReferencedSOPInstanceUID = "1.2.3"
        reference.ImagePositionPatient, reference.PixelSpacing = [9, 9, 9], [9, 9]
        reference.RescaleSlope, reference.RescaleIntercept = 9, 9
        image.ReferencedImageSequence = [reference]
        image.SourceImageSequence = [reference]


@kind("PS3.5 7.8: private elements are the vendor's")
def private_elements(series: Series) -> None:
    for image in series.images:
        block = image.private_block(0x0019, "ODD VENDOR", create=True)
        block.add_new(0x01, "LO", "text")
        block.add_new(0x02, "OB", b"\1\2\3\4")
        block.add_new(0x03, "FD", 1.5)


@kind("PS3.5 7.1: bytes after the pixels belong to nothing", said=())
def trailing_elements(series: Series) -> None:
    for image in series.images:
        image.add_new(0xFFFCFFFC, "OB", b"\0" * 64)


@kind("PS3.3 C.8.2.1.1.1: derived values of a perfusion scan", refused="map of other values than HU")
def perfusion_map(series: Series) -> None:
    series.set_all(ImageType=["DERIVED", "SECONDARY", "AXIAL", "PERFUSION", "CBF"])


@kind("PS3.3 C.8.2.1.1.1: the scan that such maps are made of is in HU")
def images_of_a_perfusion_scan(series: Series) -> None:
    series.set_all(ImageType=["ORIGINAL", "PRIMARY", "AXIAL", "PERFUSION"])


@kind("PS3.3 C.8.2.1.1.1: derived by a reconstruction, in HU all the same")
def derived_images(series: Series) -> None:
    series.set_all(ImageType=["DERIVED", "SECONDARY", "AXIAL", "AVERAGE"])


@kind("PS3.3 C.8.8.3: grays", refused="it is a dose grid", count=1)
def dose_grid(series: Series) -> None:
    series.set_all(Modality="RTDOSE", SOPClassUID="1.2.840.10008.5.1.4.1.1.481.2", DoseUnits="GY", DoseGridScaling=0.001)


@kind("PS3.3 C.8.2.1.1.1: LOCALIZER", refused="it is a scout", count=1)
def scout_alone(series: Series) -> None:
    series.set_all(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])


@kind("PS3.3 C.7.6.3.1.2: RGB", refused="it is in color", count=2)
def color(series: Series) -> None:
    series.set_all(SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    series.pixels = {index: series.bytes_of(index) * 3 for index in range(2)}


@kind("PS3.3 C.7.6.3.1.2: PALETTE COLOR", refused="it is in color", count=2)
def palette(series: Series) -> None:
    series.set_all(PhotometricInterpretation="PALETTE COLOR")


@kind("PS3.3 A.4: MR values are no HU", said="modality MR, not CT")
def magnetic_resonance(series: Series) -> None:
    series.set_all(Modality="MR", SOPClassUID="1.2.840.10008.5.1.4.1.1.4")


@kind("PS3.3 A.35: a report has no image", refused="holds no image", count=1)
def report_alone(series: Series) -> None:
    series.set_all(Modality="SR", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.22")
    series.delete_all("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel")


@kind("PS3.5 7.1.1: a value shorter than its length", said=("cut off: pixels are missing", "between slices 3 and 4"), count=7)
def a_file_that_is_cut_off(series: Series) -> None:
    series.pixels = {3: series.bytes_of(3)[:100]}
    series.values_hu = series.values_hu[[0, 1, 2, 4, 5, 6]]


@kind("PS3.3 C.7.6.3: pixels are type 1C of an image", refused="no DICOM images that can be read")
def sizes_that_no_file_has(series: Series) -> None:
    series.set_all(Rows=65535, Columns=65535)


@kind("PS3.3 C.7.6.3: at most all allocated bits", refused="no DICOM images that can be read")
def more_bits_stored_than_allocated(series: Series) -> None:
    series.set_all(BitsStored=24, HighBit=23)


@kind("PS3.5 6.2: DS has at most 16 characters, but longer ones are numbers, too")
def long_decimal_strings(series: Series) -> None:
    for image in series.images:
        height_mm = float(image.ImagePositionPatient[2])
        element = pydicom.DataElement(0x00200032, "DS", "0")
        element._value = [f"{value:.20f}" for value in (*FIRST_MM[:2], height_mm)]
        image[0x00200032] = element
