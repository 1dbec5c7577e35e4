"""What the module needs is said, asked for once, installed with Slicer's own packages held. Nothing is installed."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest

from SSLMARLib import MissingPackageError


@pytest.fixture
def installing(rig, repository, monkeypatch):
    """SSLMARPanel.installing in a Slicer that is not testing, so that it may install."""
    import slicer

    monkeypatch.syspath_prepend(str(repository / "SSLMAR"))
    from SSLMARPanel import installing

    monkeypatch.setattr(slicer.app, "testingEnabled", lambda: False)
    return installing


@pytest.fixture
def requirements(repository):
    return repository / "SSLMAR" / "Resources" / "requirements.txt"


@pytest.fixture
def question(installing, monkeypatch):
    """The user who is asked. question.agrees: the answer; question.texts: what was asked."""
    import slicer

    user = SimpleNamespace(agrees=True, texts=[])

    def confirm(text, windowTitle=None, **options):
        user.texts.append(text)
        return user.agrees

    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", confirm)
    return user


@pytest.fixture
def torch_extension(rig, installing, monkeypatch):
    """torch counts as missing, and the PyTorch extension is there. failure: what its installation raises."""
    extension = SimpleNamespace(calls=[], failure=None, pip_constraint=None)

    class PyTorchUtilsLogic:
        def installTorch(self, askConfirmation=False, forceComputationBackend=None, torchVersionRequirement=None):
            extension.calls.append((askConfirmation, torchVersionRequirement))
            extension.pip_constraint = os.environ.get("PIP_CONSTRAINT")
            if extension.failure is not None:
                raise extension.failure
            rig.packaging.missing.discard("torch")
            return object()

    rig.packaging.missing.add("torch")
    monkeypatch.setitem(sys.modules, "PyTorchUtils", SimpleNamespace(PyTorchUtilsLogic=PyTorchUtilsLogic))
    return extension


def names(packages):
    return [package.split(">")[0] for package in packages]


def test_where_all_is_there_nothing_is_asked(rig, installing, requirements, question):
    installing.ensurePackages(requirements, "nmar")
    assert not question.texts and not rig.packaging.installed
    assert installing.needsSentence(requirements, "nmar") == ""


@pytest.mark.parametrize("method", ["li", "nmar", "simulation"])
def test_methods_without_a_network_need_no_weights_reader(rig, installing, requirements, method):
    rig.packaging.missing.update({"torch", "odl", "safetensors"})
    assert names(installing.packagesMissing(requirements, method)) == ["torch", "odl"]


@pytest.mark.parametrize("method", ["cnnmar", "sslmar"])
def test_learned_methods_need_it(rig, installing, requirements, method):
    rig.packaging.missing.update({"torch", "odl", "safetensors"})
    assert names(installing.packagesMissing(requirements, method)) == ["torch", "odl", "safetensors"]


def test_a_new_method_s_packages_are_its_own_affair(rig, installing, requirements, monkeypatch):
    from SSLMARLib import methods
    from SSLMARLib.methods.nmar import NMAR

    class Pretend(NMAR):
        name, title, packages = "pretend", "Pretend", ("some-package>=3",)

    monkeypatch.setitem(methods.METHODS, "pretend", Pretend)
    needed = names(installing.packagesNeeded(requirements, "pretend"))
    assert needed[-1] == "some-package" and {"torch", "odl"} < set(needed) and "safetensors" not in needed
    assert "some-package>=3" not in installing.packagesNeeded(requirements, "cnnmar")
    rig.packaging.missing.add("some-package")
    assert installing.needsSentence(requirements, Pretend()).startswith("Pretend needs Python packages")


def test_weights_need_what_their_method_needs(rig, installing, requirements, own_weights):
    assert "safetensors" in names(installing.packagesNeeded(requirements, str(own_weights)))
    rig.packaging.missing.add("safetensors")
    assert installing.needsSentence(requirements, str(own_weights)).startswith("SSLMAR (hospital) needs Python packages")
    assert installing.needsSentence(requirements, str(own_weights.with_name("gone.safetensors"))) == ""


def test_what_a_method_needs_is_said(rig, installing, requirements):
    rig.packaging.missing.update({"torch", "odl"})
    sentence = installing.needsSentence(requirements, "li")
    assert sentence == "LI needs Slicer's extension 'PyTorch': install it in the Extensions Manager first."


def test_all_is_asked_in_one_question_and_installed(rig, installing, requirements, question, torch_extension):
    rig.packaging.missing.update({"odl", "safetensors"})
    installing.ensurePackages(requirements, "cnnmar")
    (text,) = question.texts
    assert "- torch>=2.2\n- odl>=1.0\n- safetensors>=0.4" in text and "PyTorch is large" in text
    assert torch_extension.calls == [(False, ">=2.2")]  # it is not asked a second time
    assert names(rig.packaging.installed) == ["odl", "safetensors"]
    installing.ensurePackages(requirements, "cnnmar")
    assert len(question.texts) == 1


def test_without_torch_missing_its_size_is_not_mentioned(rig, installing, requirements, question):
    rig.packaging.missing.add("odl")
    installing.ensurePackages(requirements, "li")
    assert "PyTorch is large" not in question.texts[0]


def test_slicer_s_own_packages_are_held(rig, installing, requirements, question, torch_extension, monkeypatch):
    import slicer

    monkeypatch.delenv("PIP_CONSTRAINT", raising=False)
    rig.packaging.missing.add("odl")
    before = set(Path(slicer.app.temporaryPath).glob("SSLMAR-constraints-*"))
    installing.ensurePackages(requirements, "li")
    assert f"numpy=={version('numpy')}" in rig.packaging.constraints
    assert f"SimpleITK=={version('SimpleITK')}" in rig.packaging.constraints
    assert not any(line.startswith("torch==") for line in rig.packaging.constraints)  # it is being installed
    assert torch_extension.pip_constraint.startswith("file:") and " " not in torch_extension.pip_constraint
    assert "PIP_CONSTRAINT" not in os.environ
    assert set(Path(slicer.app.temporaryPath).glob("SSLMAR-constraints-*")) == before


def test_torch_is_held_while_others_are_installed(rig, installing, requirements, question):
    rig.packaging.missing.add("odl")
    installing.ensurePackages(requirements, "li")
    assert f"torch=={version('torch')}" in rig.packaging.constraints


def test_constraints_of_the_user_stay(rig, installing, requirements, question, torch_extension, monkeypatch):
    monkeypatch.setenv("PIP_CONSTRAINT", "mine.txt")
    torch_extension.failure = OSError("no network")
    with pytest.raises(MissingPackageError):
        installing.ensurePackages(requirements, "li")
    assert torch_extension.pip_constraint.split(" ")[0] == "mine.txt"
    assert os.environ["PIP_CONSTRAINT"] == "mine.txt"


def test_a_no_is_said_and_asked_again_at_the_next_apply(rig, installing, requirements, question):
    rig.packaging.missing.add("odl")
    question.agrees = False
    for _ in range(2):
        with pytest.raises(MissingPackageError, match="LI needs packages that you did not want to install") as error:
            installing.ensurePackages(requirements, "li")
    assert error.value.details == "odl>=1.0" and len(question.texts) == 2 and not rig.packaging.installed


def test_without_the_pytorch_extension_nothing_is_asked(installing, requirements, question, torch_extension, monkeypatch):
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    with pytest.raises(MissingPackageError, match="install the extension 'PyTorch' in the Extensions Manager") as error:
        installing.ensurePackages(requirements, "nmar")
    assert "Without Internet" in error.value.details and not question.texts


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Could not find a version that satisfies the requirement odl>=1.0"),
        OSError("[Errno -3] Temporary failure in name resolution\nmore"),
        AssertionError(),
    ],
)
def test_offline_the_wheels_to_bring_are_named(rig, installing, requirements, question, error):
    rig.packaging.missing.update({"odl", "safetensors"})
    rig.packaging.failure = error
    with pytest.raises(MissingPackageError) as raised:
        installing.ensurePackages(requirements, "cnnmar")
    assert str(raised.value).startswith("The packages that CNNMAR needs could not be installed") and ">=" not in str(raised.value)
    sentence = raised.value.details
    assert "\n" not in sentence and (str(error).splitlines() or ["AssertionError"])[0] in sentence
    python = ".".join(map(str, sys.version_info[:2]))
    assert f"Python {python}" in sentence
    assert 'pip download --only-binary=:all: -d wheels "odl>=1.0" "safetensors>=0.4"' in sentence
    assert 'slicer.util.pip_install("--no-index --find-links FOLDER/wheels odl safetensors")' in sentence


def test_an_installation_that_brings_nothing_is_noticed(rig, installing, requirements, question, monkeypatch):
    rig.packaging.missing.add("odl")
    monkeypatch.setattr(installing, "_install", lambda missing, constraints: None)
    with pytest.raises(MissingPackageError, match="could not be installed") as raised:
        installing.ensurePackages(requirements, "li")
    assert "they are not there after the installation" in raised.value.details


def test_another_installation_is_not_disturbed(rig, installing, requirements, question):
    rig.packaging.missing.add("odl")
    rig.packaging.busy = True
    with pytest.raises(MissingPackageError, match="Slicer is installing other packages now"):
        installing.ensurePackages(requirements, "li")
    assert not question.texts


def test_in_slicer_s_tests_nothing_is_installed(rig, installing, requirements, question, monkeypatch):
    import slicer

    monkeypatch.setattr(slicer.app, "testingEnabled", lambda: True)
    rig.packaging.missing.add("odl")
    with pytest.raises(MissingPackageError, match="installs nothing while it runs tests"):
        installing.ensurePackages(requirements, "li")
    assert not question.texts and not rig.packaging.installed


@pytest.fixture
def without_library(installing, monkeypatch):
    """SSLMARLib can no longer be imported."""
    for name in [name for name in sys.modules if name.split(".")[0] == "SSLMARLib"]:
        monkeypatch.delitem(sys.modules, name)
    original = installing.importlib.util.find_spec
    monkeypatch.setitem(sys.modules, "SSLMARLib", None)
    monkeypatch.setattr(installing.importlib.util, "find_spec", lambda name: None if name == "SSLMARLib" else original(name))


def test_the_library_is_found(installing):
    assert installing.missingLibrarySentence() == ""


def test_a_missing_library_is_a_sentence_in_the_panel(rig, repository, without_library):
    """It comes instead of the panel, and entering, leaving and closing the module go on working."""
    pytest.importorskip("PySide6.QtWidgets", reason="no panel without PySide6", exc_type=ImportError)
    import slicer

    rig.use_pythonqt_properties(__name__)
    widget = rig.open_panel(rig.load_module(repository / "SSLMAR" / "SSLMAR.py"))
    (label,) = [w for w in widget.parent.findChildren(sys.modules["qt"].QLabel) if w.objectName == "missingLibraryLabel"]
    assert "SSLMARLib is missing" in label.text and label.text.endswith(".")
    widget.exit()
    slicer.mrmlScene.Clear()
    widget.enter()
    widget.cleanup()
