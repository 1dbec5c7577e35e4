"""The forward model: the benchmark's own sinograms, and limits that can be computed by hand."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy
import pytest
import torch

from SSLMARLib.ct.attenuation import attenuation_to_hu, hu_to_attenuation
from SSLMARLib.errors import InputError
from SSLMARLib.simulation.physics import load_benchmark_physics, load_physics
from SSLMARLib.simulation.scan import ScanProtocol, correct_for_water, decompose_tissue, detect, simulate_scan, thin_at_run_ends


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def benchmark_case(shared):
    """Slice 000376_02_01_040 of the benchmark with test mask 0, as numpy arrays."""
    h5py = pytest.importorskip("h5py")
    Image = pytest.importorskip("PIL.Image")
    folder = shared / "data" / "benchmark" / "test" / "000376_02_01_040"
    case = {}
    for file, names in (("gt.h5", ("image", "poly_sinogram")), ("0.h5", ("ma_sinogram", "metal_trace"))):
        with h5py.File(folder / file) as content:
            case.update({name: content[name][()] for name in names})
    mask = numpy.load(shared / "data" / "masks" / "masks_testmask10.npz")["mask"][0]
    resized = Image.fromarray(mask).resize((416, 416), Image.Resampling.BILINEAR)
    case["mask"] = numpy.rint(numpy.asarray(resized)) > 0
    assert case["mask"].sum() == 254
    case["protocol"] = ScanProtocol(physics=load_benchmark_physics(shared / "data" / "physics"))
    return case


def scan_of(case, projector, **options):
    image, mask = torch.from_numpy(case["image"]), torch.from_numpy(case["mask"])
    return simulate_scan(image, mask, projector, replace(case["protocol"], **options), seeded(1))


def relative_error(ours, theirs):
    return float(numpy.linalg.norm(ours.numpy() - theirs) / numpy.linalg.norm(theirs))


def test_benchmark_sinograms(benchmark_case, projector):
    scan = scan_of(benchmark_case, projector)
    assert relative_error(scan.metal_free_sinogram[0], benchmark_case["poly_sinogram"]) <= 5e-4
    assert relative_error(scan.sinogram[0], benchmark_case["ma_sinogram"]) <= 1e-3
    trace, theirs = scan.metal_trace[0].numpy(), benchmark_case["metal_trace"] > 0
    assert (trace & theirs).sum() / (trace | theirs).sum() >= 0.999


def test_benchmark_sinograms_without_our_noise(benchmark_case, projector):
    """What remains is the benchmark's own photon noise, and the physics is right to well below it."""
    scan = scan_of(benchmark_case, projector, noise="none")
    assert relative_error(scan.metal_free_sinogram[0], benchmark_case["poly_sinogram"]) <= 3.5e-4
    assert relative_error(scan.sinogram[0], benchmark_case["ma_sinogram"]) <= 4e-4
    difference = scan.sinogram[0].numpy() - benchmark_case["ma_sinogram"]
    assert abs(numpy.median(difference[benchmark_case["metal_trace"] > 0])) < 1e-4


def test_axes_and_the_mask_are_not_transposed(benchmark_case, projector):
    turned = dict(benchmark_case, mask=benchmark_case["mask"].T.copy())
    trace, theirs = scan_of(turned, projector).metal_trace[0].numpy(), benchmark_case["metal_trace"] > 0
    assert (trace & theirs).sum() / (trace | theirs).sum() < 0.5


def test_one_slice_takes_less_than_a_second(benchmark_case, projector):
    scan_of(benchmark_case, projector)  # the projector's matrices are built once
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two would be quicker, but not where other programs are in the way
    try:
        seconds = []
        for _ in range(4):
            start = time.perf_counter()
            scan_of(benchmark_case, projector)
            seconds.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)
    assert min(seconds) < 1.0, seconds


def test_one_energy_gives_the_line_integrals_themselves(projector, water_disk, disk):
    """Monochromatic, many photons, no scatter, no partial volume: -ln is the projection of tissue plus metal."""
    metal = disk(180, 240, 6)
    protocol = ScanProtocol(
        physics=load_physics().monochromatic(70), noise="none", photons=1e11, scatter_photons=0, partial_volume_divisor=1
    )
    scan = simulate_scan(water_disk, metal, projector, protocol)
    expected = projector.project(water_disk + metal * protocol.metal_attenuation_per_cm)
    assert torch.allclose(scan.sinogram[0], expected, atol=2e-4)
    assert torch.allclose(scan.metal_free_sinogram[0], projector.project(water_disk), atol=2e-4)


