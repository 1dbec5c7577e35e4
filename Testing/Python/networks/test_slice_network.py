"""SliceNet and PriorNet: untrained they add nothing; each input has an effect; shipped weights are whole."""

from __future__ import annotations

import pytest
import torch

from SSLMARLib.methods import prior_finish, slice_finish
from SSLMARLib.networks.slice_network import PriorNet, SliceNet
from SSLMARLib.networks.weights import load_network

SHIPPED = {SliceNet: slice_finish, PriorNet: prior_finish}
CASES = [(network, name) for network in SHIPPED for name in (*network.differences, "metal", "trace")]


def images(size=64):
    generator = torch.Generator().manual_seed(0)
    corrected = 0.192 + 0.02 * torch.randn((1, size, size), generator=generator)
    further = {name: 0.192 + 0.02 * torch.randn((1, size, size), generator=generator) for name in PriorNet.differences}
    further["metal"] = (torch.rand((1, size, size), generator=generator) > 0.95).float()
    further["trace"] = torch.rand((1, size, size), generator=generator)
    return corrected, further


@pytest.mark.parametrize("network_class", SHIPPED)
def test_untrained_it_adds_nothing(network_class):
    corrected, further = images()
    assert not network_class([4, 8])(corrected, further).any()


@pytest.mark.parametrize(("network_class", "name"), CASES)
def test_the_shipped_network_uses_each_input(network_class, name):
    network, _ = load_network(network_class, SHIPPED[network_class].WEIGHTS, SHIPPED[network_class].SHIPPED_SHA256)
    corrected, further = images()
    added = network(corrected, further)
    assert added.shape == corrected.shape and added.any()
    without = network(corrected, {**further, name: corrected if name in network.differences else torch.zeros_like(corrected)})
    assert not torch.equal(added, without)
