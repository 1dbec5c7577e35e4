"""Sinograms in their own geometry: disks, whose line integrals are known, seen by four kinds of scanner."""

from __future__ import annotations

import numpy
import odl
import pytest
from odl.applications import tomo

from SSLMARLib.cli import main
from SSLMARLib.errors import InputError
from SSLMARLib.raw_data import correct_sinogram
from SSLMARLib.tomography import FanBeamGeometry

WATER = 0.192
TISSUE = ((0.0, 0.0, 9.0, WATER), (4.0, 2.0, 1.5, 0.1 * WATER), (-3.0, -5.0, 1.0, -0.3 * WATER), (-5.0, 3.0, 0.8, 0.8 * WATER))
METAL = ((2.0, -3.0, 0.45, 3.0), (-2.5, 1.5, 0.35, 3.0))
RADIUS, DETECTOR = 40.0, 35.0


def flat_fan(views=720, arc=2 * numpy.pi):
    return tomo.FanBeamGeometry(odl.uniform_partition(0, arc, views), odl.uniform_partition(-22, 22, 600), RADIUS, DETECTOR)


def curved_fan():
    detector = odl.uniform_partition(-0.29, 0.29, 600)
    return tomo.FanBeamGeometry(
        odl.uniform_partition(0, 2 * numpy.pi, 720), detector, RADIUS, DETECTOR, det_curvature_radius=RADIUS + DETECTOR
    )


def parallel():
    return tomo.Parallel2dGeometry(odl.uniform_partition(0, numpy.pi, 540), odl.uniform_partition(-11, 11, 600))


GEOMETRIES = {"flat fan": flat_fan(), "curved fan": curved_fan(), "short scan": flat_fan(500, numpy.pi + 0.7), "parallel": parallel()}


def measured(geometry, disks) -> numpy.ndarray:
    """Line integrals (views, bins) through disks (x, y, radius, 1/cm), from the points that ODL gives."""
    angles, bins = numpy.meshgrid(geometry.angles, geometry.det_partition.grid.coord_vectors[0], indexing="ij")
    cells = numpy.asarray(geometry.det_point_position(angles, bins)).reshape(*angles.shape, 2)
    if isinstance(geometry, tomo.FanBeamGeometry):
        directions = cells - numpy.asarray(geometry.src_position(geometry.angles)).reshape(-1, 1, 2)
    else:
        directions = numpy.asarray(geometry.det_to_src(angles, bins)).reshape(*angles.shape, 2)
    normals = numpy.stack([-directions[..., 1], directions[..., 0]], axis=-1) / numpy.linalg.norm(directions, axis=-1, keepdims=True)
    result = numpy.zeros(angles.shape)
    for x, y, radius, value in disks:
        distance = ((numpy.array([x, y]) - cells) * normals).sum(axis=-1)
        result += 2 * value * numpy.sqrt(numpy.clip(radius**2 - distance**2, 0, None))
    return result


def drawn(disks, side_cm: float, size: int = 416) -> numpy.ndarray:
    """The same in HU, (size, size), axis 0 x and axis 1 y."""
    places = (numpy.arange(size) - (size - 1) / 2) * side_cm / size
    x, y = numpy.meshgrid(places, places, indexing="ij")
    image = sum(value * ((x - cx) ** 2 + (y - cy) ** 2 < radius**2) for cx, cy, radius, value in disks)
    return (image / WATER - 1) * 1000


def error_hu(image_hu, truth_hu, left_out) -> float:
    """Root mean square in the body, edges and what is left out not counted."""
    inner = (numpy.abs(numpy.gradient(truth_hu)).max(axis=0) == 0) & (truth_hu > -900) & ~left_out
    for axis in (0, 1):
        inner &= numpy.roll(inner, 2, axis) & numpy.roll(inner, -2, axis)
    return float(numpy.sqrt(((image_hu - truth_hu)[inner] ** 2).mean()))


