"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import numpy
import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded, as the command line does: tests share the computer
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the source tree."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside the source tree; tests that need it are skipped, with this reason, where it is absent."""
    folder = REPOSITORY.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data: {folder / 'data'} does not exist, so this test did NOT run")
    return folder


@pytest.fixture
def random_generator() -> numpy.random.Generator:
    return numpy.random.default_rng(20260823)


@pytest.fixture(scope="session")
def projector():
    """The benchmark's projector on the CPU, built once for all tests."""
    from SSLMARLib.tomography import get_projector

    return get_projector("cpu")


@pytest.fixture
def own_weights(tmp_path) -> Path:
    """Weights as `sslmar train` writes them for SSLMAR, of networks that were hardly trained: hospital.safetensors."""
    import torch

    from SSLMARLib.networks.sslmar import SSLMARNetwork
    from SSLMARLib.networks.weights import save_weights

    tiny = {"channels": 2, "levels": 2, "stem": 2}
    torch.manual_seed(0)
    network = SSLMARNetwork("small", tiny, tiny)
    torch.nn.init.normal_(network.image_network.unet.last.weight, std=0.1)
    path = tmp_path / "hospital.safetensors"
    save_weights(path, network.state_dict(), {"method": "sslmar", "network": network.options, "iterations": 1})
    return path