def test_the_sum_over_energies_against_a_plain_loop(projector, water_disk, disk):
    bone, metal = disk(207.5, 150, 30), disk(207.5, 260, 10)
    image = torch.where(bone, hu_to_attenuation(1200.0), water_disk)
    protocol = ScanProtocol(material="gold", noise="none", scatter_photons=0, photons=1e11)
    scan = simulate_scan(image, metal, projector, protocol)
    view, physics = 100, protocol.physics
    water, dense = (part[view].double().numpy() for part in projector.project(decompose_tissue(image[None], protocol)[0]))
    path = projector.project(metal.float())[view].double().numpy()
    inside = numpy.flatnonzero(scan.metal_trace[0, view].numpy())
    path[[inside[0], inside[-1]]] /= 4
    total = 0
    for index, photons in enumerate(physics.spectrum):
        tables = physics.mass_attenuation_cm2_per_g
        total = total + photons * numpy.exp(
            -water * tables["water"][index] / tables["water"][50]
            - dense * tables["cortical_bone"][index] / tables["cortical_bone"][50]
            - path * tables["gold"][index] * 19.32
        )
    c1, c2, c3 = physics.water_correction
    p = -numpy.log(numpy.maximum(numpy.round(total * 1e11), 1) / 1e11)
    assert numpy.allclose(scan.sinogram[0, view].numpy(), c1 * p + c2 * p**2 + c3 * p**3, rtol=2e-5, atol=2e-5)


def test_a_dark_band_between_two_metals(projector, water_disk, disk):
    metal = disk(207.5, 120, 10) | disk(207.5, 295, 10)
    dark = []
    for name in ("titanium", "iron"):
        scan = simulate_scan(water_disk, metal, projector, ScanProtocol(material=name, noise="none"))
        difference = projector.fbp(scan.sinogram - scan.metal_free_sinogram)[0] / 0.192 * 1000
        between, beside = difference[203:213, 180:236].mean(), difference[60:90, 180:236].mean()
        assert between < -100 and between < beside - 100
        dark.append(float(between))
    assert dark[1] < dark[0]


def test_beam_hardening_makes_metal_too_dim(projector, water_disk, disk):
    metal = disk(207.5, 207.5, 12)
    protocol = ScanProtocol(noise="none", partial_volume_divisor=1)
    scan = simulate_scan(water_disk, metal, projector, protocol)
    reconstructed = projector.fbp(scan.sinogram)[0][metal].mean()
    assert 0.192 * 10 < reconstructed < protocol.metal_attenuation_per_cm + 0.192


@pytest.mark.parametrize("voltage", [80, 120, 140])
def test_water_stays_water(projector, water_disk, disk, voltage):
    nowhere = torch.zeros(416, 416, dtype=torch.bool)
    scan = simulate_scan(water_disk, nowhere, projector, ScanProtocol(physics=load_physics(voltage), noise="none"))
    reconstruction_hu = attenuation_to_hu(projector.fbp(scan.sinogram)[0])
    assert abs(float(reconstruction_hu[disk(207.5, 207.5, 120)].mean())) < 5
    assert torch.equal(scan.sinogram, scan.metal_free_sinogram) and not scan.metal_trace.any()


def test_photon_noise_is_poisson(projector):
    protocol = ScanProtocol(photons=100, physics=load_physics().monochromatic())
    transmission = torch.full((200_000,), 0.25)
    counts = torch.exp(-detect(transmission, protocol, seeded(3)).double()) * 100
    expected = 100 * 0.25 + 20
    assert float(counts.mean()) == pytest.approx(expected, rel=2e-3)
    assert float(counts.var()) == pytest.approx(expected, rel=0.02)
    assert float((counts - expected).pow(3).mean()) == pytest.approx(expected, rel=0.25)  # the third moment too


def test_a_starved_ray_still_has_a_number():
    protocol = ScanProtocol(photons=1e4, scatter_photons=0, physics=load_physics().monochromatic())
    assert torch.allclose(detect(torch.zeros(5), protocol, seeded(1)), torch.full((5,), numpy.log(1e4)))
    scattered = detect(torch.zeros(20_000), replace(protocol, scatter_photons=20.0), seeded(1))
    assert float(scattered.mean()) == pytest.approx(numpy.log(1e4 / 20), rel=0.01)


