"""Two processes that average their gradients learn what one with twice the mini-batch learns."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys

import pytest
import torch

from SSLMARLib.networks.weights import load_weights
from SSLMARLib.training import distributed
from SSLMARLib.training.sslmar import SSLMARTask
from SSLMARLib.training.trainer import train

PROCESS = """
import sys, torch
torch.set_num_threads(1)
from SSLMARLib import cli
from SSLMARLib.tomography import FanBeamGeometry, FanBeamProjector
from SSLMARLib.training import sslmar
projector = FanBeamProjector(FanBeamGeometry(image_shape=(64, 64), pixel_size_cm=0.25, views=96, bins=97))
sslmar.get_projector = lambda device: projector
sys.exit(cli.main(["train", *sys.argv[1:]]))
"""


def run_two(repository, *arguments):
    """Start two processes as torchrun does; (status, standard output, standard error) of each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "PYTHONPATH": str(repository)}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, *map(str, arguments)],
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=120) for process in started]
    return [(process.returncode, *output) for process, output in zip(started, outputs, strict=True)]


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this PyTorch cannot train with several processes")
def test_two_processes_learn_what_one_learns(make_sslmar_configuration, repository, tmp_path):
    alone = make_sslmar_configuration("alone", batch_size=2, steps=4, loss_weights={"end_to_end": 1})
    expected, expected_description = load_weights(train(SSLMARTask(alone), alone))
    together = dataclasses.replace(alone, batch_size=1, output=str(tmp_path / "together"))
    path = tmp_path / "train.json"
    path.write_text(json.dumps(together.to_dict()))
    results = run_two(repository, path)
    assert [status for status, _, _ in results] == [0, 0], results
    assert "The best weights are" in results[0][1] and results[1][1] == ""  # only the first one speaks
    found, description = load_weights(tmp_path / "together/sslmar.safetensors")
    assert description["step"] == expected_description["step"]
    assert description["validation"]["score"] == pytest.approx(expected_description["validation"]["score"], rel=1e-4)
    # Adam divides by the gradient's size: where it is next to nothing, rounding decides
    close = [torch.isclose(found[name], value, atol=1e-5, rtol=1e-3).float().mean() for name, value in expected.items()]
    assert min(close) > 0.9 and sum(close) / len(close) > 0.99
    steps = [json.loads(line)["step"] for line in (tmp_path / "together/log.jsonl").read_text().splitlines()]
    assert steps == [0, 3, 4]  # written once


def test_one_process_is_no_group(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with distributed.process_group("cpu"):
        assert (distributed.rank(), distributed.processes()) == (0, 1) and not torch.distributed.is_initialized()
        distributed.wait_for_all()
    assert distributed.process_device("cpu") == "cpu"


def test_each_process_of_a_machine_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(distributed, "choose_device", lambda device: {"auto": "cuda"}.get(device, device))
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert distributed.process_device("auto") == "cuda:3" and distributed.process_device("cuda:1") == "cuda:1"
    monkeypatch.delenv("LOCAL_RANK")
    assert distributed.process_device("auto") == "cuda"


def test_what_cannot_be_shared_is_refused(make_configuration, monkeypatch, tmp_path, capsys):
    from SSLMARLib import cli

    (tmp_path / "train.json").write_text(json.dumps(make_configuration().to_dict()))
    monkeypatch.setattr(distributed, "processes", lambda: 2)
    assert cli.main(["train", str(tmp_path / "train.json")]) == 2
    assert "'cnnmar' is trained by one process" in capsys.readouterr().err
