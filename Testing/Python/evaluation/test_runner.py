"""The runner: the benchmark's published figures, resuming, volumes; and that a bad method is seen to be bad."""

from __future__ import annotations

import json

import numpy
import pytest

from SSLMARLib.errors import Cancelled, InputError
from SSLMARLib.evaluation import corrected_slices as corrected_slices_module
from SSLMARLib.evaluation.cases import find_groups
from SSLMARLib.evaluation.runner import figure_rows, run_evaluation
from SSLMARLib.evaluation.settings import EvaluationSettings
from SSLMARLib.evaluation.tables import summarize
from SSLMARLib.methods import Method


@pytest.fixture
def count_corrections(monkeypatch):
    """Names of the methods that were run, in order."""
    called = []
    get_method = corrected_slices_module.get_method

    def counting(name):
        called.append(name)
        return get_method(name)

    monkeypatch.setattr(corrected_slices_module, "get_method", counting)
    return called


def test_the_benchmarks_figures(shared):
    """000376_02_01_040, mask 0, by the benchmark's FBP: 94.7 HU uncorrected, LI 24.6 HU and 0.974; NMAR is better."""
    data = shared / "data"
    groups = find_groups(data / "benchmark" / "test", data / "masks" / "masks_testmask10.npz")
    settings = EvaluationSettings(("uncorrected", "li", "nmar"), ("benchmark", "exact"))
    records = run_evaluation(groups, settings)
    found = {(record["method"], record["fbp"]): record for record in records}
    assert len(records) == len(found) == 6
    assert found["uncorrected", "benchmark"]["rmse_hu"] == pytest.approx(94.7, abs=0.1)
    assert found["li", "benchmark"]["rmse_hu"] == pytest.approx(24.6, abs=0.1)
    assert found["li", "benchmark"]["ssim"] == pytest.approx(0.974, abs=0.001)
    assert found["li", "benchmark"]["metal_pixels"] == 254
    # the exact FBP is sharper, so that streaks and their error are larger; either reference ranks the methods alike
    assert 96 < found["uncorrected", "exact"]["rmse_hu"] < 110
    for fbp in ("benchmark", "exact"):
        errors = [found[method, fbp]["rmse_hu"] for method in ("uncorrected", "li", "nmar")]
        against_image = [found[method, fbp]["against_image"]["rmse_hu"] for method in ("uncorrected", "li", "nmar")]
        assert errors == sorted(errors, reverse=True) and against_image == sorted(against_image, reverse=True)


def test_stored_li_images_have_the_published_error(shared):
    """The benchmark's own files by our measures, with no reconstruction of ours between."""
    import h5py

    from SSLMARLib.ct.attenuation import attenuation_to_hu
    from SSLMARLib.evaluation.cases import read_benchmark_masks
    from SSLMARLib.evaluation.metrics import rmse_hu, ssim

    folder = shared / "data" / "benchmark" / "test" / "000376_02_01_040"
    metal = read_benchmark_masks(shared / "data" / "masks" / "masks_testmask10.npz")[0]
    with h5py.File(folder / "gt.h5") as truth, h5py.File(folder / "0.h5") as case:
        reference, affected, interpolated = (
            attenuation_to_hu(values[()].astype("float64")) for values in (truth["poly_CT"], case["ma_CT"], case["LI_CT"])
        )
    assert rmse_hu(affected, reference, metal) == pytest.approx(94.7, abs=0.05)
    assert rmse_hu(interpolated, reference, metal) == pytest.approx(24.6, abs=0.05)
    assert ssim(interpolated, reference, metal) == pytest.approx(0.974, abs=0.0005)


def test_records_and_their_order(benchmark_folder, masks_file):
    groups = find_groups(benchmark_folder, masks_file)
    records = run_evaluation(groups, EvaluationSettings(("li", "uncorrected")))
    keys = [(record["slice"], record["mask"], record["method"]) for record in records]
    assert keys == [
        ("slice_a", "0", "li"),
        ("slice_a", "1", "li"),
        ("slice_a", "0", "uncorrected"),
        ("slice_a", "1", "uncorrected"),
        ("slice_b", "1", "li"),
        ("slice_b", "1", "uncorrected"),
    ]
    for record in records:
        assert record["reference"] == "poly_CT" and record["fbp"] == "exact"
        assert {"rmse_hu", "ssim", "psnr_db", "bias_hu", "against_image", "without_reference"} <= set(record)
    json.dumps(records, allow_nan=False)
    summary = summarize(records, ("li", "uncorrected"))
    assert summary["li"]["rmse_hu"] < summary["uncorrected"]["rmse_hu"]
    assert records[1] == records[4] | {"slice": "slice_a"}  # the same case in another batch


def test_a_method_that_does_harm_is_seen(benchmark_folder, masks_file):
    class Harm(Method):
        name = title = "harm"
        description = "All values are too large."

        def correct(self, scan):
            return scan.sinogram * 1.05

    records = run_evaluation(find_groups(benchmark_folder, masks_file, limit=1), EvaluationSettings(("uncorrected", Harm())))
    before, harmed = records
    assert harmed["method"] == "harm"
    assert harmed["rmse_hu"] > before["rmse_hu"] + 10
    assert harmed["bias_hu"]["soft_tissue"] == pytest.approx(before["bias_hu"]["soft_tissue"] + 50, abs=10)
    assert harmed["without_reference"]["change_far_from_metal_hu"] == pytest.approx(50, abs=10)


