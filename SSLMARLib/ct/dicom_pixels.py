"""The stored values of DICOM images and the Hounsfield units that they mean, image by image.

Plain values are taken from the file as they lie there. Compressed ones are decoded by GDCM (through SimpleITK), one image at a time and
without the rest of the file, so that nothing but the stored values is left to it. Rescale is this module's own, for each frame.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy
import pydicom
import SimpleITK
from pydicom.encaps import encapsulate, generate_frames

from ..errors import InputError
from .dicom_header import DicomFrame, DicomHeader, quiet_pydicom
from .image_file import quiet_simple_itk


def read_hu(header: DicomHeader, frames: Sequence[DicomFrame]) -> Iterator[numpy.ndarray]:
    """The given frames of a file, in this order, as (rows, columns) in HU: int16 where that holds the values exactly, else float32, else
    float64. Raises InputError for a file that is damaged or gone."""
    damaged = InputError(f"{header.path} cannot be read as DICOM: its pixels are damaged or incomplete.")
    wanted = [frame.index for frame in frames]
    try:
        with quiet_pydicom(), quiet_simple_itk():
            stored = _stored_values(header, wanted)
            for frame in frames:
                yield _narrow(_rescaled(next(stored), frame))
    except (InputError, GeneratorExit):
        raise
    except Exception:  # pydicom and GDCM raise almost anything on damaged files
        raise damaged from None


def _stored_values(header: DicomHeader, wanted: list[int]) -> Iterator[numpy.ndarray]:
    if header.pixel_offset is None:
        data = pydicom.dcmread(header.path)
        yield from (_plain(header, data.PixelData[_place(header, index) :]) for index in wanted)
    elif header.pixel_bytes is not None:
        with open(header.path, "rb") as file:
            for index in wanted:
                file.seek(header.pixel_offset + _place(header, index))
                yield _plain(header, file.read(_frame_bytes(header)))
    else:
        yield from _in_order(_decoded(header, set(wanted)), wanted)


def _in_order(frames: Iterator[tuple[int, numpy.ndarray]], wanted: list[int]) -> Iterator[numpy.ndarray]:
    """Values that come in the order of the file, in the wanted order; those that come too early are kept."""
    early: dict[int, numpy.ndarray] = {}
    for index in wanted:
        while index not in early:
            found, values = next(frames)
            early[found] = values
        yield early.pop(index)


def _frame_bytes(header: DicomHeader) -> int:
    return header.rows * header.columns * header.bits_allocated // 8


def _place(header: DicomHeader, index: int) -> int:
    return index * _frame_bytes(header)


def _plain(header: DicomHeader, values: bytes) -> numpy.ndarray:
    order = ">" if header.transfer_syntax_uid == pydicom.uid.ExplicitVRBigEndian else "<"
    kind = numpy.dtype(f"{order}u{header.bits_allocated // 8}")
    pixels = numpy.frombuffer(values, kind, header.rows * header.columns).astype(kind.newbyteorder("="))
    return _used_bits(header, pixels.reshape(header.rows, header.columns), header.high_bit)


def _used_bits(header: DicomHeader, pixels: numpy.ndarray, high_bit: int) -> numpy.ndarray:
    """The stored value alone: the bits above and below it may hold overlays (PS3.5 8.1.1); its sign is its own highest bit."""
    bits = header.bits_allocated
    kind = numpy.dtype(f"{'i' if header.signed else 'u'}{bits // 8}")
    pixels = pixels.astype(kind)
    if header.bits_stored == bits:
        return pixels
    return (pixels << (bits - 1 - high_bit)) >> (bits - header.bits_stored)


def _decoded(header: DicomHeader, wanted: set[int]) -> Iterator[tuple[int, numpy.ndarray]]:
    """(index, stored values) of the wanted frames of a compressed file, in the order of the file."""
    with open(header.path, "rb") as file, tempfile.TemporaryDirectory(prefix="sslmar-dicom-") as folder:
        file.seek(header.pixel_offset)
        for index, frame in enumerate(generate_frames(file, number_of_frames=len(header.frames))):
            if index in wanted:
                path = Path(folder) / "frame"
                _write_bare(header, frame, path)
                reader = SimpleITK.ImageFileReader()
                reader.SetImageIO("GDCMImageIO")
                reader.SetFileName(os.fspath(path))
                pixels = SimpleITK.GetArrayFromImage(reader.Execute()).reshape(header.rows, header.columns)
                yield index, _used_bits(header, pixels, header.bits_stored - 1)


def _write_bare(header: DicomHeader, frame: bytes, path: Path) -> None:
    """A file that holds one compressed image and how it is stored, and nothing that GDCM could apply to it."""
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = header.transfer_syntax_uid
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = "2.25.1"
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.Rows, data.Columns, data.PixelRepresentation = header.rows, header.columns, int(header.signed)
    data.BitsAllocated, data.BitsStored, data.HighBit = header.bits_allocated, header.bits_stored, header.bits_stored - 1
    data.PixelData = encapsulate([frame])
    data["PixelData"].is_undefined_length = True
    data.save_as(path, enforce_file_format=True)


def _rescaled(stored: numpy.ndarray, frame: DicomFrame) -> numpy.ndarray:
    slope = 1.0 if frame.slope is None else frame.slope
    intercept = 0.0 if frame.intercept is None else frame.intercept
    if slope == 1.0 and intercept == 0.0:
        return stored
    if slope.is_integer() and intercept.is_integer() and max(abs(slope), abs(intercept)) < 1 << 31 and stored.dtype.itemsize <= 2:
        return stored.astype(numpy.int64) * int(slope) + int(intercept)
    return stored.astype(numpy.float64) * slope + intercept


def _narrow(values_hu: numpy.ndarray) -> numpy.ndarray:
    for kind in (numpy.int16, numpy.float32):
        if kind is numpy.int16 and (values_hu.min() < -32768 or values_hu.max() > 32767):
            continue
        narrow = values_hu.astype(kind)
        if numpy.array_equal(narrow, values_hu):
            return narrow
    return values_hu.astype(numpy.float64)
