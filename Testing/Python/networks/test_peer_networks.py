"""The peers' networks have the properties that their papers say: what each sees, where gradients go, what each leaves as it is."""

from __future__ import annotations

import pytest
import torch

from SSLMARLib.methods.base import MetalAffectedScan
from SSLMARLib.networks.adn import ADNNetwork, in_window
from SSLMARLib.networks.adversarial import PatchDiscriminator, adversarial_losses
from SSLMARLib.networks.cganmar import CGANMARNetwork
from SSLMARLib.networks.dual_domain import DuDoNetNetwork, DuDoNetPlusPlusNetwork
from SSLMARLib.networks.sinogram_completion import DeepSinogramCompletionNetwork
from SSLMARLib.tomography import FanBeamGeometry, FanBeamProjector

TINY = {"sinogram_channels": [3, 4, 5], "image_channels": [3, 4, 5]}
SIZE = 64


@pytest.fixture(scope="module")
def small_projector():
    return FanBeamProjector(FanBeamGeometry(image_shape=(SIZE, SIZE), pixel_size_cm=0.25, views=96, bins=97))


@pytest.fixture(autouse=True)
def same_state():
    state = torch.get_rng_state()
    torch.manual_seed(3)
    yield
    torch.set_rng_state(state)


@pytest.fixture
def scan(small_projector):
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, SIZE),) * 2, indexing="ij")
    mask = ((x - 0.2) ** 2 + y**2 < 0.02)[None]
    image = 0.19 * ((x / 0.8) ** 2 + (y / 0.6) ** 2 < 1)[None].float() + 2.0 * mask
    return MetalAffectedScan.from_images(image, mask, small_projector)


def awake(network):
    """The network with no layer of zeros, as those that start as nothing have."""
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.copy_(0.3 * torch.randn(parameter.shape))
    return network


@pytest.mark.parametrize("network_class", [DuDoNetNetwork, DuDoNetPlusPlusNetwork])
def test_dual_domain_gradient_passes_the_inversion_layer_into_the_sinogram_network(network_class, scan):
    network = awake(network_class(**TINY))
    found = network(scan)
    found.completed_image.sum().backward()  # the image alone
    gradients = [parameter.grad for parameter in network.sinogram_network.parameters()]
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)
    assert all(parameter.grad is None for parameter in network.image_network.parameters())
    assert torch.equal(found.sinogram[~scan.trace], scan.interpolated_sinogram[~scan.trace])
    assert not torch.equal(found.sinogram[scan.trace], scan.interpolated_sinogram[scan.trace])


@pytest.mark.parametrize("network_class", [DuDoNetNetwork, DuDoNetPlusPlusNetwork, DeepSinogramCompletionNetwork])
def test_untrained_it_is_what_it_starts_from(network_class, scan):
    found = network_class(**TINY)(scan)
    if network_class is DeepSinogramCompletionNetwork:
        assert torch.equal(found.prior_image, scan.interpolated_image)
    else:
        assert torch.allclose(found.image, scan.interpolated_image, atol=1e-6)


def test_what_the_networks_see_of_the_data_in_the_trace(scan):
    """DuDoNet nothing; DuDoNet++ the data and the ray's length in metal; deep sinogram completion the uncorrected image."""
    other = MetalAffectedScan(scan.sinogram + 0.5 * scan.trace, scan.trace, scan.metal_mask, scan.projector)
    for network_class, sees in ((DuDoNetNetwork, False), (DuDoNetPlusPlusNetwork, True), (DeepSinogramCompletionNetwork, True)):
        network = awake(network_class(**TINY))
        assert torch.equal(network(scan).sinogram, network(other).sinogram) is not sees, network_class
    network = awake(DuDoNetPlusPlusNetwork(**TINY))
    before = network(scan).sinogram
    scan.metal_path_cm = 2 * scan.metal_path_cm
    assert not torch.equal(before, network(scan).sinogram)