@pytest.mark.parametrize("name", GEOMETRIES)
def test_tissue_lies_where_it_is_and_metal_is_taken_out(name):
    geometry = GEOMETRIES[name]
    clean, metal_only = measured(geometry, TISSUE), measured(geometry, METAL)
    sinogram = (clean + metal_only - 0.35 * metal_only**1.5).astype(numpy.float32)  # as if the metal hardened the beam
    truth_hu, metal = drawn(TISSUE, 20.0), drawn(METAL, 20.0) > 0
    near = metal | numpy.roll(metal, 6, 0) | numpy.roll(metal, -6, 0) | numpy.roll(metal, 6, 1) | numpy.roll(metal, -6, 1)
    options = {"device": "cpu", "image_side_cm": 20.0}
    elsewhere = drawn(((8.5, 0, 0.2, 1),), 20.0) > 0
    as_measured = correct_sinogram(clean, geometry, elsewhere, "li", **options)
    assert as_measured.image_hu.shape == (1, 416, 416) and as_measured.pixel_mm == pytest.approx(200 / 416)
    assert error_hu(as_measured.image_hu[0], truth_hu, elsewhere) < 25
    uncorrected = error_hu(correct_sinogram(sinogram, geometry, elsewhere, "li", **options).image_hu[0], truth_hu, near)
    for method, share in (("li", 0.7), ("nmar", 0.5)):
        result = correct_sinogram(sinogram, geometry, metal, method, **options)
        assert numpy.array_equal(result.sinogram[~result.metal_trace], sinogram[None][~result.metal_trace])
        assert result.metal_trace[0][metal_only > 0.3].all() and result.metal_trace.mean() < 0.2
        assert error_hu(result.image_hu[0], truth_hu, near) < share * uncorrected, method


def test_metal_is_found_where_no_mask_is_given():
    geometry = GEOMETRIES["parallel"]
    sinogram = measured(geometry, TISSUE + METAL)
    result = correct_sinogram(sinogram, geometry, method="li", device="cpu", image_side_cm=20.0)
    wanted = drawn(METAL, 20.0) > 0
    found = result.metal_mask[0]
    assert 2 * (found & wanted).sum() / (found.sum() + wanted.sum()) > 0.85
    assert result.parameters["threshold_hu"] == 2000


def test_the_benchmark_s_geometry_is_not_interpolated(projector):
    import torch

    from SSLMARLib.methods import get_method
    from SSLMARLib.methods.base import MetalAffectedScan
    from SSLMARLib.sinogram import metal_trace

    geometry = FanBeamGeometry()
    side_cm = 416 * geometry.pixel_size_cm
    disks = [tuple(0.6 * value if number < 3 else value for number, value in enumerate(one)) for one in TISSUE]
    metal = [tuple(0.6 * value if number < 3 else value for number, value in enumerate(one)) for one in METAL]
    sinogram = measured(geometry.odl_geometry(), [*disks, *metal]).astype(numpy.float32)
    mask = drawn(metal, side_cm) > 0
    for method in ("nmar", "cnnmar"):
        result = correct_sinogram(sinogram, geometry, mask, method, device="cpu")
        masks = torch.from_numpy(mask[None])
        scan = MetalAffectedScan(
            torch.from_numpy(sinogram[None]), metal_trace(masks, projector, get_method(method).trace_dilation_bins), masks, projector
        )
        with torch.inference_mode():
            expected = get_method(method).correct(scan)
        numpy.testing.assert_array_equal(result.sinogram, expected.numpy())


