"""Packages that only the evaluation needs (extras of the installation), imported where they are used."""

from __future__ import annotations

from importlib import import_module

from ..errors import MissingPackageError


def import_extra(module: str, package: str, purpose: str, extra: str = "evaluation"):
    """Return a module of an optional package, or say in one sentence what it is for and how to install it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingPackageError(
            f"{package} is needed {purpose} and is not installed: install it with `pip install 'sslmar[{extra}]'`."
        ) from error
