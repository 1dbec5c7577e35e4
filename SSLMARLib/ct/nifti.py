"""What SimpleITK leaves open in NIfTI-1 files: sheared axes, incomplete files, integer types, codes of the header.

SimpleITK reads and writes the voxels. It refuses or straightens the sheared axes of a tilted gantry, reads a file that
ends too early without a word, and turns integers with an offset into float; here the 348 bytes of the header are
looked at for these. Field offsets: the NIfTI-1 standard, nifti1.h.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import struct
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy
import SimpleITK

from .volume import CTVolume

HEADER_BYTES = 348
COMPRESSION_LEVEL = 1  # CT noise hardly compresses: level 6 takes five times as long for 5 % less
CHUNK_BYTES = 1 << 20
LPS_FROM_RAS = numpy.diag([-1.0, -1.0, 1.0])
TEXT_FIELDS = {"descrip": (148, 80), "aux_file": (228, 24), "intent_name": (328, 16)}
CODE_FIELDS = {"qform_code": 252, "sform_code": 254}
METADATA_KEYS = (*TEXT_FIELDS, *CODE_FIELDS)
MM_PER_UNIT = {1: 1000.0, 2: 1.0, 3: 0.001}
SCANNER_OR_ALIGNED = (1, 2)


@dataclass(frozen=True)
class Header:
    """The first bytes of a NIfTI-1 file; `byte_order` is struct's sign."""

    content: bytes
    byte_order: str

    def values(self, code: str, offset: int) -> tuple:
        return struct.unpack_from(self.byte_order + code, self.content, offset)

    @property
    def expected_bytes(self) -> int:
        """What the uncompressed file must hold at least."""
        dimensions, *lengths = self.values("8h", 40)
        voxels = int(numpy.prod([max(length, 1) for length in lengths[: max(dimensions, 0)]], dtype=numpy.int64))
        (bits,) = self.values("h", 72)
        (offset,) = self.values("f", 108)
        return int(offset) + voxels * bits // 8

    def sform(self) -> numpy.ndarray:
        """(3, 4): from column, row, slice index to LPS and mm."""
        (units,) = self.values("B", 123)
        return LPS_FROM_RAS @ numpy.array(self.values("12f", 280)).reshape(3, 4) * MM_PER_UNIT.get(units & 7, 1.0)

    @property
    def is_sheared(self) -> bool:
        """Whether the sform places the voxels in scanner coordinates with axes that are not at right angles."""
        if self.values("h", 254)[0] not in SCANNER_OR_ALIGNED:
            return False
        axes = self.sform()[:, :3]
        lengths = numpy.linalg.norm(axes, axis=0)
        if not numpy.isfinite(axes).all() or lengths.min() == 0:
            return False
        unit = axes / lengths
        return bool(numpy.abs(unit.T @ unit - numpy.eye(3)).max() > 1e-4 and abs(numpy.linalg.det(unit)) > 1e-3)

    def sheared_geometry(self) -> dict:
        """Spacing, origin and direction of the sform, named as CTVolume's fields."""
        sform = self.sform()
        spacing_mm = numpy.linalg.norm(sform[:, :3], axis=0)
        return {
            "spacing_mm": tuple(spacing_mm[::-1]),
            "origin_mm": tuple(sform[:, 3]),
            "direction": sform[:, :3] / spacing_mm,
        }

    def metadata(self) -> dict[str, str]:
        """The entries that travel to a NIfTI output."""
        entries = {}
        for key, (offset, length) in TEXT_FIELDS.items():
            text = self.content[offset : offset + length].split(b"\0")[0].decode("latin-1").strip()
            if text:
                entries[key] = text
        codes = {key: self.values("h", offset)[0] for key, offset in CODE_FIELDS.items()}
        if any(code > 0 for code in codes.values()):
            entries |= {key: str(code) for key, code in codes.items()}
        return entries


