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


def import_torch():
    """Return the torch module, or say in one sentence how to install it.

    torch is imported where it is used, so that `import SSLMARLib`, `--help` and Slicer's start stay fast.
    """
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a library that torch needs is broken or missing
        if isinstance(error, ModuleNotFoundError) and error.name == "torch":
            raise MissingPackageError(
                "PyTorch is not installed: install it with `pip install torch`, or in Slicer with the PyTorch extension."
            ) from error
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise MissingPackageError(
            f"PyTorch is installed but cannot be loaded ({reason}): uninstall it, restart and install it again."
        ) from error
    return torch
