"""Metal trace, interpolation, replacement and normalization against numpy, the benchmark's files and their definitions."""

from __future__ import annotations

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from SSLMARLib.errors import InputError
from SSLMARLib.sinogram import linear_interpolation, metal_trace, metal_trace_replacement, normalized_interpolation
from SSLMARLib.tomography import FanBeamGeometry, FanBeamProjector


@pytest.fixture(scope="module")
def small_projector() -> FanBeamProjector:
    return FanBeamProjector(FanBeamGeometry(image_shape=(32, 32), pixel_size_cm=0.5, views=48, bins=65))


def with_numpy(sinogram, trace):
    """Eq. 9 by numpy.interp, view by view; beyond the ends it holds the last value, as ours does."""
    result = sinogram.copy()
    position = numpy.arange(sinogram.shape[-1])
    for view, missing in zip(result, trace, strict=True):
        if not missing.all():
            view[missing] = numpy.interp(position[missing], position[~missing], view[~missing])
    return result


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**31), share=st.floats(0.02, 0.97), views=st.integers(1, 6), bins=st.integers(2, 20))
def test_interpolation_is_numpys(seed, share, views, bins):
    generator = numpy.random.default_rng(seed)
    sinogram = generator.normal(size=(views, bins))
    trace = generator.random((views, bins)) < share
    trace[:, generator.integers(bins)] = False  # at least one bin of each view is unaffected
    found = linear_interpolation(torch.from_numpy(sinogram), torch.from_numpy(trace)).numpy()
    numpy.testing.assert_allclose(found, with_numpy(sinogram, trace), atol=1e-12)
    assert (found[~trace] == sinogram[~trace]).all()


def test_every_benchmark_interpolation(shared):
    h5py = pytest.importorskip("h5py")
    files = sorted((shared / "data/benchmark").glob("*/*/[0-9]*.h5"))
    assert len(files) >= 5
    for path in files:
        with h5py.File(path) as file:
            sinogram, trace, expected = (torch.from_numpy(file[name][()]) for name in ("ma_sinogram", "metal_trace", "LI_sinogram"))
        assert float((linear_interpolation(sinogram, trace > 0.5) - expected).abs().max()) <= 1e-5, path


def test_benchmark_trace(shared, projector):
    h5py = pytest.importorskip("h5py")
    image_module = pytest.importorskip("PIL.Image")
    with numpy.load(shared / "data/masks/masks_testmask10.npz") as file:
        mask = file[file.files[0]][0].astype(numpy.uint8)
    mask = numpy.asarray(image_module.fromarray(mask).resize((416, 416), image_module.BILINEAR)).round() > 0
    with h5py.File(shared / "data/benchmark/test/000376_02_01_040/0.h5") as file:
        expected = torch.from_numpy(file["metal_trace"][()]) > 0.5
    found = metal_trace(torch.from_numpy(mask), projector)
    assert int((found & expected).sum()) / int((found | expected).sum()) >= 0.999


def test_whole_views_come_from_their_neighbors():
    views, bins = 10, 6
    ramp = torch.arange(views, dtype=torch.float64)[:, None] + torch.zeros(bins)
    trace = torch.zeros(views, bins, dtype=torch.bool)
    trace[3:6] = True
    torch.testing.assert_close(linear_interpolation(ramp, trace), ramp)
    around = torch.zeros(views, bins, dtype=torch.bool)
    around[[0, 9]] = True  # between view 8 and view 1, across the end of the turn
    found = linear_interpolation(ramp, around)
    torch.testing.assert_close(found[9], torch.full((bins,), 8 - 7 / 3, dtype=torch.float64))
    torch.testing.assert_close(found[0], torch.full((bins,), 8 - 14 / 3, dtype=torch.float64))


def test_a_slice_without_any_unaffected_ray_is_refused():
    with pytest.raises(InputError, match="too large"):
        linear_interpolation(torch.zeros(2, 4, 5), torch.ones(2, 4, 5, dtype=torch.bool))
    with pytest.raises(InputError, match="boolean trace"):
        linear_interpolation(torch.zeros(4, 5), torch.zeros(4, 6, dtype=torch.bool))


