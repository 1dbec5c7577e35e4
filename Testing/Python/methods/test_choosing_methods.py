"""What a method says of itself, a method as an object or a file of weights, and what stands beside the weights."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy
import pytest
import torch

import SSLMARLib
from SSLMARLib import methods
from SSLMARLib.errors import InputError
from SSLMARLib.expected_time import ExpectedTime
from SSLMARLib.methods import available_methods, get_method
from SSLMARLib.methods.base import MetalAffectedScan, Method
from SSLMARLib.methods.cnnmar import CNNMAR
from SSLMARLib.methods.sslmar import SSLMAR
from SSLMARLib.networks.weights import MODELS, save_weights


class Pretend(Method):
    name, title, description = "pretend", "Pretend", "Half of the metal trace's own values."
    relative_cost = 4.0

    def correct(self, scan: MetalAffectedScan) -> torch.Tensor:
        return torch.where(scan.trace, 0.5 * scan.sinogram, scan.sinogram)


@pytest.fixture
def pretend(monkeypatch):
    monkeypatch.setitem(methods.METHODS, Pretend.name, Pretend)  # the one line


@pytest.fixture(scope="module")
def volume_hu() -> numpy.ndarray:
    volume = numpy.full((1, 64, 64), -1000, numpy.int16)
    volume[:, 10:54, 8:56] = 40
    volume[:, 30:33, 20:24] = volume[:, 28:30, 40:44] = 3000
    return volume


def test_a_new_method_is_one_class_everywhere(pretend, volume_hu):
    assert available_methods()[-1] == "pretend" and isinstance(get_method("Pretend"), Pretend)
    result = SSLMARLib.reduce_metal_artifacts(volume_hu, (2.0, 4.0, 4.0), method="pretend", device="cpu")
    assert result.report.method == "pretend" and result.report.largest_change_hu > 0
    times = ExpectedTime()
    times.remember("li", "cpu", 1.0)
    assert times.seconds("pretend", 2) == 8.0
    with pytest.raises(InputError, match="choose one of li, nmar, cnnmar, sslmar, .*, pretend"):
        get_method("magic")


def test_every_command_knows_a_new_method(pretend, volume_hu, tmp_path, capsys):
    from SSLMARLib import cli
    from SSLMARLib.ct.volume import CTVolume

    scan, out = tmp_path / "x.nrrd", tmp_path / "out.nrrd"
    SSLMARLib.write_volume(CTVolume(volume_hu, (2.0, 4.0, 4.0)), scan)
    SSLMARLib.write_volume(CTVolume((volume_hu == 3000).astype(numpy.uint8), (2.0, 4.0, 4.0)), tmp_path / "x_mask.nrrd")
    assert cli.main(["evaluate", str(tmp_path), "--methods", "pretend", "--device", "cpu"]) == 0
    assert cli.main(["correct", str(scan), str(out), "--method", "pretend", "--device", "cpu"]) == 0
    assert cli.main(["info"]) == 0
    said = capsys.readouterr().out
    assert "Pretend corrected 1 of 1 slices" in said and "sslmar, pretend\n" in said and "\npretend " in said
    with pytest.raises(SystemExit):
        cli.main(["correct", "--help"])
    assert "pretend" in capsys.readouterr().out


def test_the_panel_knows_every_method_without_torch():
    """The facts of all methods can be read where PyTorch is not installed."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from SSLMARLib.methods import available_methods, get_method\n"
        "for one in map(get_method, available_methods()): print(one.title, one.description, one.packages, one.relative_cost, one.facts())\n"
    )
    lines = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == len(available_methods())
    assert "safetensors" in lines[-1] and "safetensors" not in lines[0] and CNNMAR.shipped_sha256 in lines[2]


def test_a_method_object_is_taken_as_it_is(volume_hu):
    """`Pretend` is not among the methods here."""
    method = Pretend()
    assert get_method(method) is method
    result = SSLMARLib.reduce_metal_artifacts(volume_hu, (2.0, 4.0, 4.0), method=method, device="cpu")
    assert result.report.method == "pretend"
    with pytest.raises(InputError, match="There is no method"):
        get_method(object())


