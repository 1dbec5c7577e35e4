"""A GPU is trusted only after it computed rightly; where memory runs out, smaller batches, then the CPU. Needs none."""

from __future__ import annotations

import logging

import numpy
import pytest
import torch

import SSLMARLib
from SSLMARLib import correction, device
from SSLMARLib.errors import InputError

SPACING_MM = (3.0, 3.0, 3.0)
CUDA_MESSAGE = "CUDA out of memory. Tried to allocate 1.20 GiB. GPU 0 has a total capacity of 3.81 GiB"
MPS_MESSAGE = "MPS backend out of memory (MPS allocated: 5.10 GB, other allocations: 1.02 GB, max allowed: 6.77 GB)."


@pytest.fixture(autouse=True)
def no_trust_is_left(monkeypatch):
    monkeypatch.setattr(device, "_trusted_gpus", set())


@pytest.fixture
def fake_gpu(monkeypatch):
    """A "GPU" named cuda that is the CPU. fake_gpu.result: what it makes of a result; .error: what it raises."""

    class FakeGPU:
        error = None
        result = staticmethod(lambda operation, values: values)
        probes = 0

    gpu = FakeGPU()
    original = device._small_computations

    def small_computations(name):
        gpu.probes += 1
        if gpu.error is not None:
            raise gpu.error
        for operation, _, on_cpu in original("cpu"):
            yield operation, gpu.result(operation, on_cpu), on_cpu

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(device, "_small_computations", small_computations)
    return gpu


def test_a_gpu_that_computes_is_trusted_and_tried_once(fake_gpu):
    assert device.choose_device_with_reason("auto") == ("cuda", "")
    assert device.choose_device("cuda") == "cuda" and device.choose_device("auto") == "cuda"
    assert fake_gpu.probes == 1
    assert device.choose_device("cuda:1") == "cuda:1" and fake_gpu.probes == 2


def test_the_cpu_is_never_probed(fake_gpu):
    assert device.choose_device_with_reason("cpu") == ("cpu", "") and fake_gpu.probes == 0


def test_on_apples_machines_it_is_said_that_the_cpu_computes(monkeypatch, make_scan, caplog):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    volume, mask = make_scan()
    report = SSLMARLib.reduce_metal_artifacts(volume, SPACING_MM, mask, "li").report
    assert report.device == "cpu"
    assert any("Apple" in warning and "the CPU computes" in warning for warning in report.warnings) and "Apple" in caplog.text
    assert device.choose_device_with_reason("cpu") == ("cpu", "")


def test_without_any_gpu_nothing_is_said(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert device.choose_device_with_reason("auto") == ("cpu", "")


@pytest.mark.parametrize("operation", ["sparse product", "matrix product", "convolution"])
@pytest.mark.parametrize(
    "spoil", [lambda values: values * 0, lambda values: values * 1.1, lambda values: values + numpy.nan, lambda values: values[..., :1]]
)
def test_a_gpu_that_computes_wrongly_is_not_trusted(fake_gpu, operation, spoil, caplog):
    fake_gpu.result = lambda name, values: spoil(values) if name == operation else values
    chosen, sentence = device.choose_device_with_reason("auto")
    assert chosen == "cpu" and f"wrong result ({operation})" in sentence and sentence.endswith(".")
    assert caplog.messages == [sentence]
    with pytest.raises(InputError, match="GPU was asked for .* wrong result"):
        device.choose_device("cuda")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: no kernel image is available for execution on the device\nCompile with ..."),
        torch.cuda.OutOfMemoryError(CUDA_MESSAGE),
        OSError("libcudnn.so.9: cannot open shared object file"),
        AssertionError(),
    ],
)
def test_a_gpu_that_fails_is_not_trusted_and_tried_again_next_time(fake_gpu, error):
    fake_gpu.error = error
    chosen, sentence = device.choose_device_with_reason("auto")
    assert chosen == "cpu" and "\n" not in sentence
    assert (str(error).splitlines() or ["AssertionError"])[0].rstrip(".") in sentence
    fake_gpu.error = None
    assert device.choose_device_with_reason("auto") == ("cuda", "")


def test_short_floats_are_no_wrong_result(fake_gpu):
    fake_gpu.result = lambda name, values: values * (1 + 2.0**-9)
    assert device.choose_device("auto") == "cuda"


def test_the_small_computations_are_those_of_the_projector():
    """Run for real, on the CPU: the sparse product is the sum that a loop makes."""
    names = [name for name, on_device, on_cpu in device._small_computations("cpu") if numpy.array_equal(on_device, on_cpu)]
    assert names == ["sparse product", "matrix product", "convolution"]


def test_the_correction_says_that_the_gpu_was_not_used(fake_gpu, make_scan):
    fake_gpu.error = RuntimeError("CUDA error: device kernel image is invalid")
    volume, mask = make_scan()
    report = SSLMARLib.reduce_metal_artifacts(volume, SPACING_MM, mask, "li").report
    assert report.device == "cpu"
    assert any("The GPU was not used" in warning and "kernel image is invalid" in warning for warning in report.warnings)


