"""The benchmark's FBP against ODL's own filter and against the benchmark's own images."""

from __future__ import annotations

import numpy
import pytest
import torch

from SSLMARLib.errors import InputError
from SSLMARLib.evaluation.benchmark_fbp import BenchmarkFBPProjector, benchmark_filter, get_reconstruction
from SSLMARLib.tomography import FanBeamGeometry, FanBeamProjector


def test_the_filter_is_odls(random_generator):
    """ODL's padded Fourier transform with |frequency| / 2, on random rows."""
    odl = pytest.importorskip("odl")
    geometry = FanBeamGeometry(image_shape=(32, 32), views=8, bins=51)
    half = geometry.detector_width_cm / 2
    space = odl.uniform_discr([0, -half], [2 * numpy.pi, half], (8, 51), dtype="float64")
    pad = odl.ResizingOperator(space, ran_shp=(8, 101))
    transform = odl.trafos.FourierTransform(pad.range, axes=1, impl="numpy") @ pad
    frequencies = numpy.asarray(transform.range.grid.coord_vectors[1]) / (2 * numpy.pi)
    ramp = transform.range.element(numpy.broadcast_to(numpy.abs(frequencies) / 2, transform.range.shape))
    rows = random_generator.normal(size=(8, 51))
    expected = transform.inverse(transform(space.element(rows)) * ramp)
    # the filter also holds the step of the views (2 pi / views) and the magnification (2)
    ours = benchmark_filter(geometry, torch.float64).apply(torch.from_numpy(rows)).numpy() / (2 * numpy.pi / 8 * 2)
    assert numpy.abs(ours - numpy.asarray(expected.data)).max() < 1e-9 * numpy.abs(ours).max()


def test_it_gives_the_benchmarks_images(shared):
    """poly_CT, ma_CT and LI_CT from their sinograms: 1 HU root mean square; the exact FBP is far from that."""
    import h5py

    folder = shared / "data" / "benchmark" / "test" / "000376_02_01_040"
    pairs = []
    with h5py.File(folder / "gt.h5") as truth, h5py.File(folder / "0.h5") as case:
        pairs.append((truth["poly_sinogram"][()], truth["poly_CT"][()]))
        pairs += [(case[f"{name}_sinogram"][()], case[f"{name}_CT"][()]) for name in ("ma", "LI")]
    sinograms = torch.from_numpy(numpy.stack([sinogram for sinogram, _ in pairs]))
    images = numpy.stack([image for _, image in pairs])

    def errors_hu(fbp):
        difference = (get_reconstruction(fbp)(sinograms).numpy() - images) * (1000 / 0.192)
        return numpy.sqrt((difference**2).mean(axis=(1, 2)))

    assert (errors_hu("benchmark") < 1.1).all()
    assert (errors_hu("exact") > 5).all()


def test_all_else_is_the_exact_projectors(random_generator):
    """P and its adjoint are shared; the derivative of the benchmark's FBP is its own adjoint."""
    exact = FanBeamProjector(FanBeamGeometry(image_shape=(24, 24), views=16, bins=51), dtype=torch.float64)
    benchmark = BenchmarkFBPProjector(exact)
    image = torch.from_numpy(random_generator.normal(size=(2, 24, 24)))
    sinogram = torch.from_numpy(random_generator.normal(size=(2, 16, 51))).requires_grad_()
    assert torch.equal(benchmark.project(image), exact.project(image))
    assert torch.equal(benchmark.backproject(sinogram), exact.backproject(sinogram))
    assert not torch.allclose(benchmark.fbp(sinogram), exact.fbp(sinogram), rtol=0.01)
    torch.autograd.gradcheck(benchmark.fbp, sinogram, fast_mode=True)


def test_another_name_is_refused():
    with pytest.raises(InputError, match="exact, benchmark"):
        get_reconstruction("textbook")
