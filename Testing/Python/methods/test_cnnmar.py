"""CNNMAR: the protocol with small random weights, its tissue processing, and what a perfect prior makes of it."""

from __future__ import annotations

import numpy
import pytest
import torch

from SSLMARLib.errors import InputError
from SSLMARLib.methods import cnnmar
from SSLMARLib.methods.base import MetalAffectedScan
from SSLMARLib.methods.cnnmar import CNNMAR, network_images, tissue_processing
from SSLMARLib.networks.cnnmar import CNNMARNetwork
from SSLMARLib.networks.weights import save_weights
from SSLMARLib.tomography import FanBeamGeometry, FanBeamProjector

WATER, BONE = 0.192, 0.35  # 1/cm
TISSUE = SOFT_TISSUE_HU, BORDER_PIXELS = (-300.0, 300.0), 3


@pytest.fixture(scope="module")
def small_projector() -> FanBeamProjector:
    return FanBeamProjector(FanBeamGeometry(image_shape=(96, 96), pixel_size_cm=0.3, views=160, bins=145))


@pytest.fixture(scope="module")
def body():
    """(image in 1/cm without metal, metal mask), two slices of 96 x 96: tissue with two bones and a gas bubble, two screws."""
    y, x = (torch.from_numpy(axis) for axis in numpy.mgrid[-1:1:96j, -1:1:96j])
    image = torch.where((x / 0.8) ** 2 + (y / 0.65) ** 2 < 1, WATER, 0.0)
    image[(x + 0.35) ** 2 + y**2 < 0.02] = BONE
    image[(x - 0.35) ** 2 + y**2 < 0.02] = BONE
    image[x**2 + (y + 0.35) ** 2 < 0.01] = 0.0
    mask = ((x - 0.1) ** 2 + (y - 0.2) ** 2 < 0.004) | ((x + 0.3) ** 2 + (y - 0.25) ** 2 < 0.003)
    return torch.stack([image, image.T]).float(), torch.stack([mask, mask.T])


@pytest.fixture(scope="module")
def scan(body, small_projector) -> MetalAffectedScan:
    """Metal whose line integrals bend as those of a polychromatic scan do."""
    image, mask = body
    path_cm = small_projector.project(mask.float())
    sinogram = small_projector.project(image) + 4.0 * path_cm - 0.6 * path_cm**2
    return MetalAffectedScan(sinogram, path_cm > 1e-6, mask, small_projector)


@pytest.fixture
def random_weights(tmp_path):
    torch.manual_seed(4)
    network = CNNMARNetwork(channels=3, dilations=(1, 2))
    torch.nn.init.normal_(network.layers[-1].weight, std=0.02)
    save_weights(tmp_path / "random.safetensors", network.state_dict(), {"network": network.options})
    return tmp_path / "random.safetensors"


def rmse(image, reference, mask) -> float:
    return float((image - reference)[~mask].square().mean().sqrt())


def test_the_protocol(random_weights, scan):
    method = CNNMAR(weights=random_weights)
    before = scan.sinogram.clone()
    corrected = method.correct(scan)
    assert corrected.shape == scan.sinogram.shape and torch.isfinite(corrected).all() and corrected.dtype == torch.float32
    assert torch.equal(corrected[~scan.trace], before[~scan.trace]) and torch.equal(scan.sinogram, before)
    assert not corrected.requires_grad
    assert (method.name, method.title) == ("cnnmar", "CNNMAR (random)") and method.description.endswith(".")
    # slice by slice the same as in a batch
    alone = MetalAffectedScan(scan.sinogram[1:], scan.trace[1:], scan.metal_mask[1:], scan.projector)
    torch.testing.assert_close(method.correct(alone), corrected[1:], atol=1e-4, rtol=0)


def test_the_weights_matter_and_are_read_once(random_weights, scan):
    method = CNNMAR(weights=random_weights)
    first = method.correct(scan)
    network = CNNMARNetwork(channels=3, dilations=(1, 2))  # untrained: LI
    save_weights(random_weights, network.state_dict(), {"network": network.options})
    assert torch.equal(method.correct(scan), first)
    assert not torch.equal(CNNMAR(weights=random_weights).correct(scan), first)  # a new object sees the new file


