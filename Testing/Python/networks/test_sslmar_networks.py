"""SinoNet and ImgNet: eq. 2 to the bit, LI before training, a ring of views, replicated detector ends, absolute values kept."""

from __future__ import annotations

import pytest
import torch

from SSLMARLib.errors import InputError
from SSLMARLib.networks.imgnet import ImgNet
from SSLMARLib.networks.sinonet import SinoNet
from SSLMARLib.networks.sslmar import SSLMARNetwork
from SSLMARLib.networks.unet import UNet
from SSLMARLib.networks.weights import load_network, save_weights

TINY = {"channels": 3, "levels": 2, "stem": 2}  # total stride 8
RESIDUAL = {"channels": [3, 4, 5], "stem": 2, "residual": True}


def trained(network, seed=1, size=0.5):
    """The network with no layer that is zero, as it starts with."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "last" in name or not parameter.any():
                parameter.copy_(size * torch.randn(parameter.shape, generator=generator))
    return network


def random_sinogram(slices=2, views=32, bins=27, seed=0):
    generator = torch.Generator().manual_seed(seed)
    sinogram = 3 + torch.rand(slices, views, bins, generator=generator)
    return sinogram, torch.rand(slices, views, bins, generator=generator) < 0.3


@pytest.fixture(autouse=True)
def one_thread():
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)
    torch.set_rng_state(state)


@pytest.mark.parametrize("options", [TINY, RESIDUAL])
def test_untrained_sinonet_is_linear_interpolation_and_untrained_imgnet_nothing(options):
    sinogram, trace = random_sinogram()
    assert torch.equal(SinoNet(**options)(sinogram, trace), sinogram)
    assert torch.equal(ImgNet(**options)(sinogram), sinogram)


@pytest.mark.parametrize("views, bins", [(32, 27), (32, 32), (30, 9), (7, 5), (640, 641)])
def test_equation_2_leaves_what_is_outside_the_trace_to_the_bit(views, bins):
    sinogram, trace = random_sinogram(views=views, bins=bins)
    completed = trained(SinoNet(**TINY))(sinogram, trace)
    assert completed.shape == sinogram.shape and torch.isfinite(completed).all()
    assert torch.equal(completed[~trace], sinogram[~trace])
    assert (completed[trace] != sinogram[trace]).float().mean() > 0.9


@pytest.mark.parametrize("options", [TINY, RESIDUAL, {"channels": 2, "levels": 3, "stem": 1}])
def test_rolling_the_views_rolls_the_completion(options):
    network = trained(SinoNet(**options))
    assert network.unet.total_stride == 8
    sinogram, trace = random_sinogram()
    completed = network(sinogram, trace)
    for views in (8, 16, -8):
        rolled = network(sinogram.roll(views, 1), trace.roll(views, 1))
        torch.testing.assert_close(rolled, completed.roll(views, 1), atol=1e-5, rtol=0)
    assert (network(sinogram.roll(8, 2), trace.roll(8, 2)) - completed.roll(8, 2)).abs().max() > 0.01  # the detector is no ring


@pytest.mark.parametrize("make, circular", [(SinoNet, True), (ImgNet, False)])
def test_borders_of_every_convolution(make, circular):
    """Views (rows) close to a ring in SinoNet alone, the ends of the detector (columns) are replicated: nowhere are there zeros."""
    network = make(**TINY)
    convolutions = [part for part in network.modules() if isinstance(part, torch.nn.Conv2d)]
    assert len(convolutions) == 2 + 2 * 2 + 2 * 2 + 1
    for convolution in convolutions:
        values = torch.rand(2, convolution.in_channels, 6, 5) + 1
        rows = torch.nn.functional.pad(values, (0, 0, 1, 1), mode="circular" if circular else "replicate")
        padded = torch.nn.functional.pad(rows, (1, 1, 0, 0), mode="replicate")
        expected = torch.nn.functional.conv2d(padded, convolution.weight, convolution.bias)
        torch.testing.assert_close(convolution(values), expected)


def test_absolute_values_are_kept():
    """A normalization of the layers would give the same change for a sinogram of twice the values."""
    network = trained(SinoNet(**TINY))
    sinogram, trace = random_sinogram()
    change, change_of_double = network(sinogram, trace) - sinogram, network(2 * sinogram, trace) - 2 * sinogram
    assert (change_of_double - change)[trace].abs().mean() > 0.3 * change[trace].abs().mean()


def test_the_mask_joins_every_level():
    """With the first layer blind, what is left of the trace comes in below; with one level blind too, the others still see it."""
    network = trained(UNet(1, 3, levels=2, mask_pyramid=True))
    _, trace = random_sinogram()
    values = torch.zeros(2, 1, 32, 27)
    other = trace.roll(5, 2)

    def sees():
        return not torch.equal(network(values, trace), network(values, other))

    torch.nn.init.zeros_(network.first.weight)
    assert sees()
    seeing = [block.first.weight.detach().clone() for block in network.encoder]
    for block in network.encoder:
        torch.nn.init.zeros_(block.first.weight[:, -1])
    assert not sees()
    for block, weight in zip(network.encoder, seeing, strict=True):
        block.first.weight.data.copy_(weight)
        assert sees()
        torch.nn.init.zeros_(block.first.weight[:, -1])


@pytest.mark.parametrize("options", [TINY | {"residual": False}, RESIDUAL])
def test_gradients_reach_the_first_layers(options):
    network = trained(SSLMARNetwork("small", options, options))
    sinogram, trace = random_sinogram()
    network.complete(sinogram, trace).square().sum().backward()
    network.refine(sinogram).square().sum().backward()
    for part in (network.sinogram_network, network.image_network):
        assert all(float(parameter.grad.abs().sum()) > 0 for parameter in part.parameters())


def test_imgnet_sees_its_further_inputs():
    network = trained(ImgNet(**TINY, further_inputs=["nmar", "measured", "metal"]))
    image, metal = random_sinogram()
    image = 0.05 * image  # about 0.2/cm, as tissue
    images = {"nmar": image.roll(3, 1), "measured": image.roll(2, 1), "metal": metal}
    found = network(image, images)
    for name in images:
        assert not torch.equal(found, network(image, {**images, name: images[name].roll(1, 2)}))
    with pytest.raises(InputError, match="further_inputs is"):
        ImgNet(further_inputs=["ct"])
    with pytest.raises(InputError, match="further_inputs is"):
        ImgNet(further_inputs="nmar")


def test_sizes():
    paper, small = SSLMARNetwork("paper").options, SSLMARNetwork("small").options
    plain = {"levels": 4, "stem": 1, "residual": False}
    assert paper["sinogram_network"] == {"channels": 64, **plain}
    assert paper["image_network"] == {"channels": 32, **plain, "further_inputs": []}
    assert small["sinogram_network"] == {"channels": 16, "levels": 4, "stem": 2, "residual": True}
    assert small["image_network"]["channels"] == [48, 64, 96, 128] and small["image_network"]["stem"] == 2
    with pytest.raises(InputError, match="no network of size 'huge': choose one of paper, small"):
        SSLMARNetwork("huge")


IMPOSSIBLE = [{"channels": 0}, {"levels": 0}, {"stem": 1.5}, {"channels": True}, {"channels": []}, {"channels": [4, 0]}]


@pytest.mark.parametrize("options", IMPOSSIBLE)
def test_impossible_networks_are_refused(options):
    with pytest.raises(InputError, match="cannot be made"):
        SinoNet(**{**TINY, **options})


def test_bfloat16_inside_gives_float32_outside():
    network = trained(SSLMARNetwork("small", TINY, TINY))
    sinogram, trace = random_sinogram()
    exact = network.complete(sinogram, trace), network.refine(sinogram)
    network.autocast = torch.bfloat16
    rough = network.complete(sinogram, trace), network.refine(sinogram)
    for one, other, values in zip(exact, rough, (sinogram, sinogram), strict=True):
        assert other.dtype == torch.float32 and not torch.equal(one, other)
        assert (one - other).abs().max() < 0.05 * (one - values).abs().max()
    assert torch.equal(rough[0][~trace], sinogram[~trace])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_weights_make_the_same_network_again(tmp_path, dtype):
    network = trained(SSLMARNetwork("small", TINY, {**TINY, "further_inputs": ["metal"]}))
    tensors = {name: value.to(dtype) for name, value in network.state_dict().items()}
    path = tmp_path / "tiny.safetensors"
    save_weights(path, tensors, {"network": network.options, "iterations": 2})
    again, description = load_network(SSLMARNetwork, path)
    assert description["iterations"] == 2 and again.options == network.options and not again.training
    assert not any(parameter.requires_grad for parameter in again.parameters())
    prefixes = {name.split(".")[0] for name in tensors}
    assert prefixes == {"sinogram_network", "image_network"}
    sinogram, trace = random_sinogram()
    torch.testing.assert_close(again.complete(sinogram, trace), network.complete(sinogram, trace), atol=1e-2, rtol=2e-3)
    save_weights(path, tensors, {"network": SSLMARNetwork("small", TINY, {"channels": 2}).options})
    with pytest.raises(InputError, match="do not fit the network of SSLMAR"):
        load_network(SSLMARNetwork, path)
    save_weights(path, tensors, {})
    with pytest.raises(InputError, match="do not fit the network of SSLMAR"):
        load_network(SSLMARNetwork, path)