def test_networks_make_the_prior_of_another_geometry_too():
    geometry = GEOMETRIES["curved fan"]
    sinogram = measured(geometry, TISSUE + METAL).astype(numpy.float32)
    metal = drawn(METAL, 20.0) > 0
    result = correct_sinogram(sinogram, geometry, metal, "sslmar", device="cpu", image_side_cm=20.0)
    assert numpy.array_equal(result.sinogram[~result.metal_trace], sinogram[None][~result.metal_trace])
    clean = measured(geometry, TISSUE)
    inside = result.metal_trace[0]
    by_li = correct_sinogram(sinogram, geometry, metal, "li", device="cpu", image_side_cm=20.0).sinogram[0]
    assert numpy.abs(result.sinogram[0] - clean)[inside].mean() < numpy.abs(by_li - clean)[inside].mean()


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda data: data.__setitem__((0, 0), numpy.nan), "NaN"),
        (lambda data: data.__imul__(0), "no line integrals"),
        (lambda data: data.__iadd__(1000), "no line integrals"),
    ],
)
def test_what_is_no_sinogram_is_refused(change, said):
    geometry = GEOMETRIES["parallel"]
    sinogram = measured(geometry, TISSUE)
    change(sinogram)
    with pytest.raises(InputError, match=said):
        correct_sinogram(sinogram, geometry, numpy.ones((8, 8)), "li", device="cpu")


def test_geometries_that_do_not_fit_are_refused():
    geometry = GEOMETRIES["parallel"]
    sinogram = measured(geometry, TISSUE)
    with pytest.raises(InputError, match=r"sinogram is \(539, 600\) and its geometry \(540, 600\)"):
        correct_sinogram(sinogram[1:], geometry, numpy.ones((8, 8)), "li", device="cpu")
    half = flat_fan(300, numpy.pi)
    with pytest.raises(InputError, match="do not cover"):
        correct_sinogram(measured(half, TISSUE), half, numpy.ones((8, 8)), "li", device="cpu")
    with pytest.raises(InputError, match="Parallel3d"):
        other = tomo.Parallel3dAxisGeometry(odl.uniform_partition(0, 3, 4), odl.uniform_partition([-1, -1], [1, 1], [4, 4]))
        correct_sinogram(sinogram, other, numpy.ones((8, 8)), "li", device="cpu")


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_the_command(tmp_path, suffix, capsys):
    geometry = GEOMETRIES["curved fan"]
    arrays = {
        "sinogram": measured(geometry, TISSUE + METAL), "kind": "fan", "angles_rad": geometry.angles,
        "bins": geometry.det_partition.grid.coord_vectors[0], "source_radius_cm": RADIUS, "detector_radius_cm": DETECTOR,
        "curvature_radius_cm": RADIUS + DETECTOR,
    }  # fmt: skip
    path = tmp_path / f"scan{suffix}"
    if suffix == ".npz":
        numpy.savez(path, **arrays)
    else:
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            for name, value in arrays.items():
                file[name] = value
    numpy.save(tmp_path / "mask.npy", drawn(METAL, 20.0, 256) > 0)
    words = ["correct-sinogram", str(path), str(tmp_path / "out.npz"), "--method", "li", "--mask", str(tmp_path / "mask.npy")]
    assert main([*words, "--image-side-cm", "20", "--device", "cpu"]) == 0
    assert "1 sinograms" in capsys.readouterr().out
    with numpy.load(tmp_path / "out.npz") as out:
        expected = correct_sinogram(arrays["sinogram"], geometry, drawn(METAL, 20.0, 256) > 0, "li", device="cpu", image_side_cm=20.0)
        numpy.testing.assert_allclose(out["sinogram"], expected.sinogram, atol=1e-4)
        assert set(out) == {"sinogram", "metal_trace", "image_hu", "metal_mask", "pixel_mm"}
    assert main(words) == 2 and "--overwrite" in capsys.readouterr().err
    numpy.savez(tmp_path / "bare.npz", sinogram=arrays["sinogram"], kind="fan")
    assert main(["correct-sinogram", str(tmp_path / "bare.npz"), str(tmp_path / "no.npz")]) == 2
    assert "lacks angles_rad, bins, source_radius_cm, detector_radius_cm" in capsys.readouterr().err