def test_a_file_of_weights_is_a_method(own_weights, volume_hu):
    method = get_method(str(own_weights))
    assert isinstance(method, SSLMAR) and (method.name, method.title) == ("sslmar", "SSLMAR (hospital)")
    found = SSLMARLib.reduce_metal_artifacts(volume_hu, (2.0, 4.0, 4.0), method=own_weights, device="cpu")
    shipped = SSLMARLib.reduce_metal_artifacts(volume_hu, (2.0, 4.0, 4.0), method="sslmar", device="cpu")
    assert found.report.method == "sslmar" and not numpy.array_equal(found.volume_hu, shipped.volume_hu)
    described = json.loads(own_weights.with_suffix(".json").read_text())
    assert found.report.parameters["weights"] == "hospital.safetensors"
    assert found.report.parameters["weights_sha256"] == described["sha256"] != shipped.report.parameters["weights_sha256"]


@pytest.mark.parametrize("name", ["nobody", "li", None])
def test_weights_of_no_method_are_refused(own_weights, name):
    path = own_weights.with_suffix(".json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "method": name}))
    with pytest.raises(InputError, match='its "method" must be one of cnnmar, sslmar'):
        get_method(own_weights)


def test_weights_that_are_missing_are_refused(tmp_path):
    with pytest.raises(InputError, match="There are no weights"):
        get_method(tmp_path / "nothing.safetensors")


def with_constants(tmp_path, name, **changed):
    """A copy of shipped weights with other constants beside them."""
    for suffix in (".safetensors", ".json"):
        shutil.copy(MODELS / f"{name}{suffix}", tmp_path / f"copy{suffix}")
    description = json.loads((tmp_path / "copy.json").read_text())
    description["constants"].update(changed)
    (tmp_path / "copy.json").write_text(json.dumps(description))
    return tmp_path / "copy.safetensors"


@pytest.fixture(scope="module")
def scan(projector):
    image = torch.zeros(1, 416, 416)
    image[:, 100:300, 80:340] = 0.2
    mask = torch.zeros(1, 416, 416, dtype=torch.bool)
    mask[:, 190:200, 190:210] = mask[:, 190:200, 120:140] = True
    image[mask] = 2.0
    return MetalAffectedScan.from_images(image, mask, projector)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("cnnmar", {"soft_tissue_hu": [-300, 20]}),
        ("cnnmar", {"border_pixels": 9}),
        ("sslmar", {"tissue_share": 0.0}),
        ("sslmar", {"trust_per_cm": 2.0}),
        ("sslmar", {"border_pixels": 9}),
        ("sslmar", {"rougher_limits": [-2.0, -1.0], "artifacts_back_limits": [-9.0, -8.0]}),
    ],
)
def test_constants_are_read_from_beside_the_weights(tmp_path, scan, name, changed):
    same, other = (get_method(with_constants(tmp_path, name, **values)).correct(scan) for values in ({}, changed))
    assert torch.equal(same, get_method(name).correct(scan)) and not torch.equal(other, same)


def test_the_small_change_is_read_from_beside_the_weights(tmp_path, volume_hu):
    changes = []
    for small in (8.0, 1000.0):
        weights = with_constants(tmp_path, "cnnmar", small_change_hu=small)
        report = SSLMARLib.reduce_metal_artifacts(volume_hu, (2.0, 4.0, 4.0), method=weights, device="cpu").report
        changes.append(report.mean_absolute_change_hu)
    assert changes[1] < 0.5 * changes[0]


@pytest.mark.parametrize(
    "changed",
    [{"border_pixels": "three"}, {"border_pixels": 3.5}, {"soft_tissue_hu": [1.0]}, {"small_change_hu": float("nan")}, {"other": 1}],
)
def test_constants_that_cannot_be_used_are_refused(tmp_path, changed):
    method = get_method(with_constants(tmp_path, "cnnmar", **changed))
    with pytest.raises(InputError, match="constants beside the weights"):
        _ = method.constants


def test_constants_that_are_missing_are_the_shipped_ones(own_weights):
    assert get_method(own_weights).constants == SSLMAR().constants


@pytest.mark.parametrize("method", [CNNMAR, SSLMAR])
def test_other_content_under_the_name_of_shipped_weights_is_refused(tmp_path, monkeypatch, method):
    """Even where the JSON file beside it was made to fit."""
    from SSLMARLib.networks import weights

    tensors, description = method().load_weights()
    name = next(iter(tensors))
    save_weights(tmp_path / f"{method.name}.safetensors", {**tensors, name: 2 * tensors[name]}, description)
    monkeypatch.setattr(weights, "MODELS", tmp_path)
    with pytest.raises(InputError, match="altered or cut off"):
        method().load_weights()
    with pytest.raises(InputError, match="altered or cut off"):
        method().network("cpu")
