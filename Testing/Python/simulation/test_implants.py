"""Implants: drawn, replayed, rasterized; masks on the body; shapes from files."""

from __future__ import annotations

import numpy
import pytest

from SSLMARLib.errors import InputError
from SSLMARLib.simulation.implants import IMPLANT_KINDS, Implant, draw_implant
from SSLMARLib.simulation.metal_masks import body_mask, implant_in_volume, place_shape, random_implant, random_metal_mask, read_metal_shapes
from SSLMARLib.simulation.phantom import body_phantom
from SSLMARLib.simulation.shapes import Body, BodyFrame, Rod, rasterize

FRAME = BodyFrame(center=(10.0, 50.0, 50.0), voxels_per_width=(20.0, 100.0, 100.0), aspect=0.7)


@pytest.fixture(scope="module")
def body():
    """An elliptic body with a hole, (416, 416)."""
    rows, columns = numpy.mgrid[:416, :416]
    return ((rows - 210) / 120) ** 2 + ((columns - 200) / 180) ** 2 <= 1


def test_a_ball_has_the_volume_of_a_ball():
    frame = BodyFrame((30.0, 30.0, 30.0), (50.0, 50.0, 50.0), 1.0)
    mask = rasterize((Body((0, 0, 0), (0.4, 0.4, 0.4)),), frame, (61, 61, 61))
    assert mask.sum() == pytest.approx(4 / 3 * numpy.pi * 20**3, rel=0.02)
    in_plane = mask[30]
    assert in_plane.sum() == pytest.approx(numpy.pi * 20**2, rel=0.02)
    assert numpy.array_equal(in_plane, in_plane.T) and numpy.array_equal(in_plane, in_plane[::-1])


def test_a_rod_has_its_length_and_width():
    mask = rasterize((Rod((0, 0, -0.3), (0, 0, 0.3), 0.05, 0.05),), FRAME, (21, 101, 101))[10]
    assert mask.sum() == pytest.approx(60 * 10 + numpy.pi * 25, rel=0.1)
    assert numpy.flatnonzero(mask.any(axis=0))[[0, -1]].tolist() == [15, 85]
    assert numpy.flatnonzero(mask.any(axis=1))[[0, -1]].tolist() == [45, 55]


def test_a_thin_wire_is_connected():
    from scipy import ndimage

    wire = Rod((0.0, -0.3, -0.33), (0.11, 0.31, 0.28), 0.0005, 0.0005)
    mask = rasterize((wire,), FRAME, (21, 101, 101))
    assert mask.any() and ndimage.label(mask, numpy.ones((3, 3, 3)))[1] == 1


def test_a_hollow_body_is_hollow_and_its_opening_open():
    mask = rasterize((Body((0, 0, 0), (0.3,) * 3, wall=0.05, opening=(0, 0, 1)),), FRAME, (21, 101, 101))[10]
    assert not mask[50, 50] and mask[50, 22] and not mask[50, 78] and not mask[:, 53:].any()


def test_the_frame_of_a_body(body):
    frame = BodyFrame.of_body(body)
    assert frame.center[1:] == pytest.approx((210, 200), abs=0.5)
    assert frame.voxels_per_width[2] == pytest.approx(361, abs=1) and frame.aspect == pytest.approx(2 / 3, abs=0.01)
    tall = BodyFrame.of_body(numpy.stack([body] * 4), spacing_mm=(5.0, 0.5, 1.0))
    assert tall.voxels_per_width == pytest.approx((361 / 5, 722, 361), rel=0.01) and tall.center[0] == 1.5
    with pytest.raises(InputError, match="no body"):
        BodyFrame.of_body(numpy.zeros((5, 5), bool))


@pytest.mark.parametrize("kind", IMPLANT_KINDS)
def test_every_kind_lies_on_the_body_in_the_sizes_asked_for(kind, body):
    generator = numpy.random.default_rng(1)
    sizes = []
    for _ in range(15):
        mask = random_metal_mask(body, generator, kind)
        assert mask.dtype == bool and mask.shape == body.shape
        assert not (mask & ~body).any()
        sizes.append(int(mask.sum()))
    assert 16 <= min(sizes) and max(sizes) <= 5000 and len(set(sizes)) > 8


@pytest.mark.parametrize("kind", IMPLANT_KINDS)
def test_an_implant_is_replayed_from_its_parameters(kind, body):
    implant, z, frame = random_implant(body, numpy.random.default_rng(7), kind)
    mask = implant.mask(frame, body.shape, z) & body
    stored = Implant.from_json(implant.to_json())
    assert stored.kind == implant.kind
    assert numpy.array_equal(stored.mask(frame, body.shape, z) & body, mask)
    assert numpy.array_equal(random_metal_mask(body, numpy.random.default_rng(7), kind), mask)
    assert not numpy.array_equal(random_metal_mask(body, numpy.random.default_rng(8), kind), mask)


def test_a_slice_of_a_volume_is_the_mask_of_a_slice():
    implant = draw_implant("hip", numpy.random.default_rng(3))
    frame = BodyFrame((20.0, 100.0, 100.0), (160.0,) * 3, 0.7)
    volume = implant.mask(frame, (41, 201, 201))
    for index in (12, 20):
        z = (index - 20) / 160
        assert numpy.array_equal(volume[index], implant.mask(frame, (201, 201), z))


