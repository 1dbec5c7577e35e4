"""A corrected CT series as DICOM: one file for each original slice, its tags copied, its voxels replaced.

New are the series and instance UIDs, the series number and description, the image type (derived), the dates of creation
and the rescale slope and intercept. Sequences and private tags are left out: they describe the original's voxels.
Tag meanings: DICOM PS3.3 C.7.3.1 (series), C.7.6.1 and C.8.2.1 (CT image), PS3.5 B.2 (UIDs derived from UUIDs).
"""

import os
import re
import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy
import SimpleITK

from .._version import __version__
from ..errors import InputError
from .image_file import quiet_simple_itk
from .volume import CTVolume

SERIES_NUMBER_OFFSET = 1000
STORED_MINIMUM, STORED_MAXIMUM = -32768, 32767
NOT_COPIED_GROUPS = ("0002", "0400", "7fe0", "fffa", "fffc", *(f"{group:04x}" for group in range(0x6000, 0x6100, 2)))
NOT_COPIED = ("0028|0106", "0028|0107", "0028|0120", "0028|0121", "0018|0088")
CHARACTER_SETS = {
    "": "ascii",
    "ISO_IR 6": "ascii",
    "ISO_IR 100": "latin-1",
    "ISO_IR 101": "iso8859-2",
    "ISO_IR 109": "iso8859-3",
    "ISO_IR 110": "iso8859-4",
    "ISO_IR 144": "iso8859-5",
    "ISO_IR 127": "iso8859-6",
    "ISO_IR 126": "iso8859-7",
    "ISO_IR 138": "iso8859-8",
    "ISO_IR 148": "iso8859-9",
    "ISO_IR 203": "iso8859-15",
    "ISO_IR 166": "tis-620",
    "ISO_IR 13": "shift_jis",
    "ISO_IR 192": "utf-8",
    "ISO_IR 87": "iso2022_jp_2",
    "ISO_IR 159": "iso2022_jp_2",
    "ISO_IR 149": "euc_kr",
    "ISO_IR 58": "gb2312",
    "GB18030": "gb18030",
    "GBK": "gbk",
}
"""DICOM's names (PS3.3 C.12.1.1.2) -> Python's; with code extensions the names begin with `ISO 2022 IR`."""


LONGEST_DESCRIPTION = 64
"""Characters of a Series Description (VR LO)."""


@dataclass(frozen=True)
class SeriesKind:
    """What a written series says of itself. description: of the series, with {} for the original's; derivation: the sentence that says
    how it was made; mark: a further value of its image type, or "" for none."""

    description: str
    derivation: str
    mark: str = ""


CORRECTED = SeriesKind("{} MAR", "Metal artifact reduction")
SIMULATED_METAL = SeriesKind("SIMULATED metal: {}", "SIMULATED metal, which this patient does not have, added to a scan", "SIMULATED")
SIMULATION_TRUTH = SeriesKind("SIMULATED case, truth: {}", "Unchanged copy of a scan, the truth of a SIMULATED case", "SIMULATED")


def write_dicom_folder(volume: CTVolume, folder: Path, kind: SeriesKind = CORRECTED) -> None:
    """Write one file for each slice into `folder`, which exists; `kind` says what the series is called.

    The voxels are stored as int16 HU (slope 1, intercept 0). Where they are no whole numbers or exceed int16, the
    original slice's own slope and intercept are used, so that unchanged values stay exactly the same and others are
    rounded to the nearest step. Raises InputError if neither fits into 16 bits, or an original file is gone.
    """
    if len(volume.dicom_files) != volume.shape[0]:
        raise InputError("This volume did not come from DICOM slices, so it has no tags to copy; write NRRD or NIfTI.")
    voxels = volume.voxels_hu
    whole = voxels.dtype.kind in "iu" or all(numpy.array_equal(plane, numpy.rint(plane)) for plane in voxels)
    as_int16 = whole and voxels.min() >= STORED_MINIMUM and voxels.max() <= STORED_MAXIMUM
    series = {"0020|000e": _new_uid()}
    now = datetime.now()
    for date_tag, time_tag in (("0008|0012", "0008|0013"), ("0008|0023", "0008|0033")):
        series |= {date_tag: now.strftime("%Y%m%d"), time_tag: now.strftime("%H%M%S")}
    with quiet_simple_itk():
        for index, (path, plane) in enumerate(zip(volume.dicom_files, voxels, strict=True)):
            try:
                original = _open_dicom(path)
            except RuntimeError:
                raise InputError(f"{path} is needed for its tags and cannot be read any more.") from None
            slope, intercept = (1.0, 0.0) if as_int16 else _rescale(original)
            tags = _copied_tags(original) | series | _new_tags(original, kind, slope, intercept)
            image = SimpleITK.GetImageFromArray(_values_to_write(plane, slope, intercept, as_int16)[numpy.newaxis])
            image.SetSpacing((*original.GetSpacing()[:2], volume.spacing_mm[0]))
            image.SetOrigin(original.GetOrigin())
            image.SetDirection(original.GetDirection())
            for key, value in tags.items():
                image.SetMetaData(key, value)
            writer = SimpleITK.ImageFileWriter()
            writer.SetImageIO("GDCMImageIO")
            writer.KeepOriginalImageUIDOn()
            writer.SetFileName(os.fspath(folder / f"slice_{index + 1:04d}.dcm"))
            writer.Execute(image)


