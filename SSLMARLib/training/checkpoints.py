"""Checkpoints of a training: complete or not there, without pickles, so that a killed training goes on where it was."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from ..atomic_files import write_complete
from ..errors import InputError

NAME = "checkpoint.safetensors"
LOCK_NAME = "training.lock"


@contextmanager
def output_lock(folder: str | Path) -> Iterator[None]:
    """A training's own time in its output folder; it ends with the process, as far as the file system has locks.

    Raises InputError where another training is at work there, and where the folder cannot be locked.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(Path(folder) / LOCK_NAME)
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(f"Another training writes to {folder}: wait for its end, or give another output.") from error
    except (OSError, NotImplementedError) as error:
        raise InputError(f"The output {folder} could not be made or locked ({error}): give another one.") from error
    try:
        yield
    finally:
        lock.release()


def save_checkpoint(folder: Path, step: int, network: torch.nn.Module, optimizer: torch.optim.Optimizer, facts: dict) -> None:
    """Write network, optimizer and `facts` (what JSON holds) after `step` steps; the former checkpoint is replaced.

    Raises InputError, and leaves the former one, where a weight or a number of the optimizer is NaN or infinite."""
    from safetensors.torch import save

    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    scalars = {}
    state = optimizer.state_dict()
    for index, values in state["state"].items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer.{index}.{name}"] = value
            else:
                scalars[f"{index}.{name}"] = value
    described = json.dumps({"step": step, "facts": facts, "optimizer_scalars": scalars})
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    for name, value in tensors.items():
        if not bool(value.isfinite().all()):
            raise InputError(f"Training diverged: {name} holds NaN or infinity after step {step}; lower learning_rate.")
    content = save(tensors, {"state": described, "sha256": _sha256(tensors, described)})
    write_complete(folder / NAME, lambda temporary: temporary.write_bytes(content), overwrite=True)


def load_checkpoint(folder: Path, network: torch.nn.Module, optimizer: torch.optim.Optimizer) -> tuple[int, dict] | None:
    """Put the folder's checkpoint into network and optimizer; (steps done, facts), or None where there is none.

    Raises InputError for a checkpoint that is damaged or of another network.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / NAME
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        if metadata["sha256"] != _sha256(tensors, metadata["state"]):
            raise ValueError("its SHA-256 differs")
        described = json.loads(metadata["state"])
        prefix = "network."
        network.load_state_dict({name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)})
        values: dict[int, dict] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".")
                values.setdefault(int(index), {})[key] = value
        for name, value in described["optimizer_scalars"].items():
            index, key = name.split(".")
            values.setdefault(int(index), {})[key] = value
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for index, state in values.items():
            for name, value in state.items():  # in the parameter's own layout in memory, as the optimizer had it
                if isinstance(value, torch.Tensor) and value.shape == parameters[index].shape:
                    state[name] = torch.empty_like(parameters[index], requires_grad=False).copy_(value)
        optimizer.load_state_dict({"state": values, "param_groups": optimizer.state_dict()["param_groups"]})
        return described["step"], described["facts"]
    except (SafetensorError, RuntimeError, LookupError, ValueError, TypeError, OSError) as error:
        raise InputError(f"The checkpoint {path} is damaged or of another network: remove it to start anew ({str(error)[:80]}).") from error


def _sha256(tensors: dict[str, torch.Tensor], described: str) -> str:
    digest = hashlib.sha256(described.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
