"""`sslmar info`: versions, devices and methods, for a bug report."""

import json
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from .._version import __version__
from ..methods import available_methods

HELP = "Show versions, devices and methods (what a bug report needs)."
PACKAGES = (
    *("numpy", "scipy", "torch", "SimpleITK", "odl", "safetensors", "tqdm", "filelock"),
    *("matplotlib", "h5py", "scikit-image", "pydicom", "astra-toolbox"),
)


def add_arguments(parser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON")


def collect() -> dict:
    """What is shown, as a dictionary. torch is imported only here, and only if it is there."""
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = None
    devices = ["cpu"]
    if find_spec("torch"):
        import torch

        devices += [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "sslmar": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": packages,
        "devices": devices,
        "methods": list(available_methods()),
    }


def run(arguments) -> int:
    found = collect()
    if arguments.json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return 0
    rows = [("sslmar", found["sslmar"]), ("python", found["python"]), ("system", found["system"])]
    rows += [(name, text or "not installed") for name, text in found["packages"].items()]
    rows += [("devices", ", ".join(found["devices"])), ("methods", ", ".join(found["methods"]))]
    sys.stdout.write("".join(f"{name:<14} {text}\n" for name, text in rows))
    return 0
