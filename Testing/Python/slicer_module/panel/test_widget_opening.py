"""The module as Slicer finds, opens, leaves and reloads it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest


def test_the_module_says_what_it_is(module):
    parent = SimpleNamespace()
    module.SSLMAR(parent)
    assert parent.title and parent.helpText and parent.acknowledgementText
    assert parent.categories == ["Filtering"]
    assert set(parent.dependencies) == {"Segmentations", "Sequences"}


def test_opening_the_panel_is_quick_and_imports_no_torch(rig, repository):
    """In a process of its own, as this one may have torch already. Time of the CPU, as other programs may run beside the tests."""
    code = f"""
import sys, time
from pathlib import Path
sys.path.append({str(repository / "Testing" / "Python")!r})
import slicer_rig
rig = slicer_rig.start()
rig.start_qt()
start = time.process_time()
rig.open_panel(rig.load_module(Path({str(repository / "SSLMAR" / "SSLMAR.py")!r})))
seconds = time.process_time() - start
heavy = [name for name in ("torch", "odl", "scipy", "SimpleITK") if name in sys.modules]
assert not heavy, heavy
assert sys.modules["SSLMARLib"].__file__.startswith({str(repository)!r})
assert sys.modules["SSLMARPanel"].__file__.startswith({str(repository)!r})
assert seconds < 1.0, seconds
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=repository.parent)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(("chosen", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_torch_s_threads_sleep_while_they_wait(rig, repository, monkeypatch, chosen, expected):
    """As with `sslmar`: the variable counts for what is loaded after it, and a user's own choice stays."""
    import os

    monkeypatch.setenv("OMP_WAIT_POLICY", chosen or "")
    if chosen is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    rig.load_module(repository / "SSLMAR" / "SSLMAR.py")
    assert os.environ["OMP_WAIT_POLICY"] == expected


def test_the_library_is_found_beside_the_module_when_installed(repository, tmp_path, rig, monkeypatch):
    """Installed, the module and the library lie in one folder; the path of the source tree must not be needed."""
    installed = tmp_path / "qt-scripted-modules"
    (installed / "SSLMARLib").mkdir(parents=True)
    (installed / "SSLMARLib" / "__init__.py").write_text("")
    for name in ("SSLMAR.py", "SSLMARPanel", "Resources"):
        source = repository / "SSLMAR" / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, installed / name)
    source_tree = {str(repository), str(repository / "SSLMAR")}
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in source_tree])
    rig.load_module(installed / "SSLMAR.py")
    assert sys.path[-1] == str(installed)
    rig.load_module(repository / "SSLMAR" / "SSLMAR.py")
    assert sys.path[-1] == str(repository)


def test_the_first_volume_of_the_scene_is_chosen(rig, module, library, tools):
    """Not a label map, not a result of this module or an aid, and nothing that is hidden from lists."""
    import slicer

    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
    tools.add_volume("Result").SetAttribute("SSLMAR.Version", "1")
    tools.add_volume("Frame of a result").SetAttribute("SSLMAR.Method", "li")
    tools.add_volume("Preview").SetAttribute("SSLMAR.Aid", "preview")
    tools.add_volume("Hidden").SetHideFromEditors(True)
    volume = tools.add_volume("CT")
    panel = rig.open_panel(module)
    assert panel.parameterNode.inputVolume is volume
    assert panel.ui.inputVolumeSelector.currentNode() is volume
    panel.cleanup()


def test_methods_are_those_of_the_library(panel):
    from SSLMARLib import available_methods

    combo = panel.ui.methodComboBox
    titles = [combo.itemText(index) for index in range(combo.count)]
    assert [title.lower() for title in titles] == list(available_methods())


