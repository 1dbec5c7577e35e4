"""The training loop: it learns, keeps the best weights, and goes on after a kill as if there had been none."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy
import pytest
import torch

from SSLMARLib.errors import Cancelled, InputError
from SSLMARLib.methods import get_method
from SSLMARLib.methods.base import MetalAffectedScan
from SSLMARLib.methods.cnnmar import CNNMAR
from SSLMARLib.networks.weights import load_weights
from SSLMARLib.training.checkpoints import NAME as CHECKPOINT
from SSLMARLib.training.cnnmar import CNNMARTask
from SSLMARLib.training.trainer import LOG_NAME, learning_rate, train


class ScriptedTask:
    """One weight that grows with each step; validation gives the scores of a list, losses those of a function."""

    description = {"network": {}}

    def __init__(self, scores, loss=lambda weight, step: -weight.sum()):
        self.network = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.zeros_(self.network.weight)
        self.scores, self.loss_function, self.modes, self.validated = list(scores), loss, [], []

    def loss(self, step):
        self.modes.append(self.network.training)
        return self.loss_function(self.network.weight, step)

    def validate(self):
        assert not self.network.training and torch.is_inference_mode_enabled()
        self.validated.append(self.network.weight.item())
        return {"score": self.scores.pop(0), "other": 1.0}


def log_of(configuration, without=("seconds",)):
    lines = (Path(configuration.output) / LOG_NAME).read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name not in without} for line in lines]


def files_of(folder):
    return {item.name for item in folder.iterdir()}


def test_a_tiny_training_lowers_the_validation_score(make_configuration, small_projector):
    configuration = make_configuration(steps=200, validate_every=100, checkpoint_every=100, learning_rate=1e-2)
    task = CNNMARTask(configuration)
    path = train(task, configuration)
    log = log_of(configuration)
    assert [line["step"] for line in log] == [0, 100, 200]
    assert log[-1]["network"] < 0.97 * log[0]["network"] and log[-1]["score"] < log[0]["score"]
    assert log[2]["loss"] < log[1]["loss"] and log[0]["loss"] is None
    # what was written is what corrects
    tensors, description = load_weights(path)
    assert description["validation"]["score"] == min(line["score"] for line in log)
    assert description["network"] == {"channels": 6, "dilations": [1, 2], "shuffle": 1} and description["seconds"] > 0
    assert description["configuration"]["steps"] == 200 and description["step"] in (100, 200)
    written = path.with_suffix(".json").read_text()  # it travels with the weights, so no folder of this machine is in it
    assert configuration.data not in written and configuration.output not in written
    mask = torch.zeros(1, 64, 64, dtype=torch.bool)
    mask[:, 28:33, 30:34] = True
    scan = MetalAffectedScan.from_images(torch.full((1, 64, 64), 0.19) + 2.0 * mask, mask, small_projector)
    method = get_method(path)  # its JSON file says which
    assert isinstance(method, CNNMAR) and method.constants == CNNMAR().constants
    assert torch.isfinite(method.correct(scan)).all()


def test_killed_and_resumed_is_as_never_killed(make_configuration):
    """To the bit: weights, best weights, optimizer, log. Stopped between checkpoints, right before and after a validation."""
    whole = make_configuration("whole")
    task = CNNMARTask(whole)
    best = train(task, whole)

    stopped = make_configuration("stopped")
    for steps_of_this_run in (3, 2, 4, 99):
        resumed = CNNMARTask(stopped)  # a new process: everything is built again
        counted = []

        def is_cancelled(counted=counted, limit=steps_of_this_run):
            counted.append(1)
            return len(counted) >= limit

        try:
            other_best = train(resumed, stopped, resume=True, is_cancelled=is_cancelled)
        except Cancelled as reason:
            assert "--resume" in str(reason)
    for name, value in task.network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[name], value), name
    assert log_of(stopped) == log_of(whole)
    expected, found = load_weights(best), load_weights(other_best)
    assert all(torch.equal(found[0][name], value) for name, value in expected[0].items())
    assert found[1]["step"] == expected[1]["step"] and found[1]["sha256"] == expected[1]["sha256"]


def test_killed_without_a_word_goes_on_from_the_last_checkpoint(make_configuration, tmp_path):
    whole = make_configuration("whole")
    expected = CNNMARTask(whole)
    train(expected, whole)
    killed = make_configuration("killed")
    task = CNNMARTask(killed)
    loss = task.loss

    def killed_at(step):
        if step == 10:
            raise KeyboardInterrupt
        return loss(step)

    task.loss = killed_at
    with pytest.raises(KeyboardInterrupt):
        train(task, killed)
    with open(tmp_path / "killed" / LOG_NAME, "a") as log:
        log.write('{"step": 1')  # the kill came in the middle of a line
    resumed, steps = CNNMARTask(killed), []
    train(resumed, killed, resume=True, progress=lambda fraction, message: steps.append(message.split(",")[0]))
    assert steps[0] == "Step 9 of 12"  # the checkpoint was that of step 8
    assert all(torch.equal(one, other) for one, other in zip(resumed.network.parameters(), expected.network.parameters(), strict=True))
    assert log_of(killed) == log_of(whole)  # the validation after step 10 stands there once


def test_the_best_weights_are_those_kept(make_configuration):
    configuration = make_configuration(steps=8, validate_every=2, checkpoint_every=100)
    task = ScriptedTask([0.9, 0.7, 0.5, 0.6, 0.5])
    tensors, description = load_weights(train(task, configuration))
    assert description["step"] == 4 and description["validation"] == {"score": 0.5, "other": 1.0}
    assert float(tensors["weight"]) == pytest.approx(task.validated[2]) != pytest.approx(task.validated[-1])
    assert [line["step"] for line in log_of(configuration)] == [0, 2, 4, 6, 8]
    assert task.modes == [True] * 8


def test_a_worse_training_keeps_the_former_best_after_resuming(make_configuration, tmp_path):
    configuration = make_configuration(steps=6, validate_every=2, checkpoint_every=2)
    calls = []
    with pytest.raises(Cancelled):
        train(ScriptedTask([0.9, 0.3]), configuration, is_cancelled=lambda: calls.append(1) or len(calls) == 3)
    task = ScriptedTask([0.5, 0.4])
    _, description = load_weights(train(task, configuration, resume=True))
    assert description["validation"]["score"] == 0.3 and description["step"] == 2


def test_a_finished_training_resumes_to_nothing_and_can_be_prolonged(make_configuration):
    configuration = make_configuration(steps=3, validate_every=3, checkpoint_every=3)
    path = train(ScriptedTask([1.0, 0.5]), configuration)
    before = path.read_bytes()
    assert train(ScriptedTask([]), configuration, resume=True).read_bytes() == before
    longer = make_configuration(steps=5, validate_every=3, checkpoint_every=3)
    train(ScriptedTask([0.4]), longer, resume=True)
    assert [line["step"] for line in log_of(longer)] == [0, 3, 5]


def test_cancelling_at_the_last_step_is_being_done(make_configuration):
    configuration = make_configuration(steps=2, validate_every=5, checkpoint_every=5)
    calls = []
    train(ScriptedTask([1.0, 0.5]), configuration, is_cancelled=lambda: calls.append(1) or len(calls) == 2)


def test_a_start_without_resume_is_a_new_one(make_configuration, tmp_path):
    configuration = make_configuration(steps=2, validate_every=1, checkpoint_every=1)
    train(ScriptedTask([0.1, 0.1, 0.1]), configuration)
    train(ScriptedTask([0.9, 0.8, 0.7]), configuration)
    assert [line["score"] for line in log_of(configuration)] == [0.9, 0.8, 0.7]
    _, description = load_weights(tmp_path / "run/cnnmar.safetensors")
    assert description["validation"]["score"] == 0.7


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_the_training_and_spares_the_checkpoint(make_configuration, tmp_path, value):
    configuration = make_configuration(steps=8, validate_every=50, checkpoint_every=2)
    task = ScriptedTask([1.0], lambda weight, step: weight.sum() * 0 + (value if step == 5 else 1.0))
    with pytest.raises(InputError, match="Training diverged: the loss is .* at step 5; lower learning_rate"):
        train(task, configuration)
    assert torch.isfinite(task.network.weight).all()
    finished = ScriptedTask([0.5])
    train(finished, configuration, resume=True)
    assert len(finished.modes) == 4  # from step 4 on


def test_weights_that_became_nan_are_never_stored(make_configuration, tmp_path):
    """The loss of the last step is still a number, but its gradient is not: neither checkpoint nor weights take them."""
    configuration = make_configuration(steps=6, validate_every=6, checkpoint_every=3)

    def loss(weight, step):
        return -weight.sum() + ((weight.sum() * 0).sqrt() if step == 5 else 0)

    with pytest.raises(InputError, match="(?i)NaN or infinity.*lower learning_rate"):
        train(ScriptedTask([0.1, 0.5], loss), configuration)
    finished = ScriptedTask([0.05])
    train(finished, configuration, resume=True)
    assert len(finished.modes) == 3 and math.isfinite(finished.network.weight.item())
    tensors, _ = load_weights(tmp_path / "run/cnnmar.safetensors")
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values())


def test_only_complete_files_are_left(make_configuration, tmp_path, simulated_pairs):
    configuration = make_configuration(steps=2)
    train(CNNMARTask(configuration), configuration)
    expected = {CHECKPOINT, LOG_NAME, "cnnmar.safetensors", "cnnmar.json"} | set(simulated_pairs)
    assert files_of(tmp_path / "run") == expected


def test_the_learning_rate_warms_up_and_falls_to_zero(make_configuration):
    configuration = make_configuration(steps=1000, learning_rate=2e-3)
    rates = numpy.array([learning_rate(step, configuration) for step in range(1000)])
    assert rates[0] == pytest.approx(2e-3 / 100) and (numpy.diff(rates[:95]) > 0).all()
    assert (numpy.diff(rates[100:]) < 0).all() and rates.max() == pytest.approx(2e-3, rel=0.03)
    assert rates[500] == pytest.approx(1e-3) and 0 < rates[-1] < 1e-8
    short = make_configuration(steps=4)
    assert all(learning_rate(step, short) > 0 for step in range(4))


def test_the_learning_rate_is_the_optimizers(make_configuration):
    configuration = make_configuration(steps=5, validate_every=9, learning_rate=0.01)
    task = ScriptedTask([1.0, 1.0])
    train(task, configuration)  # Adam with a constant gradient moves by the rate in each step
    expected = sum(learning_rate(step, configuration) for step in range(5))
    assert task.network.weight.item() == pytest.approx(expected, rel=1e-4)
