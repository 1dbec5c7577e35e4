"""Odd values: rescale, bits, byte orders and compressions. Truths: PS3.3 C.11.1 (value = slope * stored + intercept), PS3.5 8.1.1 (the bits
of a stored value), PS3.5 8.2 and A.4 (compressed pixels decode to the same stored values)."""

from __future__ import annotations

import os
import tempfile

import numpy
import pydicom
import SimpleITK
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.encoders import RLELosslessEncoder
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from .building import Series, kind

RESCALE, BITS = "PS3.3 C.11.1", "PS3.5 8.1.1"


@kind(RESCALE)
def fractional_slope(series: Series) -> None:
    series.set_all(RescaleSlope=0.5, RescaleIntercept=-1000.5)
    series.values_hu = series.stored * 0.5 - 1000.5


@kind(RESCALE)
def slope_of_many_digits(series: Series) -> None:
    series.set_all(RescaleSlope="1.00036630", RescaleIntercept="-1024.37")
    series.values_hu = series.stored * 1.00036630 - 1024.37


@kind(f"{RESCALE}: each image has its own")
def a_slope_for_each_slice(series: Series) -> None:
    for index, image in enumerate(series.images):
        image.RescaleSlope = 1 + 0.25 * index
        series.values_hu[index] = series.stored[index] * (1 + 0.25 * index) - 1024


@kind(f"{RESCALE}: each image has its own")
def another_intercept_in_one_slice(series: Series) -> None:
    series.images[3].RescaleIntercept = 0
    series.values_hu[3] += 1024


@kind("PS3.3 C.8.2.1: type 1, so their lack is said", said="states no rescale slope and intercept in 6 of 6")
def no_rescale(series: Series) -> None:
    series.delete_all("RescaleSlope", "RescaleIntercept")
    series.values_hu = series.stored.astype(float)


@kind(f"{RESCALE}: nothing can be told from one value for all", refused="rescale slope 0")
def slope_of_zero(series: Series) -> None:
    series.images[5].RescaleSlope = 0


@kind("PS3.3 C.11.1: a modality lookup table is in the place of a slope", refused="lookup table")
def modality_lookup_table(series: Series) -> None:
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType, table.LUTData = [2, 0, 16], "HU", b"\0\0\1\0"
    table["LUTDescriptor"].VR, table["LUTData"].VR = "US", "OW"
    series.delete_all("RescaleSlope", "RescaleIntercept", "RescaleType")
    series.set_all(ModalityLUTSequence=[table])


@kind("PS3.3 C.11.1.1.2: US is unspecified", said="Rescale Type US")
def unspecified_unit(series: Series) -> None:
    series.set_all(RescaleType="US")


@kind("PS3.3 C.8.2.1: without a type, an original image is in HU")
def no_rescale_type(series: Series) -> None:
    series.delete_all("RescaleType")


@kind("PS3.3 C.11.1.1.2: HU of a virtual energy")
def modified_hounsfield_units(series: Series) -> None:
    series.set_all(RescaleType="HU_MOD")


@kind("PS3.3 C.11.1.1.2: mg/ml", refused="values are in MGML, not in HU")
def iodine_map(series: Series) -> None:
    series.set_all(RescaleType="MGML")


@kind("PS3.3 C.7.5.1.1.2: padding is a stored value as others")
def padding(series: Series) -> None:
    series.stored[:, :2] = -2000
    for image in series.images:
        image.add_new(0x00280120, "SS", -2000)
    series.values_hu[:, :2] = -3024


@kind("PS3.3 C.7.6.3.1.2: how it is shown, not what it is")
def monochrome1(series: Series) -> None:
    series.set_all(PhotometricInterpretation="MONOCHROME1")


@kind(f"{BITS}: the sign is the highest bit that is used, and what is above it is nothing")
def signed_12_bit(series: Series) -> None:
    series.stored = (series.stored % 4096 - 2048).astype(numpy.int16)
    series.values_hu = series.stored - 1024.0
    series.stored &= 0x0FFF
    series.set_all(BitsStored=12, HighBit=11)


@kind(f"{BITS}: what is above the high bit is an overlay", signed=False)
def overlays_in_unused_bits(series: Series) -> None:
    series.stored |= (series.stored % 16) << 12
    series.set_all(BitsStored=12, HighBit=11)


@kind(f"{BITS}: the high bit says where the value is", signed=False)
def high_bit_15_of_12(series: Series) -> None:
    series.stored = (series.stored << 4) | 5
    series.set_all(BitsStored=12, HighBit=15)


@kind(BITS, signed=False)
def all_16_bits_unsigned(series: Series) -> None:
    series.stored[0, 0] = 65535
    series.values_hu[0, 0] = 65535 - 1024


