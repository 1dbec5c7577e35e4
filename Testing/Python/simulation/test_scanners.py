"""Other scanners: what they do to a slice, drawn whole from a seed."""

from __future__ import annotations

from dataclasses import replace

import numpy
import pytest
import torch
from scipy.ndimage import binary_dilation

from SSLMARLib import cli
from SSLMARLib.ct.reading_writing import read_volume, write_volume
from SSLMARLib.ct.volume import CTVolume
from SSLMARLib.errors import InputError
from SSLMARLib.simulation.scan import ScanProtocol, detect, simulate_scan
from SSLMARLib.simulation.scanners import SCANNERS, Scanner, get_scanner, random_scanner, smoothed_starved_rays
from SSLMARLib.simulation.volume import simulate_metal
from SSLMARLib.tomography import FanBeamGeometry, FanBeamProjector

SPACING_MM = (2.0, 1.0, 1.0)
SMALL = Scanner(grid_pixels=200, views=240, cell_cm=0.2, source_cm=55.0, detector_cm=45.0)


@pytest.fixture
def water():
    rows, columns = numpy.mgrid[:200, :200]
    slices_hu = numpy.where(numpy.hypot(rows - 99.5, columns - 99.5) < 80, 0, -1000).astype(numpy.int16)[None]
    metal = (numpy.hypot(rows - 99.5, columns - 120) < 6)[None]
    return slices_hu, metal


def test_a_seed_draws_the_whole_scanner():
    assert random_scanner(4) == random_scanner(4) != random_scanner(5)
    drawn = [random_scanner(seed) for seed in range(200)]
    assert all(50 <= one.source_cm <= 62 and 720 <= one.views <= 1160 and 0.055 <= one.cell_cm <= 0.11 for one in drawn)
    assert 0.2 < numpy.mean([one.smoothed_from is not None for one in drawn]) < 0.6
    assert {one.highest_hu for one in drawn} == {None, 3071.0}


@pytest.mark.parametrize("name", [*SCANNERS, "random"])
def test_the_geometry_sees_the_whole_field_with_cells_of_the_named_width(name):
    scanner = get_scanner(name, 1)
    geometry = scanner.geometry()
    assert geometry.bin_width_cm / geometry.magnification == pytest.approx(scanner.cell_cm, rel=0.01)
    half_diagonal_cm = geometry.image_shape[0] * geometry.pixel_size_cm / numpy.sqrt(2)
    half_fan = numpy.arctan(geometry.detector_width_cm / 2 / (scanner.source_cm + scanner.detector_cm))
    seen_cm = geometry.source_radius_cm * numpy.sin(half_fan)
    assert seen_cm > 0.8 * half_diagonal_cm and seen_cm > 18  # the largest circle in the image


def test_unknown_names_and_values_are_refused():
    with pytest.raises(InputError, match="no scanner 'siemens': choose one of soft"):
        get_scanner("siemens")
    with pytest.raises(InputError, match="photons"):
        replace(SMALL, photons=0)
    with pytest.raises(InputError, match="bow_tie"):
        ScanProtocol(bow_tie=0)


def test_a_bow_tie_makes_the_edge_of_the_fan_noisier_by_its_share():
    geometry = FanBeamGeometry(image_shape=(32, 32), views=64, bins=65)
    protocol = ScanProtocol(photons=1e5, scatter_photons=0, bow_tie=0.25, noise="independent")
    scan = simulate_scan(
        torch.zeros(40, 32, 32), torch.zeros(40, 32, 32), FanBeamProjector(geometry), protocol, torch.Generator().manual_seed(0)
    )
    deviation = scan.metal_free_sinogram.std(dim=(0, 1))
    assert deviation[32] * 2 == pytest.approx(float(deviation[[0, 64]].mean()), rel=0.06)
    one = torch.ones(2000)
    assert float(detect(one, protocol, None, 100.0).std()) > 8 * float(detect(one, protocol, None, 1e5).std())


def test_only_starved_rays_are_smoothed():
    sinogram = torch.randn(1, 90, 120, generator=torch.Generator().manual_seed(0))
    sinogram[:, :, :60] += 2.0
    sinogram[:, :, 60:] += 12.0
    smooth = smoothed_starved_rays(sinogram, 6.5, 2.0)
    assert torch.equal(smooth[:, :, :58], sinogram[:, :, :58])
    assert float(smooth[:, :, 70:].std()) < 0.4 * float(sinogram[:, :, 70:].std())
    assert float(smooth[:, :, 75:].mean()) == pytest.approx(12.0, abs=0.1)


def test_what_a_scanner_is_shows_in_the_slice(water):
    slices_hu, metal = water

    def scanned(**changes):
        return simulate_metal(slices_hu, SPACING_MM, metal, "titanium", scanner=replace(SMALL, **changes)).astype(float)

    def grain_hu(volume_hu):
        body = (slices_hu[0] == 0) & ~binary_dilation(metal[0], iterations=8)
        return numpy.diff(volume_hu[0], axis=0)[body[1:] & body[:-1]].std()

    sharp, soft, dim = scanned(kernel_fwhm_mm=0.0), scanned(kernel_fwhm_mm=3.0), scanned(kernel_fwhm_mm=0.0, photons=2e4)
    assert sharp.max() == 3071 and scanned(highest_hu=None).max() > 3071
    assert grain_hu(soft) < 0.7 * grain_hu(sharp) < 0.7 * grain_hu(dim)
    assert grain_hu(scanned(kernel_fwhm_mm=0.0, photons=2e4, smoothed_from=2.0)) < 0.9 * grain_hu(dim)
    assert numpy.array_equal(scanned(), scanned())


def test_the_command_scans_with_another_scanner(tmp_path, water, capsys):
    slices_hu, metal = water
    paths = {name: tmp_path / f"{name}.nii.gz" for name in ("scan", "mask", "own", "other", "again", "refused")}
    write_volume(CTVolume(slices_hu, SPACING_MM), paths["scan"])
    write_volume(CTVolume(metal.astype(numpy.uint8), SPACING_MM), paths["mask"])
    for name, options in (("own", ()), ("other", ("--scanner", "random")), ("again", ("--scanner", "random"))):
        words = ["simulate", paths["scan"], paths[name], "--mask", paths["mask"], "--seed", "3", *options]
        assert cli.main([str(word) for word in words]) == 0
    own, other, again = (read_volume(paths[name]).voxels_hu for name in ("own", "other", "again"))
    assert numpy.array_equal(other, again) and not numpy.array_equal(own, other)
    with pytest.raises(SystemExit):
        cli.main(["simulate", str(paths["scan"]), str(paths["refused"]), "--mask", str(paths["mask"]), "--scanner", "siemens"])
    assert "invalid choice: 'siemens'" in capsys.readouterr().err
