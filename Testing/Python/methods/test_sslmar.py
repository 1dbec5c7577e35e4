"""SSLMAR: the protocol with small random weights, eq. 8 exact, iterations, what a perfect prior makes of it."""

from __future__ import annotations

import numpy
import pytest
import torch

from SSLMARLib.errors import InputError
from SSLMARLib.methods.base import MetalAffectedScan
from SSLMARLib.methods.restoration import metal_subtraction, replaced_sinogram, run_networks, trusted_share
from SSLMARLib.methods.sslmar import SSLMAR
from SSLMARLib.networks.sslmar import SSLMARNetwork
from SSLMARLib.networks.weights import load_network, save_weights
from SSLMARLib.tomography import FanBeamGeometry, FanBeamProjector

CONSTANTS = SSLMAR().constants
TINY = {"channels": 3, "levels": 2, "stem": 2}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def small_projector() -> FanBeamProjector:
    return FanBeamProjector(FanBeamGeometry(image_shape=(64, 64), pixel_size_cm=0.3, views=96, bins=97))


@pytest.fixture(scope="module")
def scan(small_projector) -> MetalAffectedScan:
    """Two slices of tissue and bone with two pieces of metal."""
    y, x = (torch.from_numpy(axis) for axis in numpy.mgrid[-1:1:64j, -1:1:64j])
    image = torch.where((x / 0.8) ** 2 + (y / 0.65) ** 2 < 1, 0.192, 0.0)
    image[(x + 0.35) ** 2 + y**2 < 0.02] = 0.35
    mask = ((x - 0.1) ** 2 + (y - 0.2) ** 2 < 0.006) | ((x + 0.3) ** 2 + (y - 0.25) ** 2 < 0.004)
    images, masks = torch.stack([image, image.T]).float(), torch.stack([mask, mask.T])
    return MetalAffectedScan.from_images(images + 2.0 * masks, masks, small_projector)


def random_network(further_inputs=()) -> SSLMARNetwork:
    torch.manual_seed(3)
    network = SSLMARNetwork("small", TINY, {**TINY, "further_inputs": further_inputs})
    for part in (network.sinogram_network, network.image_network):
        torch.nn.init.normal_(part.unet.last.weight, std=0.05)
    return network.requires_grad_(False)


@pytest.fixture
def weights(tmp_path):
    network = random_network(["nmar", "metal"])
    save_weights(tmp_path / "random.safetensors", network.state_dict(), {"network": network.options, "iterations": 2})
    return tmp_path / "random.safetensors"


@pytest.mark.parametrize("options", [{}, {"iterations": 1}, {"iterations": 0}])
def test_the_protocol(weights, scan, options):
    method = SSLMAR(weights=weights, **options)
    before = scan.sinogram.clone()
    corrected = method.correct(scan)
    assert corrected.shape == before.shape and torch.isfinite(corrected).all() and corrected.dtype == torch.float32
    assert torch.equal(corrected[~scan.trace], before[~scan.trace]) and torch.equal(scan.sinogram, before)
    assert not corrected.requires_grad and not torch.equal(corrected, scan.interpolated_sinogram)
    assert (method.name, method.title) == ("sslmar", "SSLMAR (random)") and method.description.endswith(".")
    alone = MetalAffectedScan(scan.sinogram[1:], scan.trace[1:], scan.metal_mask[1:], scan.projector)
    torch.testing.assert_close(method.correct(alone), corrected[1:], atol=1e-4, rtol=0)


def test_the_iterations_are_the_weights_own_unless_asked_otherwise(weights, scan):
    found = {iterations: SSLMAR(weights, iterations).correct(scan) for iterations in (None, 1, 2, 3)}
    assert torch.equal(found[None], found[2])
    assert not torch.equal(found[1], found[2]) and not torch.equal(found[2], found[3])


def test_nothing_inside_the_trace_is_read(scan):
    network = random_network(["nmar", "metal"])
    other = MetalAffectedScan(torch.where(scan.trace, 99.0, scan.sinogram), scan.trace, scan.metal_mask, scan.projector)
    one_result, other_result = run_networks(network, scan, CONSTANTS, 2), run_networks(network, other, CONSTANTS, 2)
    assert torch.equal(one_result.completed_sinogram, other_result.completed_sinogram)
    assert torch.equal(one_result.prior_image, other_result.prior_image)


