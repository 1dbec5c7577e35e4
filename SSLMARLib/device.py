"""Choosing where to compute, and the one bridge between numpy and torch."""

from __future__ import annotations

import logging

import numpy

from .errors import InputError, import_torch

logger = logging.getLogger(__name__)

DEVICE_CHOICES = ("auto", "cpu", "cuda")


def choose_device(device: str = "auto") -> str:
    """"cpu" or "cuda" (or "cuda:1") for what was asked for. A GPU is trusted only after a small computation on it.

    Raises InputError for an unknown name, and for "cuda" where no GPU computes.
    """
    name = str(device).lower()
    if name.split(":")[0] not in DEVICE_CHOICES:
        raise InputError(f"There is no device {device!r}: choose one of {', '.join(DEVICE_CHOICES)}.")
    if name == "cpu":
        return name
    problem = _cuda_problem(name if name != "auto" else "cuda")
    if problem is None:
        return name if name != "auto" else "cuda"
    if name == "auto":
        logger.debug("Computing on the CPU: %s", problem)
        return "cpu"
    raise InputError(f"The GPU was asked for ({device}), but {problem}: choose --device cpu or auto.")


def _cuda_problem(name: str) -> str | None:
    torch = import_torch()
    if not torch.cuda.is_available():
        return "PyTorch finds no CUDA device"
    try:
        ones = torch.ones(64, 64, device=name)
        if float((ones @ ones).sum()) != 64.0**3:
            return "a small test computation on it gave a wrong result"
    except RuntimeError as error:
        return f"a small test computation on it failed ({str(error).splitlines()[0]})"
    return None


def to_tensor(array: numpy.ndarray, device: str = "cpu", dtype=None):
    """A numpy array as a torch tensor on a device (a copy where the array is read-only or of a type torch lacks)."""
    torch = import_torch()
    array = numpy.asarray(array)
    if array.dtype.byteorder not in "=|" or not array.flags.writeable or array.dtype in (numpy.uint16, numpy.uint32, numpy.uint64):
        wider = {numpy.dtype(numpy.uint16): numpy.int32, numpy.dtype(numpy.uint32): numpy.int64}
        native = array.dtype.newbyteorder("=")
        array = array.astype(wider.get(native, numpy.float64 if native == numpy.uint64 else native))
    return torch.from_numpy(numpy.ascontiguousarray(array)).to(device=device, dtype=dtype)


def to_array(tensor) -> numpy.ndarray:
    """A torch tensor as a numpy array."""
    return tensor.detach().cpu().numpy()
