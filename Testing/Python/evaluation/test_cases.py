"""What is found in a folder, and the benchmark's masks against the metal traces of its files."""

from __future__ import annotations

import numpy
import pytest
import torch

from SSLMARLib.errors import InputError, MissingPackageError
from SSLMARLib.evaluation.cases import BenchmarkGroup, VolumeGroup, find_groups, read_benchmark_masks


def test_benchmark_masks_have_the_published_sizes_and_axes(shared, projector):
    masks = read_benchmark_masks(shared / "data" / "masks" / "masks_testmask10.npz")
    assert masks.shape == (10, 416, 416) and masks.dtype == bool
    assert masks.sum(axis=(1, 2)).tolist() == [254, 890, 451, 53, 112, 35, 881, 2061, 118, 124]
    (group,) = find_groups(shared / "data" / "benchmark" / "test", shared / "data" / "masks" / "masks_testmask10.npz", limit=1)
    cases = group.load()
    stored = cases.file_traces[0]

    def overlap(mask):
        trace = (projector.project(torch.from_numpy(numpy.ascontiguousarray(mask)).float()) > 1e-6).numpy()
        return (trace & stored).sum() / (trace | stored).sum()

    assert overlap(cases.metal_masks[0]) > 0.999
    assert overlap(cases.metal_masks[0].T) < 0.5  # the axes are in the benchmark's order


def test_groups_are_listed_in_order_and_limited(benchmark_folder, masks_file):
    groups = find_groups(benchmark_folder, masks_file)
    assert [group.identity for group in groups] == ["slice_a/0,1", "slice_b/1"]
    assert [group.identity for group in find_groups(benchmark_folder, limit=1)] == ["slice_a/0"]
    assert [group.identity for group in find_groups(benchmark_folder / "slice_b")] == ["slice_b/1"]
    assert groups[0].first_case().identity == "slice_a/0"


def test_many_masks_of_a_slice_are_read_in_groups_of_eight(tmp_path):
    (tmp_path / "s").mkdir()
    for name in ["gt", *range(11)]:
        (tmp_path / "s" / f"{name}.h5").touch()
    groups = find_groups(tmp_path)
    assert [group.mask_names for group in groups] == [tuple("01234567"), ("8", "9", "10")]


def test_metal_comes_from_the_mask_or_else_from_the_threshold(benchmark_folder, masks_file, phantom_metals):
    with_masks = find_groups(benchmark_folder, masks_file)[0].load()
    assert numpy.array_equal(with_masks.metal_masks, phantom_metals)
    by_threshold = find_groups(benchmark_folder)[0].load().metal_masks
    assert by_threshold.shape == phantom_metals.shape and by_threshold.any(axis=(1, 2)).all()
    assert not (by_threshold & ~phantom_metals).sum() > 0.3 * phantom_metals.sum()


def test_volumes_with_truth_and_mask(tmp_path):
    for name in ("b.nii.gz", "b_truth.nii.gz", "b_mask.nii.gz", "a.nrrd", "c_mask.mha", "notes.txt"):
        (tmp_path / name).touch()
    groups = find_groups(tmp_path)
    assert all(isinstance(group, VolumeGroup) for group in groups)
    found = {group.slice_name: (group.truth_path, group.mask_path) for group in groups}
    assert found == {
        "a": (None, None),
        "b": (tmp_path / "b_truth.nii.gz", tmp_path / "b_mask.nii.gz"),
        "c_mask": (None, None),  # nobody's mask: a volume of that name
    }
    with pytest.raises(InputError, match="--masks is for benchmark slices"):
        find_groups(tmp_path, masks_path=tmp_path / "masks.npz")


def test_volumes_may_be_folders_of_dicom_slices(tmp_path):
    """As `sslmar simulate` writes them for a volume from DICOM: the mask is a file."""
    for name in ("scan", "scan_truth"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "slice_0001.dcm").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "scan_mask.nrrd").touch()
    (tmp_path / "notes").mkdir()
    (group,) = find_groups(tmp_path)
    paths = (group.volume_path, group.truth_path, group.mask_path)
    assert group.slice_name == "scan" and paths == (tmp_path / "scan", tmp_path / "scan_truth", tmp_path / "scan_mask.nrrd")


def test_what_cannot_be_used_is_refused(tmp_path, benchmark_folder, masks_file):
    with pytest.raises(InputError, match="not a folder"):
        find_groups(tmp_path / "absent")
    with pytest.raises(InputError, match="holds neither"):
        find_groups(tmp_path)
    with pytest.raises(InputError, match="1 or more"):
        find_groups(benchmark_folder, limit=0)
    with pytest.raises(InputError, match="could not be read"):
        find_groups(benchmark_folder, tmp_path / "absent.npz")
    numpy.savez(tmp_path / "flat.npz", mask=numpy.zeros(3))
    with pytest.raises(InputError, match="no array"):
        find_groups(benchmark_folder, tmp_path / "flat.npz")
    numpy.savez(tmp_path / "one.npz", mask=numpy.ones((1, 416, 416), dtype="uint8"))
    with pytest.raises(InputError, match="needs mask 1"):
        find_groups(benchmark_folder, tmp_path / "one.npz")[0].load()


def test_broken_files_are_named(tmp_path, benchmark_folder):
    import h5py

    truth, case = tmp_path / "gt.h5", benchmark_folder / "slice_a" / "0.h5"
    truth.write_bytes(b"no HDF5")
    with pytest.raises(InputError, match="gt.h5 could not be read as HDF5"):
        BenchmarkGroup("s", truth, (case,), None).load()
    with h5py.File(truth, "w") as file:
        file["image"] = numpy.zeros((3, 3))
    with pytest.raises(InputError, match="'image' is \\(3, 3\\)"):
        BenchmarkGroup("s", truth, (case,), None).load()


def test_missing_h5py_is_a_sentence(benchmark_folder, without_package):
    without_package("h5py")
    with pytest.raises(MissingPackageError, match="h5py is not installed"):
        find_groups(benchmark_folder)[0].load()
