"""Small output files (reports, tables, figures, weights): complete under their name, or not there at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from .errors import InputError


def refuse_existing(path: str | os.PathLike, overwrite: bool) -> None:
    """Say before any work whether an output would be refused. Raises InputError if its folder is missing, or if it exists
    (as a folder, or without `overwrite`)."""
    path = Path(path)
    if not path.parent.is_dir():
        raise InputError(f"The folder {path.parent} of the output does not exist; make it first.")
    if path.is_dir():
        raise InputError(f"The output {path} is a folder; give the name of a file.")
    if path.exists() and not overwrite:
        raise InputError(f"The output {path} exists; give --overwrite (overwrite=True) to replace it.")


def write_complete(path: str | os.PathLike, write: Callable[[Path], None], overwrite: bool = False) -> None:
    """Call `write(temporary)` with a file name beside the output and of its suffix, then rename it. Raises InputError as
    `refuse_existing`, or where the disk refuses; whatever goes wrong, no part of a file stays."""
    path = Path(path)
    refuse_existing(path, overwrite)
    temporary = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.stem[:40]}.", suffix=f".part{path.suffix}", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"The output {path} could not be written ({error.strerror or error}); check the disk.") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(text: str, path: str | os.PathLike, overwrite: bool = False) -> None:
    """Write a text file in UTF-8, as `write_complete` does."""
    write_complete(path, lambda temporary: temporary.write_text(text, encoding="utf-8"), overwrite)


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value
