"""Training by several processes: `torchrun --nproc-per-node 2 -m SSLMARLib train CONFIG.json`. Each takes its share of a mini-batch."""

import contextlib
import os
from collections.abc import Iterator

import torch
from torch import distributed

from ..device import choose_device


def processes() -> int:
    """How many processes train together; 1 without torchrun."""
    return distributed.get_world_size() if _is_running() else 1


def rank() -> int:
    """The number of this process, from 0; only process 0 validates and writes."""
    return distributed.get_rank() if _is_running() else 0


def process_device(device: str) -> str:
    """The device of this process for what was asked for ("auto", "cpu", "cuda"): each process of a machine has a GPU of its own."""
    chosen = choose_device(device)
    return f"cuda:{os.environ['LOCAL_RANK']}" if chosen == "cuda" and "LOCAL_RANK" in os.environ else chosen


@contextlib.contextmanager
def process_group(device: str) -> Iterator[None]:
    """Join the other processes where torchrun started several (NCCL between GPUs, gloo between CPUs), and leave them at the end."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield
        return
    chosen = process_device(device)
    if chosen.startswith("cuda"):
        torch.cuda.set_device(chosen)
    distributed.init_process_group("nccl" if chosen.startswith("cuda") else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def wait_for_all() -> None:
    """Return when every process is here."""
    if _is_running():
        distributed.barrier()


def averaging_loss(task):
    """task.loss, whose gradients are the mean over all processes (PyTorch's DistributedDataParallel); itself where there is one."""
    if processes() == 1:
        return task.loss
    return torch.nn.parallel.DistributedDataParallel(_LossOfStep(task))


class _LossOfStep(torch.nn.Module):
    """A task's loss as a module, so that whatever it calls of its network is seen by DistributedDataParallel."""

    def __init__(self, task):
        super().__init__()
        self.network = task.network
        self.loss = task.loss

    def forward(self, step: int) -> torch.Tensor:
        return self.loss(step)


def _is_running() -> bool:
    return distributed.is_available() and distributed.is_initialized()
