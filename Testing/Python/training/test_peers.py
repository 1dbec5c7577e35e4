"""The peers' trainings: what they learn from, that a tiny one lowers its loss, that a killed one goes on to the bit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy
import pytest
import torch

from SSLMARLib.commands.train import TASKS
from SSLMARLib.errors import Cancelled, InputError
from SSLMARLib.methods import get_method
from SSLMARLib.networks.weights import load_weights
from SSLMARLib.training import peers
from SSLMARLib.training.simulated_scans import LINE_INTEGRAL_STEP, draw_scan, stored_scans
from SSLMARLib.training.slices import read_metal_free_slices
from SSLMARLib.training.trainer import LOG_NAME, train

DUAL = {"sinogram_channels": [4, 6, 8], "image_channels": [4, 6, 8]}
OPTIONS = {
    "cganmar": {"channels": [4, 6, 8], "discriminator_channels": 4},
    "dudonet": DUAL,
    "dudonet++": DUAL,
    "sinogram_completion": DUAL,
    "adn": {"channels": 4, "residual_blocks": 1, "discriminator_channels": 4},
}
LEARNING_RATES = {"dudonet++": 1e-3}  # what others take makes it worse on new scans


@pytest.fixture
def make(make_sslmar_configuration, monkeypatch, small_projector):
    """make(network, **entries) -> (task, configuration)"""
    monkeypatch.setattr("SSLMARLib.training.peers.get_projector", lambda device: small_projector)

    def make_task(network, **entries):
        values = {"network": network, "network_options": OPTIONS[network], "pairs": 6, "patch_pixels": 48}
        configuration = make_sslmar_configuration(**{**values, **entries})
        return getattr(peers, TASKS[network][1])(configuration), configuration

    return make_task


def log_of(configuration):
    lines = (Path(configuration.output) / LOG_NAME).read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name != "seconds"} for line in lines]


def test_what_is_stored_is_the_simulated_scan(make, small_projector):
    task, configuration = make("dudonet")
    assert task.training.shape == (6, 3, 96, 97) and task.training.dtype == numpy.uint16
    affected, metal_free, masks = stored_scans(task.training, small_projector.geometry.image_shape)
    everything = read_metal_free_slices(configuration.data, 64, ())
    training, _ = everything.split(configuration.validation_share, configuration.seed)
    scan = draw_scan(training, configuration, (), numpy.random.default_rng([0, 4]), small_projector)
    assert (affected[4] - scan.sinogram[0]).abs().max() < 0.51 * LINE_INTEGRAL_STEP
    assert (metal_free[4] - scan.metal_free_sinogram[0]).abs().max() < 0.51 * LINE_INTEGRAL_STEP
    assert torch.equal(masks[4], scan.metal_mask[0])
    affected_scan, _ = task.scan(task.training[4:5], 0)
    assert torch.equal(affected_scan.trace, scan.metal_trace)
    assert task.scan(task.training[4:5], 1)[0].trace.sum() > affected_scan.trace.sum()


@pytest.mark.parametrize("network", OPTIONS)
def test_a_tiny_training_lowers_its_loss_and_its_weights_correct(make, network, small_projector):
    task, configuration = make(network, steps=60, validate_every=30, checkpoint_every=30, learning_rate=LEARNING_RATES.get(network, 4e-3))
    path = train(task, configuration)
    log = log_of(configuration)
    assert [line["step"] for line in log] == [0, 30, 60] and log[2]["loss"] < log[1]["loss"]
    assert log[0]["loss"] is None and all(numpy.isfinite(line["score"]) for line in log)
    if network != "adn":  # which learns nothing worth having in so few steps
        assert log[2]["score"] < log[0]["score"]
    description = load_weights(path)[1]
    assert description["method"] == network and description["network"] == {**task.network.options}
    method = get_method(path)
    scan, metal_free = task.scan(task.validation[:1])
    with torch.inference_mode():
        corrected, image = method.correct(scan), method.image(scan)
    assert corrected.shape == scan.sinogram.shape and torch.equal(corrected[~scan.trace], scan.sinogram[~scan.trace])
    assert image.shape == scan.metal_mask.shape and torch.isfinite(image).all()
    has_own_image = network != "sinogram_completion"
    assert torch.equal(image, small_projector.fbp(corrected)) is not has_own_image


@pytest.mark.parametrize("network", OPTIONS)
def test_killed_and_resumed_is_as_never_killed(make, network):
    whole_task, whole = make(network, output="whole")
    train(whole_task, whole)
    for limit in (1, 3, 99):
        task, stopped = make(network, output="stopped")
        counted = []

        def is_cancelled(counted=counted, limit=limit):
            counted.append(1)
            return len(counted) >= limit

        try:
            train(task, stopped, resume=True, is_cancelled=is_cancelled)
        except Cancelled:
            assert limit != 99
    for name, value in whole_task.network.state_dict().items():
        assert torch.equal(value, task.network.state_dict()[name]), name
    assert log_of(whole) == log_of(stopped)


def test_adn_never_sees_a_pair(make, monkeypatch):
    """Scans that show their artifacts and scans that show their truth are two halves of the set."""
    task, _ = make("adn")
    taken = []
    read = task.scan

    def remembered(stored, trace_dilation_bins=0):
        taken.append(stored.copy())
        return read(stored, trace_dilation_bins)

    monkeypatch.setattr(task, "scan", remembered)
    for step in range(12):
        task.loss(step)
    content = [task.training[number].tobytes() for number in range(6)]
    affected, clean = ({content.index(one.tobytes()) for batch in taken[side::2] for one in batch} for side in (0, 1))
    assert affected == {0, 1, 2} and clean == {3, 4, 5}


def test_options_that_no_network_has_are_refused(make):
    with pytest.raises(InputError, match="network_options"):
        make("dudonet", network_options={"width": 3})
