"""The training loop, the same for every network: steps, validation, checkpoints, log, weights at the end."""

import json
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch

from .._version import __version__
from ..atomic_files import write_text
from ..errors import Cancelled, InputError
from ..methods import Method, get_method
from ..methods.learned import LearnedMethod
from ..networks.weights import save_weights
from .checkpoints import load_checkpoint, save_checkpoint
from .configuration import TrainingConfiguration
from .distributed import averaging_loss, rank, wait_for_all
from .monitoring import Monitor

logger = logging.getLogger(__name__)

LOG_NAME = "log.jsonl"
WARM_UP_STEPS = 100


class Task(Protocol):
    """What learns from what. `Monitor` also looks for `terms` and `picture`, which a task may have."""

    network: torch.nn.Module
    description: dict  # what must be known to use the weights, and where they come from

    def loss(self, step: int) -> torch.Tensor:
        """The loss of the mini-batch of a step. All that is random in it follows from the step number, so that a training that
        was interrupted goes on as if it had not been."""
        ...

    def validate(self) -> dict[str, float]:
        """Figures of merit on the validation patients; "score" decides which weights are kept, the lower the better."""
        ...


def train(
    task: Task,
    configuration: TrainingConfiguration,
    resume: bool = False,
    progress: Callable[[float, str], None] | None = None,
    is_cancelled: Callable[[], bool] | None = None,
    start_from: str | Path | Method | None = None,
) -> Path:
    """Train until the configuration's steps are done; returns the path of the best weights, as the validation says.

    In the output folder: checkpoint, log (JSON lines), weights. With `resume` a checkpoint there is gone on from, on the CPU to
    the bit. Raises Cancelled after a last checkpoint, InputError where the loss is no longer a finite number.

    start_from: weights of the same network to begin with, as `get_method` takes them, to adapt them to other data; a checkpoint that is
    gone on from comes first.

    Where torchrun started several processes they average their gradients; the first one validates and writes, into a folder that
    all of them see. No other training may write there (see `checkpoints.output_lock`, which the command takes).
    """
    output = Path(configuration.output)
    output.mkdir(parents=True, exist_ok=True)
    optimizer = torch.optim.Adam(task.network.parameters(), lr=configuration.learning_rate, betas=configuration.adam_betas)
    found = load_checkpoint(output, task.network, optimizer) if resume else None
    step, facts = found if found else (0, {"best_score": math.inf, "seconds": 0.0, "recent_losses": [], "started_from": {}})
    if start_from is not None and not found:
        facts["started_from"] = _start_from(task, start_from)
    weights = output / f"{configuration.network}.safetensors"
    writes = rank() == 0
    monitor = Monitor(configuration, step) if writes else None
    loss_of = averaging_loss(task)

    if writes:
        _cut_log(output / LOG_NAME, step if found else -1)
        if not found:
            _validate(task, configuration, step, facts, weights, monitor)
    start = time.monotonic() - facts["seconds"]
    while step < configuration.steps:
        value, rate = _learn(task, optimizer, loss_of, step, configuration)
        step += 1
        facts["recent_losses"].append(value)
        facts["seconds"] = time.monotonic() - start
        if monitor:
            monitor.step(step, value, rate, task)
        if progress:
            progress(step / configuration.steps, f"Step {step} of {configuration.steps}, loss {value:.4g}")
        if step % configuration.validate_every == 0 or step == configuration.steps:
            facts["loss"] = sum(facts["recent_losses"]) / len(facts["recent_losses"])
            facts["recent_losses"].clear()
            if writes:
                _validate(task, configuration, step, facts, weights, monitor)
        cancelled = is_cancelled is not None and is_cancelled()
        if writes and (cancelled or step % configuration.checkpoint_every == 0 or step == configuration.steps):
            save_checkpoint(output, step, task.network, optimizer, facts)
        if cancelled and step < configuration.steps:
            raise Cancelled(f"Training stopped after step {step}; --resume goes on from there.")
    if monitor:
        monitor.close()
    wait_for_all()
    return weights


def _learn(task, optimizer, loss_of, step: int, configuration) -> tuple[float, float]:
    """One step; (its loss, its learning rate)"""
    rate = learning_rate(step, configuration)
    for group in optimizer.param_groups:
        group["lr"] = rate
    task.network.train()
    optimizer.zero_grad(set_to_none=True)
    loss = loss_of(step)
    loss.backward()
    value = float(loss.detach())
    if not math.isfinite(value):
        raise InputError(f"Training diverged: the loss is {value} at step {step}; lower learning_rate.")
    if configuration.largest_gradient:
        torch.nn.utils.clip_grad_norm_(task.network.parameters(), configuration.largest_gradient)
    optimizer.step()
    return value, rate


def _start_from(task: Task, start_from: str | Path | Method) -> dict[str, str]:
    """Put the weights into the task's network; returns what the description of all later weights says of them."""
    method = get_method(start_from)
    if not isinstance(method, LearnedMethod):
        raise InputError(f"{method.title} has no weights to begin with: give a learned method's name, or a file that `sslmar train` wrote.")
    tensors, description = method.load_weights()
    try:
        task.network.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(f"The weights {start_from} are of another network than network_options says: give its own.") from error
    return {"started_from_sha256": description["sha256"]}


def learning_rate(step: int, configuration: TrainingConfiguration) -> float:
    """A short linear warm-up, then half a cosine down to zero; or always the same, as the configuration's schedule says."""
    if configuration.schedule == "constant":
        return configuration.learning_rate
    warm_up = min(1.0, (step + 1) / min(WARM_UP_STEPS, configuration.steps))
    return configuration.learning_rate * warm_up * 0.5 * (1 + math.cos(math.pi * step / configuration.steps))


def _cut_log(path: Path, last_step: int) -> None:
    """Drop what a training that was killed wrote to the log after its last checkpoint: it is going to be written again."""
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            if json.loads(line)["step"] <= last_step:
                kept.append(line + "\n")
        except (ValueError, KeyError, TypeError):  # half a line
            continue
    write_text("".join(kept), path, overwrite=True)


def _validate(task, configuration, step, facts, weights: Path, monitor: Monitor) -> None:
    task.network.eval()
    with torch.inference_mode():
        figures = task.validate()
        monitor.validation(step, figures, task)
    line = {"step": step, "seconds": facts["seconds"], "loss": facts.get("loss"), **figures}
    with open(weights.parent / LOG_NAME, "a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")
    logger.info("%s", line)
    if figures["score"] < facts["best_score"]:
        facts["best_score"] = figures["score"]
        # names of patients, and of folders and files of the training's machine, are nobody's business
        named = {**configuration.to_dict(), "data": Path(configuration.data).name, "output": Path(configuration.output).name}
        named.pop("leave_out")
        if configuration.metal_shapes is not None:
            named["metal_shapes"] = Path(configuration.metal_shapes).name
        description = {
            **task.description,
            "files_left_out": len(configuration.leave_out),
            **facts.get("started_from", {}),
            "configuration": named,
            "step": step,
            "seconds": facts["seconds"],
            "validation": figures,
            "version": __version__,
        }
        save_weights(weights, task.network.state_dict(), description)
