"""The one family of errors: each message says what is wrong, with which value, and what to do about it."""

from __future__ import annotations


class MARError(Exception):
    """Anything SSLMAR reports to a user. The message is a full sentence for that user, not for a developer."""


class InputError(MARError, ValueError):
    """The data or the arguments cannot be used (command line: exit status 2)."""


class NoMetalError(InputError):
    """There is no metal in the data, so there is nothing to correct."""


class MissingPackageError(MARError, ImportError):
    """A package that this step needs is not installed (command line: exit status 2)."""


class Cancelled(MARError):
    """The user cancelled; nothing was written (command line: exit status 130)."""