@kind(BITS)
def the_lowest_stored_value(series: Series) -> None:
    series.stored[0, 0] = -32768
    series.values_hu[0, 0] = -32768 - 1024


@kind(f"{BITS}: 8 bits", signed=False)
def eight_bits(series: Series) -> None:
    series.stored = (series.stored % 256).astype(numpy.uint8)
    series.set_all(BitsAllocated=8, BitsStored=8, HighBit=7, RescaleSlope=16)
    series.values_hu = series.stored * 16.0 - 1024


@kind(f"{BITS}: 32 bits")
def thirty_two_bits(series: Series) -> None:
    series.stored = series.stored.astype(numpy.int32) * 100000
    series.set_all(BitsAllocated=32, BitsStored=32, HighBit=31, RescaleSlope=0.00001)
    series.values_hu = series.stored * 0.00001 - 1024


@kind("PS3.5 7.3: the bytes of pixels are turned, too", transfer_syntax=ExplicitVRBigEndian)
def big_endian(series: Series) -> None:
    pass


@kind("PS3.5 A.1", transfer_syntax=ImplicitVRLittleEndian)
def implicit(series: Series) -> None:
    pass


@kind("PS3.5 A.5", transfer_syntax=DeflatedExplicitVRLittleEndian)
def deflated(series: Series) -> None:
    pass


def rle_of(values: numpy.ndarray) -> bytes:
    """One image in RLE, by pydicom."""
    return RLELosslessEncoder.encode(
        values.tobytes(), rows=values.shape[0], columns=values.shape[1], bits_allocated=16, bits_stored=16, samples_per_pixel=1,
        photometric_interpretation="MONOCHROME2", number_of_frames=1, pixel_representation=int(values.dtype.kind == "i"),
        encoding_plugin="pydicom",
    )  # fmt: skip


@kind("PS3.5 A.4.2", transfer_syntax=RLELossless)
def rle(series: Series) -> None:
    series.pixels = {index: encapsulate([rle_of(series.stored[index])]) for index in range(series.count)}


@kind("PS3.5 A.4: a frame may be in fragments, with or without offsets", transfer_syntax=RLELossless)
def compressed_without_offsets(series: Series) -> None:
    series.pixels = {index: encapsulate([rle_of(series.stored[index])], has_bot=False) for index in range(series.count)}


def _shipped(series: Series, name: str) -> None:
    """Compressed pixels of a file of pydicom's, which brings the same pixels plainly, for each slice."""
    compressed, plain = (pydicom.dcmread(get_testdata_file(file, download=False)) for file in (name, "MR_small.dcm"))
    (codes,) = generate_frames(compressed.PixelData, number_of_frames=1)
    series.stored = numpy.repeat(numpy.frombuffer(plain.PixelData, "<i2").reshape(1, 64, 64), series.count, axis=0)
    series.set_all(Rows=64, Columns=64, BitsStored=compressed.BitsStored, HighBit=compressed.HighBit)
    series.values_hu = series.stored - 1024.0
    series.pixels = dict.fromkeys(range(series.count), encapsulate([codes]))


@kind("PS3.5 A.4.3", transfer_syntax=JPEGLSLossless)
def jpeg_ls(series: Series) -> None:
    _shipped(series, "MR_small_jpeg_ls_lossless.dcm")


@kind("PS3.5 A.4.4", transfer_syntax=JPEG2000Lossless)
def jpeg_2000(series: Series) -> None:
    _shipped(series, "MR_small_jp2klossless.dcm")


def _jpeg_of(values: numpy.ndarray) -> bytes:
    """One image in lossless JPEG, by GDCM."""
    with tempfile.TemporaryDirectory() as folder:
        writer = SimpleITK.ImageFileWriter()
        writer.SetFileName(os.path.join(folder, "image.dcm"))
        writer.SetImageIO("GDCMImageIO")
        writer.UseCompressionOn()
        writer.SetCompressor("JPEG")
        writer.Execute(SimpleITK.GetImageFromArray(values))
        data = pydicom.dcmread(writer.GetFileName())
    assert data.file_meta.TransferSyntaxUID == JPEGLosslessSV1
    (codes,) = generate_frames(data.PixelData, number_of_frames=1)
    return codes


@kind("PS3.5 A.4.1", transfer_syntax=JPEGLosslessSV1, signed=False)
def jpeg_lossless(series: Series) -> None:
    series.pixels = {index: encapsulate([_jpeg_of(series.stored[index])]) for index in range(series.count)}


@kind("PS3.5 A.4.1: rescale applies to what is decoded", transfer_syntax=JPEGLosslessSV1, signed=False)
def jpeg_lossless_with_slope(series: Series) -> None:
    jpeg_lossless(series)
    series.set_all(RescaleSlope=0.25, RescaleIntercept=-500)
    series.values_hu = series.stored * 0.25 - 500
