"""One NRRD, NIfTI or MetaImage file through SimpleITK: an image to a CTVolume and back, with the geometry untouched."""

import contextlib
import os
from collections.abc import Iterator
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

LONGEST_NAME_BYTES = 255


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


def refuse_name(path: Path) -> None:
    """Raise InputError for a name that no file system or SimpleITK takes: one that is not in UTF-8 would end the process."""
    if len(os.fsencode(path.name)) > LONGEST_NAME_BYTES:
        raise InputError(f"The name {path.name[:20]}... is too long: give one of at most {LONGEST_NAME_BYTES} bytes.")
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        raise InputError(f"The name {os.fspath(path)!a} is not in UTF-8: rename the file or folder.") from None


def refuse_unreadable(path: Path) -> None:
    """Raise InputError when the file is not there or may not be read."""
    if not path.exists():
        raise InputError(f"{path} does not exist.")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} cannot be read: permission denied.")


def refuse_not_finite(path: Path, count: int) -> None:
    """Raise InputError unless the count of voxels that are NaN or infinite is 0."""
    if count:
        raise InputError(f"{path} has {count} voxels that are NaN or infinite; replace them first, for example by -1024 HU.")


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
    damaged = InputError(f"{path} cannot be read as {format_name}: the file is damaged, incomplete or of another type.")
    with quiet_simple_itk():
        if format_name == "NIfTI":
            volume = _read_nifti(path)
            if volume is None:
                raise damaged
            return volume, volume.voxels_hu[..., numpy.newaxis]
        try:
            with _quiet_meta_io() if format_name == "MetaImage" else contextlib.nullcontext():
                reader = _open_image(path, reader_name)
            kind = SimpleITK.GetPixelIDValueAsString(reader.GetPixelID())
            _refuse_unsuitable(path, reader.GetSize(), 1 if with_layers else reader.GetNumberOfComponents(), "complex" in kind)
            if reader.GetDimension() > 3:
                reader.SetExtractSize([*reader.GetSize()[:3], *([0] * (reader.GetDimension() - 3))])
            image = reader.Execute()
        except RuntimeError:
            raise damaged from None
    keys = [key for key in image.GetMetaDataKeys() if not key.startswith(("ITK_", "NRRD_"))]
    layers = [image]
    if image.GetNumberOfComponentsPerPixel() > 1:
        layers = [SimpleITK.VectorIndexSelectionCast(image, index) for index in range(image.GetNumberOfComponentsPerPixel())]
    volumes = [image_to_volume(layer, {key: image.GetMetaData(key) for key in keys}) for layer in layers]
    if len(volumes) == 1:
        return volumes[0], volumes[0].voxels_hu[..., numpy.newaxis]
    return volumes[0], numpy.stack([volume.voxels_hu for volume in volumes], axis=-1)


def _read_nifti(path: Path) -> CTVolume | None:
    """Voxels as `nifti` reads them, SimpleITK's geometry where the axes are at right angles; None if damaged."""
    header = nifti.read_header(path)
    if header is None:
        return None
    is_complex = header.data_type_code in nifti.COMPLEX_TYPES
    _refuse_unsuitable(path, header.lengths, header.components, is_complex)
    voxels = nifti.read_voxels(path, header)
    if voxels is None:
        return None
    if header.is_sheared:
        geometry = header.sheared_geometry()
    else:
        try:
            geometry = geometry_of(_open_image(path, FORMATS[".nii"][1]))
        except RuntimeError:
            return None
    dimensions = 2 if len(header.lengths) == 2 else 3
    return CTVolume(voxels, **geometry, metadata=header.metadata(), dimensions=dimensions)


def _open_image(path: Path, reader_name: str) -> SimpleITK.ImageFileReader:
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO(reader_name)
    reader.SetFileName(os.fspath(path))
    reader.ReadImageInformation()
    return reader


def _refuse_unsuitable(path: Path, size: tuple[int, ...], components: int, is_complex: bool) -> None:
    """Refuse what is no single scalar volume, before its voxels are read; a fourth axis of length 1 is no fault."""
    if is_complex:
        raise InputError(f"{path} holds complex numbers, not Hounsfield units.")
    if components != 1:
        raise InputError(
            f"{path} holds {components} values in each voxel (a color or vector image); "
            "give a CT volume with one value in Hounsfield units in each voxel."
        )
    if any(length != 1 for length in size[3:]):
        raise InputError(
            f"{path} is a {len(size)}D volume of {describe_size(size[::-1])} voxels; correct it frame by frame, "
            "each frame as a 3D volume in a file of its own."
        )


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
