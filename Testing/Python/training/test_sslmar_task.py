"""SSLMAR's training: it learns from metal-free slices alone, each term can be switched off, a kill leaves no trace."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy
import pytest
import torch

from SSLMARLib.ct.attenuation import hu_to_attenuation
from SSLMARLib.errors import Cancelled, InputError
from SSLMARLib.methods import get_method
from SSLMARLib.methods.base import MetalAffectedScan
from SSLMARLib.methods.sslmar import SSLMAR
from SSLMARLib.networks.weights import load_weights
from SSLMARLib.training.checkpoints import output_lock
from SSLMARLib.training.sslmar import SSLMARPaperTask, SSLMARTask
from SSLMARLib.training.trainer import learning_rate, train


def log_of(configuration):
    lines = (Path(configuration.output) / "log.jsonl").read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name != "seconds"} for line in lines]


def equal_weights(one, other) -> bool:
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def test_before_training_everything_is_linear_interpolation(make_sslmar_configuration):
    figures = SSLMARTask(make_sslmar_configuration()).validate()
    assert figures["completed"] == figures["refined"] == 1.0
    assert figures["score"] == pytest.approx(1.0, abs=0.15)  # LI's image projected again


def test_a_tiny_training_lowers_the_validation_score(make_sslmar_configuration, tmp_path, small_projector):
    configuration = make_sslmar_configuration(
        steps=80, validate_every=40, checkpoint_every=40, learning_rate=1e-2, loss_weights={"end_to_end": 1.0}
    )
    path = train(SSLMARTask(configuration), configuration)
    log = log_of(configuration)
    assert [line["step"] for line in log] == [0, 40, 80]
    for name in ("completed", "refined", "score"):
        assert log[-1][name] < 0.98 * log[0][name], name
    # what was written is what corrects
    _, description = load_weights(path)
    assert path.name == "sslmar.safetensors" and description["iterations"] == 1
    assert description["training_patients"] + description["validation_patients"] == 5
    assert str(tmp_path) not in path.with_suffix(".json").read_text()
    mask = torch.zeros(1, 64, 64, dtype=torch.bool)
    mask[:, 28:33, 30:34] = True
    scan = MetalAffectedScan.from_images(torch.full((1, 64, 64), 0.19) + 2.0 * mask, mask, small_projector)
    method = get_method(path)  # its JSON file says which
    assert isinstance(method, SSLMAR) and method.constants == SSLMAR().constants
    corrected = method.correct(scan)
    assert torch.isfinite(corrected).all() and torch.equal(corrected[~scan.trace], scan.sinogram[~scan.trace])


PUBLISHED = {"polychromatic": True, "augmentation": False, "schedule": "constant"}
EVERYTHING = {"loss_weights": {"end_to_end": 1}, "iterations": 2, "precision": "bfloat16", "largest_gradient": 1}


@pytest.mark.parametrize("entries", [{}, EVERYTHING, PUBLISHED])
def test_killed_and_resumed_is_as_never_killed(make_sslmar_configuration, entries):
    """To the bit: weights, best weights, log. Stopped between checkpoints, and right after a validation."""
    whole = make_sslmar_configuration("whole", **entries)
    task = SSLMARTask(whole)
    best = train(task, whole)
    stopped = make_sslmar_configuration("stopped", **entries)
    for steps_of_this_run in (1, 2, 99):
        resumed, counted = SSLMARTask(stopped), []  # a new process: everything is built again

        def is_cancelled(counted=counted, limit=steps_of_this_run):
            counted.append(1)
            return len(counted) >= limit

        try:
            other_best = train(resumed, stopped, resume=True, is_cancelled=is_cancelled)
        except Cancelled:
            continue
    assert equal_weights(resumed.network, task.network) and log_of(stopped) == log_of(whole)
    expected, found = load_weights(best), load_weights(other_best)
    assert found[1]["sha256"] == expected[1]["sha256"] and found[1]["step"] == expected[1]["step"]


def test_a_training_can_start_from_weights(make_sslmar_configuration, tmp_path):
    first = make_sslmar_configuration("first", steps=2, validate_every=1)
    path = train(SSLMARTask(first), first)
    tensors, description = load_weights(path)
    second = make_sslmar_configuration("second", steps=1, learning_rate=1e-12)
    task = SSLMARTask(second)
    _, adapted = load_weights(train(task, second, start_from=path))
    torch.testing.assert_close(task.network.state_dict(), tensors, atol=1e-9, rtol=0)
    assert adapted["started_from_sha256"] == description["sha256"] and log_of(second)[0]["score"] == description["validation"]["score"]
    other = make_sslmar_configuration("other", network_options={"sinogram_network": {"channels": 2}})
    with pytest.raises(InputError, match="are of another network"):
        train(SSLMARTask(other), other, start_from=path)
    with pytest.raises(InputError, match="LI has no weights to begin with"):
        train(SSLMARTask(second), second, start_from="li")
    _, again = load_weights(train(task, second, start_from=SSLMAR(path)))  # a method's own
    assert again["started_from_sha256"] == description["sha256"]
    with pytest.raises(InputError, match="no weights"):
        train(SSLMARTask(second), second, start_from=tmp_path / "none.safetensors")


def test_a_checkpoint_comes_before_the_weights_to_start_from(make_sslmar_configuration):
    whole = make_sslmar_configuration("whole", steps=3)
    path = train(SSLMARTask(whole), whole)
    again = SSLMARTask(whole)
    _, description = load_weights(train(again, whole, resume=True, start_from=path))
    assert "started_from_sha256" not in description


def test_a_resumed_training_knows_what_it_started_from(make_sslmar_configuration, monkeypatch):
    first = make_sslmar_configuration("first", steps=2, validate_every=1)
    path = train(SSLMARTask(first), first)
    expected = load_weights(path)[1]["sha256"]
    scores = iter([0.9, 0.8, 0.7])  # always better, so that the last weights are written
    monkeypatch.setattr(SSLMARTask, "validate", lambda task: {"score": next(scores)})
    second = make_sslmar_configuration("second", steps=1, checkpoint_every=1)
    train(SSLMARTask(second), second, start_from=path)
    longer = make_sslmar_configuration("second", steps=2)
    _, description = load_weights(train(SSLMARTask(longer), longer, resume=True))
    assert description["step"] == 2 and description["started_from_sha256"] == expected


def test_two_trainings_in_one_folder_are_refused(tmp_path):
    with output_lock(tmp_path), pytest.raises(InputError, match="Another training writes to"), output_lock(tmp_path):
        pass
    with output_lock(tmp_path):  # the first one is over
        pass


ROWS = {  # of the ablation, the paper's Table I and the end-to-end term
    "sinonet": ({"consistency": 0, "refinement": 0}, {"completion"}),
    "consistency": ({"refinement": 0}, {"completion", "consistency"}),
    "joint": ({}, {"completion", "consistency", "refinement"}),
    "end to end": ({"end_to_end": 2}, {"completion", "consistency", "refinement", "end_to_end"}),
    "end to end alone": ({"completion": 0, "consistency": 0, "refinement": 0, "end_to_end": 1}, {"end_to_end"}),
}


@pytest.mark.parametrize("row", ROWS)
def test_each_term_can_be_switched_off(make_sslmar_configuration, row):
    weights, terms = ROWS[row]
    configuration = make_sslmar_configuration(loss_weights=weights, steps=2, validate_every=2)
    task = SSLMARTask(configuration)
    loss = task.loss(0)
    assert set(task.terms) == terms
    expected = sum(getattr(task.loss_weights, name) * float(value) for name, value in task.terms.items())
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)
    untrained = {name: value.clone() for name, value in task.network.state_dict().items()}
    train(task, configuration)
    changed = {name.split(".")[0] for name, value in task.network.state_dict().items() if not torch.equal(value, untrained[name])}
    refines = bool(terms & {"refinement", "end_to_end"})
    assert changed == ({"sinogram_network", "image_network"} if refines else {"sinogram_network"})
    assert task.description["iterations"] == (1 if refines else 0)
    figures = task.validate()
    assert (figures["score"] == figures["completed"]) is not refines  # without ImgNet nothing is replaced


def test_a_perfect_completion_has_no_loss(make_sslmar_configuration, monkeypatch):
    """The pair of masks is one of ONE sinogram, and the reference is its FBP."""
    task = SSLMARTask(make_sslmar_configuration(loss_weights={"end_to_end": 1}))
    scans = []
    original = task.scan_of
    monkeypatch.setattr(task, "scan_of", lambda *given, **more: scans.append(original(*given, **more)) or scans[-1])
    monkeypatch.setattr(task.network, "complete", lambda interpolated, trace: scans[-1].sinogram)
    task.loss(0)
    assert {name for name, value in task.terms.items() if float(value) == 0.0} == {"completion", "consistency", "refinement"}
    assert float(task.terms["end_to_end"]) < 1e-3
    (scan,) = scans
    images, masks = task._batches(0)
    assert torch.equal(scan.metal_mask, torch.cat([masks[0], masks[1]])) and not torch.equal(*scan.trace.chunk(2))
    for half in scan.sinogram.chunk(2):  # each mask over the slice on whose body it was drawn
        assert torch.equal(half, task.projector.project(images))


def test_polychromatic_sinograms_are_those_of_a_scan_without_metal(make_sslmar_configuration, small_projector):
    """Water comes out as projected, but for noise; bone counts the less the more of it a ray meets. Both masks see one sinogram."""
    task = SSLMARTask(make_sslmar_configuration(polychromatic=True))
    image, mask = torch.zeros(1, 64, 64), torch.zeros(2, 64, 64, dtype=torch.bool)
    image[:, 20:44, 20:44] = 0.1928
    mask[0, 30:33, 30:33] = mask[1, 40:42, 25:28] = True
    scan = task.scan_of(image, mask, noise_seed=(1,))
    assert torch.equal(*scan.sinogram.chunk(2)) and not torch.equal(*scan.trace.chunk(2))
    projected = small_projector.project(image)
    long_rays = projected > 0.5
    assert ((scan.sinogram[:1] - projected) / projected)[long_rays].abs().mean() < 0.01
    with_bone = image.clone()
    with_bone[:, 24:40, 24:40] = 0.5
    projected = small_projector.project(with_bone)
    share = task.scan_of(with_bone, mask, noise_seed=(1,)).sinogram[:1] / projected
    through_most, through_some = (share[projected > part * projected.max()].mean() for part in (0.95, 0.5))
    assert through_most < through_some - 0.02
    assert torch.equal(scan.sinogram, task.scan_of(image, mask, noise_seed=(1,)).sinogram)
    assert not torch.equal(scan.sinogram, task.scan_of(image, mask, noise_seed=(2,)).sinogram)


def test_as_published_slices_are_as_they_are_and_the_rate_is_constant(make_sslmar_configuration):
    published = {"augmentation": False, "polychromatic": True, "schedule": "constant", "adam_betas": [0.5, 0.999]}
    configuration = make_sslmar_configuration(network="sslmar_paper", **published)
    task = SSLMARPaperTask(configuration)
    image, _ = task.pairs.sample(3)
    known = [hu_to_attenuation(one.astype(numpy.float32)) for one in task.pairs.slices.images_hu]
    assert any(numpy.array_equal(image, one) for one in known)
    turned, _ = SSLMARPaperTask(make_sslmar_configuration()).pairs.sample(3)
    assert not any(numpy.array_equal(turned, one) for one in known)
    assert {learning_rate(step, configuration) for step in range(6)} == {configuration.learning_rate}
    assert get_method(train(task, configuration)).name == "sslmar_paper"


def test_the_networks_learn_from_the_seed_alone(make_sslmar_configuration):
    first, again, other = (SSLMARTask(make_sslmar_configuration(seed=seed)) for seed in (0, 0, 1))
    assert equal_weights(first.network, again.network) and not equal_weights(first.network, other.network)
    torch.rand(5)  # what others draw does not matter
    assert float(first.loss(3).detach()) == float(again.loss(3).detach()) != float(first.loss(4).detach())


def test_pictures_and_logs_of_a_case(make_sslmar_configuration, tmp_path, caplog, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)  # not installed
    configuration = make_sslmar_configuration(steps=2, validate_every=1, pictures=True, tensorboard=True)
    task = SSLMARTask(configuration)
    with caplog.at_level(logging.WARNING):
        train(task, configuration)
    assert caplog.text.count("TensorBoard is not installed") == 1
    names = {path.name for path in (tmp_path / "run").glob("*.png")}
    assert names == {"case.png", "case_0000000.png", "case_0000001.png", "case_0000002.png"}
    picture = task.picture()
    assert list(picture) == ["LI", "SinoNet", "ImgNet", "Result", "Reference"]
    assert all(image.shape == (64, 64) and numpy.abs(image).max() < 5000 for image in picture.values())


def test_tensorboard_gets_losses_terms_and_figures(make_sslmar_configuration, monkeypatch):
    written = {}

    class Writer:
        def add_scalar(self, name, value, step):
            written.setdefault(name, []).append(step)

        add_image = add_scalar

        def flush(self):
            pass

        close = flush

    monkeypatch.setattr("SSLMARLib.training.monitoring._tensorboard_writer", lambda folder, step: Writer())
    monkeypatch.setattr("SSLMARLib.training.monitoring.SCALARS_EVERY", 2)
    configuration = make_sslmar_configuration(steps=4, validate_every=2, tensorboard=True, validation_pairs=1)
    train(SSLMARTask(configuration), configuration)
    assert written["training/loss"] == written["training/refinement"] == written["training/learning_rate"] == [2, 4]
    assert written["validation/score"] == written["validation/case"] == [0, 2, 4]


@pytest.mark.parametrize(
    "entries, words",
    [
        ({"loss_weights": {"adversarial": 1}}, "loss_weights .* cannot be used"),
        ({"loss_weights": {"refinement": -1}}, "refinement is -1"),
        ({"network_options": {"size": "huge"}}, "no network of size 'huge'"),
        ({"network_options": {"sinogram_network": {"depth": 3}}}, "network_options .* cannot be used"),
        ({"network_options": {"image_network": {"further_inputs": ["mri"]}}}, "further_inputs is"),
    ],
)
def test_refusals(make_sslmar_configuration, entries, words):
    with pytest.raises(InputError, match=words):
        SSLMARTask(make_sslmar_configuration(**entries))
