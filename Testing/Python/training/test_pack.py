"""Packed training sets: read back as they were, in parts of a given size."""

from __future__ import annotations

import subprocess
import sys

import numpy
import pytest

from SSLMARLib.errors import InputError
from SSLMARLib.training.pack import main, pack_metal_free_slices, patient_hash
from SSLMARLib.training.slices import read_metal_free_slices


@pytest.fixture
def packed(tmp_path):
    (tmp_path / "packed").mkdir()
    return tmp_path / "packed"


def test_what_is_packed_is_read_back(data_folder, packed):
    assert pack_metal_free_slices(data_folder, packed / "all.npz", size=64) == [packed / "all.npz"]
    with numpy.load(packed / "all.npz", allow_pickle=False) as archive:
        assert archive["hu"].dtype == numpy.int16 and archive["hu"].shape == (10, 64, 64)
    expected, found = read_metal_free_slices(data_folder, 64), read_metal_free_slices(packed, 64)
    assert (found.images_hu == expected.images_hu).all() and list(found.patients) == [patient_hash(name) for name in expected.patients]


def test_no_name_of_a_patient_is_packed_and_each_has_one_hash(tmp_path, packed, make_scan):
    names = ["Doe^Jane", "Doe^Jane", "Roe^Richard", "Doe^Jane"]
    for number in (1, 2):
        folder = tmp_path / f"hospital {number}"
        folder.mkdir()
        numpy.savez(folder / "scans.npz", hu=make_scan(number, slices=4), patient=names)
        pack_metal_free_slices(folder, packed / f"set{number}.npz", size=64)
    for file in packed.iterdir():
        with numpy.load(file) as archive:
            assert all("Doe" not in name and "Roe" not in name for name in archive["patient"].tolist())
    found = read_metal_free_slices(packed, 64)
    jane, richard = found.patients[0], found.patients[2]
    assert jane != richard and list(found.patients) == [jane, jane, richard, jane] * 2
    training, validation = found.split(0.5, seed=0)
    assert not set(training.patients) & set(validation.patients)


def test_patients_on_whom_sslmar_is_judged_are_refused_before_their_names_are_gone(tmp_path, packed, make_scan):
    (tmp_path / "scans").mkdir()
    numpy.savez(tmp_path / "scans/scan.npz", hu=make_scan(1), patient=["a", "LIDC-IDRI-0314"])
    with pytest.raises(InputError, match="lidc_idri_0314"):
        pack_metal_free_slices(tmp_path / "scans", packed / "set.npz", size=64)
    assert not list(packed.iterdir())


def test_packed_slices_are_read_without_simpleitk(data_folder, repository):
    """A machine with a GPU to train on need not have what reads medical images."""
    code = "import sys; sys.modules.update(SimpleITK=None, pydicom=None)\n"
    code += "from SSLMARLib.training.slices import read_metal_free_slices\n"
    code += "sys.exit(len(read_metal_free_slices(sys.argv[1], 64)) != 10)"
    subprocess.run([sys.executable, "-c", code, str(data_folder)], cwd=repository, check=True)


def test_parts_are_of_the_size_and_together_everything(tmp_path, packed, random_generator):
    noisy = random_generator.integers(-200, 200, (12, 64, 64)).astype(numpy.int16)
    (tmp_path / "noise").mkdir()
    numpy.savez(tmp_path / "noise/scan.npz", hu=noisy, patient=[f"p{number // 3}" for number in range(12)])
    files = pack_metal_free_slices(tmp_path / "noise", packed / "set.npz", size=64, part_mib=0.1)
    assert [file.name for file in files] == [f"set_{number}.npz" for number in range(1, len(files) + 1)] and len(files) > 1
    assert all(file.stat().st_size <= 0.1 * 2**20 for file in files)
    found = read_metal_free_slices(packed, 64)
    assert (found.images_hu == noisy).all() and set(found.patients) == {patient_hash(f"p{number}") for number in range(4)}
    with pytest.raises(InputError, match="more than a part may"):
        pack_metal_free_slices(tmp_path / "noise", packed / "other.npz", size=64, part_mib=0.065)


def test_small_slices_keep_their_size(tmp_path, data_folder, packed, make_scan):
    (tmp_path / "both").mkdir()
    numpy.savez(tmp_path / "both/large.npz", hu=make_scan(1, size=96), patient=["a", "a"])
    numpy.savez(tmp_path / "both/small.npz", hu=make_scan(2, size=32), patient=["b", "b"])
    files = pack_metal_free_slices(tmp_path / "both", packed / "set.npz", size=64)
    shapes = []
    for file in files:
        with numpy.load(file) as archive:
            shapes.append(archive["hu"].shape)
    assert shapes == [(2, 64, 64), (2, 32, 32)]
    expected, found = read_metal_free_slices(tmp_path / "both", 64), read_metal_free_slices(packed, 64)
    assert (found.images_hu == expected.images_hu).all() and list(found.patients) == [patient_hash(name) for name in "aabb"]


def test_fewer_slices_and_coarser_values(tmp_path, packed, make_scan):
    (tmp_path / "scans").mkdir()
    scan = make_scan(1, slices=7) + numpy.arange(7, dtype=numpy.int16)[:, None, None]
    numpy.savez(tmp_path / "scans/scan.npz", hu=scan, patient=["a"] * 6 + ["b"])
    pack_metal_free_slices(tmp_path / "scans", packed / "set.npz", size=64, most_slices=2, step_hu=4)
    found = read_metal_free_slices(packed, 64)
    assert list(found.patients) == [patient_hash(name) for name in "aab"]
    assert (found.images_hu % 4 == 0).all()
    assert numpy.abs(found.images_hu - numpy.maximum(scan[[1, 4, 6]], -1000)).max() <= 2


def test_from_the_command_line(data_folder, packed, capsys):
    assert main([str(data_folder), str(packed / "all.npz"), "--size", "64"]) == 0
    assert capsys.readouterr().out.startswith(str(packed / "all.npz"))
    assert main([str(data_folder), str(packed / "all.npz")]) == 2
    error = capsys.readouterr().err
    assert "exists" in error and error.count("\n") == 1
    assert main([str(data_folder), str(packed / "all.npz"), "--overwrite", "--leave-out", "scans.npz"]) == 2
    assert "no usable scan" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name, options, words",
    [("set.nrrd", {}, r"ends in \.npz"), ("set.npz", {"step_hu": 0}, "above 0"), ("no/set.npz", {}, "does not exist")],
)
def test_refusals(data_folder, packed, name, options, words):
    with pytest.raises(InputError, match=words):
        pack_metal_free_slices(data_folder, packed / name, **options)
