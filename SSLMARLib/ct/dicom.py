"""DICOM through SimpleITK (GDCM): a folder or a file of CT slices to a CTVolume, and a corrected series back.

Slices are sorted by their position along the slice normal, never by file name. Work is slice by slice, so a tilted
gantry, missing slices and uneven distances are accepted; what a regular grid cannot say about them is logged.
"""

import logging
import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy
import SimpleITK

from ..errors import InputError, plain_text
from .dicom_header import is_dicom_file
from .image_file import image_to_volume, quiet_simple_itk, refuse_name
from .volume import CTVolume

logger = logging.getLogger(__name__)

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
LATERAL_TOLERANCE_PIXELS = 0.1  # a stack that leans less than this from first to last slice has no gantry tilt
DISTANCE_TOLERANCE = 0.02  # relative difference of slice distances that is still rounding
SAME_POSITION_MM = 1e-3


@dataclass(frozen=True)
class DicomSlice:
    """What sorting and choosing need of one file. position_mm (x, y, z) LPS; direction (3, 3) as in CTVolume."""

    path: str
    series_uid: str
    instance_uid: str
    description: str
    modality: str
    is_tomographic: bool
    size: tuple[int, int, int]
    position_mm: numpy.ndarray | None
    direction: numpy.ndarray
    pixel_spacing_mm: tuple[float, float]
    thickness_mm: float | None


def open_dicom(path: str | Path) -> SimpleITK.ImageFileReader:
    """A reader that knows the file's tags; its voxels are not read yet. Raises SimpleITK's RuntimeError."""
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(os.fspath(path))
    reader.ReadImageInformation()
    return reader


def tag(reader: SimpleITK.ImageFileReader, key: str, default: str = "") -> str:
    """A tag's text without padding; bytes of another character set stay as Python's surrogate escapes."""
    return reader.GetMetaData(key).strip(" \0") if reader.HasMetaDataKey(key) else default


def tag_number(reader: SimpleITK.ImageFileReader, key: str) -> float | None:
    """A tag's first number, or None."""
    try:
        return float(tag(reader, key).split("\\")[0])
    except ValueError:
        return None


def read_dicom(path: Path) -> CTVolume:
    """The CT series of a folder, or the slice (or slices of a multi-frame object) of one file."""
    with quiet_simple_itk():
        if not path.is_dir():
            try:
                slices = [_slice_of(open_dicom(path), path)]
            except RuntimeError:
                raise InputError(f"{path} cannot be read as DICOM: the file is damaged or holds no image.") from None
        else:
            slices = _choose_series(path, _slices_in(path))
        if slices[0].modality != "CT":
            logger.warning("%s has modality %s, not CT: are its values HU?", path, slices[0].modality or "?")
        if len(slices) == 1 and slices[0].size[2] > 1:
            return image_to_volume(_read_image(slices[0]))
        slices = _sort_by_position(path, slices)
        spacing_mm, direction = _stack_geometry(path, slices)
        voxels = numpy.concatenate([_read_voxels(item) for item in slices])
    position_mm = slices[0].position_mm if slices[0].position_mm is not None else numpy.zeros(3)
    files = tuple(item.path for item in slices)
    return CTVolume(voxels, spacing_mm, tuple(position_mm), direction, dicom_files=files)


def _slice_of(reader: SimpleITK.ImageFileReader, path: Path) -> DicomSlice:
    size = (*reader.GetSize(), 1)[:3]
    dimensions = reader.GetDimension()
    direction = numpy.eye(3)
    direction[:dimensions, :dimensions] = numpy.array(reader.GetDirection()).reshape(dimensions, dimensions)
    modality = plain_text(tag(reader, "0008|0060"))
    localizer = "LOCALIZER" in tag(reader, "0008|0008").upper()
    screenshot = tag(reader, "0008|0016").startswith(SECONDARY_CAPTURE)
    return DicomSlice(
        path=os.fspath(path),
        series_uid=tag(reader, "0020|000e"),
        instance_uid=tag(reader, "0008|0018"),
        description=plain_text(tag(reader, "0008|103e")),
        modality=modality,
        is_tomographic=modality == "CT" and not localizer and not screenshot,
        size=size,
        position_mm=numpy.array((*reader.GetOrigin(), 0.0)[:3]) if reader.HasMetaDataKey("0020|0032") else None,
        direction=direction,
        pixel_spacing_mm=reader.GetSpacing()[:2],
        thickness_mm=tag_number(reader, "0018|0088") or tag_number(reader, "0018|0050"),
    )


def _slices_in(folder: Path) -> list[DicomSlice]:
    """Every image in the folder itself; subfolders are not searched."""
    slices, unreadable = [], []
    try:
        files = sorted(item for item in folder.iterdir() if item.is_file() and item.name.upper() != "DICOMDIR")
    except PermissionError:
        raise InputError(f"{folder} cannot be read: permission denied.") from None
    for path in files:
        if not is_dicom_file(path):
            continue
        try:
            refuse_name(path)
            slices.append(_slice_of(open_dicom(path), path))
        except (RuntimeError, InputError):
            unreadable.append(path.name)
    if unreadable:
        logger.warning("%s: left out, as no image could be read in them: %s.", folder, ", ".join(unreadable))
    if not slices:
        raise InputError(f"{folder} holds no DICOM images (subfolders are not searched); give the series' own folder.")
    return slices


