"""NIfTI-1 files, where SimpleITK alone is not enough: it writes them and reads their geometry, but

- of `scan.nii.gz` beside a `scan.nii` it reads the voxels of the latter;
- a file that ends too early, or is written to a full disk, raises no error;
- NaN becomes 0, and integers with an offset (unsigned CT) become float;
- the sheared axes of a tilted gantry are refused or straightened.

Field offsets and codes of the header: the NIfTI-1 standard, nifti1.h.
"""

import gzip
import math
import os
import struct
import zlib
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
DATA_TYPES = {**{2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8"}, **{256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}}
COMPLEX_TYPES = (32, 1792, 2048)
COMPONENTS = {128: 3, 2304: 4}  # RGB, RGBA


@dataclass(frozen=True)
class Header:
    """The first bytes of a NIfTI-1 file; `byte_order` is struct's sign."""

    content: bytes
    byte_order: str

    def values(self, code: str, offset: int) -> tuple:
        return struct.unpack_from(self.byte_order + code, self.content, offset)

    @property
    def lengths(self) -> tuple[int, ...]:
        """The length of each axis, the fastest first."""
        dimensions, *lengths = self.values("8h", 40)
        return tuple(max(length, 1) for length in lengths[: max(dimensions, 0)])

    @property
    def data_type_code(self) -> int:
        return self.values("h", 70)[0]

    @property
    def components(self) -> int:
        """Values in each voxel: colors, or the fifth axis, on which NIfTI keeps vectors."""
        lengths = self.lengths
        vector = lengths[4] if len(lengths) == 5 and lengths[3] == 1 else 1
        return vector * COMPONENTS.get(self.data_type_code, 1)

    @property
    def expected_bytes(self) -> int:
        """What the uncompressed file must hold at least."""
        (bits,) = self.values("h", 72)
        return self.data_offset + math.prod(self.lengths) * bits // 8

    @property
    def data_offset(self) -> int:
        return max(int(self.values("f", 108)[0]), HEADER_BYTES)

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
        return {"spacing_mm": tuple(spacing_mm[::-1]), "origin_mm": tuple(sform[:, 3]), "direction": sform[:, :3] / spacing_mm}

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


def read_voxels(path: Path, header: Header) -> numpy.ndarray | None:
    """(slices, rows, columns), or None if the file is damaged, ends early or has a data type without name.

    The type is the file's; integers with a slope or offset become int16 or int32 if both are whole, else float32.
    """
    if header.data_type_code not in DATA_TYPES or header.expected_bytes <= header.data_offset:
        return None
    shape = (*header.lengths, 1, 1)[:3][::-1]
    try:
        with _open(path) as file:
            if not isinstance(file, gzip.GzipFile) and os.path.getsize(path) < header.expected_bytes:
                return None
            voxels = numpy.empty(shape, header.byte_order + DATA_TYPES[header.data_type_code])
            file.seek(header.data_offset)
            content = memoryview(voxels).cast("B")
            while len(content):
                if not (count := file.readinto(content[: 16 * CHUNK_BYTES])):
                    return None
                content = content[count:]
            while file.read(CHUNK_BYTES):  # the sum at the end of a compressed file is checked when all is read
                pass
    except (OSError, EOFError, zlib.error):
        return None
    voxels = voxels.astype(voxels.dtype.newbyteorder("="), copy=False)
    slope, offset = header.values("2f", 112)
    if (slope, offset) == (1, 0) or slope == 0 or not math.isfinite(slope) or not math.isfinite(offset):
        return voxels  # a slope of 0 means that there is none
    return _rescaled(voxels, slope, offset)


def _rescaled(voxels: numpy.ndarray, slope: float, offset: float) -> numpy.ndarray:
    """Stored values times slope plus offset, as whole numbers where they are."""
    if voxels.dtype.kind in "iu" and slope == round(slope) and offset == round(offset):
        ends = [int(end) * round(slope) + round(offset) for end in (voxels.min(), voxels.max())]
        for data_type in (numpy.int16, numpy.int32):
            limits = numpy.iinfo(data_type)
            if limits.min <= min(ends) and max(ends) <= limits.max:
                values = voxels.astype(numpy.int64)
                return (values * round(slope) + round(offset)).astype(data_type)
    values = voxels.astype(numpy.float64) * slope + offset
    return values if voxels.dtype.itemsize == 8 else values.astype(numpy.float32)


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