def test_a_seed_repeats_a_scan(projector, water_disk, disk):
    metal = disk(207.5, 150, 6)
    first, again, other = (simulate_scan(water_disk, metal, projector, generator=seeded(s)) for s in (5, 5, 6))
    assert torch.equal(first.sinogram, again.sinogram)
    assert torch.equal(first.metal_free_sinogram, again.metal_free_sinogram)
    assert not torch.equal(first.sinogram, other.sinogram)


def test_independent_and_shared_noise(projector, water_disk, disk):
    metal = disk(207.5, 150, 6)
    for noise, same in (("independent", False), ("shared", True)):
        scan = simulate_scan(water_disk, metal, projector, ScanProtocol(noise=noise), seeded(5))
        outside = ~scan.metal_trace
        assert torch.equal(scan.sinogram[outside], scan.metal_free_sinogram[outside]) == same
        assert (scan.sinogram[scan.metal_trace] > scan.metal_free_sinogram[scan.metal_trace]).float().mean() > 0.99


def test_a_batch_is_what_its_slices_are(projector, water_disk, disk):
    images = torch.stack([water_disk, 0.5 * water_disk])
    masks = torch.stack([disk(207.5, 150, 6), disk(150, 200, 9)])
    protocol = ScanProtocol(noise="none")
    batch = simulate_scan(images, masks, projector, protocol)
    for index in range(2):
        single = simulate_scan(images[index], masks[index], projector, protocol)
        assert torch.allclose(batch.sinogram[index], single.sinogram[0], atol=1e-5)
    several = simulate_scan(images[0], masks, projector, protocol)
    assert several.sinogram.shape == (2, 640, 641) == several.metal_free_sinogram.shape
    assert torch.allclose(several.sinogram[0], batch.sinogram[0], atol=1e-5)
    assert torch.equal(several.metal_free_sinogram[0], several.metal_free_sinogram[1])


def test_a_larger_body_has_longer_paths(projector, water_disk):
    nowhere = torch.zeros(416, 416, dtype=torch.bool)
    protocol = ScanProtocol(noise="none", physics=load_physics().monochromatic(), photons=1e11, scatter_photons=0)
    pixel_size_cm = projector.geometry.pixel_size_cm
    small = simulate_scan(water_disk, nowhere, projector, protocol)
    large = simulate_scan(water_disk, nowhere, projector, protocol, pixel_size_cm=2 * pixel_size_cm)
    assert torch.allclose(large.sinogram, 2 * small.sinogram, atol=1e-4)


def test_the_ends_of_runs_are_thinned():
    path = torch.tensor([[8.0, 8, 8, 0, 8, 0, 8, 8, 0, 8]])
    expected = torch.tensor([[8.0, 8, 2, 0, 2, 0, 2, 2, 0, 2]])
    assert torch.equal(thin_at_run_ends(path, path > 0, 4.0), expected)


def test_tissue_parts_add_up():
    protocol = ScanProtocol()
    image = hu_to_attenuation(torch.tensor([[-1000.0, 0, 100, 800, 1500, 3000]]))
    water, bone = decompose_tissue(image, protocol)[0]
    assert torch.allclose(water + bone, image[0])
    assert bone[:3].tolist() == [0, 0, 0] and water[4:].tolist() == [0, 0]
    assert float(bone[3]) == pytest.approx(0.5 * float(image[0, 3]))


def test_the_benchmarks_polynomial():
    p = torch.tensor([0.0, 1.0, 3.0])
    expected = 0.80370341 * p + 0.02301414 * p**2 - 0.0008444 * p**3
    assert torch.allclose(correct_for_water(p, (0.80370341, 0.02301414, -0.0008444)), expected)


@pytest.mark.parametrize(
    "options", [{"photons": 0}, {"noise": "loud"}, {"material": "wood"}, {"partial_volume_divisor": 0.5}, {"scatter_photons": -1}]
)
def test_protocols_that_cannot_be(options):
    with pytest.raises(InputError):
        ScanProtocol(**options)


def test_data_that_cannot_be_scanned(projector, water_disk, disk):
    metal = disk(200, 200, 5)
    for image, mask in (
        (water_disk[:100], metal),
        (water_disk.numpy(), metal),
        (water_disk - 1.0, metal),
        (water_disk * float("nan"), metal),
        (water_disk.expand(3, -1, -1), metal.expand(2, -1, -1)),
    ):
        with pytest.raises(InputError):
            simulate_scan(image, mask, projector)
    with pytest.raises(InputError):
        simulate_scan(water_disk, metal, projector, pixel_size_cm=-1)
