"""Choosing where to compute, and the one bridge between numpy and torch."""

import gc
import logging

import numpy

from .errors import InputError
from .optional_imports import import_optional

logger = logging.getLogger(__name__)

DEVICE_CHOICES = ("auto", "cpu", "cuda")
# the last one is cuBLAS's and cuDNN's
OUT_OF_MEMORY_PHRASES = ("out of memory", "not enough memory", "can't allocate", "alloc_failed")


def choose_device(device: str = "auto") -> str:
    """ "cpu" or "cuda" (or "cuda:1") for what was asked for. A GPU is trusted only after a small computation on it.

    Raises InputError for an unknown name, and for "cuda" where no GPU computes.
    """
    return choose_device_with_reason(device)[0]


def choose_device_with_reason(device: str = "auto") -> tuple[str, str]:
    """As `choose_device`, with a sentence for the user where there is a GPU that "auto" does not use, else ""."""
    name = str(device).lower()
    if name.split(":")[0] not in DEVICE_CHOICES:
        raise InputError(f"There is no device {device!r}: choose one of {', '.join(DEVICE_CHOICES)}.")
    if name == "cpu":
        return name, ""
    torch = import_optional("torch")
    gpu = "cuda" if name == "auto" else name
    problem = _gpu_problem(gpu) if torch.cuda.is_available() else "PyTorch finds no CUDA device"
    if problem is None:
        return gpu, ""
    if name != "auto":
        raise InputError(f"The GPU was asked for ({device}), but {problem}: choose --device cpu or auto.")
    if torch.cuda.is_available():
        sentence = f"The GPU was not used, as {problem}: the CPU computed instead."
    elif torch.backends.mps.is_available():
        sentence = "The GPU of Apple's machines is not used: the CPU computes."
    else:
        return "cpu", ""
    logger.warning(sentence)
    return "cpu", sentence


_trusted_gpus: set[str] = set()  # only success is remembered: a GPU that was full may have room next time


def _gpu_problem(name: str) -> str | None:
    """None where the GPU gives the CPU's result of each operation that the projector and the networks rest on."""
    if name in _trusted_gpus:
        return None
    try:
        wrong = [operation for operation, on_gpu, on_cpu in _small_computations(name) if not _agree(on_gpu, on_cpu)]
    except Exception as error:  # drivers and libraries fail in many ways: none of them may end a correction
        reason = (str(error).splitlines() or [""])[0].strip().rstrip(".") or type(error).__name__
        return f"a small test computation on it failed ({reason})"
    if wrong:
        return f"a small test computation on it gave a wrong result ({', '.join(wrong)})"
    _trusted_gpus.add(name)
    return None


def _small_computations(name: str):
    """Yields (operation, the GPU's result, the CPU's), as numpy arrays.

    A sparse product as the projector's, a dense one as its filter's, a convolution as the networks'.
    """
    torch = import_optional("torch")
    generator = torch.Generator().manual_seed(1)
    table, weights = torch.rand(64, 16, generator=generator), torch.rand(48, 5, generator=generator)
    indices = torch.randint(64, (48, 5), generator=generator)
    image, kernel = torch.rand(1, 4, 16, 16, generator=generator), torch.rand(4, 4, 3, 3, generator=generator)

    def results(device):
        here = [tensor.to(device) for tensor in (table, weights, indices, image, kernel)]
        sparse = torch.nn.functional.embedding_bag(here[2], here[0], per_sample_weights=here[1], mode="sum")
        return sparse, here[0] @ here[0].T, torch.nn.functional.conv2d(here[3], here[4])

    with torch.inference_mode():
        operations = ("sparse product", "matrix product", "convolution")
        for operation, on_gpu, on_cpu in zip(operations, results(name), results("cpu"), strict=True):
            yield operation, to_array(on_gpu), to_array(on_cpu)


def _agree(on_gpu: numpy.ndarray, on_cpu: numpy.ndarray) -> bool:
    """Whether two results are one, but for the short floats that GPUs may multiply with."""
    tolerance = 1e-2 * numpy.abs(on_cpu).max()
    return on_gpu.shape == on_cpu.shape and numpy.allclose(on_gpu, on_cpu, rtol=1e-2, atol=tolerance)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: Python's MemoryError, and what torch raises on CPU, CUDA and MPS."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(phrase in text for phrase in OUT_OF_MEMORY_PHRASES)


def free_unused_memory() -> None:
    """Give back to the GPU what torch keeps for later. Call it where no exception holds tensors any more."""
    torch = import_optional("torch")
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def to_tensor(array: numpy.ndarray, device: str = "cpu", dtype=None):
    """A numpy array as a torch tensor on a device (a copy where the array is read-only or of a type torch lacks)."""
    torch = import_optional("torch")
    array = numpy.asarray(array)
    if array.dtype.byteorder not in "=|" or not array.flags.writeable or array.dtype in (numpy.uint16, numpy.uint32, numpy.uint64):
        wider = {numpy.dtype(numpy.uint16): numpy.int32, numpy.dtype(numpy.uint32): numpy.int64}
        native = array.dtype.newbyteorder("=")
        array = array.astype(wider.get(native, numpy.float64 if native == numpy.uint64 else native))
    return torch.from_numpy(numpy.ascontiguousarray(array)).to(device=device, dtype=dtype)


def to_array(tensor) -> numpy.ndarray:
    """A torch tensor as a numpy array."""
    return tensor.detach().cpu().numpy()