def test_a_new_method_is_in_the_panel_without_another_edit(rig, module, library, tools, monkeypatch):
    from SSLMARLib import methods

    class Pretend(methods.Method):
        name, title, description, packages = "pretend", "Pretend", "What it does, in its own words.", ("filelock>=3",)

        def correct(self, scan):
            return scan.sinogram

    monkeypatch.setitem(methods.METHODS, "pretend", Pretend)
    rig.packaging.missing.add("filelock")
    panel = rig.open_panel(module)
    panel.parameterNode.inputVolume = tools.add_volume("CT")
    combo = panel.ui.methodComboBox
    combo.currentIndex = combo.count - 1
    assert combo.currentText == "Pretend" and panel.parameterNode.method == "pretend"
    text = panel.ui.methodDescriptionLabel.text
    assert text.startswith("What it does, in its own words. Pretend needs Python packages that are not installed yet;")
    rig.packaging.missing.clear()
    tools.apply(panel)
    assert panel.parameterNode.correctedVolume.GetName() == "CT (MAR: Pretend)"
    panel.cleanup()


def test_the_default_method_is_the_library_s(rig, module, library, tools, monkeypatch):
    """Whatever it becomes: in the panel and from the console."""
    from SSLMARLib import slicer_logic

    monkeypatch.setattr(slicer_logic, "DEFAULT_METHOD", "li")
    panel = rig.open_panel(module)
    assert panel.parameterNode.method == "li" and panel.ui.methodComboBox.currentText == "LI"
    module.SSLMARLogic().process(tools.add_volume("CT"))
    assert library.calls[-1][2]["method"] == "li"
    panel.parameterNode.method = "nmar"
    assert module.SSLMARLogic().getParameterNode().method == "nmar"
    panel.cleanup()


def test_each_method_that_the_library_has_is_described(panel):
    from SSLMARPanel.correction import methodDescription

    from SSLMARLib import available_methods

    for name in available_methods():
        assert len(methodDescription(name)) > 40, name
        panel.parameterNode.method = name
        assert panel.ui.methodDescriptionLabel.text == methodDescription(name)


def test_own_weights_take_the_place_of_the_method(rig, panel, library, volume, tools, own_weights):
    ui, parameters = panel.ui, panel.parameterNode
    ui.weightsPathLineEdit.currentPath = str(own_weights.with_name("gone.safetensors"))
    assert not ui.applyButton.enabled and "There are no weights" in ui.applyButton.toolTip
    ui.weightsPathLineEdit.currentPath = str(own_weights)
    assert parameters.weightsFile == str(own_weights) and not ui.methodComboBox.enabled and ui.applyButton.enabled
    assert ui.methodDescriptionLabel.text.startswith("SSLMAR (hospital): ")
    tools.apply(panel)
    assert library.calls[-1][2]["method"] == str(own_weights)
    assert parameters.correctedVolume.GetName() == "CT (MAR: SSLMAR (hospital))"
    ui.weightsPathLineEdit.currentPath = ""
    assert ui.methodComboBox.enabled
    tools.apply(panel)
    assert library.calls[-1][2]["method"] == "nmar"


def test_what_a_method_needs_is_said_until_it_is_installed(rig, panel, module, library, tools, monkeypatch):
    label = panel.ui.methodDescriptionLabel
    rig.packaging.missing.update({"odl", "safetensors"})
    panel.exit()
    panel.enter()
    assert label.text.endswith("NMAR needs Python packages that are not installed yet; Apply asks before it installs them.")
    panel.parameterNode.method = "cnnmar"
    assert "CNNMAR needs Python packages" in label.text and ">=" not in label.text
    monkeypatch.setattr(module, "ensurePackages", lambda file, method: rig.packaging.missing.clear())
    panel.parameterNode.inputVolume = tools.add_volume("CT")
    tools.apply(panel)
    assert "needs" not in label.text


def test_each_control_says_what_it_is_for(panel):
    """A tooltip on everything that a user can change, with the unit where the value has one."""
    import ctk
    import qt
    import slicer

    kinds = (
        qt.QComboBox,
        qt.QCheckBox,
        qt.QPushButton,
        qt.QDoubleSpinBox,
        qt.QListWidget,
        ctk.ctkPathLineEdit,
        ctk.ctkSliderWidget,
        slicer.qMRMLNodeComboBox,
    )
    controls = {name: widget for name, widget in vars(panel.ui).items() if isinstance(widget, kinds)}
    assert len(controls) > 15
    for name, widget in controls.items():
        assert widget.toolTip, name
        suffix = getattr(widget, "suffix", "").strip()
        if suffix and suffix != "%":
            assert suffix in widget.toolTip, (name, suffix)


