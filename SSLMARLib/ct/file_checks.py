"""What is refused of files before they are read: names, missing files, and images that are no single scalar volume."""

import os
from pathlib import Path

from ..errors import InputError
from .volume import describe_size

LONGEST_NAME_BYTES = 255


def refuse_name(path: Path) -> None:
    """Raise InputError for a name that no file system or SimpleITK takes: one that is not in UTF-8 would end the process."""
    if len(os.fsencode(path.name)) > LONGEST_NAME_BYTES:
        raise InputError(f"The name {path.name[:20]}... is too long: give one of at most {LONGEST_NAME_BYTES} bytes.")
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        raise InputError(f"The name {os.fspath(path)!a} is not in UTF-8: rename the file or folder.") from None


def refuse_unreadable(path: Path) -> None:
    """Raise InputError when the file is not there, is no file but a pipe or a device, or may not be read."""
    if not path.exists():
        raise InputError(f"{path} does not exist.")
    if not path.is_file():
        raise InputError(f"{path} is no file that can be read as a whole: give a file.")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} cannot be read: permission denied.")


def refuse_not_finite(path: Path, count: int) -> None:
    """Raise InputError unless the count of voxels that are NaN or infinite is 0."""
    if count:
        raise InputError(f"{path} has {count} voxels that are NaN or infinite; replace them first, for example by -1024 HU.")


def refuse_unsuitable(path: Path, size: tuple[int, ...], components: int, is_complex: bool) -> None:
    """Refuse what is no single scalar volume, before its voxels are read; a fourth axis of length 1 is no fault. InputError."""
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


def damaged(path: Path, format_name: str) -> InputError:
    """For a file that its format does not explain."""
    return InputError(f"{path} cannot be read as {format_name}: the file is damaged, incomplete or of another type.")
