"""The errors that metal-free data get: random but repeatable, along the metal's path, of the stated sizes."""

from __future__ import annotations

from dataclasses import replace

import numpy
import pytest
import torch

from SSLMARLib.training.data_errors import LARGEST_NOISE, DataErrors, spoiled

SHAPE = (96, 97)


@pytest.fixture
def mask():
    rows, columns = numpy.mgrid[:64, :64]
    return numpy.hypot(rows - 30, columns - 35) < 6


@pytest.fixture
def path_cm(mask, small_projector):
    return small_projector.project(torch.from_numpy(mask.astype(numpy.float32)))[None]


def draw(mask, seed=0):
    return DataErrors.draw(numpy.random.default_rng(seed), mask, SHAPE)


def silent(errors):
    """Without any of the errors."""
    return replace(
        errors,
        noise=torch.zeros(SHAPE),
        outline=torch.zeros_like(errors.outline),
        wave=(0.0, 5.0, 0.0),
        drift=(0.0, 1, 0.0),
        ripple=torch.zeros(SHAPE[0]),
    )


def test_the_generator_alone_decides(mask, path_cm, small_projector):
    sinogram = torch.full((1, *SHAPE), 2.0)
    first, again, other = (spoiled(sinogram, path_cm, [draw(mask, seed)], small_projector) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.isfinite(first).all() and float((first - sinogram).abs().max()) > 1e-3


def test_without_errors_the_sinogram_comes_back(mask, path_cm, small_projector):
    sinogram = torch.rand(1, *SHAPE)
    assert torch.equal(spoiled(sinogram, path_cm, [silent(draw(mask))], small_projector), sinogram)


def test_noise_is_that_of_the_photons(mask, path_cm, small_projector):
    errors = replace(silent(draw(mask)), noise=draw(mask).noise, photons=1e6, noise_per_cm=1.0)
    sinogram = torch.full((1, *SHAPE), 3.0)
    noise = (spoiled(sinogram, path_cm, [errors], small_projector) - sinogram)[0]
    beside, longest = noise[path_cm[0] == 0], path_cm.max()
    assert float(beside.std()) == pytest.approx(numpy.exp(1.5) / 1000, rel=0.05)
    through = path_cm[0] > 0.9 * longest
    assert float(noise[through].std()) == pytest.approx(float(torch.exp((3 + 0.95 * longest) / 2)) / 1000, rel=0.3)
    dense = spoiled(torch.full((1, *SHAPE), 40.0), path_cm, [errors], small_projector)
    assert float((dense - 40).std()) == pytest.approx(LARGEST_NOISE, rel=0.05)


def test_wave_and_drift_follow_the_path(mask, path_cm, small_projector):
    sinogram = torch.zeros(1, *SHAPE)
    wave = spoiled(sinogram, path_cm, [replace(silent(draw(mask)), wave=(0.02, 5.0, 0.0))], small_projector)
    torch.testing.assert_close(wave, 0.02 * torch.sin(5 * path_cm / path_cm.max()))
    drift = spoiled(sinogram, path_cm, [replace(silent(draw(mask)), drift=(0.02, 2, 0.0))], small_projector)
    assert float(drift[path_cm == 0].abs().max()) == 0 and 0.005 < float(drift.abs().max()) <= 0.02


def test_a_ripple_goes_from_view_to_view_in_metal_alone(mask, path_cm, small_projector):
    ripple, share = torch.randn(SHAPE[0]), path_cm / path_cm.max()
    for power, profile in ((0.0, (path_cm > 0).float()), (1.0, share)):
        errors = replace(silent(draw(mask)), ripple=ripple, ripple_power=power)
        found = spoiled(torch.zeros(1, *SHAPE), path_cm, [errors], small_projector)
        torch.testing.assert_close(found, ripple[:, None] * profile)
    drawn = [draw(mask, seed).ripple.numpy() for seed in range(60)]
    some = [one for one in drawn if one.any()]
    assert 0.3 < len(some) / len(drawn) < 0.7
    assert max(abs(one.mean()) for one in some) < 1e-6 and 0.02 < numpy.mean([one.std() for one in some]) < 0.06


def test_the_outline_is_wrong_near_the_outline_only(mask):
    outlines = [draw(mask, seed).outline.numpy() for seed in range(40)]
    wrong = [outline for outline in outlines if outline.any()]
    assert 0.5 < len(wrong) / len(outlines) < 0.9
    rows, columns = numpy.mgrid[:64, :64]
    distance = numpy.abs(numpy.hypot(rows - 30, columns - 35) - 6)
    strong = numpy.mean([numpy.abs(outline[distance < 2]).mean() for outline in wrong])
    far = numpy.mean([numpy.abs(outline[distance > 8]).mean() for outline in wrong])
    assert strong > 0.02 and far < 0.02 * strong
    assert {numpy.sign(outline.sum()) for outline in wrong} == {-1.0, 1.0}
