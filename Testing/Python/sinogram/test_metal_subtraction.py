"""Metal subtraction: what its model describes drops out, against numpy's least squares; and a simulated scan gains from it."""

from __future__ import annotations

import numpy
import pytest
import torch

from SSLMARLib.errors import InputError
from SSLMARLib.methods.base import MetalAffectedScan
from SSLMARLib.sinogram.metal_subtraction import RIDGE, TRUST_PER_CM, metal_subtracted_sinogram, rays_inside_metal


@pytest.fixture
def rays():
    """(anatomy, reference, metal path in cm, trace) of two slices of 16 views x 40 bins, float64."""
    generator = torch.Generator().manual_seed(5)
    anatomy = 4 * torch.rand(2, 16, 40, generator=generator, dtype=torch.float64)
    reference = anatomy + 0.1 * torch.randn(2, 16, 40, generator=generator, dtype=torch.float64)
    trace = torch.zeros(2, 16, 40, dtype=torch.bool)
    trace[0, :, 8:29] = True
    trace[1, :, 20:28] = True
    path_cm = (0.1 + 2 * torch.rand(2, 16, 40, generator=generator, dtype=torch.float64)) * trace
    return anatomy, reference, path_cm, trace


def test_metal_of_the_model_drops_out(rays):
    """A scan with metal gives what the same scan without metal gives: each slice may have a metal of its own."""
    anatomy, reference, path_cm, trace = rays
    slope, bend = torch.tensor([2.5, 0.9])[:, None, None], torch.tensor([-0.4, 0.02])[:, None, None]
    metal = slope * path_cm + bend * path_cm**2 + 0.03 * path_cm**3 + (0.2 * path_cm - 0.05 * path_cm**2) * reference + 0.1 * trace
    without = metal_subtracted_sinogram(anatomy, reference, path_cm, trace)
    with_metal = metal_subtracted_sinogram(anatomy + metal, reference, path_cm, trace)
    assert float(metal.abs().max()) > 2
    torch.testing.assert_close(with_metal, without, atol=1e-3, rtol=0)


def test_the_fit_is_that_of_numpys_least_squares(rays):
    anatomy, reference, path_cm, trace = rays
    sinogram = anatomy + 1.3 * path_cm - 0.1 * path_cm**2
    found = metal_subtracted_sinogram(sinogram, reference, path_cm, trace)
    for n in range(2):
        inside = numpy.zeros((16, 40), dtype=bool)
        inside[:, slice(9, 28) if n == 0 else slice(21, 27)] = True
        path, known, values = (part[n].numpy()[inside] for part in (path_cm, reference, sinogram))
        terms = numpy.stack([path**0, path, path**2, path**3, path * known, path**2 * known], axis=1)
        terms /= numpy.abs(terms).max(axis=0)
        weight = numpy.exp(-TRUST_PER_CM * path)
        ridge = numpy.sqrt(RIDGE * numpy.mean(((terms * weight[:, None]) ** 2).sum(axis=0))) * numpy.eye(6)
        matrix = numpy.concatenate([terms * weight[:, None], ridge])
        solution = numpy.linalg.lstsq(matrix, numpy.concatenate([(values - known) * weight, numpy.zeros(6)]), rcond=None)[0]
        numpy.testing.assert_allclose(found[n].numpy()[inside], values - terms @ solution, atol=1e-6)


def test_outside_the_metal_nothing_of_the_data_is_read(rays):
    anatomy, reference, path_cm, trace = rays
    found = metal_subtracted_sinogram(anatomy, reference, path_cm, trace)
    used = rays_inside_metal(path_cm, trace)
    assert torch.equal(found[~trace], anatomy[~trace]) and torch.equal(found[trace & ~used], reference[trace & ~used])
    assert used[0].sum() == 16 * 19 and used[1].sum() == 16 * 6  # the first and the last ray of each run are left out
    other = torch.where(used, anatomy, anatomy + 7)
    torch.testing.assert_close(metal_subtracted_sinogram(other, reference, path_cm, trace)[used], found[used])


def test_no_rays_inside_metal_gives_the_reference(rays):
    anatomy, reference, path_cm, trace = rays
    path_cm = path_cm * 0
    path_cm[0, :, 10] = 0.5  # one ray wide
    found = metal_subtracted_sinogram(anatomy, reference, path_cm, trace)
    assert torch.equal(found, torch.where(trace, reference, anatomy)) and torch.isfinite(found).all()


def test_other_shapes_are_refused(rays):
    anatomy, reference, path_cm, trace = rays
    with pytest.raises(InputError, match="must have one shape"):
        metal_subtracted_sinogram(anatomy, reference[:1], path_cm, trace)
    with pytest.raises(InputError, match="must have one shape"):
        metal_subtracted_sinogram(anatomy[0], reference[0], path_cm[0], trace[0])


def test_a_polychromatic_scan_gains(projector):
    """Two titanium disks in a water phantom with bone and gas: closer to the metal-free data than linear interpolation."""
    from SSLMARLib.simulation.scan import ScanProtocol, simulate_scan

    rows, columns = torch.meshgrid(torch.arange(416) - 207.5, torch.arange(416) - 207.5, indexing="ij")
    image = 0.192 * ((rows / 150) ** 2 + (columns / 110) ** 2 < 1)
    image = torch.where(torch.hypot(rows - 35, columns - 30) < 14, 0.35, image)
    image = torch.where(torch.hypot(rows + 30, columns + 40) < 12, 0.02, image)
    metal = (torch.hypot(rows, columns - 15) < 6) | (torch.hypot(rows + 10, columns + 45) < 8)
    simulated = simulate_scan(image, metal, projector, ScanProtocol(material="titanium"), torch.Generator().manual_seed(0))
    scan = MetalAffectedScan(simulated.sinogram, simulated.metal_trace, simulated.metal_mask, projector)
    path_cm = projector.project(scan.metal_mask.to(torch.float32))
    found = metal_subtracted_sinogram(scan.sinogram, scan.interpolated_sinogram, path_cm, scan.trace)
    used = rays_inside_metal(path_cm, scan.trace)
    error, before = (
        float((one - simulated.metal_free_sinogram)[used].square().mean().sqrt()) for one in (found, scan.interpolated_sinogram)
    )
    assert error < 0.6 * before
