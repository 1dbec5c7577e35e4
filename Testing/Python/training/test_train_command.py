"""`sslmar train`: from a configuration file to weights, and what it refuses."""

from __future__ import annotations

import json

import pytest

from SSLMARLib import cli
from SSLMARLib.networks.weights import load_weights
from SSLMARLib.training.checkpoints import output_lock


@pytest.fixture
def sslmar_train(monkeypatch, tmp_path, configuration_values, simulated_pairs, capsys):
    """sslmar_train(*arguments, **entries) -> (status, standard output, standard error); pairs are there already."""
    monkeypatch.setattr(cli, "VERBS", ("train",))  # the other verbs have tests of their own
    (tmp_path / "run").mkdir()
    for name, content in simulated_pairs.items():
        (tmp_path / "run" / name).write_bytes(content)

    def call(*arguments, **entries):
        path = tmp_path / "train.json"
        path.write_text(json.dumps({**configuration_values, "output": "run", "steps": 4, **entries}))
        status = cli.main(["train", str(path), *arguments])
        return status, *capsys.readouterr()

    return call


def sentence(error: str) -> str:
    assert error.startswith("sslmar: error: ") and error.count("\n") == 1 and error.endswith(".\n")
    return error


def test_the_verb_is_one_of_the_command_lines():
    assert "train" in cli.VERBS


def test_from_configuration_to_weights(sslmar_train, tmp_path):
    status, output, error = sslmar_train()
    weights = tmp_path / "run/cnnmar.safetensors"
    assert (status, output, error) == (0, f"The best weights are {weights}\n", "")
    _, description = load_weights(weights)
    assert description["configuration"]["steps"] == 4 and description["configuration"]["output"] == "run"


def test_quiet_says_nothing(sslmar_train):
    assert sslmar_train("--quiet") == (0, "", "")


def test_a_checkpoint_is_not_overwritten_but_gone_on_from(sslmar_train, tmp_path):
    assert sslmar_train("--steps", "2")[0] == 0
    checkpoint = (tmp_path / "run/checkpoint.safetensors").read_bytes()
    status, _, error = sslmar_train()
    assert status == 2 and "has a checkpoint: give --resume" in sentence(error)
    assert (tmp_path / "run/checkpoint.safetensors").read_bytes() == checkpoint
    assert sslmar_train("--resume")[0] == 0
    steps = [json.loads(line)["step"] for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert steps == [0, 2, 4]


def test_a_second_training_in_one_folder_is_refused(sslmar_train, tmp_path):
    with output_lock(tmp_path / "run"):
        status, _, error = sslmar_train()
        assert status == 2 and "Another training writes to" in sentence(error)
    assert sslmar_train()[0] == 0


def test_a_damaged_checkpoint_is_refused(sslmar_train, tmp_path):
    assert sslmar_train("--steps", "1")[0] == 0
    checkpoint = tmp_path / "run/checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-3])
    status, _, error = sslmar_train("--resume")
    assert status == 2 and "is damaged" in sentence(error)


def test_resume_without_a_checkpoint_starts(sslmar_train):
    assert sslmar_train("--resume")[0] == 0


@pytest.mark.parametrize(
    "entries, words",
    [
        ({"network": "unet"}, "no network 'unet' to train: choose one of cnnmar"),
        ({"data": "nowhere"}, "does not exist"),
        ({"batches": 3}, "unknown entries (batches)"),
        ({"leave_out": ["none.nrrd"]}, "leave_out names none.nrrd"),
        ({"network_options": {"depth": 2}}, "network_options is"),
    ],
)
def test_refusals(sslmar_train, entries, words):
    status, output, error = sslmar_train(**entries)
    assert status == 2 and output == "" and words in sentence(error)


def test_steps_must_be_a_number_above_zero(sslmar_train):
    status, _, error = sslmar_train("--steps", "0")
    assert status == 2 and "steps is 0" in sentence(error)


def test_ctrl_c_ends_with_130_and_can_be_resumed(sslmar_train, monkeypatch):
    from SSLMARLib.training.cnnmar import CNNMARTask

    with monkeypatch.context() as patch:
        original = CNNMARTask.loss

        def interrupted(task, step):
            if step == 3:
                raise KeyboardInterrupt
            return original(task, step)

        patch.setattr(CNNMARTask, "loss", interrupted)
        status, output, error = sslmar_train(checkpoint_every=2)
    assert status == 130 and "cancelled" in error and output == ""
    assert sslmar_train("--resume", checkpoint_every=2)[0] == 0


def test_progress_counts_the_steps(sslmar_train, monkeypatch):
    from contextlib import contextmanager

    from SSLMARLib.commands import train

    seen = []

    @contextmanager
    def bar(arguments, description=""):
        yield lambda fraction, message: seen.append((fraction, message))

    monkeypatch.setattr(train, "progress_bar", bar)
    assert sslmar_train()[0] == 0
    assert [fraction for fraction, _ in seen] == [0.25, 0.5, 0.75, 1.0] and seen[0][1].startswith("Step 1 of 4")