def test_measured_data_count_and_the_kind_of_metal_does_not(scan):
    """With the input "measured" data inside the trace are read, and metal that bends as its model says changes nothing."""
    network = random_network(["measured"])
    path_cm = scan.projector.project(scan.metal_mask.float())

    def refined(sinogram, **options):
        other = MetalAffectedScan(sinogram, scan.trace, scan.metal_mask, scan.projector)
        return run_networks(network, other, CONSTANTS, 2, measured_share=torch.ones(2), **options).refined_images

    result = refined(scan.sinogram)
    denser = refined(scan.sinogram + 3.0 * path_cm - 0.4 * path_cm**2)
    wavy = refined(scan.sinogram + 0.5 * torch.sin(20 * path_cm))
    change = [float((result[0] - other[0]).abs().max()) for other in (denser, wavy)]
    assert change[0] < 0.05 * change[1] and change[1] > 1e-4
    given = refined(torch.where(scan.trace, 99.0, scan.sinogram), data_in_trace=scan.sinogram)
    torch.testing.assert_close(given, result)


def test_data_that_bring_streaks_back_are_not_trusted():
    generator = torch.Generator().manual_seed(2)
    texture, streaks = (
        0.02 * torch.nn.functional.avg_pool2d(torch.randn(4, 1, 96, 96, generator=generator), 5, 1, 2)[:, 0] for _ in range(2)
    )
    unmeasured = 0.192 + texture
    metal = torch.zeros(4, 96, 96, dtype=torch.bool)
    metal[:, 40:50, 45:50] = True
    added = torch.tensor([0.3, 0.85, 1.5, 3.0])[:, None, None] * streaks
    share = trusted_share(unmeasured + added, unmeasured, unmeasured + 2 * streaks, metal, CONSTANTS)
    assert share[0] == 1 and share[2] == share[3] == 0 and 0.05 < share[1] < 0.95
    everything = torch.ones(4)
    assert torch.equal(trusted_share(unmeasured, unmeasured, unmeasured + streaks, metal, CONSTANTS), everything)
    assert torch.equal(trusted_share(unmeasured + added, unmeasured, unmeasured - 2 * streaks, metal, CONSTANTS), everything)  # others
    smoother = trusted_share(unmeasured - 0.5 * texture, unmeasured, unmeasured - 0.6 * texture, metal, CONSTANTS)
    assert torch.equal(smoother, everything)
    bone = torch.full_like(unmeasured, 0.4)
    assert torch.equal(trusted_share(bone + added, bone, bone + 2 * streaks, metal, CONSTANTS), everything)  # no soft tissue, no sign


def test_gradients_go_through_the_iterations_but_not_through_the_metal_subtraction(scan):
    network = random_network(["measured"]).requires_grad_(True)
    first, second = run_networks(network, scan, CONSTANTS, 2, measured_share=torch.ones(2)).refined_images
    (through_both,) = torch.autograd.grad(second.square().sum(), first, retain_graph=True)
    assert float(through_both.abs().max()) > 0
    assert not metal_subtraction(scan, CONSTANTS.trust_per_cm)(scan.projector.project(first)).requires_grad
    second.square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_untrained_networks_give_linear_interpolation(scan):
    untrained = run_networks(SSLMARNetwork("small", TINY, TINY), scan, CONSTANTS)
    assert torch.equal(untrained.completed_sinogram, scan.interpolated_sinogram)
    assert torch.equal(untrained.prior_image, scan.interpolated_image)


def test_each_iteration_refines_what_the_former_one_replaced(scan):
    network = random_network()
    restoration = run_networks(network, scan, CONSTANTS, 2)
    first, second = restoration.refined_images
    assert torch.equal(first, network.refine(scan.projector.fbp(restoration.completed_sinogram)))
    assert torch.equal(second, network.refine(scan.projector.fbp(replaced_sinogram(first, scan))))
    assert restoration.prior_image is second
    alone = run_networks(network, scan, CONSTANTS, 0)
    assert alone.refined_images == [] and alone.prior_image is alone.completed_image
    with pytest.raises(InputError, match="iterated -1 times"):
        run_networks(network, scan, CONSTANTS, -1)


def test_equation_8_is_exact(scan, small_projector):
    """Outside the trace the scan's own values to the bit; inside, a perfect prior gives the metal-free sinogram."""
    torch.manual_seed(0)
    any_prior = torch.rand(2, 64, 64)
    assert torch.equal(replaced_sinogram(any_prior, scan)[~scan.trace], scan.sinogram[~scan.trace])
    truth = torch.where(scan.metal_mask, 0.192, torch.rand(2, 64, 64))
    metal_free = small_projector.project(truth)
    perfect = MetalAffectedScan(torch.where(scan.trace, 50.0, metal_free), scan.trace, scan.metal_mask, small_projector)
    torch.testing.assert_close(replaced_sinogram(truth, perfect), metal_free, atol=2e-5, rtol=0)


def test_without_iterations_the_completion_is_the_result(weights, scan):
    network, _ = load_network(SSLMARNetwork, weights)
    found, expected = SSLMAR(weights, iterations=0).correct(scan), network.complete(scan.interpolated_sinogram, scan.trace)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)  # the method's memory layout adds in another order
