"""One NRRD, NIfTI or MetaImage file through SimpleITK: an image to a CTVolume and back, with the geometry untouched."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy
import SimpleITK

from ..errors import InputError
from . import nifti
from .volume import CTVolume, describe_size

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


def refuse_unreadable(path: Path) -> None:
    """Raise InputError when the file is not there or may not be read."""
    if not path.exists():
        raise InputError(f"{path} does not exist.")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} cannot be read: permission denied.")


def read_image_file(path: Path) -> CTVolume:
    """Read a file whose suffix is known. Raises InputError: damaged or incomplete, 4D, color, complex."""
    suffix = known_suffix(path)
    format_name, reader_name = FORMATS[suffix]
    damaged = InputError(f"{path} cannot be read as {format_name}: the file is damaged, incomplete or of another type.")
    header = None
    with contextlib.ExitStack() as stack:
        stack.enter_context(quiet_simple_itk())
        readable_path = path
        if format_name == "NIfTI":
            header = nifti.read_header(path)
            if header is None or not nifti.is_complete(path, header):
                raise damaged
            if header.is_sheared:
                readable_path = stack.enter_context(nifti.copy_without_orientation(path))
        reader = SimpleITK.ImageFileReader()
        reader.SetImageIO(reader_name)
        reader.SetFileName(os.fspath(readable_path))
        try:
            reader.ReadImageInformation()
            _refuse_unsuitable(path, reader)
            image = reader.Execute()
        except RuntimeError:
            raise damaged from None
    volume = image_to_volume(image, metadata_of(image, header))
    if header is not None:
        voxels = nifti.integers_where_stored_as_integers(volume.voxels_hu, header)
        volume = replace(volume, voxels_hu=voxels, **(header.sheared_geometry() if header.is_sheared else {}))
    return volume


def _refuse_unsuitable(path: Path, reader: SimpleITK.ImageFileReader) -> None:
    """Refuse what is no single scalar volume, before its voxels are read; a fourth axis of length 1 is dropped."""
    size = reader.GetSize()
    pixel_type = SimpleITK.GetPixelIDValueAsString(reader.GetPixelID())
    if "complex" in pixel_type:
        raise InputError(f"{path} holds complex numbers ({pixel_type}), not Hounsfield units.")
    if reader.GetNumberOfComponents() != 1:
        raise InputError(
            f"{path} holds {reader.GetNumberOfComponents()} values in each voxel (a color or vector image); "
            "give a CT volume with one value in Hounsfield units in each voxel."
        )
    if any(length != 1 for length in size[3:]):
        raise InputError(
            f"{path} is a {len(size)}D volume of {describe_size(size[::-1])} voxels; correct it frame by frame, "
            "each frame as a 3D volume in a file of its own."
        )
    if len(size) > 3:
        reader.SetExtractSize([*size[:3], *([0] * (len(size) - 3))])


def metadata_of(image: SimpleITK.Image, header: nifti.Header | None = None) -> dict[str, str]:
    """The header entries worth writing again: a user's own, and of NIfTI's the description and orientation codes."""
    if header is not None:
        return header.metadata()
    keys = [key for key in image.GetMetaDataKeys() if not key.startswith(("ITK_", "NRRD_"))]
    return {key: image.GetMetaData(key) for key in keys}


def image_to_volume(image: SimpleITK.Image, metadata: dict[str, str] | None = None) -> CTVolume:
    """A scalar SimpleITK image of two or three dimensions as a CTVolume; two dimensions become one slice."""
    voxels = SimpleITK.GetArrayFromImage(image)
    spacing, origin = image.GetSpacing(), image.GetOrigin()
    dimensions = image.GetDimension()
    direction = numpy.eye(3)
    direction[:dimensions, :dimensions] = numpy.array(image.GetDirection()).reshape(dimensions, dimensions)
    if dimensions == 2:
        voxels, spacing, origin = voxels[numpy.newaxis], (*spacing, 1.0), (*origin, 0.0)
    return CTVolume(voxels, spacing[::-1], origin, direction, metadata or {}, dimensions)


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
    image = volume_to_image(volume)
    with quiet_simple_itk():
        if FORMATS[suffix][0] == "NIfTI":
            nifti.write(image, volume, path)
            return
        for key, value in volume.metadata.items():
            if key not in nifti.METADATA_KEYS:
                image.SetMetaData(key, value)
        writer = SimpleITK.ImageFileWriter()
        writer.SetImageIO(FORMATS[suffix][1])
        writer.SetFileName(os.fspath(path))
        writer.SetUseCompression(suffix in COMPRESSED_SUFFIXES)
        writer.Execute(image)
