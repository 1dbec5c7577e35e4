"""Weights on disk: a safetensors file, and beside it a JSON file with its SHA-256 and every hyper-parameter.

Nothing is unpickled and nothing is fetched: weights come with the package, or from a folder that the user trained into.
"""

import functools
import hashlib
import json
from pathlib import Path

from ..atomic_files import write_complete, write_text
from ..errors import InputError
from ..optional_imports import import_optional

MODELS = Path(__file__).resolve().parents[1] / "models"


def weights_path(name_or_path: str | Path) -> Path:
    """The safetensors file of a shipped model ("cnnmar") or of a path. Raises InputError where there is none."""
    path = Path(name_or_path)
    if path.suffix != ".safetensors":
        path = MODELS / f"{name_or_path}.safetensors"
    if not path.is_file():
        raise InputError(f"There are no weights {path}: give a .safetensors file that `sslmar train` wrote, or reinstall SSLMAR.")
    return path


def load_weights(name_or_path: str | Path, pinned_sha256: str | None = None):
    """(tensors by name, description) of weights; the description is the JSON file beside them.

    pinned_sha256: the only content that is taken; None for any that its description fits. Raises InputError for weights that are
    missing, were cut off or altered (their SHA-256 differs), hold NaN or infinity, or are not a safetensors file.
    """
    safetensors, load = import_optional("safetensors"), import_optional("safetensors.torch").load
    path = weights_path(name_or_path)
    description = load_description(path)
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != description["sha256"] or pinned_sha256 not in (None, sha256):
        raise InputError(f"The weights {path} were altered or cut off (their SHA-256 differs): copy or install them again.")
    try:
        tensors = load(content)
    except safetensors.SafetensorError:
        raise InputError(f"The weights {path} are not a safetensors file; other kinds are not read, for safety.") from None
    _refuse_not_finite(tensors, path)
    return tensors, description


def load_network(network_class: type, name_or_path: str | Path, pinned_sha256: str | None = None):
    """(trained network, description) of weights, ready to be used, not to be trained; see `load_weights`.

    network_class: a torch.nn.Module that description["network"] gives the arguments of, with a `title`. Weights of half precision
    are computed with in float32. Raises InputError as `load_weights`, and for the weights of another network.
    """
    tensors, description = load_weights(name_or_path, pinned_sha256)
    try:
        network = network_class(**description["network"])
        network.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError):
        raise InputError(
            f"The weights {name_or_path} do not fit the network of {network_class.title}: give those that `sslmar train` wrote for it."
        ) from None
    return network.requires_grad_(False).eval(), description


@functools.lru_cache(maxsize=8)
def shipped_network(network_class: type, name: str, pinned_sha256: str, device, channels_last: bool = False):
    """`load_network` of shipped weights, on a device, read once and kept. channels_last: whether its weights lie in memory so."""
    torch = import_optional("torch")
    network, description = load_network(network_class, name, pinned_sha256)
    return network.to(device, memory_format=torch.channels_last if channels_last else torch.preserve_format), description


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
    Raises InputError, and writes nothing, where a tensor holds NaN or infinity.
    """
    from safetensors.torch import save

    path = Path(path)
    _refuse_not_finite(tensors, path)
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    described = {**description, "sha256": hashlib.sha256(content).hexdigest()}
    write_complete(path, lambda temporary: temporary.write_bytes(content), overwrite=True)
    write_text(json.dumps(described, indent=2) + "\n", path.with_suffix(".json"), overwrite=True)


def _refuse_not_finite(tensors: dict, path: Path) -> None:
    bad = [name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())]
    if bad:
        raise InputError(f"The weights {path} hold NaN or infinity ({bad[0]}): train again with a lower learning_rate, or use others.")
