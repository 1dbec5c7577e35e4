"""ImgNet alone on pairs made beforehand: what the pairs hold, that it learns, that SinoNet stays, that a stop keeps the pairs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy
import pytest
import torch

from SSLMARLib.errors import Cancelled, InputError
from SSLMARLib.methods import get_method
from SSLMARLib.methods.base import MetalAffectedScan
from SSLMARLib.methods.nmar import NMAR
from SSLMARLib.networks.weights import load_weights, save_weights
from SSLMARLib.sinogram.trace import metal_trace
from SSLMARLib.training.sslmar_image import CHANNELS, SSLMARImageTask, SSLMARPaperImageTask
from SSLMARLib.training.trainer import train

TINY = {"channels": [4, 6, 8], "stem": 2, "residual": True}
OPTIONS = {"sinogram_network": TINY, "image_network": {**TINY, "further_inputs": ["nmar", "measured", "metal"]}}


@pytest.fixture
def make_task_configuration(make_sslmar_configuration):
    def make(**entries):
        values = {"network": "sslmar_image", "network_options": OPTIONS, "pairs": 6, "patch_pixels": 48}
        return make_sslmar_configuration(**{**values, **entries})

    return make


def test_what_a_pair_holds(make_task_configuration, small_projector):
    task = SSLMARImageTask(make_task_configuration())
    assert task.training.shape == (6, CHANNELS, 64, 64) and task.training.dtype == numpy.float16
    for number in (0, 5):
        interpolated, nmar, measured, reference, metal = torch.from_numpy(task.training[number].astype(numpy.float32))
        image, masks = task.pairs.sample(number)
        assert torch.equal(metal > 0, torch.from_numpy(masks[0]))
        sinogram, mask = small_projector.project(torch.from_numpy(image)[None]), torch.from_numpy(masks[:1])
        torch.testing.assert_close(reference, small_projector.fbp(sinogram)[0], atol=1e-3, rtol=2e-3)
        found = []
        for dilation in (0, 1):  # the trace is that of the mask, or a bin wider
            scan = MetalAffectedScan(sinogram, metal_trace(mask, small_projector, dilation), mask, small_projector)
            expected = scan.interpolated_image[0], small_projector.fbp(NMAR().correct(scan))[0]
            found.append(max(float((one - other).abs().max()) for one, other in zip((interpolated, nmar), expected, strict=True)))
        assert min(found) < 2e-3
        assert 1e-3 < float((measured - nmar).abs().max()) < 1  # the data say something else than NMAR


def test_it_learns_and_sinonet_stays(make_task_configuration):
    configuration = make_task_configuration(steps=120, validate_every=120, learning_rate=1e-2, largest_gradient=0.1)
    task = SSLMARImageTask(configuration)
    before = {name: value.clone() for name, value in task.network.sinogram_network.state_dict().items()}
    path = train(task, configuration)
    log = [json.loads(line) for line in (Path(configuration.output) / "log.jsonl").read_text().splitlines()]
    assert log[-1]["refined"] < 0.9 * log[0]["refined"] and log[-1]["completed"] == log[0]["completed"] == 1.0
    assert all(torch.equal(value, before[name]) for name, value in task.network.sinogram_network.state_dict().items())
    assert get_method(path).name == "sslmar"
    assert path.name == "sslmar_image.safetensors" and load_weights(path)[1]["iterations"] == 1


def test_a_stop_keeps_the_pairs_that_are_made(make_task_configuration):
    configuration, said = make_task_configuration(), []

    def is_cancelled():
        return len(said) == 4

    with pytest.raises(Cancelled, match="kept"):
        SSLMARImageTask(configuration, lambda fraction, message: said.append(message), is_cancelled).training  # noqa: B018
    assert said[-1] == "Making training pair 3 of 6"
    assert json.loads((Path(configuration.output) / "training_pairs.done").read_text())["pairs"] == 3
    gone_on = SSLMARImageTask(configuration).training
    assert numpy.array_equal(gone_on, SSLMARImageTask(make_task_configuration(output=str(Path(configuration.output) / "new"))).training)


def test_imgnet_cannot_be_switched_off(make_task_configuration):
    with pytest.raises(InputError, match="sslmar_image trains it alone"):
        SSLMARImageTask(make_task_configuration(loss_weights={"refinement": 0.0}))


def test_the_papers_imgnet_learns_behind_the_sinonet_it_starts_from(make_task_configuration, tmp_path, small_projector):
    """The pairs hold the image of that SinoNet's completion, and the weights are those of the method `sslmar_paper`."""
    options = {"sinogram_network": TINY, "image_network": TINY}
    first = SSLMARPaperImageTask(make_task_configuration(network="sslmar_paper_image", network_options=options))
    with torch.no_grad():
        for parameter in first.network.sinogram_network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    save_weights(tmp_path / "start.safetensors", first.network.state_dict(), first.description)
    configuration = make_task_configuration(output="second", network="sslmar_paper_image", network_options=options, steps=4)
    task = SSLMARPaperImageTask(configuration)
    path = train(task, configuration, start_from=tmp_path / "start.safetensors")
    completed, nmar, _, reference, metal = torch.from_numpy(task.training[1].astype(numpy.float32))
    image, masks = task.pairs.sample(1)
    mask = torch.from_numpy(masks[:1])
    found = []
    for dilation in (0, 1):
        sinogram = small_projector.project(torch.from_numpy(image)[None])
        scan = MetalAffectedScan(sinogram, metal_trace(mask, small_projector, dilation), mask, small_projector)
        with torch.no_grad():
            expected = small_projector.fbp(first.network.complete(scan.interpolated_sinogram, scan.trace))[0]
        found.append(float((completed - expected).abs().max()))
        assert float((expected - scan.interpolated_image[0]).abs().max()) > 0.01
    assert min(found) < 2e-3 and not nmar.any()
    assert get_method(path).name == "sslmar_paper" and load_weights(path)[1]["method"] == "sslmar_paper"
