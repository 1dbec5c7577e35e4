"""Headers that claim more voxels than are there: refused at once, and never read as zeros."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import numpy
import pytest

from SSLMARLib.ct.reading_writing import read_volume
from SSLMARLib.errors import InputError


def meta_image(sizes: str, data: bytes, compressed: bool, kind="MET_SHORT") -> bytes:
    size = f"CompressedDataSize = {len(data)}\n" if compressed else ""
    return (
        f"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = {compressed}\n{size}"
        f"ElementSpacing = 1 1 1\nDimSize = {sizes}\nElementType = {kind}\nElementDataFile = LOCAL\n"
    ).encode() + data


def nrrd(sizes: str, data: bytes, encoding: str) -> bytes:
    return f"NRRD0004\ntype: short\ndimension: 3\nsizes: {sizes}\nendian: little\nencoding: {encoding}\n\n".encode() + data


VOXELS = numpy.arange(-500, 500, dtype="<i2").tobytes()
FILES = {
    "plain.mha": lambda sizes: meta_image(sizes, VOXELS, False),
    "compressed.mha": lambda sizes: meta_image(sizes, zlib.compress(VOXELS), True),
    "raw.nrrd": lambda sizes: nrrd(sizes, VOXELS, "raw"),
    "gzip.nrrd": lambda sizes: nrrd(sizes, gzip.compress(VOXELS), "gzip"),
}


@pytest.mark.parametrize("name", FILES)
def test_what_is_there_is_read_and_what_is_not_is_damage(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(FILES[name]("10 10 10"))
    numpy.testing.assert_array_equal(read_volume(path).voxels_hu.ravel(), numpy.arange(-500, 500))
    for sizes in ("10 10 11", "1200 1200 1200", "\u00b310 10 10"):
        path.write_bytes(FILES[name](sizes))
        tracemalloc.start()
        with pytest.raises(InputError, match="damaged"):
            read_volume(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 25
        tracemalloc.stop()


@pytest.mark.parametrize(
    "kind, data_type", [("MET_UCHAR", "u1"), ("MET_FLOAT", "f4"), ("MET_DOUBLE", "f8"), ("MET_LONG", "i4"), ("MET_LONG_LONG", "i8")]
)
def test_every_type_may_fill_its_file_to_the_end(tmp_path, kind, data_type):
    values = numpy.arange(64, dtype=f"<{data_type}")
    (tmp_path / "scan.mha").write_bytes(meta_image("4 4 4", values.tobytes(), False, kind))
    numpy.testing.assert_array_equal(read_volume(tmp_path / "scan.mha").voxels_hu.ravel(), values)
