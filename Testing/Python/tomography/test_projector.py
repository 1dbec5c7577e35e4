"""The projector against closed forms, against ASTRA, and against itself without symmetry."""

from __future__ import annotations

import threading

import numpy
import pytest
import torch

from SSLMARLib.errors import InputError
from SSLMARLib.tomography import FanBeamGeometry, FanBeamProjector, fan_beam_matrices, symmetry
from SSLMARLib.tomography import projector as projector_module

HU_PER_CM = 1000 / 0.192


def relative_error(found, expected) -> float:
    return float((found.double() - expected.double()).norm() / expected.double().norm())


def test_projection_of_a_smooth_phantom_is_its_line_integrals(projector, phantom):
    assert relative_error(projector.project(phantom.image), phantom.sinogram) <= 3e-4


def test_fbp_of_exact_line_integrals_is_the_phantom(projector, phantom):
    error_hu = (projector.fbp(phantom.sinogram) - phantom.image) * HU_PER_CM
    assert abs(float(error_hu.mean())) <= 0.1
    assert float(error_hu.square().mean().sqrt()) <= 0.5


def test_fbp_undoes_projection(projector, phantom):
    error_hu = (projector.fbp(projector.project(phantom.image)) - phantom.image) * HU_PER_CM
    assert abs(float(error_hu.mean())) <= 0.1
    assert float(error_hu.square().mean().sqrt()) <= 0.5


def test_fbp_undoes_projection_of_a_real_slice(projector, shared):
    h5py = pytest.importorskip("h5py")
    with h5py.File(shared / "data/benchmark/test/000376_02_01_040/gt.h5") as file:
        image = torch.from_numpy(file["image"][()])
    error_hu = (projector.fbp(projector.project(image)) - image) * HU_PER_CM
    assert abs(float(error_hu.mean())) <= 0.1
    assert float(error_hu.square().mean().sqrt()) <= 13


