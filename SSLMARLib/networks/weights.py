"""Weights on disk: a safetensors file, and beside it a JSON file with its SHA-256 and every hyper-parameter.

Nothing is unpickled and nothing is fetched: weights come with the package, or from a folder that the user trained into.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from ..errors import InputError, MissingPackageError
from ..files import write_complete, write_text

MODELS = Path(__file__).resolve().parents[1] / "models"


def weights_path(name_or_path: str | Path) -> Path:
    """The safetensors file of a shipped model ("cnnmar") or of a path. Raises InputError where there is none."""
    path = Path(name_or_path)
    if path.suffix != ".safetensors":
        path = MODELS / f"{name_or_path}.safetensors"
    if not path.is_file():
        raise InputError(f"There are no weights {path}: give a .safetensors file that `sslmar train` wrote, or reinstall SSLMAR.")
    return path


def load_weights(name_or_path: str | Path):
    """(tensors by name, description) of weights; the description is the JSON file beside them.

    Raises InputError for weights that are missing, were cut off or altered (their SHA-256 differs), or are no safetensors file.
    """
    try:
        import safetensors
        from safetensors.torch import load
    except ImportError as error:
        raise MissingPackageError("safetensors is not installed: install it with `pip install safetensors`.") from error
    path = weights_path(name_or_path)
    description = load_description(path)
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != description["sha256"]:
        raise InputError(f"The weights {path} were altered or cut off (their SHA-256 differs): copy or install them again.")
    try:
        return load(content), description
    except safetensors.SafetensorError:
        raise InputError(f"The weights {path} are no safetensors file; other kinds are not read, for safety.") from None


def load_description(name_or_path: str | Path) -> dict:
    """The JSON file beside weights, with their "sha256". Raises InputError where it is missing or damaged."""
    path = weights_path(name_or_path)
    description_path = path.with_suffix(".json")
    try:
        description = json.loads(description_path.read_text(encoding="utf-8"))
        description["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"The file {description_path.name}, which describes the weights {path.name}, is missing or damaged: put it back beside them."
        ) from None
    return description


def save_weights(path: str | Path, tensors: dict, description: dict) -> None:
    """Write weights and their description; each file is complete or not there, the weights first.

    tensors: names to torch tensors. description: what JSON can hold; the SHA-256 is added. Files that exist are replaced.
    """
    from safetensors.torch import save

    path = Path(path)
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    described = {**description, "sha256": hashlib.sha256(content).hexdigest()}
    write_complete(path, lambda temporary: temporary.write_bytes(content), overwrite=True)
    write_text(json.dumps(described, indent=2) + "\n", path.with_suffix(".json"), overwrite=True)