def test_the_completions_residual_is_zero_outside_the_trace(scan):
    found = awake(DeepSinogramCompletionNetwork(**TINY))(scan)
    assert torch.equal(found.sinogram[~scan.trace], scan.sinogram[~scan.trace])
    assert not torch.equal(found.sinogram[scan.trace], scan.sinogram[scan.trace])
    found.image.sum().backward()  # jointly trained: the sinogram's error reaches the prior network through the projection


def test_the_completions_prior_network_learns_through_the_projection(scan):
    network = awake(DeepSinogramCompletionNetwork(**TINY))
    network(scan).image.square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.prior_network.parameters())


@pytest.mark.parametrize("downsamplings, pixels", [(3, 70), (2, 34)])
def test_a_discriminator_judges_patches_of_the_published_size(downsamplings, pixels):
    """The patch that one number depends on, measured by its gradient; without instance norm, which looks at the whole image."""
    discriminator = PatchDiscriminator(1, 4, downsamplings)
    for index, layer in enumerate(discriminator):
        if isinstance(layer, torch.nn.InstanceNorm2d):
            discriminator[index] = torch.nn.Identity()
    image = torch.randn(1, 1, 160, 160, requires_grad=True)
    judged = discriminator(image)
    judged[0, 0, judged.shape[2] // 2, judged.shape[3] // 2].backward()
    rows = torch.nonzero(image.grad[0, 0].abs().sum(1))
    assert int(rows.max() - rows.min()) + 1 == pixels


def test_the_adversarial_losses_teach_each_side_its_own():
    discriminator = PatchDiscriminator(1, 4, 2)
    real, made = torch.randn(1, 1, 64, 64), torch.randn(1, 1, 64, 64, requires_grad=True)
    for_maker, for_discriminator = adversarial_losses(discriminator, real, made)
    for_maker.backward(retain_graph=True)
    assert made.grad.abs().sum() > 0 and all(parameter.grad is None for parameter in discriminator.parameters())
    made.grad = None
    for_discriminator.backward()
    assert made.grad is None and all(parameter.grad is not None for parameter in discriminator.parameters())


def test_untrained_cganmar_cuts_off_what_is_no_tissue_and_changes_nothing_else(scan):
    image = scan.uncorrected_image
    found = CGANMARNetwork(channels=[3, 4, 5])(image)
    assert image.min() < 0 and torch.equal(found, image.clamp(0.0, 4 * 0.192))


def test_adns_decoders_can_give_back_both_inputs():
    """A few steps on one pair: reconstruction through either decoder comes near; the corrected image ignores the artifact code."""
    network = ADNNetwork(channels=6, residual_blocks=1, discriminator_channels=4)
    affected, clean = (torch.randn(1, 1, 8, 8).mul(0.4).clamp(-0.9, 0.9) for _ in range(2))
    affected, clean = (torch.nn.functional.interpolate(image, scale_factor=4, mode="bilinear") for image in (affected, clean))
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    errors = []
    for _ in range(150):
        found = network.disentangle(affected, clean)
        error = (found.affected_again - affected).abs().mean(), (found.clean_again - clean).abs().mean()
        optimizer.zero_grad()
        sum(error).backward()
        optimizer.step()
        errors.append([float(one.detach()) for one in error])
    assert errors[-1][0] < 0.4 * errors[0][0] and errors[-1][1] < 0.4 * errors[0][1]
    with torch.no_grad():
        before = network.disentangle(affected, clean)
        for parameter in network.artifacts.parameters():
            parameter.zero_()
        after = network.disentangle(affected, clean)
    assert torch.equal(before.corrected, after.corrected) and torch.equal(before.clean_again, after.clean_again)
    assert not torch.equal(before.affected_again, after.affected_again)


def test_adn_leaves_what_is_outside_its_window():
    """A network that gives back what it gets changes nothing, also of bone that the window cuts off."""
    network = ADNNetwork(channels=4, residual_blocks=1)
    image = torch.tensor([0.0, 0.19, 0.5, 0.7]).repeat(4, 1)[None]
    network.content_of_affected = torch.nn.Identity()
    network.content_of_affected.forward = lambda windowed: [windowed]
    network.clean_decoder.forward = lambda content: content
    assert torch.equal(network(image), image)
    assert in_window(image).max() == 1 and in_window(image).min() == -1
