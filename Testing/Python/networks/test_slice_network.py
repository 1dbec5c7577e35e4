"""SliceNet: untrained it adds nothing; each input has an effect; shipped weights are whole."""

from __future__ import annotations

import pytest
import torch

from SSLMARLib.methods.slice_finish import SHIPPED_SHA256, WEIGHTS
from SSLMARLib.networks.slice_network import SliceNet
from SSLMARLib.networks.weights import load_network

INPUTS = ("slice", "prior", "nmar", "metal", "trace")


def images(size=64):
    generator = torch.Generator().manual_seed(0)
    corrected = 0.192 + 0.02 * torch.randn((1, size, size), generator=generator)
    further = {name: 0.192 + 0.02 * torch.randn((1, size, size), generator=generator) for name in ("slice", "prior", "nmar")}
    further["metal"] = (torch.rand((1, size, size), generator=generator) > 0.95).float()
    further["trace"] = torch.rand((1, size, size), generator=generator)
    return corrected, further


def test_untrained_it_adds_nothing():
    corrected, further = images()
    assert not SliceNet([4, 8])(corrected, further).any()


@pytest.mark.parametrize("name", INPUTS)
def test_the_shipped_network_uses_each_input(name):
    network, _ = load_network(SliceNet, WEIGHTS, SHIPPED_SHA256)
    corrected, further = images()
    added = network(corrected, further)
    assert added.shape == corrected.shape and added.any()
    without = network(corrected, {**further, name: corrected if name in INPUTS[:3] else torch.zeros_like(corrected)})
    assert not torch.equal(added, without)
