"""Metal as the network outlines it: nearer to the truth than the threshold, and nothing where nothing is."""

from __future__ import annotations

import numpy
import pytest

from SSLMARLib import InputError, NoMetalError, cli, learned_metal, reduce_metal_artifacts, sample_data, segment_metal
from SSLMARLib.ct.reading_writing import read_mask, read_volume, write_volume
from SSLMARLib.networks.metal_network import MetalNet


@pytest.fixture(scope="module")
def hip():
    return sample_data.simulate_scan_of("hip", 1, device="cpu")


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def error_hu(scan, metal):
    result = reduce_metal_artifacts(scan.volume.voxels_hu, scan.volume.spacing_mm, metal, "nmar", "cpu").volume_hu
    return float(((result - scan.truth.voxels_hu.astype(float))[~scan.metal_mask] ** 2).mean() ** 0.5)


def test_it_is_nearer_to_the_metal_than_the_threshold(hip):
    found = learned_metal.find_metal(hip.volume.voxels_hu, hip.volume.spacing_mm)
    by_threshold = segment_metal(hip.volume.voxels_hu, hip.volume.spacing_mm)
    assert dice(found, hip.metal_mask) > max(0.92, dice(by_threshold, hip.metal_mask))
    assert error_hu(hip, "learned") < error_hu(hip, None)


def test_an_untrained_network_finds_nothing(hip, monkeypatch):
    monkeypatch.setattr(learned_metal, "_network", lambda device: MetalNet())
    with pytest.raises(NoMetalError, match="the network sees none"):
        learned_metal.find_metal(hip.volume.voxels_hu, hip.volume.spacing_mm)


@pytest.mark.parametrize("kind, factor", [("hip", 2.0), ("dental", 1.4)])
def test_there_is_no_metal_in_the_truth_even_with_bright_bone_and_enamel(kind, factor):
    sample = sample_data.simulate_scan_of(kind, 1, device="cpu")
    bright_hu = numpy.where(sample.truth.voxels_hu > 300, factor * sample.truth.voxels_hu, sample.truth.voxels_hu)
    assert 2000 < bright_hu.max() < 2750
    with pytest.raises(NoMetalError):
        learned_metal.find_metal(bright_hu, sample.truth.spacing_mm)


def test_another_word_is_refused(hip):
    with pytest.raises(InputError, match="metal is 'magic': give a mask, a MetalSearch, or 'learned'"):
        reduce_metal_artifacts(hip.volume.voxels_hu, hip.volume.spacing_mm, "magic", "li")


def test_on_the_command_line(hip, tmp_path, capsys):
    scan, mask, result, report = (tmp_path / name for name in ("scan.nii.gz", "mask.nii.gz", "result.nii.gz", "report.json"))
    write_volume(hip.volume, scan)
    assert cli.main(["segment", str(scan), str(mask), "--metal", "learned"]) == 0
    assert dice(read_mask(mask, read_volume(scan)), hip.metal_mask) > 0.9
    assert cli.main(["correct", str(scan), str(result), "--metal", "learned", "--method", "li", "--report", str(report)]) == 0
    assert '"metal": "learned"' in report.read_text(encoding="utf-8")
    capsys.readouterr()
    assert cli.main(["correct", str(scan), str(tmp_path / "no.nii.gz"), "--metal", "learned", "--threshold-hu", "2000"]) == 2
    assert "leave them out with --metal learned" in capsys.readouterr().err
