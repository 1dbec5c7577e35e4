"""Small output files (reports, tables, figures, weights): complete under their name, or not there at all."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from .errors import InputError

_unfinished: set[Path] = set()
_set_aside: dict[Path, Path] = {}  # former folders, and the names that are theirs until new ones have them


@contextlib.contextmanager
def unfinished_beside(path: Path, suffix: str = "") -> Iterator[Path]:
    """A name beside an output for a file or folder that is not complete yet; what has that name is gone afterwards."""
    temporary = path.parent / f".{path.name[:40]}.{secrets.token_hex(4)}.part{suffix}"
    _unfinished.add(temporary)
    try:
        yield temporary
    finally:
        _remove(temporary)
        _unfinished.discard(temporary)


@contextlib.contextmanager
def all_or_none() -> Iterator[Callable[..., None]]:
    """Several outputs of one job: `write(paths, function, *arguments)` inside calls the function that writes these paths. Where
    something goes wrong later, those that were not there before are removed again."""
    new: list[Path] = []

    def write(paths, function, *arguments, **options) -> None:
        added = [Path(path) for path in paths if not os.path.lexists(path)]
        function(*arguments, **options)
        new.extend(added)
        _unfinished.update(added)

    try:
        yield write
    except BaseException:
        for path in new:
            _remove(path)
        raise
    finally:
        _unfinished.difference_update(new)


def replace_folder(content: Path, path: Path) -> None:
    """Give a finished folder its name, in place of one that may have it. Before, between and after the renames the former or the new
    one is whole: the former is set aside beside it, and only removed once the new one is in place. Raises OSError."""
    former = path.parent / f"{path.name[:40]}.former.{secrets.token_hex(4)}"
    _set_aside[former] = path
    try:
        if path.exists():
            os.replace(path, former)
        os.replace(content, path)
    finally:
        _bring_back(former, path)
        del _set_aside[former]


def _bring_back(former: Path, path: Path) -> None:
    """The folder that was set aside gets its name again, or is removed where the new one has it."""
    if not former.exists():
        return
    with contextlib.suppress(OSError):
        if path.exists():
            _remove(former)
        else:
            os.rename(former, path)  # never onto a folder that is not empty


def remove_unfinished() -> None:
    """Remove every output that is not complete, and bring back what was set aside: for a process that is about to end without
    unwinding."""
    for former, path in tuple(_set_aside.items()):
        _bring_back(former, path)
    for path in tuple(_unfinished):
        _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with contextlib.suppress(OSError):
        path.unlink()


def refuse_existing(path: str | os.PathLike, overwrite: bool, inputs=()) -> None:
    """Say before any work whether an output would be refused. Raises InputError if its folder is missing, if it is one of the
    inputs, or if it exists (as a folder, or without `overwrite`)."""
    path = Path(path)
    if any(os.path.realpath(path) == os.path.realpath(item) for item in inputs):
        raise InputError(f"The output {path} is the input itself; give another name.")
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
    try:
        with unfinished_beside(path, path.suffix) as temporary:
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL, 0o666))
            write(temporary)
            os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"The output {path} could not be written ({error.strerror or error}); check the disk.") from error


def write_text(text: str, path: str | os.PathLike, overwrite: bool = False) -> None:
    """Write a text file in UTF-8, as `write_complete` does."""
    write_complete(path, lambda temporary: temporary.write_text(text, encoding="utf-8"), overwrite)