def _open(path: Path):
    with open(path, "rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if compressed else open(path, "rb")


def read_header(path: Path) -> Header | None:
    """The header of a NIfTI-1 file, or None if it has none."""
    try:
        with _open(path) as file:
            content = file.read(HEADER_BYTES)
    except (OSError, EOFError, zlib.error):
        return None
    for byte_order in "<>":
        if len(content) == HEADER_BYTES and struct.unpack_from(byte_order + "i", content)[0] == HEADER_BYTES:
            return Header(content, byte_order)
    return None


def is_complete(path: Path, header: Header) -> bool:
    """Whether all voxels are there; a compressed file is unpacked once for that, which also checks its check sum."""
    size = 0
    try:
        with _open(path) as file:
            if not isinstance(file, gzip.GzipFile):
                return os.path.getsize(path) >= header.expected_bytes
            while chunk := file.read(CHUNK_BYTES):
                size += len(chunk)
    except (OSError, EOFError, zlib.error):
        return False
    return size >= header.expected_bytes


@contextlib.contextmanager
def copy_without_orientation(path: Path) -> Iterator[Path]:
    """A temporary uncompressed copy whose orientation codes are 0, so that SimpleITK reads sheared axes at all."""
    with tempfile.TemporaryDirectory() as folder, _open(path) as source:
        copy = Path(folder) / "volume.nii"
        with open(copy, "wb") as target:
            header = bytearray(source.read(HEADER_BYTES))
            for offset in CODE_FIELDS.values():
                struct.pack_into("<h", header, offset, 0)
            target.write(header)
            while chunk := source.read(CHUNK_BYTES):
                target.write(chunk)
        yield copy


def integers_where_stored_as_integers(voxels: numpy.ndarray, header: Header) -> numpy.ndarray:
    """Integers again, where the file holds integers and a whole slope and offset (unsigned CT with offset -1024)."""
    slope, offset = header.values("2f", 112)
    stored_as_integer = header.values("h", 70)[0] in (2, 4, 8, 256, 512, 768)
    whole = numpy.isfinite([slope, offset]).all() and slope == round(slope) and offset == round(offset)
    if voxels.dtype.kind != "f" or not stored_as_integer or not whole:
        return voxels
    for data_type in (numpy.int16, numpy.int32):
        limits = numpy.iinfo(data_type)
        if voxels.min() >= limits.min and voxels.max() <= limits.max:
            return voxels.astype(data_type)
    return voxels


def write(image: SimpleITK.Image, volume: CTVolume, path: Path) -> None:
    """Write `path` (.nii or .nii.gz) with sheared axes in its sform and the codes and texts that came with the volume.

    Raises OSError when the disk is full: SimpleITK does not say so, so the size is looked at.
    """
    plain = path.with_name("uncompressed.nii") if path.name.endswith(".gz") else path
    if volume.is_sheared:
        image.SetDirection(numpy.eye(3).ravel().tolist())
    SimpleITK.WriteImage(image, os.fspath(plain), imageIO="NiftiImageIO")
    with open(plain, "r+b") as file:
        header = Header(file.read(HEADER_BYTES), "<")
        if len(header.content) < HEADER_BYTES or os.path.getsize(plain) < header.expected_bytes:
            raise OSError("the file could not be written completely")
        file.seek(0)
        file.write(_complete_header(header.content, volume))
    if plain is not path:
        with open(plain, "rb") as source, gzip.open(path, "wb", compresslevel=COMPRESSION_LEVEL) as target:
            while chunk := source.read(CHUNK_BYTES):
                target.write(chunk)
        plain.unlink()


def _complete_header(content: bytes, volume: CTVolume) -> bytes:
    header = bytearray(content)
    for key, (offset, length) in TEXT_FIELDS.items():
        text = volume.metadata.get(key, "").encode("latin-1", "replace")[: length - 1]
        header[offset : offset + length] = text.ljust(length, b"\0")
    for key, offset in CODE_FIELDS.items():
        if key in volume.metadata:
            struct.pack_into("<h", header, offset, int(volume.metadata[key]))
    if volume.is_sheared:
        (code,) = struct.unpack_from("<h", header, CODE_FIELDS["sform_code"])
        struct.pack_into("<h", header, CODE_FIELDS["qform_code"], 0)  # a qform is a rotation: it cannot say this
        struct.pack_into("<h", header, CODE_FIELDS["sform_code"], code if code in SCANNER_OR_ALIGNED else 1)
        struct.pack_into("<12f", header, 280, *(LPS_FROM_RAS @ volume.index_to_position_mm()[:3]).ravel())
    return bytes(header)