def test_trace_is_where_metal_projects(small_projector):
    mask = torch.zeros(2, 32, 32, dtype=torch.bool)
    mask[0, 16, 20] = True
    trace = metal_trace(mask, small_projector)
    assert trace.shape == (2, 48, 65) and not trace[1].any() and trace[0].any(dim=-1).all()
    assert int(trace[0].sum(dim=-1).max()) <= 4  # one pixel shadows few bins
    wider = metal_trace(mask, small_projector, dilation_bins=2)
    for view in range(48):
        bins = torch.nonzero(trace[0, view])[:, 0]
        expected = torch.zeros(65, dtype=torch.bool)
        expected[int(bins.min()) - 2 : int(bins.max()) + 3] = True
        assert torch.equal(wider[0, view], expected)
    with pytest.raises(InputError, match="-1 bins"):
        metal_trace(mask, small_projector, dilation_bins=-1)


def test_replacement_keeps_unaffected_bins_and_a_perfect_prior(small_projector):
    generator = torch.Generator().manual_seed(0)
    truth = small_projector.project(torch.rand(3, 32, 32, generator=generator))
    mask = torch.zeros(3, 32, 32, dtype=torch.bool)
    mask[:, 10:14, 12:20] = True
    trace = metal_trace(mask, small_projector)
    affected = truth + 5.0 * trace
    prior = truth + 0.3  # eq. 8 needs the prior's shape only: an offset is taken out by the residual's interpolation
    found = metal_trace_replacement(affected, prior, trace)
    assert torch.equal(found[~trace], affected[~trace])
    torch.testing.assert_close(found, truth, atol=1e-4, rtol=0)
    interpolated_first = metal_trace_replacement(linear_interpolation(affected, trace), prior, trace)
    torch.testing.assert_close(interpolated_first, found)


def test_normalization_keeps_unaffected_bins_and_a_perfect_prior(small_projector):
    generator = torch.Generator().manual_seed(0)
    truth = small_projector.project(torch.rand(2, 32, 32, generator=generator) + 0.5)
    mask = torch.zeros(2, 32, 32, dtype=torch.bool)
    mask[:, 10:14, 12:20] = True
    trace = metal_trace(mask, small_projector)
    found = normalized_interpolation(truth + 9.0 * trace, 0.8 * truth, trace)  # a factor is normalized away
    assert torch.equal(found[~trace], truth[~trace])
    torch.testing.assert_close(found, truth, atol=2e-3, rtol=1e-3)
    # a prior of nothing: no division by zero, and plain interpolation
    empty = normalized_interpolation(truth, torch.zeros_like(truth), trace)
    torch.testing.assert_close(empty, linear_interpolation(truth, trace))


def test_a_prior_that_is_wrong_at_the_skin_does_not_blow_up():
    sinogram = torch.tensor([[0.0, 0.9, 1.0, 7.0, 7.0, 7.0, 4.0, 4.0]], dtype=torch.float64)
    prior = torch.tensor([[0.0, 0.0, 0.02, 3.0, 6.0, 5.0, 4.0, 4.0]], dtype=torch.float64)  # misses a rim of the body
    trace = torch.tensor([[False, False, False, True, True, True, False, False]])
    found = normalized_interpolation(sinogram, prior, trace)
    assert torch.equal(found[~trace], sinogram[~trace])
    assert float((found - prior)[trace].abs().max()) < 1.0  # normalizing alone gives up to 75 here


def test_both_are_differentiable(small_projector):
    trace = torch.zeros(4, 9, dtype=torch.bool)
    trace[:, 3:6] = True
    trace[1] = True
    prior = torch.rand(4, 9, dtype=torch.float64, requires_grad=True)
    sinogram = torch.rand(4, 9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s, p: metal_trace_replacement(s, p, trace), (sinogram, prior))
