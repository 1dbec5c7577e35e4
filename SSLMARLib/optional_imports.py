"""Packages that are imported where they are used, so that `import SSLMARLib`, `--help` and Slicer's start stay fast."""

from importlib import import_module

from .errors import MissingPackageError

PACKAGES = {  # top-level module: (its name for a user, how it is installed)
    "torch": ("PyTorch", "`pip install torch`, or in Slicer with the PyTorch extension"),
    "odl": ("ODL 1.0 or later", "`pip install 'odl>=1.0'`"),
    "safetensors": ("safetensors", "`pip install safetensors`"),
    "skimage": ("scikit-image", "`pip install 'sslmar[evaluation]'`"),
    "PIL": ("Pillow", "`pip install 'sslmar[evaluation]'`"),
    "h5py": ("h5py", "`pip install 'sslmar[evaluation]'`"),
    "distributed": ("Dask distributed", "`pip install 'sslmar[cluster]'`"),
    "matplotlib": ("matplotlib", "`pip install 'sslmar[figures]'`"),
}


def import_optional(module: str):
    """The module of one of PACKAGES, or MissingPackageError: a sentence that says whether it is absent or broken, and what to do."""
    package = module.split(".")[0]
    title, install = PACKAGES[package]
    try:
        return import_module(module)
    except (ImportError, OSError) as error:  # OSError: a library that it needs is broken or missing
        if isinstance(error, ModuleNotFoundError) and (error.name or package).split(".")[0] == package:
            raise MissingPackageError(f"{title} is not installed: install it with {install}.") from error
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise MissingPackageError(
            f"{title} is installed but cannot be loaded ({reason}): uninstall it, restart and install it again."
        ) from error
