"""The simulated scans that Slicer's Sample Data offers."""

from __future__ import annotations

import numpy
import pytest

from SSLMARLib import Cancelled, InputError, MetalSearch, sample_data


@pytest.fixture(scope="module")
def dental():
    return sample_data.simulate_scan_of("dental", slices=3, device="cpu")


def test_a_sample_has_metal_with_artifacts_and_its_truth(dental):
    scan, truth, metal = dental.volume.voxels_hu, dental.truth.voxels_hu, dental.metal_mask
    assert scan.shape == truth.shape == metal.shape == (3, 400, 400) and scan.dtype == numpy.int16
    assert dental.volume.same_geometry(dental.truth)
    assert scan[metal].mean() > 2500 and scan.max() == 3071 and scan.min() >= -1024
    tissue = (truth > -200) & (truth < 200) & ~metal
    assert numpy.abs(scan - truth)[tissue].mean() > 10
    assert (scan[metal.any(axis=(1, 2)) == 0] == truth[metal.any(axis=(1, 2)) == 0]).all()


@pytest.mark.parametrize("method, ratio", [("li", 0.85), ("nmar", 0.7), ("cnnmar", 0.8), ("sslmar", 0.7)])
def test_each_method_brings_the_sample_nearer_to_its_truth(dental, method, ratio):
    from SSLMARLib import reduce_metal_artifacts

    result = reduce_metal_artifacts(dental.volume.voxels_hu, dental.volume.spacing_mm, MetalSearch(threshold_hu=2500), method)
    tissue = (dental.truth.voxels_hu > -200) & (dental.truth.voxels_hu < 200) & ~result.metal_mask
    before, after = (
        numpy.sqrt(((voxels.astype(float) - dental.truth.voxels_hu)[tissue] ** 2).mean())
        for voxels in (dental.volume.voxels_hu, result.volume_hu)
    )
    assert after < ratio * before


def test_a_hip_lies_in_a_pelvis_and_is_the_same_each_time():
    first, second = (sample_data.simulate_scan_of("hip", 1, device="cpu").volume for _ in range(2))
    assert first.spacing_mm == (4.0, 1.0, 1.0)
    assert (first.voxels_hu == second.voxels_hu).all()
    assert sample_data.simulate_scan_of("dental", 1, device="cpu").volume.spacing_mm == (2.0, 0.5, 0.5)


def test_progress_and_cancelling():
    seen = []
    sample_data.simulate_scan_of("dental", 1, device="cpu", progress=lambda fraction, message: seen.append(fraction))
    assert seen == sorted(seen) and seen[0] == 0 and seen[-1] == 1
    with pytest.raises(Cancelled):
        sample_data.simulate_scan_of("dental", 1, device="cpu", is_cancelled=lambda: True)


@pytest.mark.parametrize("kind, slices, sentence", [("knee", None, "choose one of hip, dental"), ("hip", 0, "too small")])
def test_what_cannot_be_simulated_is_refused(kind, slices, sentence):
    with pytest.raises(InputError, match=sentence):
        sample_data.simulate_scan_of(kind, slices)
