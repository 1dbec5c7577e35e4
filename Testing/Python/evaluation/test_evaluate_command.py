"""The verb `evaluate`: table, JSON, figure, and what it refuses before any work."""

from __future__ import annotations

import json
import shutil

import pytest

from SSLMARLib.errors import InputError


def test_table_json_and_figure(run_evaluate, benchmark_folder, masks_file, tmp_path):
    arguments = [benchmark_folder, "--methods", "uncorrected", "LI", "--masks", masks_file, "--device", "cpu", "--fbp", "both"]
    text = run_evaluate(*arguments, "--json", tmp_path / "a.json", "--figure", tmp_path / "a.png", "--quiet")
    assert "3 cases, exact FBP" in text and "3 cases, benchmark FBP" in text
    report = json.loads((tmp_path / "a.json").read_text())
    assert set(report["summary"]) == {"uncorrected", "li"} and len(report["cases"]) == 3 * 2 * 2
    mean = sum(case["rmse_hu"] for case in report["cases"] if case["method"] == "li" and case["fbp"] == "exact") / 3
    assert report["summary"]["li"]["rmse_hu"] == pytest.approx(mean)
    assert f"{mean:.1f}" in text
    wanted = {"slice", "mask", "method", "rmse_hu", "ssim", "reference", "metal_pixels"}
    assert all(wanted <= set(case) for case in report["cases"])
    assert (tmp_path / "a.png").stat().st_size > 10_000
    assert not list(tmp_path.glob("*.partial"))
    run_evaluate(*arguments, "--json", tmp_path / "b.json")
    assert (tmp_path / "b.json").read_text() == (tmp_path / "a.json").read_text()


def test_weights_that_were_trained_are_evaluated_too(run_evaluate, benchmark_folder, masks_file, own_weights, tmp_path):
    arguments = [benchmark_folder, "--masks", masks_file, "--device", "cpu", "--json", tmp_path / "a.json", "--limit", "1"]
    text = run_evaluate(*arguments, "--methods", "li", own_weights, "--figure", tmp_path / "a.png")
    summary = json.loads((tmp_path / "a.json").read_text())["summary"]
    assert set(summary) == {"li", str(own_weights)} and str(own_weights) in text
    assert summary["li"]["rmse_hu"] != summary[str(own_weights)]["rmse_hu"]
    own_weights.write_bytes(b"nothing")
    with pytest.raises(InputError, match="altered or cut off"):
        run_evaluate(*arguments, "--methods", own_weights, "--overwrite")
    own_weights.unlink()
    with pytest.raises(InputError, match="There are no weights"):
        run_evaluate(*arguments, "--methods", own_weights, "--overwrite")


def test_results_that_others_made_are_measured_too(run_evaluate, benchmark_folder, masks_file, tmp_path):
    """A perfect one has no error; one of another shape, or one that is missing, is refused."""
    import h5py
    import numpy

    from SSLMARLib.tomography import get_projector

    folder = tmp_path / "cases"
    shutil.copytree(benchmark_folder, folder)
    import torch

    for case in folder.glob("*/[0-9]*.h5"):
        with h5py.File(case.parent / "gt.h5") as file:
            sinogram = torch.from_numpy(numpy.asarray(file["poly_sinogram"], dtype=numpy.float32))
        numpy.save(case.with_name(f"{case.stem}_published.npy"), get_projector("cpu").fbp(sinogram[None])[0].numpy())
    arguments = [folder, "--masks", masks_file, "--device", "cpu"]
    text = run_evaluate(*arguments, "--methods", "li", "published", "--json", tmp_path / "a.json", "--figure", tmp_path / "a.png")
    summary = json.loads((tmp_path / "a.json").read_text())["summary"]
    assert summary["published"]["rmse_hu"] < 0.01 < summary["li"]["rmse_hu"] and "published" in text
    numpy.save(next(folder.glob("*/*_published.npy")), numpy.zeros((5, 5)))
    with pytest.raises(InputError, match=r"is float64 \(5, 5\): give \(416, 416\) finite numbers"):
        run_evaluate(*arguments, "--methods", "published")
    next(folder.glob("*/*_published.npy")).unlink()
    with pytest.raises(InputError, match="missing or damaged"):
        run_evaluate(*arguments, "--methods", "published")


def test_all_methods_stand_beside_their_published_figures(run_evaluate, benchmark_folder, masks_file, tmp_path):
    from SSLMARLib.methods import available_methods

    text = run_evaluate(
        benchmark_folder, "--masks", masks_file, "--device", "cpu", "--json", tmp_path / "a.json", "--limit", "1", "--methods", "all"
    )
    report = json.loads((tmp_path / "a.json").read_text())
    assert list(report["summary"]) == ["uncorrected", *available_methods(for_research=True)]
    rows = [line.split() for line in text.splitlines() if line.startswith("dudonet ")]
    assert ["dudonet", "pairs", "38.00", "0.76"] in [row[:4] for row in rows]
    assert report["published"]["sslmar"] == {"learned_from": "metal-free CT", "rmse_hu": None}


def test_the_default_method_is_among_the_default_ones(run_evaluate, benchmark_folder, masks_file, tmp_path):
    from SSLMARLib.methods import DEFAULT_METHOD

    run_evaluate(benchmark_folder, "--masks", masks_file, "--device", "cpu", "--json", tmp_path / "a.json", "--limit", "1")
    assert list(json.loads((tmp_path / "a.json").read_text())["summary"]) == ["uncorrected", "li", "nmar", DEFAULT_METHOD]


def test_an_interrupted_run_goes_on(run_evaluate, benchmark_folder, tmp_path, monkeypatch):
    from SSLMARLib.evaluation import runner

    measure, calls = runner.measure_slice, []

    def stop_at_the_third(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return measure(*arguments)

    monkeypatch.setattr(runner, "measure_slice", stop_at_the_third)
    arguments = [benchmark_folder, "--methods", "uncorrected", "--device", "cpu", "--json", tmp_path / "a.json"]
    with pytest.raises(KeyboardInterrupt):
        run_evaluate(*arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json.partial"]
    run_evaluate(*arguments)
    assert len(calls) == 4  # slice_a's two cases were not measured again
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_refusals_come_before_the_work(run_evaluate, benchmark_folder, tmp_path, monkeypatch):
    from SSLMARLib.evaluation import runner

    monkeypatch.setattr(runner, "run_evaluation", None)
    (tmp_path / "old.json").write_text("{}")
    for words, sentence in (
        (("--json", tmp_path / "old.json"), "exists"),
        (("--json", tmp_path / "absent" / "new.json"), "does not exist"),
        (("--figure", tmp_path / "new.txt"), "ends in .png"),
        (("--window-hu", "10", "-10"), "is empty"),
        (("--methods", "magic"), "no method 'magic'"),
        (("--limit", "0"), "1 or more"),
    ):
        with pytest.raises(InputError, match=sentence):
            run_evaluate(benchmark_folder, *words)
    assert (tmp_path / "old.json").read_text() == "{}"


def test_the_benchmark_without_masks(run_evaluate, shared, tmp_path):
    """Metal above 2500 HU; LI better than nothing, NMAR better than LI, on each case."""
    run_evaluate(shared / "data" / "benchmark" / "train", "--device", "cpu", "--json", tmp_path / "train.json")
    report = json.loads((tmp_path / "train.json").read_text())
    cases = {}
    for case in report["cases"]:
        cases.setdefault((case["slice"], case["mask"]), {})[case["method"]] = case["rmse_hu"]
    assert len(cases) == 4
    for errors in cases.values():
        assert errors["nmar"] < errors["li"] < errors["uncorrected"]