def test_metal_goes_on_through_the_slices():
    """The stem of a hip is seen in every slice below its shoulder, and moves little from one to the next."""
    frame = BodyFrame((39.0, 100.0, 100.0), (100.0, 160.0, 160.0), 0.7)
    masks = draw_implant("hip", numpy.random.default_rng(3)).mask(frame, (40, 201, 201))
    assert masks[5:35].any(axis=(1, 2)).all()
    for lower, upper in zip(masks[5:30], masks[6:31], strict=True):
        assert (lower & upper).sum() > 0.5 * min(lower.sum(), upper.sum())


def test_turned_moved_scaled():
    implant = Implant("test", (Rod((0, 0, -0.2), (0, 0, 0.2), 0.05, 0.05), Body((0, 0.1, 0), (0.1, 0.05, 0.1), 0.3)))
    turned = implant.moved((0, 0, 0), angle=numpy.pi / 2).mask(FRAME, (101, 101))
    original = implant.mask(FRAME, (101, 101))
    assert (turned & numpy.rot90(original)).sum() > 0.95 * original.sum()
    moved = implant.moved((0, 0.1, -0.2)).mask(FRAME, (101, 101))
    assert numpy.array_equal(moved, numpy.roll(original, (10, -20), (0, 1)))
    larger = implant.moved((0, 0, 0), scale=2).mask(FRAME, (101, 101))
    assert larger.sum() == pytest.approx(4 * original.sum(), rel=0.05)


def test_tiny_and_hopeless_bodies():
    small = numpy.zeros((416, 416), bool)
    small[200:206, 200:206] = True
    for seed in range(5):
        mask = random_metal_mask(small, numpy.random.default_rng(seed))
        assert mask.any() and not (mask & ~small).any()
    with pytest.raises(InputError, match="no metal"):
        random_metal_mask(numpy.zeros((20, 20), bool), numpy.random.default_rng(0))
    with pytest.raises(InputError, match="hip, spine"):
        random_metal_mask(small, numpy.random.default_rng(0), "wig")
    with pytest.raises(InputError, match="hip, spine"):
        draw_implant("wig", numpy.random.default_rng(0))
    with pytest.raises(InputError, match="not a stored implant"):
        Implant.from_json('{"kind": "hip", "shapes": [{"shape": "Cube"}]}')


def test_the_body_of_a_slice():
    image_hu = numpy.full((100, 100), -1000.0)
    image_hu[20:80, 10:90] = 40
    image_hu[40:50, 40:60] = -900  # lung
    image_hu[90:93, 5:95] = 100  # table
    expected = numpy.zeros((100, 100), bool)
    expected[20:80, 10:90] = True
    found = body_mask(image_hu)
    assert (found ^ expected).sum() < 10
    assert numpy.array_equal(body_mask(numpy.stack([image_hu, image_hu * 0 - 1000])), [found, numpy.zeros_like(found)])


def test_an_implant_follows_the_patient_and_not_the_array():
    from dataclasses import replace

    volume = body_phantom("pelvis", slices=12)
    mask, implant = implant_in_volume(volume, "hip", seed=3)
    assert mask.shape == volume.shape and mask.any() and not (mask & ~body_mask(volume.voxels_hu)).any()
    upside_down = replace(volume.with_voxels(volume.voxels_hu[::-1, ::-1].copy()), direction=numpy.diag([1.0, -1.0, -1.0]))
    flipped, again = implant_in_volume(upside_down, "hip", seed=3)
    assert again == implant and numpy.array_equal(flipped[::-1, ::-1], mask)
    with pytest.raises(InputError, match="does not exist"):
        implant_in_volume(volume, "hip", center_slice=12)


def test_a_shape_from_a_file_is_placed(body, tmp_path):
    shapes = numpy.zeros((3, 60, 60), numpy.uint8)
    shapes[0, 20:40, 20:50] = 1
    shapes[1, 10:15, 10:50] = 255
    numpy.savez(tmp_path / "shapes.npz", mask=shapes, spacing=numpy.array([1.0, 1.0]))
    found = read_metal_shapes(tmp_path / "shapes.npz")
    assert len(found) == 2 and all(shape.dtype == bool for shape in found)
    generator = numpy.random.default_rng(2)
    sizes = []
    for _ in range(20):
        mask = place_shape(found[1], body, generator, smallest_pixels=30, largest_pixels=800)
        assert not (mask & ~body).any()
        sizes.append(mask.sum())
    assert 30 <= min(sizes) < 100 < 400 < max(sizes) <= 800
    numpy.save(tmp_path / "empty.npy", shapes[2])
    for name in ("empty.npy", "absent.npz", "shapes.txt"):
        with pytest.raises(InputError, match="metal shapes"):
            read_metal_shapes(tmp_path / name)


def test_published_shapes(shared):
    shapes = read_metal_shapes(shared / "data" / "masks" / "xcist_97_masks.mat")
    assert len(shapes) == 97 and len({shape.shape for shape in shapes}) == 1
    assert len(read_metal_shapes(shared / "data" / "masks" / "naist_metal_labels.npz")) == 2
