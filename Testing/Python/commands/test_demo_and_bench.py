"""`sslmar demo` does the main job from nothing; `sslmar bench` writes the figures that others read."""

from __future__ import annotations

import json
import re

import numpy
import pytest

import SSLMARLib
from SSLMARLib import cli


def test_demo(tmp_path, capsys):
    folder = tmp_path / "demo"
    assert cli.main(["demo", "--kind", "dental", "--output", str(folder)]) == 0
    said = capsys.readouterr().out
    rmse_hu = {name: float(value) for name, value in re.findall(r"^  (\w+) +([\d.]+) HU$", said, re.MULTILINE)}
    assert set(rmse_hu) == {"uncorrected", "LI", "NMAR", "CNNMAR", "SSLMAR"}
    assert max(rmse_hu["CNNMAR"], rmse_hu["SSLMAR"]) < rmse_hu["NMAR"] < rmse_hu["LI"]
    assert rmse_hu["LI"] < 0.9 * rmse_hu["uncorrected"] and rmse_hu["SSLMAR"] < 0.65 * rmse_hu["uncorrected"]
    assert (folder / "before_after.png").read_bytes().startswith(b"\x89PNG")
    truth, scan, corrected, metal = (
        SSLMARLib.read_volume(folder / f"{name}.nii.gz") for name in ("truth", "with_metal", "sslmar", "metal")
    )
    assert corrected.same_geometry(truth) and corrected.voxels_hu.dtype == scan.voxels_hu.dtype == numpy.int16
    inside = metal.voxels_hu > 0
    assert (corrected.voxels_hu[inside] == scan.voxels_hu[inside]).all()
    assert cli.main(["demo", "--kind", "dental", "--output", str(folder)]) == 2  # not over an earlier one, unless asked
    assert "--overwrite" in capsys.readouterr().err


def test_demo_of_own_weights(tmp_path, capsys, own_weights, monkeypatch):
    from SSLMARLib import methods

    monkeypatch.setattr(methods, "METHODS", {name: methods.METHODS[name] for name in ("li", "sslmar")})
    folder = tmp_path / "demo"
    assert cli.main(["demo", "--output", str(folder), "--weights", str(own_weights)]) == 0
    assert "SSLMAR (hospital)" in capsys.readouterr().out
    own, shipped = (SSLMARLib.read_volume(folder / f"{name}.nii.gz").voxels_hu for name in ("own_weights", "sslmar"))
    assert not numpy.array_equal(own, shipped)
    assert cli.main(["demo", "--output", str(tmp_path / "other"), "--weights", str(tmp_path / "none.safetensors")]) == 2
    assert "There are no weights" in capsys.readouterr().err and not (tmp_path / "other").exists()


@pytest.mark.parametrize("what, names", [("projector", {"project", "backproject", "fbp"}), ("simulation", {"simulate"})])
def test_bench(tmp_path, capsys, monkeypatch, what, names):
    pytest.importorskip("astra", reason="astra-toolbox is not installed, so the comparison did NOT run")
    from SSLMARLib import timing

    monkeypatch.setattr(timing, "REPEATS", 2)
    monkeypatch.setattr(timing, "BATCHES", (1, 2))
    file = tmp_path / "bench.json"
    assert cli.main(["bench", what, "--json", str(file)]) == 0
    result = json.loads(file.read_text())
    assert "ASTRA" in result["baseline"] and {row["operation"] for row in result["operations"]} == names
    for row in result["operations"]:
        assert row["ms_per_slice"] > 0 and row["ratio"] == pytest.approx(row["baseline_ms_per_slice"] / row["ms_per_slice"])
    assert "ASTRA" in capsys.readouterr().out


def test_bench_without_a_baseline_says_so(tmp_path, capsys, monkeypatch):
    from SSLMARLib import timing

    monkeypatch.setattr(timing, "REPEATS", 2)
    monkeypatch.setattr(timing, "_baseline", lambda geometry: (None, "ASTRA is not installed."))
    file = tmp_path / "bench.json"
    assert cli.main(["bench", "simulation", "--json", str(file)]) == 0
    assert json.loads(file.read_text())["baseline"] is None
    assert "absent. ASTRA is not installed." in capsys.readouterr().out
