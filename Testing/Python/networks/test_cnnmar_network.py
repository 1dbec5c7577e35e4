"""CNNMAR's network: it starts at the LI image, sees as far as it should, and learns from its first layer to its last."""

from __future__ import annotations

import pytest
import torch

from SSLMARLib.networks.cnnmar import INPUT_IMAGES, LARGEST_INPUT, CNNMARNetwork


def random_images(slices=2, rows=24, columns=20, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 0.3 * torch.rand(slices, len(INPUT_IMAGES), rows, columns, generator=generator)


def with_random_last_layer(network, seed=1):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.2 * torch.rand(parameter.shape, generator=generator))
    return network


def test_untrained_it_is_the_interpolated_image():
    images = random_images()
    images[0, 2, 3, 4] = 9.0  # what the input cuts off, the output keeps
    assert torch.equal(CNNMARNetwork(channels=4)(images), images[:, INPUT_IMAGES.index("linearly interpolated")])


@pytest.mark.parametrize("dilations", [(1, 1, 1, 1), (1, 2, 4, 1), (3,)])
def test_shape_and_receptive_field(dilations):
    network = with_random_last_layer(CNNMARNetwork(channels=3, dilations=dilations))
    images = random_images(slices=1, rows=41, columns=39).requires_grad_()
    found = network(images)
    assert found.shape == (1, 41, 39)
    (gradient,) = torch.autograd.grad(found[0, 20, 19], images)
    rows, columns = torch.nonzero(gradient[0].abs().amax(0), as_tuple=True)
    reach = 1 + sum(dilations)  # of the last convolution, and of each hidden one
    assert (int(rows.min()), int(rows.max())) == (20 - reach, 20 + reach)
    assert (int(columns.min()), int(columns.max())) == (19 - reach, 19 + reach)
    assert all(gradient[0, channel].abs().sum() > 0 for channel in range(3))  # all three images are looked at


def test_metal_is_cut_off():
    network = with_random_last_layer(CNNMARNetwork(channels=3))
    images = random_images()
    images[:, :2, 5, 5] = LARGEST_INPUT * 0.192
    brighter = images.clone()
    brighter[:, :2, 5, 5] = 50.0
    assert torch.equal(network(images), network(brighter))


def test_the_gradient_reaches_the_first_layer_after_one_step():
    torch.manual_seed(0)
    network = CNNMARNetwork(channels=4)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    images, truth = random_images(), random_images(seed=2)[:, 0]

    def backward():
        optimizer.zero_grad()
        (network(images) - truth).square().mean().backward()

    backward()
    assert network.layers[0].weight.grad.abs().sum() == 0  # the last layer is zero: only it learns at first
    assert network.layers[-1].weight.grad.abs().sum() > 0
    optimizer.step()
    backward()
    assert network.layers[0].weight.grad.abs().sum() > 0


def test_options_make_the_same_network_again():
    network = CNNMARNetwork(channels=5, dilations=(1, 3), shuffle=2)
    assert network.options == {"channels": 5, "dilations": [1, 3], "shuffle": 2}
    again = CNNMARNetwork(**network.options)
    assert {name: value.shape for name, value in again.state_dict().items()} == {
        name: value.shape for name, value in network.state_dict().items()
    }


def test_shuffling_keeps_places_and_widens_the_view():
    torch.manual_seed(1)
    network = CNNMARNetwork(channels=4, dilations=(1,), shuffle=2)
    torch.nn.init.normal_(network.layers[-1].weight)
    images = torch.rand(1, 3, 16, 16)
    changed = images.clone()
    changed[0, 0, 8, 8] += 0.1
    difference = (network(changed) - network(images))[0].abs() > 0
    rows, columns = torch.nonzero(difference, as_tuple=True)
    assert difference.any() and rows.min() >= 4 and rows.max() <= 13 and columns.min() >= 4 and columns.max() <= 13
