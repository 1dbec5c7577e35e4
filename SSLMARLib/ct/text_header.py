"""The text headers of NRRD and MetaImage, and whether the data can be there that they claim: what reads them afterwards believes them."""

import math
import re
import zlib
from pathlib import Path

LONGEST_HEADER_BYTES = 1 << 16
MOST_DIMENSIONS = 16
CHUNK_BYTES = 1 << 22
LARGEST_RATIO = 1100  # deflate makes at most 1032 bytes of one
BYTES_OF_TYPE = {
    **dict.fromkeys(("char", "schar", "uchar", "int8", "uint8"), 1),
    **dict.fromkeys(("short", "ushort", "int16", "uint16"), 2),
    **dict.fromkeys(("int", "uint", "int32", "uint32", "float", "long", "ulong"), 4),
    **dict.fromkeys(("longlong", "ulonglong", "int64", "uint64", "double"), 8),
}
HEADER_END = re.compile(rb"\r?\n\r?\n|(?<=\nElementDataFile = LOCAL)\n")


def text_header(path: Path) -> dict[str, str]:
    """The entries of a header, the names in lower case without spaces."""
    header = HEADER_END.split(_start_of(path))[0].decode("latin-1")
    found = re.findall(r"^([A-Za-z ]+?) *(?:=|:=?) *(.*?) *\r?$", header, re.MULTILINE)
    return {name.replace(" ", "").lower(): value for name, value in found}


def holds_what_it_claims(path: Path, header: dict[str, str]) -> bool:
    """Whether the file, or its data file, can hold the voxels of the header; True where that cannot be told.

    Plain data are compared with the file's length; compressed ones with what so many bytes can hold, and those of MetaImage are unpacked
    to their end, as its reader takes missing voxels for 0.
    """
    sizes = header.get("dimsize", header.get("sizes", "")).split()
    dimensions = header.get("ndims", header.get("dimension", str(len(sizes))))
    if not _is_whole(dimensions) or not 1 <= int(dimensions) <= MOST_DIMENSIONS or not all(map(_is_whole, sizes)):
        return False
    data_file, start = _place_of_data(path, header)
    if data_file is None or not data_file.is_file():
        return True
    claimed = math.prod(map(int, sizes)) * _bytes_of_voxel(header)
    there = data_file.stat().st_size - start
    if header.get("compresseddata", "").lower() == "true":
        return claimed <= LARGEST_RATIO * there and _unpacks_to(data_file, start, claimed)
    if header.get("encoding", "raw").lower() in ("gz", "gzip"):
        return claimed <= LARGEST_RATIO * there
    return claimed <= there


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _bytes_of_voxel(header: dict[str, str]) -> int:
    """1 for a type that is not known, and for numbers that are written as text."""
    if header.get("encoding", "raw").lower() in ("hex", "txt", "text", "ascii") or header.get("binarydata", "true").lower() == "false":
        return 1
    name = header.get("elementtype", header.get("type", "")).lower().removeprefix("met_").removesuffix("_array").removesuffix("_t")
    name = name.replace("unsigned ", "u").replace("signed ", "").replace(" int", "").replace(" ", "").replace("_", "")
    channels = header.get("elementnumberofchannels", "1")
    return BYTES_OF_TYPE.get(name, 1) * (int(channels) if _is_whole(channels) else 1)


def _place_of_data(path: Path, header: dict[str, str]) -> tuple[Path | None, int]:
    """(the file with the data, where they begin in it); no file where they lie in several."""
    name = header.get("elementdatafile", header.get("datafile", "LOCAL"))
    if name.split()[:1] == ["LIST"] or "%" in name or "lineskip" in header or "byteskip" in header:
        return None, 0
    if name != "LOCAL":
        return path.parent / name, 0
    end = HEADER_END.search(_start_of(path))
    return (path, end.end()) if end else (None, 0)


def _start_of(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(LONGEST_HEADER_BYTES)


def _unpacks_to(path: Path, start: int, claimed: int) -> bool:
    unpacking, count = zlib.decompressobj(), 0
    with open(path, "rb") as file:
        file.seek(start)
        waiting = file.read(CHUNK_BYTES)
        while waiting and count < claimed:
            try:
                count += len(unpacking.decompress(waiting, CHUNK_BYTES))
            except zlib.error:
                return False
            waiting = unpacking.unconsumed_tail or file.read(CHUNK_BYTES)
            if unpacking.eof:
                break
    return count >= claimed
