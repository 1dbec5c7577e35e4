"""Metal as the network outlines it: nearer to the truth than the threshold, and nothing where nothing is."""

from __future__ import annotations

import json

import numpy
import pytest
import torch
from scipy import ndimage

from SSLMARLib import Cancelled, InputError, MetalSearch, NoMetalError, cli, find_metal, learned_metal, reduce_metal_artifacts, sample_data
from SSLMARLib import segment_metal as by_threshold
from SSLMARLib.ct.reading_writing import read_mask, read_volume, write_volume

LEARNED = MetalSearch(learned_outline=True)


@pytest.fixture(scope="module", params=["hip", "dental"])
def scan(request):
    return sample_data.simulate_scan_of(request.param, 1, device="cpu")


@pytest.fixture(scope="module")
def hip():
    return sample_data.simulate_scan_of("hip", 1, device="cpu")


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def error_hu(scan, metal):
    result = reduce_metal_artifacts(scan.volume.voxels_hu, scan.volume.spacing_mm, metal, "nmar", "cpu").volume_hu
    return float(((result - scan.truth.voxels_hu.astype(float))[~scan.metal_mask] ** 2).mean() ** 0.5)


def test_it_is_nearer_to_the_metal_than_the_threshold(scan):
    voxels_hu, spacing_mm = scan.volume.voxels_hu, scan.volume.spacing_mm
    found = find_metal(voxels_hu, spacing_mm, LEARNED)
    assert dice(found, scan.metal_mask) > max(0.85, dice(by_threshold(voxels_hu, spacing_mm), scan.metal_mask))
    assert (found & ~scan.metal_mask).sum() < 0.2 * scan.metal_mask.sum()
    assert error_hu(scan, LEARNED) < 0.9 * error_hu(scan, None)  # what is taken for metal keeps its values


def test_the_outlined_metal_keeps_its_values_and_nothing_else_is_new(hip):
    voxels_hu, spacing_mm = hip.volume.voxels_hu, hip.volume.spacing_mm
    results = [reduce_metal_artifacts(voxels_hu, spacing_mm, metal, "li", "cpu") for metal in ("learned", LEARNED)]
    mask = find_metal(voxels_hu, spacing_mm, LEARNED)
    for result in results:
        assert (result.metal_mask == mask).all() and (result.volume_hu == results[0].volume_hu).all()
        assert (result.volume_hu[mask] == voxels_hu[mask]).all()
    given = reduce_metal_artifacts(voxels_hu, spacing_mm, mask, "li", "cpu")
    assert (given.volume_hu == results[0].volume_hu).all()


def test_without_the_network_it_is_the_threshold(hip):
    voxels_hu, spacing_mm = hip.volume.voxels_hu, hip.volume.spacing_mm
    assert (find_metal(voxels_hu, spacing_mm) == by_threshold(voxels_hu, spacing_mm)).all()
    positive_hu = voxels_hu + 1024  # of no Hounsfield scale, which the network does not know
    assert (find_metal(positive_hu, spacing_mm, LEARNED) == by_threshold(positive_hu, spacing_mm)).all()


def test_edges_as_sharp_as_no_scanner_shows_them_stay_the_threshold_s():
    voxels_hu = numpy.full((2, 64, 64), -1000, numpy.int16)
    voxels_hu[:, 8:56, 8:56], voxels_hu[:, 30:36, 30:34] = 40, 3000
    assert (find_metal(voxels_hu, (2.0, 1.0, 1.0), LEARNED) == (voxels_hu == 3000)).all()


def test_what_the_network_does_not_see_in_one_slice_stays_and_what_it_nowhere_sees_goes(hip, monkeypatch):
    voxels_hu, spacing_mm = numpy.concatenate([hip.volume.voxels_hu] * 2), hip.volume.spacing_mm
    threshold = by_threshold(voxels_hu, spacing_mm)
    seen_hu = voxels_hu[0].copy()
    shown = []

    def network(slices_hu):  # sees the metal's peak in the first slice alone
        shown.append(slices_hu)
        logits = torch.full(slices_hu.shape, -9.0)
        return torch.where(slices_hu >= 3000, 9.0, logits) if len(shown) == 1 else logits

    monkeypatch.setattr(learned_metal, "_network", lambda device: network)
    found = find_metal(voxels_hu, spacing_mm, LEARNED)
    assert (found[1] == threshold[1]).all() and 0 < found[0].sum() < threshold[0].sum()
    assert (found[0] <= (seen_hu >= 3000) | threshold[0]).all()
    monkeypatch.setattr(learned_metal, "_network", lambda device: lambda slices_hu: torch.full(slices_hu.shape, -9.0))
    with pytest.raises(NoMetalError, match="the network sees none in the [0-9]+ voxels that reach 2000 HU"):
        find_metal(voxels_hu, spacing_mm, LEARNED)