def _choose_series(folder: Path, slices: list[DicomSlice]) -> list[DicomSlice]:
    """The one CT series. Localizers, dose reports and other modalities beside it are left out and logged.

    Two CT series are refused: which of two reconstructions is to be corrected is not for a program to guess. Of a
    series whose images differ in size or orientation the largest part is taken, and the rest is logged.
    """
    series = defaultdict(list)
    for item in slices:
        series[item.series_uid].append(item)
    tomographic = {uid: [item for item in items if item.is_tomographic] for uid, items in series.items()}
    candidates = {uid: items for uid, items in tomographic.items() if items}
    if not candidates and len(series) == 1:
        candidates = dict(series)
    names = "; ".join(_describe(items) for items in series.values())
    if len(candidates) != 1:
        kind = f"{len(candidates)} CT series" if candidates else "no CT series"
        raise InputError(f"{folder} holds {kind} ({names}); give a folder that holds the files of one CT series only.")
    (chosen,) = candidates.values()
    if len(series) > 1:
        logger.warning("%s holds several series (%s): %s is read.", folder, names, _describe(chosen))
    parts = defaultdict(list)
    for item in chosen:
        parts[(item.size, tuple(numpy.round(item.direction, 2).ravel() + 0.0))].append(item)
    largest = max(parts.values(), key=len)
    if len(largest) < len(chosen):
        logger.warning(
            "%s: %d of %d images differ in size or orientation from the others and are left out.",
            folder, len(chosen) - len(largest), len(chosen),
        )  # fmt: skip
    if len(largest) > 1 and largest[0].size[2] > 1:
        raise InputError(f"{folder} holds {len(largest)} multi-frame files; give one of them instead of the folder.")
    return largest


def _describe(items: list[DicomSlice]) -> str:
    first = items[0]
    images = "1 image" if len(items) == 1 else f"{len(items)} images"
    return f'{first.modality or "no modality"} "{first.description}", {images}, first file {Path(first.path).name}'


def _sort_by_position(path: Path, slices: list[DicomSlice]) -> list[DicomSlice]:
    """Ascending along the slice normal; copies of an image are dropped, two images at one position refused."""
    if len(slices) == 1:
        return slices
    if any(item.position_mm is None for item in slices):
        raise InputError(f"{path} holds slices without Image Position (Patient), so they cannot be put in order.")
    normal = slices[0].direction[:, 2]
    ordered = sorted(slices, key=lambda item: float(item.position_mm @ normal))
    kept = ordered[:1]
    for item in ordered[1:]:
        if (item.position_mm - kept[-1].position_mm) @ normal > SAME_POSITION_MM:
            kept.append(item)
        elif item.instance_uid == kept[-1].instance_uid:
            logger.warning("%s is a copy of %s and is left out.", item.path, kept[-1].path)
        else:
            raise InputError(
                f"{path} holds two images at one position ({Path(kept[-1].path).name} and {Path(item.path).name}), "
                "as a scan of several phases does; give a folder that holds one phase."
            )
    return kept


def _stack_geometry(path: Path, slices: list[DicomSlice]) -> tuple[tuple[float, float, float], numpy.ndarray]:
    """Spacing (slices, rows, columns) and direction; the slice axis leans where the gantry was tilted."""
    first = slices[0]
    column_mm, row_mm = first.pixel_spacing_mm
    direction = first.direction.copy()
    if len(slices) == 1:
        if not first.thickness_mm or first.thickness_mm <= 0:
            logger.warning("%s states no slice thickness: 1 mm is assumed.", path)
        return (abs(first.thickness_mm or 0.0) or 1.0, row_mm, column_mm), direction
    positions_mm = numpy.array([item.position_mm for item in slices])
    stack_mm = positions_mm[-1] - positions_mm[0]
    lateral_mm = stack_mm - (stack_mm @ direction[:, 2]) * direction[:, 2]
    if numpy.linalg.norm(lateral_mm) > LATERAL_TOLERANCE_PIXELS * min(column_mm, row_mm):
        direction[:, 2] = stack_mm / numpy.linalg.norm(stack_mm)
        tilt_degrees = numpy.degrees(numpy.arccos(numpy.clip(first.direction[:, 2] @ direction[:, 2], -1, 1)))
        logger.info("%s: tilted gantry, %.1f degrees; the slices stay as they are.", path, tilt_degrees)
    distances_mm = numpy.diff(positions_mm @ first.direction[:, 2]) / (first.direction[:, 2] @ direction[:, 2])
    distance_mm = float(numpy.median(distances_mm))
    if numpy.ptp(distances_mm) <= DISTANCE_TOLERANCE * distance_mm:
        distance_mm = float(distances_mm.mean())
    else:
        logger.warning(
            "%s: slices are missing or unevenly spaced (%.4g to %.4g mm apart). Each slice is corrected as it is; "
            "%.4g mm is taken as their distance, and only a DICOM output keeps every position.",
            path, distances_mm.min(), distances_mm.max(), distance_mm,
        )  # fmt: skip
    return (distance_mm, row_mm, column_mm), direction


def _read_image(item: DicomSlice) -> SimpleITK.Image:
    try:
        image = open_dicom(item.path).Execute()
    except RuntimeError:
        raise InputError(f"{item.path} cannot be read as DICOM: the file is damaged or holds no image.") from None
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(f"{item.path} holds a color image, not Hounsfield units.")
    return image


def _read_voxels(item: DicomSlice) -> numpy.ndarray:
    """(1, rows, columns) HU: int16 where that holds the values exactly, else float32 or what GDCM gave."""
    voxels = SimpleITK.GetArrayFromImage(_read_image(item)).reshape(1, item.size[1], item.size[0])
    for data_type in (numpy.int16, numpy.float32):
        if data_type is numpy.int16 and (voxels.min() < -32768 or voxels.max() > 32767):
            continue
        narrow = voxels.astype(data_type)
        if numpy.array_equal(narrow, voxels):
            return narrow
    return voxels
