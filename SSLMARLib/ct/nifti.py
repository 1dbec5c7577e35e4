"""NIfTI-1 and NIfTI-2 files. SimpleITK is not asked: it knows no NIfTI-2, reads `scan.nii` for a `scan.nii.gz` beside it, raises no error
for a file that ends too early or a full disk, makes NaN 0, and refuses or straightens the sheared axes of a tilted gantry.
"""

import bz2
import gzip
import logging
import math
import zlib
from pathlib import Path

import numpy

from ..errors import InputError
from .file_checks import damaged, refuse_unsuitable
from .nifti_header import MAGIC, MILLIMETERS_AND_SECONDS, TEXTS, VERSION, VERSIONS, forms_for, forms_of
from .rescaling import rescaled
from .volume import GEOMETRY_TOLERANCE_MM, CTVolume

logger = logging.getLogger(__name__)

COMPRESSION_LEVEL = 1  # CT noise hardly compresses: level 6 takes five times as long for 5 % less
CHUNK_BYTES = 1 << 24
LARGEST_OFFSET = 1 << 40
LONGEST_AXIS = 32767  # of NIfTI-1
DATA_TYPES = {**{2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8"}, **{256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}}
COMPLEX_TYPES = (32, 1792, 2048)
COMPONENTS = {128: 3, 2304: 4}  # RGB, RGBA
UNREADABLE = (OSError, EOFError, zlib.error)


def read(path: Path) -> CTVolume:
    """A volume; compressed by gzip or bzip2 or not, whatever the name says. The type of the voxels is the file's; integers with a slope
    or offset become int16 or int32 if both are whole, else float32. Raises InputError."""
    try:
        with _open(path) as file:
            fields, version, byte_order = _read_header(file, path)
            lengths = _lengths(fields, path)
            voxels = _read_voxels(file, fields, lengths, byte_order)
    except UNREADABLE:
        raise damaged(path, "NIfTI") from None
    slope, offset = float(fields["scl_slope"]), float(fields["scl_inter"])
    if slope and math.isfinite(slope) and math.isfinite(offset):  # a slope of 0 means that there is none
        voxels = rescaled(voxels, slope, offset)
    forms = forms_of(fields)
    apart_mm = forms.disagree_mm(numpy.array(voxels.shape[::-1]) - 1)
    if apart_mm > GEOMETRY_TOLERANCE_MM:
        used, other = ("sform", "qform") if forms.uses_sform else ("qform", "sform")
        logger.warning("%s: its %s places voxels up to %.4g mm from where its %s does; the %s is used.", path, other, apart_mm, used, used)
    metadata = {name: fields[name].item().split(b"\0")[0].decode("latin-1").strip() for name in TEXTS}
    metadata = {name: text for name, text in metadata.items() if text} | forms.metadata() | ({VERSION: "2"} if version == 2 else {})
    return CTVolume(voxels, **forms.geometry(), metadata=metadata, dimensions=2 if len(lengths) == 2 else 3)


def _open(path: Path):
    with open(path, "rb") as file:
        start = file.read(3)
    if start[:2] == b"\x1f\x8b":
        return gzip.open(path, "rb")
    return bz2.open(path, "rb") if start == b"BZh" else open(path, "rb")


def _read_header(file, path: Path) -> tuple[numpy.ndarray, int, str]:
    """(fields by name, version, numpy's sign of the byte order)"""
    content = file.read(max(fields.itemsize for fields in VERSIONS.values()))
    for version, fields in VERSIONS.items():
        for order in "<>":
            if len(content) < fields.itemsize or int.from_bytes(content[:4], {"<": "little", ">": "big"}[order]) != fields.itemsize:
                continue
            found = numpy.frombuffer(content, fields.newbyteorder(order), 1)[0]
            magic = found["magic"].tobytes()
            if magic == MAGIC[version]:
                return found, version, order
            if magic[:3] in (b"ni1", b"ni2") or (version == 1 and magic[:2] != b"n+"):
                raise InputError(
                    f"{path} is half of a pair of header and data (.hdr, .img), or of Analyze's format, which does not say where left is: "
                    "convert it to one NIfTI file."
                )
    raise damaged(path, "NIfTI")


def _lengths(fields, path: Path) -> tuple[int, ...]:
    """The length of each axis, the fastest first. Raises InputError for what is no single scalar volume."""
    dimensions, *lengths = fields["dim"].tolist()
    if not 1 <= dimensions <= 7 or min(lengths[:dimensions]) < 1:
        raise damaged(path, "NIfTI")
    lengths, code = tuple(lengths[:dimensions]), int(fields["datatype"])
    vector = lengths[4] if dimensions == 5 and lengths[3] == 1 else 1  # on the fifth axis NIfTI keeps vectors
    refuse_unsuitable(path, lengths, vector * COMPONENTS.get(code, 1), code in COMPLEX_TYPES)
    if code not in DATA_TYPES:
        raise InputError(f"{path} holds voxels of NIfTI's type {code}, which is not read: convert them to int16 or float32.")
    return lengths


def _read_voxels(file, fields, lengths, byte_order: str) -> numpy.ndarray:
    shape = (*lengths, 1, 1)[:3][::-1]
    data_type = numpy.dtype(byte_order + DATA_TYPES[int(fields["datatype"])])
    needed, content, offset = math.prod(shape) * data_type.itemsize, bytearray(), float(fields["vox_offset"])
    if not 0 <= offset < LARGEST_OFFSET:
        raise EOFError
    file.seek(max(int(offset), fields.dtype.itemsize))
    while len(content) < needed:  # in parts: what a header claims is not believed before it is there
        part = file.read(min(needed - len(content), CHUNK_BYTES))
        if not part:
            raise EOFError
        content += part
    while file.read(CHUNK_BYTES):  # the sum at the end of a compressed file is checked when all is read
        pass
    voxels = numpy.frombuffer(content, data_type).reshape(shape)
    return voxels.astype(data_type.newbyteorder("="), copy=False)


def write(volume: CTVolume, path: Path) -> None:
    """Write `path` (.nii, or .nii.gz by its name), NIfTI-2 if the volume came from it or is too long for NIfTI-1, with the texts, codes
    and placements that came with it. Raises InputError for a type of voxels that NIfTI has not, OSError."""
    voxels = volume.voxels_hu.view(numpy.uint8) if volume.voxels_hu.dtype == bool else volume.voxels_hu
    codes = [code for code, name in DATA_TYPES.items() if numpy.dtype(name) == voxels.dtype.newbyteorder("=")]
    if not codes:
        raise InputError(f"Voxels of type {voxels.dtype} cannot be written; use int16 or float32.")
    version = 2 if volume.metadata.get(VERSION) == "2" or max(volume.shape) > LONGEST_AXIS else 1
    fields = _new_fields(volume, version)
    fields["datatype"], fields["bitpix"] = codes[0], 8 * voxels.dtype.itemsize
    start = fields.tobytes().ljust(int(fields["vox_offset"]), b"\0")
    little_endian = voxels.dtype.newbyteorder("<")
    is_compressed = path.name.lower().endswith(".gz")
    with gzip.open(path, "wb", compresslevel=COMPRESSION_LEVEL) if is_compressed else open(path, "wb") as file:
        file.write(start)
        for plane in voxels:
            file.write(plane.astype(little_endian, copy=False).tobytes())


def _new_fields(volume: CTVolume, version: int) -> numpy.ndarray:
    fields = numpy.zeros((), VERSIONS[version].newbyteorder("<"))
    dimensions = 2 if volume.dimensions == 2 and volume.shape[0] == 1 else 3
    forms = forms_for(volume)
    fields["sizeof_hdr"], fields["magic"], fields["scl_slope"] = fields.dtype.itemsize, numpy.void(MAGIC[version]), 1
    fields["vox_offset"] = -(-(fields.dtype.itemsize + 4) // 16) * 16  # behind four bytes that say that there is no extension
    fields["dim"] = [dimensions, *volume.shape[::-1][:dimensions], *[1] * (7 - dimensions)]
    fields["pixdim"] = [-1 if forms.qform[6] < 0 else 1, *forms.spacing_mm, *[1] * 4]
    fields["xyzt_units"] = MILLIMETERS_AND_SECONDS
    for name in TEXTS:
        fields[name] = volume.metadata.get(name, "").encode("latin-1", "replace")[: fields.dtype[name].itemsize - 1]
    fields["qform_code"], fields["sform_code"] = forms.qform_code, forms.sform_code
    fields["quatern"], fields["qoffset"], fields["srow"] = forms.qform[:3], forms.qform[3:6], forms.sform
    return fields