def test_the_sample_scans_are_registered_once_slicer_has_started(rig, module, monkeypatch):
    import slicer

    registered = []
    monkeypatch.setattr(module, "registerSampleData", lambda: registered.append(True))
    monkeypatch.setattr(slicer.app.startupCompleted, "_slots", [])
    module.SSLMAR(SimpleNamespace())
    assert not registered
    slicer.app.startupCompleted.emit()
    assert registered == [True]


def test_cleanup_leaves_no_observer_and_no_node_behind(rig, module, library, tools):
    import slicer

    volume = tools.add_volume("CT")
    panel = rig.open_panel(module)
    panel.parameterNode.metalSegmentation = tools.add_segmentation("Implants", "Screw")
    tools.settle(panel)
    assert panel.metalSection.preview.node is not None
    names = {node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLNode")}
    panel.cleanup()
    assert not panel.Observations
    assert not any(section.Observations for section in panel.sections)
    gone = names - {node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLNode")}
    assert "SSLMAR threshold preview" in gone
    panel.ui.thresholdSliderWidget.value = 2345.0
    assert slicer.mrmlScene.GetSingletonNode("SSLMAR", "vtkMRMLScriptedModuleNode").GetParameter("thresholdHu") == "2000.0"
    assert volume.GetScene() is not None


def test_reload_takes_the_sections_anew_and_keeps_the_state(rig, module, library, tools):
    volume = tools.add_volume("CT")
    panel = rig.open_panel(module)
    panel.parameterNode.thresholdHu = 2600.0
    before = sys.modules["SSLMARPanel.metal"]
    panel.onReload()
    again = rig.open_panel(sys.modules["SSLMAR"])
    assert sys.modules["SSLMARPanel.metal"] is not before
    assert again.ui.thresholdSliderWidget.value == 2600.0
    assert again.parameterNode.inputVolume is volume
    tools.apply(again)
    assert tools.volume_names() == ["CT", "CT (MAR: NMAR)"]
    again.cleanup()


def test_reload_during_a_run(rig, module, library, tools):
    """cleanup(), which Slicer calls before a reload, ends the thread and lets go of the scene."""
    import slicer

    volume = tools.add_volume("CT")
    panel = rig.open_panel(module)
    gate = tools.Gate()
    panel.ui.applyButton.click()
    rig.spin(gate.entered.is_set)
    panel.cleanup()
    assert gate.left.is_set()
    assert not panel.Observations
    slicer.mrmlScene.RemoveNode(volume)
    again = rig.open_panel(module)
    tools.assert_idle(again)
    again.cleanup()


def test_the_logic_works_without_a_panel(module, library, tools):
    import numpy

    volume = tools.add_volume("CT")
    logic = module.SSLMARLogic()
    seen = []
    library.work = lambda progress, is_cancelled: progress(0.5, "Half of it")
    corrected = logic.process(volume, method="li", thresholdHu=2500, progress=lambda *report: seen.append(report))
    assert corrected.GetName() == "CT (MAR: LI)"
    assert (0.475, "Half of it") in seen  # the rest is measuring
    segmentation = logic.segmentMetal(tools.add_volume("Screws", numpy.full((3, 9, 9), 3000, numpy.int16)), 2000)
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 1


def test_process_waits_with_the_windows_alive_when_interactive(rig, module, library, tools, monkeypatch):
    """It asks for missing packages first, reports the progress, and a cancel leaves no node behind."""
    import slicer

    from SSLMARLib import Cancelled

    volume = tools.add_volume("CT")
    asked, ticks, statuses, seen = [], [], [], []
    monkeypatch.setattr(module, "ensurePackages", lambda file, method: asked.append((file.name, method)))
    monkeypatch.setattr(slicer.app, "process_events", lambda: ticks.append(True))
    monkeypatch.setattr(slicer.util, "showStatusMessage", lambda text, *_: statuses.append(text))
    gate = tools.Gate()

    def progress(fraction, message):
        seen.append(fraction)
        if len(ticks) > 2:
            gate.released.set()

    def interrupt(fraction, message):
        raise KeyboardInterrupt

    corrected = module.SSLMARLogic().process(volume, method="li", interactive=True, progress=progress)
    assert corrected.GetName() == "CT (MAR: LI)"
    assert asked == [("requirements.txt", "li")]
    assert len(ticks) > 2 and 0.2375 in seen and "Slice 3 of 12" in statuses

    tools.Gate()
    with pytest.raises(Cancelled):
        module.SSLMARLogic().process(volume, interactive=True, isCancelled=lambda: True)
    gate = tools.Gate()
    with pytest.raises(KeyboardInterrupt):
        module.SSLMARLogic().process(volume, interactive=True, progress=interrupt)
    assert gate.left.wait(5), "the thread goes on computing"
    assert tools.volume_names() == ["CT", "CT (MAR: LI)"]


DOCK_PIXELS = 452  # of the module's panel in Slicer's window, by itself
SMALL_VIEWPORT_PIXELS, VIEWPORT_PIXELS = 420, 453  # its height in a window of 1100 x 720, and of 1366 x 768


def bottom_of(widget, parent):
    from PySide6.QtCore import QPoint

    return widget.mapTo(parent, QPoint(0, 0)).y() + widget.height


@pytest.mark.parametrize(
    ("segments", "viewport"), [(None, SMALL_VIEWPORT_PIXELS), (["Metal"], SMALL_VIEWPORT_PIXELS), (["Screw", "Plate"], VIEWPORT_PIXELS)]
)
def test_apply_is_seen_without_scrolling(rig, panel, volume, tools, segments, viewport):
    """With a volume that has notices, and a segmentation: everything that a run needs is in one view."""
    import slicer

    volume.SetAndObserveTransformNodeID(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode").GetID())
    panel.parameterNode.metalSegmentation = tools.add_segmentation("Implants", *segments) if segments else None
    tools.settle(panel)
    panel.parent.resize(DOCK_PIXELS, 1200)
    tools.wait(0.1)
    ui = panel.ui
    needed = (ui.inputVolumeSelector, ui.presetComboBox, ui.thresholdSliderWidget, ui.segmentMetalButton, ui.methodComboBox)
    bottoms = [bottom_of(widget, panel.parent) for widget in (*needed, ui.previewSliceButton, ui.applyButton)]
    assert bottoms == sorted(bottoms) and bottoms[-1] <= viewport, bottoms
    assert ui.advancedCollapsibleButton.collapsed
    for name in ("smallestComponentSpinBox", "peakSpinBox", "dilationSpinBox", "deviceComboBox", "metalMaterialComboBox"):
        assert not getattr(ui, name).visible
    ui.advancedCollapsibleButton.collapsed = False
    assert ui.peakSpinBox.visible


def test_the_dock_does_not_grow_and_units_are_seen(rig, panel, volume, tools):
    """Whatever is said: the panel asks for no more width than the dock has by itself, and the report fits into it."""
    panel.parent.resize(DOCK_PIXELS, 1200)
    panel.ui.methodComboBox.setItemText(0, "A method with a name that is far too long for any dock of the usual width (about 1.7 min)")
    panel.showStatus("Report saved: /a/path/without/any/blank/" + 20 * "folder_of_some_length/" + "report.csv")
    tools.apply(panel)
    panel.showStatus("x" * 300)
    tools.wait(0.1)
    assert panel.parent.minimumSizeHint.width() <= DOCK_PIXELS
    view = panel.ui.reportTableView
    assert view.columnViewportPosition(2) + 20 < view.viewport().width