@pytest.mark.parametrize(("logit", "is_network_s"), [(4.0, True), (0.5, False)])
def test_a_small_part_of_what_the_threshold_finds_is_the_metal_where_the_network_is_certain(hip, monkeypatch, logit, is_network_s):
    """The streaks around amalgam reach the threshold too, and there are many times as many of them."""
    voxels_hu, spacing_mm = hip.volume.voxels_hu.clip(max=3000), hip.volume.spacing_mm
    parts, _ = ndimage.label(by_threshold(voxels_hu, spacing_mm)[0], numpy.ones((3, 3)))
    part = parts == numpy.bincount(parts[parts > 0]).argmax()
    places = numpy.argwhere(part)
    core = part & (numpy.hypot(*(numpy.indices(part.shape) - places[len(places) // 2][:, None, None])) < 3)
    assert 8 < core.sum() < 0.1 * part.sum()
    voxels_hu[0][core] = 3071
    network = lambda slices_hu: torch.where(slices_hu > 3000, logit, -9.0)  # noqa: E731
    monkeypatch.setattr(learned_metal, "_network", lambda device: network)
    found = find_metal(voxels_hu, spacing_mm, LEARNED)[0]
    assert (found & part == (core if is_network_s else part)).all()


def test_dilation_and_cancelling(hip):
    voxels_hu, spacing_mm = hip.volume.voxels_hu, hip.volume.spacing_mm
    found, grown = (find_metal(voxels_hu, spacing_mm, MetalSearch(dilation_mm=mm, learned_outline=True)) for mm in (0.0, 3.0))
    assert (found <= grown).all() and found.sum() < grown.sum()
    with pytest.raises(Cancelled):
        find_metal(voxels_hu, spacing_mm, LEARNED, is_cancelled=lambda: True)


@pytest.mark.parametrize("kind, factor", [("hip", 2.0), ("dental", 1.4)])
def test_there_is_no_metal_in_the_truth_even_with_bright_bone_and_enamel(kind, factor):
    sample = sample_data.simulate_scan_of(kind, 1, device="cpu")
    bright_hu = numpy.where(sample.truth.voxels_hu > 300, factor * sample.truth.voxels_hu, sample.truth.voxels_hu)
    assert 2000 < bright_hu.max() < 2750
    with pytest.raises(NoMetalError):
        find_metal(bright_hu, sample.truth.spacing_mm, LEARNED)


def test_other_words_are_refused(hip):
    with pytest.raises(InputError, match="metal is 'magic': give a mask, a MetalSearch, or 'learned'"):
        reduce_metal_artifacts(hip.volume.voxels_hu, hip.volume.spacing_mm, "magic", "li")
    with pytest.raises(InputError, match="learned_outline is 1: give True or False"):
        MetalSearch(learned_outline=1)


def test_on_the_command_line(hip, tmp_path):
    scan, report = tmp_path / "scan.nii.gz", tmp_path / "report.json"
    write_volume(hip.volume, scan)
    found = {}
    for words in ([], ["--metal", "learned"], ["--metal", "threshold"], ["--metal", "learned", "--threshold-hu", "2500"]):
        mask = tmp_path / f"mask{len(found)}.nii.gz"
        assert cli.main(["segment", str(scan), str(mask), *words]) == 0
        found[" ".join(words)] = read_mask(mask, read_volume(scan))
    threshold, learned = by_threshold(hip.volume.voxels_hu, hip.volume.spacing_mm), found["--metal learned"]
    assert (found[""] == threshold).all() and (found["--metal threshold"] == threshold).all()
    assert dice(learned, hip.metal_mask) > dice(threshold, hip.metal_mask)
    assert dice(found["--metal learned --threshold-hu 2500"], hip.metal_mask) > 0.9
    words = ["--metal", "learned", "--method", "li", "--report", str(report)]
    assert cli.main(["correct", str(scan), str(tmp_path / "result.nii.gz"), *words]) == 0
    assert json.loads(report.read_text(encoding="utf-8"))["parameters"]["learned_outline"] is True