def test_bad_weights_are_refused(random_weights, scan):
    random_weights.write_bytes(random_weights.read_bytes()[:-10])
    with pytest.raises(InputError, match="altered or cut off"):
        CNNMAR(weights=random_weights).correct(scan)


def test_the_three_images(scan, body):
    images = network_images(scan)
    assert images.shape == (2, 3, 96, 96)
    assert torch.equal(images[:, 0], scan.projector.fbp(scan.sinogram))
    assert torch.equal(images[:, 2], scan.interpolated_image)
    image, mask = body
    reference = scan.projector.fbp(scan.projector.project(image + 4.0 * mask))  # what straight metal would have given
    uncorrected, hardened = (rmse(images[:, channel], reference, mask) for channel in (0, 1))
    assert hardened < 0.5 * uncorrected


def test_a_perfect_prior_gives_the_truth(scan, body, monkeypatch):
    image, mask = body
    monkeypatch.setattr(CNNMAR, "network", lambda self, device: torch.nn.Identity())
    monkeypatch.setattr(cnnmar, "network_images", lambda scan: image)
    corrected = CNNMAR().correct(scan)
    truth = scan.projector.fbp(scan.projector.project(image))
    li, found = (rmse(one, truth, mask) for one in (scan.interpolated_image, scan.projector.fbp(corrected)))
    assert found < 0.05 * li
    torch.testing.assert_close(corrected, scan.projector.project(image), atol=0.02, rtol=0)


def test_tissue_becomes_uniform_and_edges_stay(body):
    image, mask = body
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0)) * 0.003 * (image == WATER)
    prior = tissue_processing(image + noise, mask, *TISSUE)
    tissue = image == WATER
    deep = torch.nn.functional.max_pool2d((~tissue).float()[:, None], 2 * (BORDER_PIXELS + 2) + 1, 1, BORDER_PIXELS + 2)[:, 0] == 0
    assert deep.sum() > 200
    for one_prior, one_deep in zip(prior, deep, strict=True):
        values = one_prior[one_deep]
        assert float(values.max() - values.min()) < 1e-6 and values.mean() == pytest.approx(WATER, abs=5e-4)
    assert torch.equal(prior[image == BONE], (image + noise)[image == BONE])  # bone and gas keep their values
    assert torch.equal(prior[(image == 0)], image[image == 0])


def test_the_uniform_tissue_gives_way_to_the_image_towards_its_border():
    image = torch.full((1, 40, 40), 1.05 * WATER)  # brighter on the right half, still tissue, and bone beyond
    image[:, :, :20] = WATER
    image[:, :, 32:] = BONE
    prior = tissue_processing(image, torch.zeros_like(image, dtype=torch.bool), *TISSUE)
    row = prior[0, 20]
    uniform = float(row[22])
    assert WATER < uniform < 1.05 * WATER and float((row[:24] - uniform).abs().max()) < 1e-6
    share = (row[24:32] - uniform) / (image[0, 20, 24:32] - uniform)  # of the image, towards the bone
    assert (share.diff() > -1e-5).all() and share[0] < 0.25 and share[-1] == pytest.approx(1.0, abs=1e-4)
    assert float(share.diff().max()) < 1.5 / BORDER_PIXELS


def test_metal_is_tissue_and_nothing_is_negative(body):
    image, mask = body
    prior = tissue_processing(torch.where(mask, 40.0, image) - 0.05 * (image == 0), mask, *TISSUE)
    assert float((prior[mask] - WATER).abs().max()) < 2e-3
    assert float(prior.min()) == 0.0


def test_a_slice_without_tissue_stays():
    image = torch.zeros(1, 20, 20)
    assert torch.equal(tissue_processing(image, torch.zeros_like(image, dtype=torch.bool), *TISSUE), image)


def test_each_slice_has_a_mean_of_its_own():
    image = torch.full((2, 40, 40), WATER)
    image[1] = 0.2
    prior = tissue_processing(image, torch.zeros_like(image, dtype=torch.bool), *TISSUE)
    torch.testing.assert_close(prior, image)
