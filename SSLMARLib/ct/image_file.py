"""One NRRD or MetaImage file through SimpleITK, or NIfTI file through `nifti`: to a CTVolume and back, with the geometry untouched."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy
import SimpleITK

from ..errors import InputError
from . import nifti
from .file_checks import damaged, refuse_unsuitable
from .nifti_header import METADATA_KEYS
from .rescaling import rescaled
from .text_header import holds_what_it_claims, text_header
from .volume import CTVolume

FORMATS = {
    ".nii.gz": ("NIfTI", "NiftiImageIO"),
    ".nii": ("NIfTI", "NiftiImageIO"),
    ".nrrd": ("NRRD", "NrrdImageIO"),
    ".nhdr": ("NRRD", "NrrdImageIO"),
    ".mha": ("MetaImage", "MetaImageIO"),
    ".mhd": ("MetaImage", "MetaImageIO"),
}
"""Suffix in lower case -> name for messages, SimpleITK's reader and writer."""

COMPRESSED_SUFFIXES = (".nrrd", ".mha")
"""Compressed when written. A detached header's data file stays as it is, for programs that read the plain numbers."""

META_IMAGE_SCALE = {"elementtointensityfunctionslope": 1.0, "elementtointensityfunctionoffset": 0.0}
NRRD_ENCODINGS = ("raw", "gz", "gzip", "hex", "txt", "text", "ascii")


def known_suffix(path: Path) -> str | None:
    """The suffix in lower case if this library reads and writes such files, else None."""
    name = path.name.lower()
    return next((suffix for suffix in FORMATS if name.endswith(suffix) and len(name) > len(suffix)), None)


@contextlib.contextmanager
def quiet_simple_itk() -> Iterator[None]:
    """SimpleITK's warnings on standard error are off inside; what a user must know is logged by this library."""
    before = SimpleITK.ProcessObject.GetGlobalWarningDisplay()
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        SimpleITK.ProcessObject.SetGlobalWarningDisplay(before)


@contextlib.contextmanager
def _quiet_meta_io() -> Iterator[None]:
    """MetaIO, which reads MetaImage headers, prints what it does not like on standard error itself: off inside."""
    try:
        kept = os.dup(2)
    except OSError:  # standard error is closed
        kept = None
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if nowhere != 2:
        os.dup2(nowhere, 2)
        os.close(nowhere)
    try:
        yield
    finally:
        if kept is None:
            os.close(2)
        else:
            os.dup2(kept, 2)
            os.close(kept)


def read_image_file(path: Path) -> CTVolume:
    """Read a file whose suffix is known. Raises InputError: damaged or incomplete, 4D, color, complex."""
    return _read_image(path, False)[0]


def read_mask_layers(path: Path) -> tuple[CTVolume, numpy.ndarray]:
    """Read a mask or label map whose suffix is known: its first layer, and all layers (slices, rows, columns, layers).

    Only NRRD has layers, as Slicer writes segments that overlap. Raises InputError as `read_image_file` does.
    """
    return _read_image(path, known_suffix(path) in (".nrrd", ".nhdr"))


def _read_image(path: Path, with_layers: bool) -> tuple[CTVolume, numpy.ndarray]:
    format_name, reader_name = FORMATS[known_suffix(path)]
    if format_name == "NIfTI":
        volume = nifti.read(path)
        return volume, volume.voxels_hu[..., numpy.newaxis]
    header = text_header(path)
    _refuse_unsupported(path, header)
    if not holds_what_it_claims(path, header):
        raise damaged(path, format_name)
    with quiet_simple_itk():
        try:
            with _quiet_meta_io() if format_name == "MetaImage" else contextlib.nullcontext():
                reader = _open_image(path, reader_name)
            kind = SimpleITK.GetPixelIDValueAsString(reader.GetPixelID())
            refuse_unsuitable(path, reader.GetSize(), 1 if with_layers else reader.GetNumberOfComponents(), "complex" in kind)
            if reader.GetDimension() > 3:
                reader.SetExtractSize([*reader.GetSize()[:3], *([0] * (reader.GetDimension() - 3))])
            image = reader.Execute()
        except RuntimeError:
            raise damaged(path, format_name) from None
    metadata = _metadata(image)
    layers = [image]
    if image.GetNumberOfComponentsPerPixel() > 1:
        layers = [SimpleITK.VectorIndexSelectionCast(image, index) for index in range(image.GetNumberOfComponentsPerPixel())]
    volumes = [image_to_volume(layer, metadata) for layer in layers]
    slope, offset = (_number(header, name, default) for name, default in META_IMAGE_SCALE.items())
    volumes = [replace(volume, voxels_hu=rescaled(volume.voxels_hu, slope, offset)) for volume in volumes]
    if len(volumes) == 1:
        return volumes[0], volumes[0].voxels_hu[..., numpy.newaxis]
    return volumes[0], numpy.stack([volume.voxels_hu for volume in volumes], axis=-1)