@pytest.mark.parametrize(
    "error, expected",
    [
        (MemoryError(), True),
        (torch.cuda.OutOfMemoryError(CUDA_MESSAGE), True),
        (RuntimeError(MPS_MESSAGE), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"), False),
        (ValueError("memory"), False),
    ],
)
def test_out_of_memory_is_told_from_other_errors(error, expected):
    assert device.is_out_of_memory(error) is expected


class ScarceMemory:
    """Stands before the slices of a run: raises where `allows(device, slices)` is False, and writes down each try.

    A run on "cuda" computes on the CPU: only its name is the GPU's.
    """

    def __init__(self, monkeypatch, error, allows):
        self.tries = []
        original_start, original_work = correction._SliceRun.__init__, correction._SliceRun.correct_slices

        def start(run, *arguments, device, **options):
            original_start(run, *arguments, device="cpu", **options)
            run.asked_for = device

        def work(run, indices, corrected):
            self.tries.append((run.asked_for, list(indices)))
            if not allows(run.asked_for, len(indices)):
                raise error
            return original_work(run, indices, corrected)

        monkeypatch.setattr(correction._SliceRun, "__init__", start)
        monkeypatch.setattr(correction._SliceRun, "correct_slices", work)


ERRORS = [torch.cuda.OutOfMemoryError(CUDA_MESSAGE), RuntimeError(MPS_MESSAGE)]


@pytest.mark.parametrize("error", ERRORS, ids=["CUDA", "MPS"])
def test_a_gpu_without_room_gets_half_the_batch(fake_gpu, make_scan, monkeypatch, error, caplog):
    volume, mask = make_scan()
    expected = SSLMARLib.reduce_metal_artifacts(volume, SPACING_MM, mask, "li", device="cpu").volume_hu
    scarce = ScarceMemory(monkeypatch, error, lambda name, slices: slices == 1)
    with caplog.at_level(logging.WARNING):
        result = SSLMARLib.reduce_metal_artifacts(volume, SPACING_MM, mask, "li", device="cuda")
    assert scarce.tries == [("cuda", [1, 2, 3]), ("cuda", [1]), ("cuda", [2]), ("cuda", [3])]
    assert (result.volume_hu == expected).mean() > 0.999
    assert (result.report.device, result.report.batch_size) == ("cuda", 1)
    assert result.report.warnings == ["Memory ran out on cuda: the slices were corrected 1 at a time instead of 16."]
    assert any("cuda" in message for message in caplog.messages)


@pytest.mark.parametrize("error", ERRORS, ids=["CUDA", "MPS"])
def test_where_one_slice_is_too_much_for_the_gpu_the_cpu_goes_on(fake_gpu, make_scan, monkeypatch, error):
    volume, mask = make_scan()
    expected = SSLMARLib.reduce_metal_artifacts(volume, SPACING_MM, mask, "li", device="cpu").volume_hu
    room = {"cuda": 1}

    def allows(name, slices):  # the GPU's memory is full after its first slice
        if name == "cuda" and slices <= room["cuda"]:
            room["cuda"] = 0
            return True
        return name == "cpu"

    scarce = ScarceMemory(monkeypatch, error, allows)
    fractions = []
    result = SSLMARLib.reduce_metal_artifacts(
        volume, SPACING_MM, mask, "li", device="cuda", progress=lambda fraction, message: fractions.append(fraction)
    )
    assert scarce.tries == [("cuda", [1, 2, 3]), ("cuda", [1]), ("cuda", [2]), ("cpu", [2, 3])]
    assert (result.volume_hu == expected).mean() > 0.999
    assert (result.report.device, result.report.batch_size) == ("cpu", 8)
    assert result.report.warnings == ["Memory ran out on cuda even for one slice: the CPU corrected slice 3 and all after it."]
    assert fractions == sorted(fractions) and fractions[-1] == 1


def test_where_the_cpu_has_no_room_either_it_is_said(fake_gpu, make_scan, monkeypatch):
    volume, mask = make_scan()
    scarce = ScarceMemory(monkeypatch, MemoryError(), lambda name, slices: False)
    with pytest.raises(InputError, match="not enough memory on cpu to correct one slice"):
        SSLMARLib.reduce_metal_artifacts(volume, SPACING_MM, mask, "li", device="cuda")
    assert scarce.tries[-1] == ("cpu", [1])


def test_a_projector_that_the_caller_gave_is_not_exchanged(fake_gpu, make_scan, monkeypatch, projector):
    volume, mask = make_scan()
    ScarceMemory(monkeypatch, MemoryError(), lambda name, slices: name == "cpu")
    with pytest.raises(InputError, match="not enough memory on cuda"):
        SSLMARLib.reduce_metal_artifacts(volume, SPACING_MM, mask, "li", device="cuda", projector=projector)


def test_memory_is_freed_between_the_tries(fake_gpu, make_scan, monkeypatch):
    freed = []
    monkeypatch.setattr(correction, "free_unused_memory", lambda: freed.append(True))
    volume, mask = make_scan()
    ScarceMemory(monkeypatch, MemoryError(), lambda name, slices: slices == 1)
    SSLMARLib.reduce_metal_artifacts(volume, SPACING_MM, mask, "li")
    assert freed == [True]


def test_freeing_memory_needs_no_gpu():
    device.free_unused_memory()
