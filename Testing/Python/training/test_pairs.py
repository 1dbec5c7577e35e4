"""Simulated pairs: what they hold, that they depend on nothing but what is stated, and that making them can be interrupted."""

from __future__ import annotations

import json

import numpy
import pytest
import torch

from SSLMARLib.errors import Cancelled, InputError
from SSLMARLib.simulation.physics import load_physics
from SSLMARLib.training import cnnmar
from SSLMARLib.training.cnnmar import CNNMARTask, simulate_pairs
from SSLMARLib.training.configuration import TrainingConfiguration
from SSLMARLib.training.pair_file import draw_patches
from SSLMARLib.training.simulated_scans import coarse_physics
from SSLMARLib.training.slices import MetalFreeSlices, read_metal_free_slices

HU_PER_CM = 1000 / 0.192


@pytest.fixture(scope="module")
def slices(make_scan):
    return MetalFreeSlices(numpy.concatenate([make_scan(patient) for patient in range(3)]), numpy.repeat(["a", "b", "c"], 2))


@pytest.fixture
def make(slices, tmp_path):
    """make(count, seed, report, slices, **configuration) -> the pairs' images, as a copy; the files lie in tmp_path."""

    def make_pairs(count=4, seed=0, report=None, slices=slices, path=tmp_path / "pairs.npy", **entries):
        configuration = TrainingConfiguration("cnnmar", "data", "output", **entries)
        progress = None if report is None else lambda fraction, message: report(int(message.split()[-3]) - 1)
        return numpy.array(simulate_pairs(slices, count, configuration, seed, path, progress=progress))

    return make_pairs


def stop_at(number_to_stop_at):
    def report(number):
        if number == number_to_stop_at:
            raise Cancelled("Stopped.")

    return report


def test_what_a_pair_holds(make, tmp_path):
    images = make(6)
    assert images.shape == (6, 5, 64, 64) and images.dtype == numpy.float16
    uncorrected, hardened, interpolated, truth, metal = images.astype(numpy.float64).swapaxes(0, 1)
    assert set(numpy.unique(metal)) == {0.0, 1.0} and (metal.sum((1, 2)) >= 16).all()
    assert numpy.isfinite(images).all()
    assert truth.max() < 0.6 and uncorrected[metal > 0].max() > 0.8  # metal is in the first image and not in the last
    assert (((uncorrected - interpolated) != 0) & (metal > 0)).any(axis=(1, 2)).all()
    for n in range(6):
        rmse = [numpy.sqrt(((image[n] - truth[n])[metal[n] == 0] ** 2).mean()) * HU_PER_CM for image in (uncorrected, interpolated)]
        assert 5 < rmse[1] < rmse[0]  # there is something to learn
    assert len({truth[n].tobytes() for n in range(6)}) == 6


def test_a_pair_depends_on_the_seed_and_its_number_alone(make, tmp_path):
    images = make(4, seed=3)
    assert (make(2, seed=3, path=tmp_path / "fewer.npy") == images[:2]).all()
    assert (make(4, seed=3, path=tmp_path / "again.npy") == images).all()
    other = make(4, seed=4, path=tmp_path / "other.npy")
    assert all((one != another).any() for one, another in zip(other, images, strict=True))


