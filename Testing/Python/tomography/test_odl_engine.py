"""SSLMAR's projector inside ODL: operators, adjoints, FBP and a solver run on it."""

from __future__ import annotations

import numpy
import odl
import pytest
import torch
from odl.applications import tomo
from scipy.ndimage import uniform_filter

from SSLMARLib.errors import InputError
from SSLMARLib.tomography import FanBeamGeometry, FanBeamProjector, register_odl_engine


@pytest.fixture
def engine() -> str:
    return register_odl_engine()


def transform(geometry, engine, dtype="float32"):
    return tomo.RayTransform(geometry.odl_image_space(dtype), geometry.odl_geometry(), impl=engine)


@pytest.mark.parametrize("engine_name", ["sslmar", "astra_cpu"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_adjoint_in_odl_spaces(small_geometry, engine_name, dtype, engine):
    if engine_name == "astra_cpu":
        pytest.importorskip("astra", reason="astra-toolbox is not installed, so this engine was NOT tested")
        if dtype == "float64" or small_geometry.bins == 1:
            pytest.skip("ASTRA computes in float32, on two bins and more")
    operator = transform(small_geometry, engine_name, dtype)
    generator = numpy.random.default_rng(3)
    x = operator.domain.element(generator.random(operator.domain.shape))
    y = operator.range.element(generator.random(operator.range.shape))
    left, right = operator(x).inner(y), x.inner(operator.adjoint(y))
    assert left == pytest.approx(right, rel=1e-10 if dtype == "float64" else 1e-5)


def test_operator_is_our_projector(small_geometry, engine):
    operator = transform(small_geometry, engine)
    image = numpy.random.default_rng(4).random(small_geometry.image_shape, dtype=numpy.float32)
    expected = FanBeamProjector(small_geometry).project(torch.from_numpy(image)).numpy()
    numpy.testing.assert_allclose(operator(image).asarray(), expected, rtol=1e-6)
    out = operator.range.zero()
    operator(operator.domain.element(image), out=out)
    numpy.testing.assert_allclose(out.asarray(), expected, rtol=1e-6)


def test_adjoint_agrees_with_astra(engine):
    pytest.importorskip("astra", reason="astra-toolbox is not installed, so this comparison did NOT run")
    geometry = FanBeamGeometry(image_shape=(48, 48), views=96, bins=91, pixel_size_cm=0.4)
    ours, theirs = transform(geometry, engine), transform(geometry, "astra_cpu")
    angle = numpy.linspace(0, 2 * numpy.pi, 96)[:, None]
    sinogram = (2 + numpy.sin(3 * angle)) * numpy.exp(-(numpy.linspace(-3, 3, 91) ** 2))
    # ASTRA's model of a ray gives a pixel-to-pixel pattern of some percent, which is smoothed away before comparing
    found, expected = (uniform_filter(one.adjoint(sinogram).asarray(), 5)[4:-4, 4:-4] for one in (ours, theirs))
    assert numpy.linalg.norm(found - expected) < 1e-2 * numpy.linalg.norm(expected)


def test_odl_fbp_runs_on_it(engine):
    geometry = FanBeamGeometry(image_shape=(64, 64), views=160, bins=128, pixel_size_cm=0.3)
    operator = transform(geometry, engine)
    disc = odl.core.phantom.cuboid(operator.domain, [-4, -4], [4, 4])
    found = tomo.fbp_op(operator)(operator(disc)).asarray()
    assert found[32, 32] == pytest.approx(1, abs=0.1) and abs(found[4, 4]) < 0.1


def test_odl_solver_runs_on_it(engine):
    geometry = FanBeamGeometry(image_shape=(32, 32), views=64, bins=63, pixel_size_cm=0.5)
    operator = transform(geometry, engine)
    truth = odl.core.phantom.cuboid(operator.domain, [-3, -2], [3, 4])
    data, found = operator(truth), operator.domain.zero()
    odl.solvers.conjugate_gradient_normal(operator, found, data, niter=25)
    assert (found - truth).norm() < 0.05 * truth.norm()


def test_it_is_no_default_where_another_engine_is(engine):
    from odl.applications.tomo.operators.ray_trafo import RAY_TRAFO_IMPLS

    assert "sslmar" in RAY_TRAFO_IMPLS
    if len(RAY_TRAFO_IMPLS) > 1:
        assert next(reversed(RAY_TRAFO_IMPLS)) != "sslmar"


def test_runs_where_no_other_engine_is(engine, monkeypatch):
    from odl.applications.tomo.operators import ray_trafo

    only_ours = type(ray_trafo.RAY_TRAFO_IMPLS)(sslmar=ray_trafo.RAY_TRAFO_IMPLS["sslmar"])
    monkeypatch.setattr(ray_trafo, "RAY_TRAFO_IMPLS", only_ours)
    geometry = FanBeamGeometry(image_shape=(16, 16), views=24, bins=25, pixel_size_cm=1)
    operator = tomo.RayTransform(geometry.odl_image_space(), geometry.odl_geometry())
    assert operator.impl == "SSLMARRayTransformEngine" and operator(operator.domain.one()).asarray().max() > 10


def test_what_it_cannot_do_is_refused(engine):
    space = odl.uniform_discr([-4, -4], [4, 4], [16, 16], dtype="float32")
    angles, detector = odl.uniform_partition(0, 2 * numpy.pi, 24), odl.uniform_partition(-10, 10, 25)
    half_turn = tomo.FanBeamGeometry(odl.uniform_partition(0, numpy.pi, 24), detector, src_radius=20, det_radius=20)
    curved = tomo.FanBeamGeometry(angles, detector, src_radius=20, det_radius=20, det_curvature_radius=40)
    parallel = tomo.Parallel2dGeometry(angles, detector)
    oblong = odl.uniform_discr([-4, -4], [4, 4], [16, 8], dtype="float32")
    full_turn = tomo.FanBeamGeometry(angles, detector, src_radius=20, det_radius=20)
    for domain, geometry in ((space, half_turn), (space, curved), (space, parallel), (oblong, full_turn)):
        operator = tomo.RayTransform(domain, geometry, impl=engine)
        with pytest.raises(InputError, match="SSLMAR's projector"):
            operator(domain.zero())
