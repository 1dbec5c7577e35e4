"""The beam hardening correction of metal, against polynomials that are known and against numpy's least squares."""

from __future__ import annotations

import numpy
import pytest
import torch

from SSLMARLib.errors import InputError
from SSLMARLib.sinogram.beam_hardening import metal_beam_hardening_correction


@pytest.fixture
def rays():
    """(S_LI, metal path in cm, trace) of two slices of 12 views x 30 bins, float64."""
    generator = torch.Generator().manual_seed(5)
    interpolated = 4 * torch.rand(2, 12, 30, generator=generator, dtype=torch.float64)
    trace = torch.zeros(2, 12, 30, dtype=torch.bool)
    trace[0, :, 8:19] = True
    trace[1, :, 20:24] = True
    path_cm = 3 * torch.rand(2, 12, 30, generator=generator, dtype=torch.float64) * trace
    return interpolated, path_cm, trace


def test_a_cubic_becomes_its_linear_term(rays):
    interpolated, path_cm, trace = rays
    slope = torch.tensor([2.5, 0.9], dtype=torch.float64)[:, None, None]  # each slice has a metal of its own
    bend = torch.tensor([-0.4, -0.1], dtype=torch.float64)[:, None, None]
    cubic = torch.tensor([0.03, 0.005], dtype=torch.float64)[:, None, None]
    sinogram = interpolated + slope * path_cm + bend * path_cm**2 + cubic * path_cm**3
    found = metal_beam_hardening_correction(sinogram, interpolated, path_cm, trace)
    torch.testing.assert_close(found, interpolated + slope * path_cm, atol=1e-4, rtol=0)
    assert float((sinogram - found).abs().max()) > 0.5  # there was something to correct


def test_what_is_linear_already_stays(rays):
    interpolated, path_cm, trace = rays
    sinogram = (interpolated + 1.7 * path_cm).float()
    found = metal_beam_hardening_correction(sinogram, interpolated.float(), path_cm.float(), trace)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, sinogram, atol=2e-5, rtol=0)


def test_outside_the_trace_nothing_changes_to_the_bit(rays):
    interpolated, path_cm, trace = rays
    sinogram = torch.rand(trace.shape, generator=torch.Generator().manual_seed(1))
    path_cm = path_cm.float() + 0.5  # a path that reaches beyond the trace neither changes the fit nor the rays there
    found = metal_beam_hardening_correction(sinogram, interpolated.float(), path_cm, trace)
    assert torch.equal(found[~trace], sinogram[~trace]) and not torch.equal(found[trace], sinogram[trace])
    elsewhere = torch.where(trace, path_cm, 0.0)
    torch.testing.assert_close(metal_beam_hardening_correction(sinogram, interpolated.float(), elsewhere, trace), found)


def test_noisy_data_as_numpys_least_squares(rays, random_generator):
    interpolated, path_cm, trace = rays
    metal = 2.0 * path_cm - 0.3 * path_cm**2 + torch.from_numpy(random_generator.normal(0, 0.2, path_cm.shape))
    sinogram = interpolated + metal
    found = metal_beam_hardening_correction(sinogram, interpolated, path_cm, trace).numpy()
    for n in range(2):
        length, measured = path_cm[n][trace[n]].numpy(), (sinogram - interpolated)[n][trace[n]].numpy()
        fit, *_ = numpy.linalg.lstsq(numpy.stack([length, length**2, length**3], axis=1), measured, rcond=None)
        expected = sinogram[n].numpy().copy()
        expected[trace[n].numpy()] -= fit[1] * length**2 + fit[2] * length**3
        numpy.testing.assert_allclose(found[n], expected, atol=1e-4)


def test_a_slice_without_metal_stays_and_does_not_disturb_the_others(rays):
    interpolated, path_cm, trace = rays
    sinogram = interpolated + 2.0 * path_cm - 0.3 * path_cm**2
    alone = metal_beam_hardening_correction(sinogram, interpolated, path_cm, trace)
    trace, path_cm = trace.clone(), path_cm.clone()
    trace[1], path_cm[1] = False, 0.0
    found = metal_beam_hardening_correction(sinogram, interpolated, path_cm, trace)
    assert torch.equal(found[1], sinogram[1]) and torch.isfinite(found).all()
    torch.testing.assert_close(found[0], alone[0])


def test_one_ray_of_metal_is_no_division_by_zero():
    sinogram, path_cm = torch.ones(1, 4, 5), torch.zeros(1, 4, 5)
    trace = torch.zeros(1, 4, 5, dtype=torch.bool)
    trace[0, 2, 2], path_cm[0, 2, 2] = True, 1.0
    found = metal_beam_hardening_correction(sinogram, torch.zeros(1, 4, 5), path_cm, trace)
    assert torch.isfinite(found).all() and torch.equal(found[~trace], sinogram[~trace])


def test_shapes_that_differ_are_refused(rays):
    interpolated, path_cm, trace = rays
    with pytest.raises(InputError, match="must have one shape"):
        metal_beam_hardening_correction(interpolated, interpolated, path_cm[:1], trace)


def test_the_simulated_metal_of_a_scan_is_straightened(projector):
    """Titanium in water: the correction halves what bends the metal's part away from a line, at the least."""
    from SSLMARLib.methods.base import MetalAffectedScan
    from SSLMARLib.simulation.scan import ScanProtocol, simulate_scan

    rows, columns = numpy.mgrid[:416, :416]
    water = torch.from_numpy((rows - 208.0) ** 2 + (columns - 208.0) ** 2 < 150**2) * 0.192
    mask = torch.from_numpy((rows - 190.0) ** 2 / 4 + (columns - 230.0) ** 2 < 12**2)
    scan = simulate_scan(water.float(), mask, projector, ScanProtocol(noise="none"))
    affected = MetalAffectedScan(scan.sinogram, scan.metal_trace, scan.metal_mask, projector)
    path_cm = projector.project(scan.metal_mask.float())
    found = metal_beam_hardening_correction(scan.sinogram, affected.interpolated_sinogram, path_cm, scan.metal_trace)

    def curvature(sinogram):
        part = (sinogram - scan.metal_free_sinogram)[scan.metal_trace].double().numpy()
        length = path_cm[scan.metal_trace].double().numpy()
        line = length * (part @ length) / (length @ length)
        return numpy.abs(part - line).mean()

    assert curvature(found) < 0.5 * curvature(scan.sinogram)