def _new_uid() -> str:
    return f"2.25.{uuid.uuid4().int}"


def _rescale(original: SimpleITK.ImageFileReader) -> tuple[float, float]:
    slope, intercept = _tag_number(original, "0028|1053"), _tag_number(original, "0028|1052")
    return slope or 1.0, intercept or 0.0


def _values_to_write(plane: numpy.ndarray, slope: float, intercept: float, as_int16: bool) -> numpy.ndarray:
    """(rows, columns) in HU as GDCM takes them: it stores (value - intercept) / slope."""
    if as_int16:
        return plane.astype(numpy.int16)
    stored = numpy.rint((plane.astype(numpy.float64) - intercept) / slope)
    if stored.min() < STORED_MINIMUM or stored.max() > STORED_MAXIMUM:
        raise InputError(
            f"The values {plane.min():.6g} to {plane.max():.6g} HU do not fit into the 16 bits of a DICOM slice; "
            "write NRRD or NIfTI instead."
        )
    return stored * slope + intercept


def _new_tags(original: SimpleITK.ImageFileReader, kind: SeriesKind, slope: float, intercept: float) -> dict[str, str]:
    """The tags that differ from the original slice's."""
    image_type = _tag(original, "0008|0008").split("\\")
    number = _tag_number(original, "0020|0011")
    room = LONGEST_DESCRIPTION - len(kind.description.format(""))
    description = kind.description.format(_text(original, "0008|103e")[:room]).strip(" :")
    return {
        "0008|0005": "ISO_IR 192",
        "0008|0008": "\\".join(["DERIVED", "SECONDARY", *(image_type[2:] or ["AXIAL"]), *([kind.mark] if kind.mark else [])]),
        "0008|0018": _new_uid(),
        "0008|103e": description,
        "0008|2111": f"{kind.derivation}, SSLMAR {__version__}",
        "0020|0011": str(int(number or 0) + SERIES_NUMBER_OFFSET),
        "0028|0100": "16",
        "0028|0101": "16",
        "0028|0102": "15",
        "0028|0103": "1",
        "0028|1052": f"{intercept:.10g}",
        "0028|1053": f"{slope:.10g}",
        "0028|1054": _tag(original, "0028|1054") or "HU",  # else GDCM writes "US", which says that they are no Hounsfield units
    } | _padding_tag(original, slope, intercept)


def _padding_tag(original: SimpleITK.ImageFileReader, slope: float, intercept: float) -> dict[str, str]:
    """Pixel Padding Value in the new stored values, where it still can be said."""
    padding = _tag_number(original, "0028|0120")
    if padding is None:
        return {}
    if _tag(original, "0028|0103") == "1" and padding > STORED_MAXIMUM:
        padding -= 65536
    old_slope, old_intercept = _rescale(original)
    stored = (padding * old_slope + old_intercept - intercept) / slope
    if stored != round(stored) or not STORED_MINIMUM <= stored <= STORED_MAXIMUM:
        return {}
    return {"0028|0120": str(round(stored))}


def _copied_tags(original: SimpleITK.ImageFileReader) -> dict[str, str]:
    tags = {}
    for key in original.GetMetaDataKeys():
        if not re.fullmatch(r"[0-9a-f]{3}[02468ace]\|[0-9a-f]{4}", key) or key.endswith("|0000"):
            continue
        if key[:4] not in NOT_COPIED_GROUPS and key not in NOT_COPIED:
            tags[key] = _text(original, key)
    return tags


def _text(original: SimpleITK.ImageFileReader, key: str) -> str:
    """A tag's text, decoded by the file's own character set: the output is written in UTF-8."""
    names = [name.replace("ISO 2022 IR", "ISO_IR").strip() for name in _tag(original, "0008|0005").split("\\")]
    codec = CHARACTER_SETS.get(names[-1], "latin-1")
    return _tag(original, key).encode("utf-8", "surrogateescape").decode(codec, "replace")


def _open_dicom(path: str | Path) -> SimpleITK.ImageFileReader:
    """A reader that knows the file's tags; its voxels are not read yet. Raises SimpleITK's RuntimeError."""
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(os.fspath(path))
    reader.ReadImageInformation()
    return reader


def _tag(reader: SimpleITK.ImageFileReader, key: str, default: str = "") -> str:
    """A tag's text without padding; bytes of another character set stay as Python's surrogate escapes."""
    return reader.GetMetaData(key).strip(" \0") if reader.HasMetaDataKey(key) else default


def _tag_number(reader: SimpleITK.ImageFileReader, key: str) -> float | None:
    """A tag's first number, or None."""
    try:
        return float(_tag(reader, key).split("\\")[0])
    except ValueError:
        return None