@pytest.mark.parametrize("precision, tolerance", [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_adjoint_over_geometries(small_geometry, precision, tolerance):
    projector = FanBeamProjector(small_geometry, dtype=precision)
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(3, *small_geometry.image_shape, generator=generator, dtype=precision)
    sinogram = torch.rand(3, *small_geometry.sinogram_shape, generator=generator, dtype=precision)
    left = (projector.project(image).double() * sinogram).sum()
    right = (image * projector.backproject(sinogram).double()).sum()
    assert abs(float(left - right)) <= tolerance * abs(float(left))


def test_adjoint_of_the_benchmark_geometry(projector):
    image, sinogram = torch.rand(416, 416), torch.rand(640, 641)
    left = (projector.project(image).double() * sinogram).sum()
    right = (image * projector.backproject(sinogram).double()).sum()
    assert abs(float(left - right)) <= 1e-6 * abs(float(left))


def test_symmetry_changes_nothing(small_geometry, monkeypatch):
    image = torch.rand(2, *small_geometry.image_shape, dtype=torch.float64)
    with_symmetry = FanBeamProjector(small_geometry, dtype=torch.float64)
    sinogram = with_symmetry.project(image)
    results = [sinogram, with_symmetry.backproject(sinogram), with_symmetry.fbp(sinogram)]
    monkeypatch.setattr(symmetry, "symmetry_order", lambda geometry: 1)
    monkeypatch.setattr(projector_module, "symmetry_order", lambda geometry: 1)
    plain = FanBeamProjector(small_geometry, dtype=torch.float64)
    expected = [plain.project(image), plain.backproject(sinogram), plain.fbp(sinogram)]
    for found, wanted in zip(results, expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("geometry, order", [((24, 24, 40), 8), ((24, 24, 36), 4), ((24, 24, 30), 2), ((20, 24, 40), 2), ((24, 24, 31), 1)])
def test_symmetry_order(geometry, order):
    rows, columns, views = geometry
    assert symmetry.symmetry_order(FanBeamGeometry(image_shape=(rows, columns), views=views)) == order


@pytest.mark.parametrize("changes", [{}, {"image_shape": (40, 56)}, {"views": 90}, {"views": 77, "bins": 80}])
def test_projection_agrees_with_astra(changes):
    pytest.importorskip("astra", reason="astra-toolbox is not installed, so this comparison did NOT run")
    from SSLMARLib.timing import ODLAstraProjector

    options = {"image_shape": (48, 48), "views": 96, "bins": 91, "pixel_size_cm": 0.4} | changes
    geometry = FanBeamGeometry(**options)
    axes = [torch.linspace(-1, 1, n) for n in geometry.image_shape]
    x, y = torch.meshgrid(*axes, indexing="ij")
    image = torch.exp(-8 * ((x - 0.2) ** 2 + (y + 0.3) ** 2)) + 0.5 * torch.exp(-15 * ((x + 0.2) ** 2 + y**2))
    sinogram = FanBeamProjector(geometry).project(image)
    # ASTRA's model of a ray is another one (length of the line in each pixel), so they agree to discretization only
    assert relative_error(sinogram, ODLAstraProjector(geometry).project(image)) < 6e-3


def test_narrow_detector_sees_the_middle_of_a_wide_one():
    wide = FanBeamGeometry(image_shape=(32, 32), pixel_size_cm=0.5, views=48, bins=65, detector_width_cm=65 * 0.8)
    narrow = FanBeamGeometry(image_shape=(32, 32), pixel_size_cm=0.5, views=48, bins=21, detector_width_cm=21 * 0.8)
    image = torch.rand(32, 32)
    expected = FanBeamProjector(wide).project(image)[:, 22:43]
    torch.testing.assert_close(FanBeamProjector(narrow).project(image), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "changes", [{"image_shape": (300, 300)}, {"image_shape": (200, 300)}, {"views": 500}, {"views": 333}, {"bins": 801}]
)
def test_other_geometries_reconstruct_the_phantom(changes, gaussian_phantom):
    options = {"image_shape": (256, 256), "pixel_size_cm": 0.06, "views": 400, "bins": 501} | changes
    geometry = FanBeamGeometry(**options)
    phantom, projector = gaussian_phantom(geometry), FanBeamProjector(geometry)
    assert relative_error(projector.project(phantom.image), phantom.sinogram) <= 3e-3  # coarser pixels than the benchmark's
    error_hu = (projector.fbp(phantom.sinogram) - phantom.image) * HU_PER_CM
    assert float(error_hu.square().mean().sqrt()) <= 3


def test_gradients_are_the_adjoints_twice_over(small_geometry):
    projector = FanBeamProjector(small_geometry, dtype=torch.float64)
    image = torch.rand(2, *small_geometry.image_shape, dtype=torch.float64, requires_grad=True)
    sinogram = torch.rand(2, *small_geometry.sinogram_shape, dtype=torch.float64, requires_grad=True)
    for function, argument in ((projector.project, image), (projector.backproject, sinogram), (projector.fbp, sinogram)):
        options = {"fast_mode": True, "raise_exception": True}
        assert torch.autograd.gradcheck(function, argument, **options)
        assert torch.autograd.gradgradcheck(function, argument, **options)


def test_gradcheck_in_full_on_a_tiny_geometry():
    geometry = FanBeamGeometry(image_shape=(6, 6), pixel_size_cm=1.0, views=8, bins=9)
    projector = FanBeamProjector(geometry, dtype=torch.float64)
    image = torch.rand(6, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: projector.fbp(projector.project(x)) ** 2, image)


@pytest.mark.parametrize("leading", [(), (1,), (11,), (2, 3), (1, 2, 1)])
def test_any_leading_shape(leading):
    geometry = FanBeamGeometry(image_shape=(16, 16), pixel_size_cm=1.0, views=24, bins=25)
    projector = FanBeamProjector(geometry)
    image = torch.rand(*leading, 16, 16)
    sinogram = projector.project(image)
    assert sinogram.shape == (*leading, 24, 25)
    assert projector.fbp(sinogram).shape == image.shape
    for one, expected in zip(image.reshape(-1, 16, 16), sinogram.reshape(-1, 24, 25), strict=True):
        torch.testing.assert_close(projector.project(one), expected)


@pytest.mark.parametrize("given", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_and_autocast_compute_in_float32(given):
    geometry = FanBeamGeometry(image_shape=(16, 16), pixel_size_cm=1.0, views=24, bins=25)
    projector = FanBeamProjector(geometry)
    image = torch.rand(16, 16).to(given)
    expected = projector.fbp(projector.project(image.float()))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        leaf = image.clone().requires_grad_()
        found = projector.fbp(projector.project(leaf))
        found.sum().backward()
    assert found.dtype == torch.float32 and leaf.grad.dtype == given
    torch.testing.assert_close(found, expected)


def test_data_that_does_not_fit_is_refused(projector):
    with pytest.raises(InputError, match=r"\(\.\.\., 416, 416\) is needed, not \(3, 3\)"):
        projector.project(torch.zeros(3, 3))
    with pytest.raises(InputError, match="640, 641"):
        projector.fbp(torch.zeros(416, 416))
    with pytest.raises(InputError, match="ndarray"):
        projector.project(numpy.zeros((416, 416)))
    with pytest.raises(InputError, match="empty"):
        projector.project(torch.zeros(0, 416, 416))


def test_inference_buffers_stay_small():
    projector = FanBeamProjector()
    projector.fbp(projector.project(torch.zeros(416, 416)))
    assert 100e6 < projector.buffer_bytes() < 500e6
    assert FanBeamProjector().prepare().buffer_bytes() == projector.buffer_bytes()


def test_cuda_agrees_with_cpu(projector, phantom):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device, so this comparison did NOT run")
    on_gpu = FanBeamProjector(device="cuda")
    sinogram = on_gpu.project(phantom.image.cuda())
    assert relative_error(sinogram.cpu(), projector.project(phantom.image)) < 1e-5
    assert relative_error(on_gpu.fbp(sinogram).cpu(), projector.fbp(sinogram.cpu())) < 1e-5


def test_two_builders_at_once_leave_torch_its_threads():
    """The second begins while the first is at work, in a thread that is new to torch, and ends after it."""
    before = torch.get_num_threads()
    second_began, first_ended, found = threading.Event(), threading.Event(), {}

    def second():
        with fan_beam_matrices._one_thread():
            found["second at work"] = torch.get_num_threads()
            second_began.set()
            first_ended.wait(60)
        found["second"] = torch.get_num_threads()

    try:
        torch.set_num_threads(3)
        thread = threading.Thread(target=second)
        with fan_beam_matrices._one_thread():
            thread.start()
            assert second_began.wait(60)
            found["first at work"] = torch.get_num_threads()
        found["first"] = torch.get_num_threads()
        first_ended.set()
        thread.join(60)
        later = threading.Thread(target=lambda: found.update(later=torch.get_num_threads()))
        later.start()
        later.join(60)
        assert found == {"first at work": 1, "second at work": 1, "first": 3, "second": 3, "later": 3}
    finally:
        torch.set_num_threads(before)
