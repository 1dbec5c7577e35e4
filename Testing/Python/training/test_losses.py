"""The losses of SSLMAR: eqs 3, 4, 6 against numpy, what is masked, what gradients reach, and the weights of the terms."""

from __future__ import annotations

import math

import numpy
import pytest
import torch

from SSLMARLib.errors import InputError
from SSLMARLib.networks.sinonet import SinoNet
from SSLMARLib.sinogram.interpolation import linear_interpolation
from SSLMARLib.sinogram.trace import metal_trace
from SSLMARLib.training.losses import LossWeights, completion_loss, consistency_loss, end_to_end_loss, refinement_loss


def random_images(count=2, seed=0):
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


def two_masks():
    masks = torch.zeros(2, 3, 64, 64, dtype=torch.bool)
    masks[0, :, 20:24, 30:36] = True
    masks[1, :, 22:30, 34:38] = True
    return masks


def test_equations_3_and_6_are_mean_absolute_differences():
    one, other = random_images()
    expected = numpy.abs(one.numpy() - other.numpy()).mean()
    assert float(completion_loss(one, other)) == pytest.approx(expected, rel=1e-5)
    assert float(refinement_loss(one, other)) == pytest.approx(expected, rel=1e-5)
    assert float(refinement_loss(one, one)) == 0.0


def test_equation_4_is_masked_by_both_metals():
    one, other = random_images()
    metal_1, metal_2 = two_masks()
    counted = ~(metal_1.numpy() | metal_2.numpy())
    expected = (numpy.abs(one.numpy() - other.numpy()) * counted).mean()
    assert float(consistency_loss(one, other, metal_1, metal_2)) == pytest.approx(expected, rel=1e-5)
    only_in_metal = torch.where(metal_1 | metal_2, 5.0, one)
    assert float(consistency_loss(one, only_in_metal, metal_1, metal_2)) == 0.0


def test_the_end_to_end_term_is_masked_by_its_metal():
    one, other = random_images()
    metal = two_masks()[0]
    expected = (numpy.abs(one.numpy() - other.numpy()) * ~metal.numpy()).mean()
    assert float(end_to_end_loss(one, other, metal)) == pytest.approx(expected, rel=1e-5)


def test_equation_4_is_zero_for_equal_completions(small_projector):
    sinogram = torch.rand(3, 96, 97)
    masks = two_masks()

    def loss_of(*sinograms):
        return float(consistency_loss(*map(small_projector.fbp, sinograms), *masks))

    assert loss_of(sinogram, sinogram.clone()) == 0.0
    other = sinogram.clone()
    other[0, 40, 50] += 1
    assert loss_of(sinogram, other) > 0


def test_the_gradient_of_equation_4_reaches_sinonets_first_layer(small_projector, make_scan):
    """Through FBP and both completions; checked against the loss's own change along the gradient."""
    image = torch.from_numpy(make_scan(1, slices=3).astype(numpy.float32) + 1000) * 0.192e-3
    sinogram, masks = small_projector.project(image), two_masks()
    traces = [metal_trace(mask, small_projector) for mask in masks]
    torch.manual_seed(0)
    network = SinoNet(channels=3, levels=2, stem=2)
    torch.nn.init.normal_(network.unet.last.weight, std=0.02)

    def loss():
        completed = [network(linear_interpolation(sinogram, trace), trace) for trace in traces]
        return consistency_loss(*map(small_projector.fbp, completed), *masks)

    first = network.unet.first.weight
    value = loss()
    (gradient,) = torch.autograd.grad(value, first)
    assert float(gradient.norm()) > 0
    step = 1e-3 / float(gradient.norm())
    with torch.no_grad():
        first += step * gradient
        above = float(loss())
        first -= 2 * step * gradient
        below = float(loss())
    assert (above - below) / 2 == pytest.approx(1e-3 * float(gradient.norm()), rel=0.05)


def test_weights_of_the_terms():
    assert LossWeights() == LossWeights(completion=1.0, consistency=1.0, refinement=1.0, end_to_end=0.0)
    for value in (-1, math.nan, math.inf, "1", True, None):
        with pytest.raises(InputError, match="weight of the loss refinement is"):
            LossWeights(refinement=value)
    with pytest.raises(InputError, match="All weights"):
        LossWeights(0, 0, 0, 0)
