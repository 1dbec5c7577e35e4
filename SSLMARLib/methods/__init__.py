"""The correction methods, one file each, behind one protocol (`base.Method`): a batch of sinograms in, corrected ones out.

A new method is a file with a class and a line in `_METHODS`.
"""

from __future__ import annotations

from importlib import import_module

from ..errors import InputError

DEFAULT_METHOD = "sslmar"  # of the library, the command line and the panel
_METHODS = {  # name -> (file, class); in the order in which users see them
    "li": ("linear_interpolation", "LinearInterpolation"),
    "nmar": ("nmar", "NMAR"),
    "cnnmar": ("cnnmar", "CNNMAR"),
    "sslmar": ("sslmar", "SSLMAR"),
}


def available_methods() -> tuple[str, ...]:
    """Names of the methods that can be used. Imports nothing heavy."""
    return tuple(_METHODS)


def get_method(name: str):
    """The method of that name (see `base.Method`). Raises InputError, which lists the names there are, for another one."""
    key = str(name).lower()
    if key not in _METHODS:
        raise InputError(f"There is no method {name!r}: choose one of {', '.join(_METHODS)}.")
    file, class_name = _METHODS[key]
    return getattr(import_module(f".{file}", __name__), class_name)()
