"""Metal subtraction: what its model describes drops out, against numpy's least squares; and a simulated scan gains from it."""

from __future__ import annotations

import numpy
import pytest
import torch

from SSLMARLib.errors import InputError
from SSLMARLib.methods.base import MetalAffectedScan
from SSLMARLib.sinogram.metal_subtraction import RIDGE, metal_subtracted_sinogram, outline_projections, rays_inside_metal

TRUST_PER_CM = 0.5


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
    without = metal_subtracted_sinogram(anatomy, reference, path_cm, trace, TRUST_PER_CM)
    with_metal = metal_subtracted_sinogram(anatomy + metal, reference, path_cm, trace, TRUST_PER_CM)
    assert float(metal.abs().max()) > 2
    torch.testing.assert_close(with_metal, without, atol=1e-3, rtol=0)


def test_the_fit_is_that_of_numpys_least_squares(rays):
    anatomy, reference, path_cm, trace = rays
    sinogram = anatomy + 1.3 * path_cm - 0.1 * path_cm**2
    found = metal_subtracted_sinogram(sinogram, reference, path_cm, trace, TRUST_PER_CM)
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
    found = metal_subtracted_sinogram(anatomy, reference, path_cm, trace, TRUST_PER_CM)
    used = rays_inside_metal(path_cm, trace)
    assert torch.equal(found[~trace], anatomy[~trace]) and torch.equal(found[trace & ~used], reference[trace & ~used])
    assert used[0].sum() == 16 * 19 and used[1].sum() == 16 * 6  # the first and the last ray of each run are left out
    other = torch.where(used, anatomy, anatomy + 7)
    torch.testing.assert_close(metal_subtracted_sinogram(other, reference, path_cm, trace, TRUST_PER_CM)[used], found[used])


def test_no_rays_inside_metal_gives_the_reference(rays):
    anatomy, reference, path_cm, trace = rays
    path_cm = path_cm * 0
    path_cm[0, :, 10] = 0.5  # one ray wide
    found = metal_subtracted_sinogram(anatomy, reference, path_cm, trace, TRUST_PER_CM)
    assert torch.equal(found, torch.where(trace, reference, anatomy)) and torch.isfinite(found).all()


def test_other_shapes_are_refused(rays):
    anatomy, reference, path_cm, trace = rays
    with pytest.raises(InputError, match="must have one shape"):
        metal_subtracted_sinogram(anatomy, reference[:1], path_cm, trace, TRUST_PER_CM)
    with pytest.raises(InputError, match="must have one shape"):
        metal_subtracted_sinogram(anatomy[0], reference[0], path_cm[0], trace[0], TRUST_PER_CM)


def disk(row, column, radius):
    rows, columns = torch.meshgrid(torch.arange(416) - 207.5, torch.arange(416) - 207.5, indexing="ij")
    return torch.hypot(rows - row, columns - column) < radius


@pytest.mark.parametrize(
    "metal, drawn, left",
    [
        (disk(3, -5, 8.2), disk(3, -5, 7.2), 0.85),
        (disk(3, -5, 7.2), disk(3, -5, 8.2), 0.33),
        (disk(3, -5, 8.2), disk(3.5, -4.6, 8.2), 0.33),
        (disk(3, -5, 8.2) + 1.0 * disk(1, -6, 4.2), disk(3, -5, 8.2), 0.33),
    ],
    ids=["drawn too small", "drawn too large", "drawn aside", "not the same everywhere"],
)
def test_a_wrong_outline_drops_out_too(projector, metal, drawn, left):
    """Metal of 2 / cm: with the outline's terms so much of the error without them is left, at most."""
    metal, body = 2.0 * metal.float()[None], 0.19 * disk(0, 0, 150).float()[None]
    anatomy, sinogram = projector.project(body), projector.project(body + metal)
    path_cm = projector.project(drawn.float()[None])
    trace = projector.project(metal) > 0
    used = rays_inside_metal(path_cm, trace)
    image = projector.fbp(sinogram)
    outline = outline_projections(drawn[None], image, projector)
    assert len(outline) == 5 and all(term.shape == sinogram.shape for term in outline)
    plain, better = (metal_subtracted_sinogram(sinogram, anatomy, path_cm, trace, TRUST_PER_CM, terms) for terms in ((), outline))
    errors = [float((one - anatomy)[used].square().mean().sqrt()) for one in (plain, better)]
    assert errors[0] > 0.005 and errors[1] < left * errors[0]


def test_linear_terms_drop_out(rays):
    anatomy, reference, path_cm, trace = rays
    extra = torch.rand(2, 16, 40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    scans = (anatomy + 2 * extra * trace, anatomy)
    found, without = (metal_subtracted_sinogram(one, reference, path_cm, trace, TRUST_PER_CM, [extra]) for one in scans)
    torch.testing.assert_close(found, without, atol=1e-3, rtol=0)
    with pytest.raises(InputError, match="must have one shape"):
        metal_subtracted_sinogram(anatomy, reference, path_cm, trace, TRUST_PER_CM, [extra[:1]])


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
    found = metal_subtracted_sinogram(scan.sinogram, scan.interpolated_sinogram, path_cm, scan.trace, TRUST_PER_CM)
    used = rays_inside_metal(path_cm, scan.trace)
    error, before = (
        float((one - simulated.metal_free_sinogram)[used].square().mean().sqrt()) for one in (found, scan.interpolated_sinogram)
    )
    assert error < 0.6 * before