def test_stopped_and_gone_on_gives_the_same_bytes(make, tmp_path):
    expected = make(5, path=tmp_path / "whole.npy")
    seen = []
    for stop in (0, 2, 4):
        with pytest.raises(Cancelled):
            make(5, report=stop_at(stop))
        assert json.loads((tmp_path / "pairs.done").read_text())["pairs"] == stop if stop else not (tmp_path / "pairs.done").exists()
    images = make(5, report=seen.append)
    assert seen == [4] and (images == expected).all()
    assert (tmp_path / "pairs.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
    again = []
    assert (make(5, report=again.append) == expected).all() and again == []


def test_killed_between_a_pair_and_its_note(make, tmp_path, monkeypatch):
    """The pair is written but not yet counted, or half of it is: it is made again."""
    expected = make(3, path=tmp_path / "whole.npy")
    with pytest.raises(Cancelled):
        make(3, report=stop_at(1))
    images = numpy.lib.format.open_memmap(tmp_path / "pairs.npy", "r+")
    images[1, :2] = 7.0
    images.flush()
    assert (make(3) == expected).all()


@pytest.mark.parametrize("change", ["materials", "seed", "count", "slices", "patients"])
def test_pairs_of_something_else_are_not_taken(make, slices, tmp_path, change):
    """Above all those of another split: they would show validation patients to the training."""
    make(3)
    changed = {
        "materials": {"materials": ("gold",)},
        "seed": {"seed": 9},
        "count": {"count": 4},
        "slices": {"slices": MetalFreeSlices(slices.images_hu + 30 * (slices.images_hu > -900).astype(numpy.int16), slices.patients)},
        "patients": {"slices": slices._only(slices.patients != "b")},
    }[change]
    changed = {"count": 3, **changed}
    seen = []
    images = make(report=seen.append, **changed)
    assert seen == list(range(changed["count"]))
    assert (images == make(path=tmp_path / "fresh.npy", **changed)).all()


def test_killed_right_after_the_start_anew(make, tmp_path):
    """The former pairs are gone then, and so must be the note that they are done."""
    make(3)
    with pytest.raises(Cancelled):
        make(3, seed=9, report=stop_at(0))
    assert (make(3, seed=9) == make(3, seed=9, path=tmp_path / "fresh.npy")).all()
    (tmp_path / "pairs.npy").unlink()
    with pytest.raises(Cancelled):
        make(3, seed=9, report=stop_at(0))
    assert (make(3, seed=9) == make(3, seed=9, path=tmp_path / "fresh.npy")).all()


@pytest.mark.parametrize("damage", ["note", "empty note", "other note", "cut off", "no array"])
def test_damaged_files_are_made_anew(make, tmp_path, damage):
    expected = make(3)
    pairs, note = tmp_path / "pairs.npy", tmp_path / "pairs.done"
    if "note" in damage:
        note.write_text({"note": '{"pairs": 3, "ma', "empty note": "", "other note": "[3]"}[damage])
    else:
        pairs.write_bytes(pairs.read_bytes()[:-1000] if damage == "cut off" else b"nothing")
    assert (make(3) == expected).all()


def test_the_coarse_spectrum_keeps_photons_and_mean_energy():
    fine, coarse = load_physics(), coarse_physics()
    assert len(coarse.energies_kev) <= len(fine.energies_kev) / 4 + 1
    assert coarse.spectrum.sum() == pytest.approx(fine.spectrum.sum())
    mean = [(one.spectrum * one.energies_kev).sum() / one.spectrum.sum() for one in (fine, coarse)]
    assert mean[1] == pytest.approx(mean[0], rel=1e-3)
    for name in ("water", "titanium"):
        absorbed = [(one.spectrum * one.mass_attenuation_cm2_per_g[name]).sum() for one in (fine, coarse)]
        assert absorbed[1] == pytest.approx(absorbed[0], rel=1e-3)


def test_the_task_trains_and_validates_on_different_patients(make_configuration, data_folder, small_projector, monkeypatch):
    used = []

    def remember(slices, *arguments):
        used.append(set(slices.patients))
        return simulate_pairs(slices, *arguments)

    monkeypatch.setattr(cnnmar, "simulate_pairs", remember)
    task = CNNMARTask(make_configuration())
    training, validation = used
    assert not training & validation and len(training | validation) == 5
    assert task.description["validation_patients"] == len(validation)
    assert task.description["training_patients"] == len(training) and task.description["training_slices"] == 2 * len(training)
    assert len(read_metal_free_slices(data_folder, 64)) == 10


def test_patches_hold_metal_more_often_than_chance(make_configuration):
    task = CNNMARTask(make_configuration(patch_pixels=16))
    generator = numpy.random.default_rng(0)
    patches = list(draw_patches(task.training, 200, 16, generator, metal_channel=4).numpy())
    assert {patch.shape for patch in patches} == {(5, 16, 16)}
    share = numpy.mean([patch[4].any() for patch in patches])
    somewhere = numpy.mean([task.training[generator.integers(len(task.training)), 4, 20:36, 40:56].any() for _ in range(200)])
    assert share > 0.45 and share > somewhere
    whole = CNNMARTask(make_configuration("whole", patch_pixels=500))
    assert draw_patches(whole.training, 2, 500, generator, metal_channel=4).shape == (2, 5, 64, 64)


def test_the_loss_follows_from_the_step_and_leaves_metal_out(make_configuration):
    task = CNNMARTask(make_configuration())
    losses = [float(task.loss(step).detach()) for step in (0, 1, 0)]
    assert losses[0] == losses[2] != losses[1]
    task.training = numpy.array(task.training)
    metal = task.training[:, 4] > 0
    task.training[:, 3][metal] = 50.0  # a truth under metal that nobody knows
    assert float(task.loss(0).detach()) == pytest.approx(losses[0], rel=1e-6)


def test_untrained_it_validates_as_li(make_configuration):
    with torch.inference_mode():
        figures = CNNMARTask(make_configuration()).validate()
    assert figures["network"] == pytest.approx(1.0) and 0.05 < figures["score"] < 1.5


@pytest.mark.parametrize("options", [{"width": 3}, {"channels": "many"}, {"dilations": 3}, {"channels": -2}])
def test_unknown_network_options_are_refused(make_configuration, options):
    with pytest.raises(InputError, match="network_options is"):
        CNNMARTask(make_configuration(network_options=options))


def test_cancelled_while_simulating(configuration_values, tmp_path):
    configuration = TrainingConfiguration(**configuration_values, output=str(tmp_path / "run"))
    seen = []
    with pytest.raises(Cancelled, match="are kept"):
        CNNMARTask(configuration, lambda fraction, message: seen.append(message), lambda: len(seen) == 3)
    assert seen[-1] == "Simulating training pair 3 of 10"
    assert json.loads((tmp_path / "run/training_pairs.done").read_text())["pairs"] == 3


def test_one_recipe_guards_the_pairs_of_every_network(make_configuration, make_sslmar_configuration, monkeypatch):
    """Of another recipe all pairs are made again, of the same one none."""
    from SSLMARLib.training import cnnmar, pair_file, sslmar_image

    made = []
    for task, name in ((cnnmar, "_make_pair"), (sslmar_image.SSLMARImageTask, "_pair")):
        original = getattr(task, name)
        monkeypatch.setattr(task, name, lambda *arguments, original=original, name=name: made.append(name) or original(*arguments))
    configurations = {
        cnnmar.CNNMARTask: make_configuration("pairs"),
        sslmar_image.SSLMARImageTask: make_sslmar_configuration("image", pairs=4),
    }
    for recipe, expected in ((pair_file.RECIPE, {"_pair"}), (pair_file.RECIPE, set()), (pair_file.RECIPE + 1, {"_make_pair", "_pair"})):
        monkeypatch.setattr(pair_file, "RECIPE", recipe)
        made.clear()
        for task, configuration in configurations.items():
            task(configuration).training  # noqa: B018
        assert set(made) == expected
