"""Masks of other programs: turned axes, several labels, cropped and layered files of Slicer."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy
import pytest

from SSLMARLib.cli import main
from SSLMARLib.ct.reading_writing import read_mask, write_volume
from SSLMARLib.ct.volume import CTVolume
from SSLMARLib.errors import InputError

SHAPE = (4, 5, 6)
VOLUME = CTVolume(numpy.zeros(SHAPE, numpy.int16), (2.0, 0.5, 0.75), (-10.0, 20.0, 30.0))


def a_mask() -> numpy.ndarray:
    return numpy.random.default_rng(5).random(SHAPE) > 0.7


def turned(volume: CTVolume, order, signs) -> CTVolume:
    """The same voxels at the same places with other axes: array axes in this order, backward where the sign is -1."""
    voxels = volume.voxels_hu.transpose(order)
    first = numpy.zeros(3)
    for axis, sign in zip(order, signs, strict=True):
        first[2 - axis] = volume.shape[axis] - 1 if sign < 0 else 0
    voxels = voxels[tuple(slice(None, None, sign) for sign in signs)]
    origin_mm = (volume.index_to_position_mm() @ [*first, 1])[:3]
    columns = [volume.direction[:, 2 - axis] * sign for axis, sign in zip(order, signs, strict=True)][::-1]
    spacing_mm = tuple(volume.spacing_mm[axis] for axis in order)
    return CTVolume(numpy.ascontiguousarray(voxels), spacing_mm, tuple(origin_mm), numpy.array(columns).T)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_turned_axes(tmp_path, order):
    mask = a_mask()
    for signs in itertools.product((1, -1), repeat=3):
        write_volume(turned(VOLUME.with_voxels(mask), order, signs), tmp_path / "mask.nrrd", overwrite=True)
        numpy.testing.assert_array_equal(read_mask(tmp_path / "mask.nrrd", VOLUME), mask)


@pytest.mark.parametrize("change", [{"origin_mm": (-10, 20, 32)}, {"spacing_mm": (2.0, 0.5, 0.7)}, {"origin_mm": (-10.2, 20, 30)}])
def test_other_places_are_refused(tmp_path, change):
    write_volume(replace(VOLUME.with_voxels(a_mask()), **change), tmp_path / "mask.nrrd")
    with pytest.raises(InputError, match="lies elsewhere"):
        read_mask(tmp_path / "mask.nrrd", VOLUME)


def test_several_labels_need_a_choice(tmp_path):
    labels = numpy.zeros(SHAPE, numpy.int16)
    labels[1, 2, 3], labels[2, 2, 2], labels[0, 0, 0] = 3, 7, 9
    write_volume(VOLUME.with_voxels(labels), tmp_path / "mask.nii.gz")
    with pytest.raises(InputError, match=r"3 labels \(3, 7, 9\).*--mask-label"):
        read_mask(tmp_path / "mask.nii.gz", VOLUME)
    with pytest.raises(InputError, match='no label "4"'):
        read_mask(tmp_path / "mask.nii.gz", VOLUME, "4")
    numpy.testing.assert_array_equal(read_mask(tmp_path / "mask.nii.gz", VOLUME, "7"), labels == 7)
    numpy.testing.assert_array_equal(read_mask(tmp_path / "mask.nii.gz", VOLUME, ["3", "9"]), (labels == 3) | (labels == 9))


def test_nan_is_no_metal(tmp_path, caplog):
    mask = a_mask()
    write_volume(VOLUME.with_voxels(numpy.where(mask, 1, numpy.nan).astype(numpy.float32)), tmp_path / "mask.nrrd")
    numpy.testing.assert_array_equal(read_mask(tmp_path / "mask.nrrd", VOLUME), mask)
    assert "NaN" in caplog.text


def seg_nrrd(path, first_column=1, names=("Bone", "Metal")) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Write two overlapping segments of 3 x 3 x 2 voxels in two layers, as Slicer crops them; returns both on the grid of VOLUME."""
    layers = numpy.random.default_rng(1).integers(0, 2, (2, 3, 3, 2), dtype=numpy.uint8)  # slices, rows, columns, layers
    layers[0, 0, 0], layers[1, 2, 2] = 1, 1
    x_mm = -10 + 0.75 * first_column
    header = (
        "NRRD0004\ntype: unsigned char\ndimension: 4\nspace: left-posterior-superior\nsizes: 2 3 3 2\n"
        "space directions: none (0.75,0,0) (0,0.5,0) (0,0,2)\nkinds: list domain domain domain\nencoding: raw\n"
        f"space origin: ({x_mm},20.5,34)\n"
    )
    for index, name in enumerate(names):
        header += f"Segment{index}_Name:={name}\nSegment{index}_LabelValue:=1\nSegment{index}_Layer:={index}\n"
    path.write_bytes(f"{header}\n".encode() + layers.tobytes())
    both = numpy.zeros((2, *SHAPE), bool)
    columns = min(3, SHAPE[2] - first_column)
    both[:, 2:4, 1:4, first_column : first_column + columns] = numpy.moveaxis(layers, -1, 0)[..., :columns]
    return both[0], both[1]


def test_cropped_and_layered_segments(tmp_path, caplog):
    bone, metal = seg_nrrd(tmp_path / "a.seg.nrrd")
    assert (bone & metal).any()
    with pytest.raises(InputError, match='2 labels .1 "Bone", 1 "Metal"'):
        read_mask(tmp_path / "a.seg.nrrd", VOLUME)
    with pytest.raises(InputError, match='2 labels "1"'):
        read_mask(tmp_path / "a.seg.nrrd", VOLUME, "1")
    numpy.testing.assert_array_equal(read_mask(tmp_path / "a.seg.nrrd", VOLUME, "metal"), metal)
    numpy.testing.assert_array_equal(read_mask(tmp_path / "a.seg.nrrd", VOLUME, ["Bone", "Metal"]), bone | metal)
    assert not caplog.text
    _, metal = seg_nrrd(tmp_path / "a.seg.nrrd", first_column=4)
    numpy.testing.assert_array_equal(read_mask(tmp_path / "a.seg.nrrd", VOLUME, "Metal"), metal)
    assert "partly outside" in caplog.text
    seg_nrrd(tmp_path / "a.seg.nrrd", first_column=9)
    with pytest.raises(InputError, match="outside the volume"):
        read_mask(tmp_path / "a.seg.nrrd", VOLUME, "Metal")


def test_the_command(tmp_path, capsys):
    voxels = numpy.random.default_rng(2).normal(0, 20, (2, 64, 64)).astype(numpy.int16)
    labels = numpy.zeros(voxels.shape, numpy.uint8)
    labels[0, 30:33, 30:33], labels[1, 10:12, 10:12] = 1, 2
    volume = CTVolume(voxels, (1, 1, 1))
    write_volume(volume, tmp_path / "scan.nrrd")
    write_volume(volume.with_voxels(labels), tmp_path / "mask.nrrd")
    words = ["correct", str(tmp_path / "scan.nrrd"), str(tmp_path / "out.nrrd"), "--method", "li", "--quiet"]
    assert main([*words, "--mask-label", "2"]) != 0
    assert "give --mask too" in capsys.readouterr().err
    words += ["--mask", str(tmp_path / "mask.nrrd"), "--mask-output", str(tmp_path / "used.nrrd")]
    assert main(words) != 0
    assert "2 labels (1, 2)" in capsys.readouterr().err
    assert main([*words, "--mask-label", "2"]) == 0
    numpy.testing.assert_array_equal(read_mask(tmp_path / "used.nrrd", volume), labels == 2)
