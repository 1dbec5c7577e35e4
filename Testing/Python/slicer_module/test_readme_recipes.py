"""The console recipes of SSLMAR/README.md do what they say: run in their order, with the real library, on real nodes."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy
import pytest

pytest.importorskip("torch", reason="torch is not installed, so the recipes of SSLMAR/README.md did NOT run")
pytest.importorskip("PySide6.QtWidgets", reason="PySide6 cannot be imported, so the recipes did NOT run", exc_type=ImportError)

from SSLMARLib.methods import DEFAULT_METHOD

HEADING = "## From the Python console"


@pytest.fixture(scope="module")
def recipes(repository):
    """The code blocks below the heading, up to the next one."""
    text = (repository / "SSLMAR" / "README.md").read_text()
    section = re.search(rf"^{HEADING}\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)[1]
    return re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)


@pytest.fixture
def console(rig, repository, monkeypatch):
    """The names of Slicer's Python console, with the module loaded and its panel open."""
    import slicer

    rig.use_pythonqt_properties(__name__)
    panel = rig.open_panel(rig.load_module(repository / "SSLMAR" / "SSLMAR.py"))
    representation = SimpleNamespace(self=lambda: panel)
    monkeypatch.setattr(slicer.modules.sslmar, "widgetRepresentation", lambda: representation, raising=False)
    yield {"slicer": slicer}
    panel.cleanup()


def test_the_recipes_run_in_their_order(recipes, console, capsys, monkeypatch, tmp_path):
    import slicer

    monkeypatch.setattr(slicer.app, "temporaryPath", str(tmp_path), raising=False)
    assert len(recipes) == 6

    exec(recipes[0], console)  # noqa: S102
    original = slicer.util.arrayFromVolume(console["ct"]).copy()
    assert console["corrected"].GetName() == f"Simulated dental crowns (MAR: {DEFAULT_METHOD.upper()})"

    exec(recipes[1], console)
    full = slicer.util.arrayFromVolume(console["corrected"]).copy()
    assert (full != original).any()
    printed = capsys.readouterr().out
    assert printed.startswith("0% ") and "100% " in printed

    exec(recipes[2], console)
    half = slicer.util.arrayFromVolume(console["corrected"])
    assert numpy.abs(half - (original + full) / 2.0).max() <= 1
    assert (console["difference"] == half - original).all()
    assert console["table"].GetNumberOfRows() > 5
    assert "Streak amplitude" in (tmp_path / "report.csv").read_text()

    before = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
    exec(recipes[3], console)
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == before + 1

    exec(recipes[4], console)
    assert console["preview"].GetImageData().GetDimensions()[2] == 1
    assert slicer.util.arrayFromVolume(console["titanium"]).max() == 11570

    exec(recipes[5], console)
    panel = console["panel"]
    assert panel.ui.inputVolumeSelector.currentNode() is console["ct"]
    assert panel.ui.thresholdSliderWidget.value == 2500.0 and panel.ui.applyButton.enabled
    assert (slicer.util.arrayFromVolume(console["ct"]) == original).all()


def test_only_recipes_stand_in_the_section(recipes):
    """Each block is Python, and none shows names that do not exist before it (the test above would fail)."""
    for recipe in recipes:
        compile(recipe, "SSLMAR/README.md", "exec")
        assert "slicer.util.pip_install" not in recipe