def _metadata(image: SimpleITK.Image) -> dict[str, str]:
    """The entries that travel; what is no UTF-8 SimpleITK gives, but does not take."""
    entries = {}
    for key in image.GetMetaDataKeys():
        if not key.startswith(("ITK_", "NRRD_")) and _is_text(key) and _is_text(value := image.GetMetaData(key)):
            entries[key] = value
    return entries


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _number(header: dict[str, str], name: str, default: float) -> float:
    try:
        return float(header.get(name, default))
    except ValueError:
        return default


def _refuse_unsupported(path: Path, header: dict[str, str]) -> None:
    """Raise InputError for what is not damaged: a data file that is not there, a compression that SimpleITK has not."""
    name = header.get("elementdatafile", header.get("datafile", "LOCAL"))
    if name.split()[:1] not in (["LOCAL"], ["LIST"]) and "%" not in name and not (path.parent / name).exists():
        raise InputError(f"{path} is a header alone: its data file {name} is not there; put it beside the header again.")
    encoding = header.get("encoding", "raw").lower()
    if "encoding" in header and path.suffix.lower() in (".nrrd", ".nhdr") and encoding not in NRRD_ENCODINGS:
        raise InputError(f"{path} is compressed as {encoding!r}, which is not read: save it with gzip, or not compressed.")


def _open_image(path: Path, reader_name: str) -> SimpleITK.ImageFileReader:
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO(reader_name)
    reader.SetFileName(os.fspath(path))
    reader.ReadImageInformation()
    return reader


def geometry_of(image: SimpleITK.Image | SimpleITK.ImageFileReader) -> dict:
    """Spacing, origin and direction, named as CTVolume's fields; a third axis is added to an image of two."""
    dimensions = image.GetDimension()
    axes = min(dimensions, 3)
    direction = numpy.eye(3)
    direction[:axes, :axes] = numpy.array(image.GetDirection()).reshape(dimensions, dimensions)[:axes, :axes]
    return {"spacing_mm": (*image.GetSpacing(), 1.0)[:3][::-1], "origin_mm": (*image.GetOrigin(), 0.0)[:3], "direction": direction}


def image_to_volume(image: SimpleITK.Image, metadata: dict[str, str] | None = None) -> CTVolume:
    """A scalar SimpleITK image of two or three dimensions as a CTVolume; two dimensions become one slice."""
    voxels = SimpleITK.GetArrayFromImage(image)
    dimensions = image.GetDimension()
    voxels = voxels[numpy.newaxis] if dimensions == 2 else voxels
    return CTVolume(voxels, **geometry_of(image), metadata=metadata or {}, dimensions=dimensions)


def volume_to_image(volume: CTVolume) -> SimpleITK.Image:
    """A CTVolume as a SimpleITK image; bool becomes uint8. Raises InputError for a data type that no format has."""
    voxels = volume.voxels_hu.astype(numpy.uint8) if volume.voxels_hu.dtype == bool else volume.voxels_hu
    flat = volume.dimensions == 2 and volume.shape[0] == 1
    try:
        image = SimpleITK.GetImageFromArray(voxels[0] if flat else voxels)
    except (KeyError, TypeError):
        raise InputError(f"Voxels of type {voxels.dtype} cannot be written; use int16 or float32.") from None
    size = 2 if flat else 3
    image.SetSpacing(volume.spacing_mm[::-1][:size])
    image.SetOrigin(volume.origin_mm[:size])
    image.SetDirection(volume.direction[:size, :size].ravel().tolist())
    return image


def write_image_file(volume: CTVolume, path: Path) -> None:
    """Write `path` (and its data file, for a detached header). Errors are SimpleITK's RuntimeError or OSError."""
    suffix = known_suffix(path)
    if FORMATS[suffix][0] == "NIfTI":
        nifti.write(volume, path)
        return
    image = volume_to_image(volume)
    with quiet_simple_itk():
        for key, value in volume.metadata.items():
            if key not in METADATA_KEYS:
                image.SetMetaData(key, value)
        writer = SimpleITK.ImageFileWriter()
        writer.SetImageIO(FORMATS[suffix][1])
        writer.SetFileName(os.fspath(path))
        writer.SetUseCompression(suffix in COMPRESSED_SUFFIXES)
        writer.Execute(image)