def test_it_resumes_after_a_stop(benchmark_folder, masks_file, tmp_path, count_corrections):
    groups = find_groups(benchmark_folder, masks_file)
    settings = EvaluationSettings(("uncorrected", "li", "nmar"))
    whole = run_evaluation(groups, settings)
    count_corrections.clear()
    seen = []

    def stop_in_the_second_group(fraction, message):
        seen.append(fraction)
        if message == "slice_b/1 li":
            raise KeyboardInterrupt

    path = tmp_path / "work.jsonl"
    with pytest.raises(KeyboardInterrupt):
        run_evaluation(groups, settings, path, stop_in_the_second_group)
    assert count_corrections == ["li", "nmar", "li"] and seen == sorted(seen)
    with open(path, "a") as file:
        file.write('{"group": "slice_b/1", "method": "nm')  # a line that a crash cut off
    count_corrections.clear()
    assert run_evaluation(groups, settings, path) == whole
    assert count_corrections == ["nmar"]
    count_corrections.clear()
    assert run_evaluation(groups, settings, path) == whole and not count_corrections
    # fewer cases or methods are taken from the same file; other settings are refused
    assert run_evaluation(groups[1:], EvaluationSettings(("li",)), path) == [whole[7]]
    with pytest.raises(InputError, match="trace_source differ"):
        run_evaluation(groups, EvaluationSettings(("li",), trace_source="file"), path)
    with pytest.raises(InputError, match="masks differ"):
        run_evaluation(groups, settings, path, source={"masks": "others.npz"})
    path.write_text("not a resume file\n")
    with pytest.raises(InputError, match="is not a resume file"):
        run_evaluation(groups, settings, path)


def test_it_can_be_cancelled(benchmark_folder, masks_file):
    with pytest.raises(Cancelled):
        run_evaluation(find_groups(benchmark_folder, masks_file), EvaluationSettings(("li",)), is_cancelled=lambda: True)


def test_the_trace_of_the_file(benchmark_folder, masks_file, projector):
    """A trace that the file makes too small leaves metal in the sinogram; with --trace file the method must use it."""
    import shutil

    import h5py

    folder = benchmark_folder.parent / "small_trace"
    shutil.copytree(benchmark_folder, folder, dirs_exist_ok=True)
    with h5py.File(folder / "slice_b" / "1.h5", "r+") as file:
        file["metal_trace"][320:] = 0
    groups = find_groups(folder, masks_file)[1:]
    (by_mask,) = run_evaluation(groups, EvaluationSettings(("li",)))
    (by_file,) = run_evaluation(groups, EvaluationSettings(("li",), trace_source="file"))
    assert by_file["rmse_hu"] > by_mask["rmse_hu"] + 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"methods": ("best",)}, "no method 'best'"),
        ({"methods": ()}, "none"),
        ({"methods": ("li", "li")}, "each once"),
        ({"methods": ("li",), "fbps": ("odl",)}, "no FBP 'odl'"),
        ({"methods": ("li",), "trace_source": "eye"}, "no metal trace 'eye'"),
    ],
)
def test_settings_are_checked(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        EvaluationSettings(**arguments)


@pytest.fixture
def simulated_folder(tmp_path, phantom_hu, affected_hu, phantom_metals):
    """Three slices, metal in two of them, with truth and mask; and the same without a truth."""
    import SimpleITK

    truth = numpy.stack([phantom_hu] * 3)
    mask = numpy.stack([phantom_metals[0] & False, phantom_metals[0], phantom_metals[1]])
    volume = truth.copy()
    volume[1:] = affected_hu
    volume[mask] = 3000
    for name, voxels in (("x", volume), ("x_truth", truth), ("x_mask", mask)):
        image = SimpleITK.GetImageFromArray(voxels.round().astype("int16"))
        image.SetSpacing((0.8, 0.8, 2.0))
        SimpleITK.WriteImage(image, str(tmp_path / f"{name}.nrrd"))
    return tmp_path


def test_simulated_volumes(simulated_folder):
    groups = find_groups(simulated_folder)
    records = run_evaluation(groups, EvaluationSettings(("uncorrected", "li")))
    assert [(record["slice"], record["mask"], record["method"]) for record in records] == [
        ("x:2", "x_mask", "uncorrected"),
        ("x:3", "x_mask", "uncorrected"),
        ("x:2", "x_mask", "li"),
        ("x:3", "x_mask", "li"),
    ]
    assert all(record["reference"] == "truth" and "against_image" not in record for record in records)
    assert records[2]["rmse_hu"] < records[0]["rmse_hu"]
    (row,) = figure_rows(groups, EvaluationSettings(("uncorrected", "li")))
    assert row.label == "x:2" and list(row.images) == ["reference", "uncorrected", "LI"]
    # only that slice was corrected, and nothing keeps whole volumes in memory
    assert all((image if image.base is None else image.base).nbytes == image.nbytes for image in row.images.values())
    slices = dict(corrected_slices_module.corrected_slices(groups[0], ["li"], EvaluationSettings(("li",))))
    assert numpy.array_equal(next(iter(slices["li"]))[1], row.images["LI"])

    (simulated_folder / "x_truth.nrrd").unlink()
    real = run_evaluation(find_groups(simulated_folder), EvaluationSettings(("uncorrected", "li")))
    assert all(record["reference"] is None and record["rmse_hu"] is None for record in real)
    assert [record["without_reference"] for record in real] == [record["without_reference"] for record in records]


def test_other_weights_are_another_evaluation(own_weights):
    from SSLMARLib.evaluation.runner import weights_in_use
    from SSLMARLib.networks.weights import load_weights

    assert weights_in_use(EvaluationSettings(["uncorrected", "li", "nmar"])) == {}
    _, description = load_weights("cnnmar")
    assert list(weights_in_use(EvaluationSettings([own_weights]))["weights"]) == [str(own_weights)]
    assert weights_in_use(EvaluationSettings(["li", "cnnmar"])) == {"weights": {"cnnmar": description["sha256"]}}
