"""The panel of the SSLMAR module, offscreen, on real MRML nodes."""

from __future__ import annotations

import sys
import threading
import time
from types import SimpleNamespace

import numpy
import pytest

from SSLMARLib import Cancelled, InputError

pytest.importorskip(
    "PySide6.QtWidgets",
    reason="PySide6 cannot be imported, so the tests of the panel did NOT run",
    exc_type=ImportError,
)


@pytest.fixture
def module(rig, repository):
    """SSLMAR/SSLMAR.py, loaded as Slicer loads it."""
    rig.use_pythonqt_properties(__name__)
    return rig.load_module(repository / "SSLMAR" / "SSLMAR.py")


@pytest.fixture
def panel(rig, module, library):
    """The open panel on an empty scene, over the quick stand-in of the library."""
    widget = rig.open_panel(module)
    yield widget
    widget.cleanup()


@pytest.fixture
def volume(panel):
    """A CT volume, chosen as the input."""
    volume = add_volume("CT")
    panel._parameterNode.inputVolume = volume
    return volume


class Gate:
    """Work for the library's stand-in that reports progress, then waits to be released or cancelled."""

    def __init__(self, library):
        self.entered, self.released, self.left = threading.Event(), threading.Event(), threading.Event()
        library.work = self

    def __call__(self, progress, is_cancelled):
        progress(0.25, "Slice 3 of 12")
        self.entered.set()
        try:
            while not self.released.wait(0.005):
                if is_cancelled():
                    raise Cancelled("The library was cancelled.")
        finally:
            self.left.set()


def add_volume(name, voxels=None):
    import slicer

    voxels = numpy.full((3, 8, 9), 40, numpy.int16) if voxels is None else voxels
    return slicer.util.addVolumeFromArray(voxels, name=name)


def volume_names():
    import slicer

    return sorted(node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"))


def finish(rig, panel):
    rig.spin(lambda: panel._run is None)


def assert_idle(panel):
    """The panel is as it was before a run."""
    ui = panel.ui
    assert panel._run is None and panel._correction is None
    assert not panel._timer.active
    assert (ui.applyButton.text, ui.progressBar.visible) == ("Apply", False)
    assert ui.inputCollapsibleButton.enabled
    assert ui.metalCollapsibleButton.enabled
    assert ui.correctionCollapsibleButton.enabled


def test_the_module_says_what_it_is(module):
    parent = SimpleNamespace()
    module.SSLMAR(parent)
    assert parent.title and parent.helpText and parent.acknowledgementText
    assert parent.categories == ["Filtering"]


def test_opening_the_panel_is_quick_and_imports_no_torch(rig, repository):
    """In a process of its own, as this one may have torch already."""
    import subprocess

    code = f"""
import sys, time
from pathlib import Path
sys.path.append({str(repository / "Testing" / "Python")!r})
import slicer_rig
rig = slicer_rig.start()
rig.start_qt()
start = time.perf_counter()
rig.open_panel(rig.load_module(Path({str(repository / "SSLMAR" / "SSLMAR.py")!r})))
seconds = time.perf_counter() - start
heavy = [name for name in ("torch", "odl", "scipy", "SimpleITK") if name in sys.modules]
assert not heavy, heavy
assert sys.modules["SSLMARLib"].__file__.startswith({str(repository)!r})
assert seconds < 1.0, seconds
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=repository.parent)
    assert run.returncode == 0, run.stderr


def test_the_library_is_found_beside_the_module_when_installed(repository, tmp_path, rig, monkeypatch):
    """Installed, the module and the library lie in one folder; the path of the source tree must not be needed."""
    installed = tmp_path / "qt-scripted-modules"
    (installed / "SSLMARLib").mkdir(parents=True)
    (installed / "SSLMARLib" / "__init__.py").write_text("")
    (installed / "SSLMAR.py").write_text((repository / "SSLMAR" / "SSLMAR.py").read_text())
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(repository)])
    rig.load_module(installed / "SSLMAR.py")
    assert sys.path[-1] == str(installed)
    rig.load_module(repository / "SSLMAR" / "SSLMAR.py")
    assert sys.path[-1] == str(repository)


def test_methods_are_those_of_the_library(panel):
    from SSLMARLib import available_methods

    combo = panel.ui.methodComboBox
    assert [combo.itemText(index).lower() for index in range(combo.count)] == list(available_methods())
    assert combo.currentText == "NMAR"


def test_the_first_volume_of_the_scene_is_chosen(rig, module, library):
    volume = add_volume("CT")
    panel = rig.open_panel(module)
    assert panel._parameterNode.inputVolume is volume
    assert panel.ui.inputVolumeSelector.currentNode() is volume
    panel.cleanup()


def test_each_control_writes_the_parameter_node_and_back(panel, volume):
    import slicer

    ui, parameters = panel.ui, panel._parameterNode
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Implants")
    other = add_volume("Other CT")

    ui.inputVolumeSelector.setCurrentNode(other)
    ui.metalSegmentationSelector.setCurrentNode(segmentation)
    ui.thresholdSliderWidget.value = 2600.0
    ui.methodComboBox.currentIndex = 0
    assert parameters.inputVolume is other
    assert parameters.metalSegmentation is segmentation
    assert parameters.thresholdHu == 2600.0
    assert parameters.method == "li"

    parameters.inputVolume = volume
    parameters.metalSegmentation = None
    parameters.thresholdHu = 1500.0
    parameters.method = "nmar"
    assert ui.inputVolumeSelector.currentNode() is volume
    assert ui.metalSegmentationSelector.currentNode() is None
    assert ui.thresholdSliderWidget.value == 1500.0
    assert ui.methodComboBox.currentText == "NMAR"


def test_the_threshold_stays_within_what_a_scanner_can_store(panel):
    assert (panel.ui.thresholdSliderWidget.minimum, panel.ui.thresholdSliderWidget.maximum) == (500.0, 3000.0)
    with pytest.raises(ValueError):
        panel._parameterNode.thresholdHu = 3100.0


def test_the_threshold_is_off_while_a_segmentation_is_chosen(panel, volume):
    import slicer

    assert panel.ui.thresholdSliderWidget.enabled
    panel._parameterNode.metalSegmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    assert not panel.ui.thresholdSliderWidget.enabled


def test_apply_is_enabled_exactly_when_it_can_run(panel):
    import slicer

    button, parameters, scene = panel.ui.applyButton, panel._parameterNode, slicer.mrmlScene

    def assert_refused(reason):
        assert not button.enabled
        assert reason in button.toolTip

    def assert_ready():
        assert button.enabled
        assert "the result is a new volume beside the input" in button.toolTip

    assert_refused("No input volume is chosen")
    empty = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
    parameters.inputVolume = empty
    assert_refused("'Empty' holds no voxels")
    slicer.util.updateVolumeFromArray(empty, numpy.zeros((2, 3, 4), numpy.int16))
    assert_ready()

    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Implants")
    parameters.metalSegmentation = segmentation
    assert_refused("'Implants' has no segments")
    segment_id = segmentation.GetSegmentation().AddEmptySegment("", "Screw")
    assert_ready()
    segmentation.GetSegmentation().RemoveSegment(segment_id)
    assert_refused("'Implants' has no segments")
    scene.RemoveNode(segmentation)
    assert parameters.metalSegmentation is None
    assert_ready()

    parameters.method = "magic"
    assert_refused("The method 'magic' is not available")
    assert panel.ui.methodComboBox.currentIndex == -1
    panel.ui.methodComboBox.currentIndex = 0
    assert_ready()

    scene.RemoveNode(empty)
    assert_refused("No input volume is chosen")


def test_nodes_that_are_no_longer_chosen_are_let_go(panel, volume):
    def is_observed(node):
        return any(observed is node for observed, *_ in panel.Observations)

    assert is_observed(volume)
    panel._parameterNode.inputVolume = other = add_volume("Other CT")
    assert is_observed(other)
    assert not is_observed(volume)


def test_a_run(rig, panel, volume, library):
    import slicer

    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    gate = Gate(library)
    ui = panel.ui
    ui.applyButton.click()
    rig.spin(lambda: ui.progressBar.value == 25)
    assert (ui.applyButton.text, ui.applyButton.enabled) == ("Cancel", True)
    assert ui.progressBar.visible
    assert ui.statusLabel.text == "Slice 3 of 12"
    assert not ui.inputCollapsibleButton.enabled
    assert volume_names() == ["CT"]

    gate.released.set()
    finish(rig, panel)
    assert_idle(panel)
    assert ui.statusLabel.text == "Done: CT (MAR: NMAR). 1 of 3 slices corrected, 0.5 ml of metal, 1.5 s."
    corrected = slicer.util.getNode("CT (MAR: NMAR)")
    assert (slicer.util.arrayFromVolume(corrected) == 39).all()
    assert (slicer.util.arrayFromVolume(volume) == 40).all()
    composite = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSliceCompositeNode")
    assert composite.GetBackgroundVolumeID() == corrected.GetID()
    slicer.mrmlScene.RemoveNode(composite)


def test_two_runs_in_a_row_take_the_parameters_of_their_time(rig, panel, volume, library):
    panel.ui.applyButton.click()
    finish(rig, panel)
    panel.ui.methodComboBox.currentIndex = 0
    panel.ui.thresholdSliderWidget.value = 2500.0
    panel.ui.applyButton.click()
    finish(rig, panel)
    assert volume_names() == ["CT", "CT (MAR: LI)", "CT (MAR: NMAR)"]
    keywords = [call[2] for call in library.calls]
    assert [(each["method"], each["threshold_hu"]) for each in keywords] == [("nmar", 2000.0), ("li", 2500.0)]
    assert panel._parameterNode.inputVolume is volume
    assert_idle(panel)


def test_cancel(rig, panel, volume, library):
    gate = Gate(library)
    panel.ui.applyButton.click()
    rig.spin(gate.entered.is_set)
    start = time.monotonic()
    panel.ui.applyButton.click()
    assert (panel.ui.applyButton.text, panel.ui.applyButton.enabled) == ("Cancelling...", False)
    finish(rig, panel)
    assert time.monotonic() - start < 2.0
    assert_idle(panel)
    assert panel.ui.applyButton.enabled
    assert panel.ui.statusLabel.text == "Cancelled; no volume was made."
    assert volume_names() == ["CT"]


def test_a_result_that_comes_after_the_cancel_is_dropped(rig, panel, volume, library):
    entered, released = threading.Event(), threading.Event()

    def work(progress, is_cancelled):
        entered.set()
        released.wait(10)

    library.work = work
    panel.ui.applyButton.click()
    rig.spin(entered.is_set)
    panel.ui.applyButton.click()
    released.set()
    finish(rig, panel)
    assert volume_names() == ["CT"]
    assert panel.ui.statusLabel.text == "Cancelled; no volume was made."


def test_a_sentence_of_the_library_is_shown_in_the_panel(rig, panel, volume, library, monkeypatch):
    import slicer

    pop_ups = []
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda *arguments, **keywords: pop_ups.append(arguments))

    def no_metal(progress, is_cancelled):
        raise InputError("No voxel exceeds 2000 HU (the highest is 40 HU): lower the threshold.")

    library.work = no_metal
    panel.ui.applyButton.click()
    finish(rig, panel)
    assert panel.ui.statusLabel.text.startswith("No voxel exceeds 2000 HU")
    assert_idle(panel)
    assert panel.ui.applyButton.enabled
    assert volume_names() == ["CT"]
    assert not pop_ups


def test_an_unforeseen_error_is_shown_with_its_trace(rig, panel, volume, library, monkeypatch):
    import slicer

    pop_ups = []
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda text, detailedText: pop_ups.append((text, detailedText)))

    def break_down(progress, is_cancelled):
        raise ZeroDivisionError("division by zero")

    library.work = break_down
    panel.ui.applyButton.click()
    finish(rig, panel)
    assert_idle(panel)
    ((text, details),) = pop_ups
    assert text == "The correction failed: division by zero"
    assert "break_down" in details
    assert volume_names() == ["CT"]


def test_an_error_before_the_thread_starts_is_shown(panel, volume, library):
    """The segments lie outside the volume: known only once they are resampled, on Apply."""
    import slicer

    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Implants")
    segmentation.GetSegmentation().AddEmptySegment("", "Screw")
    panel._parameterNode.metalSegmentation = segmentation
    assert panel.ui.applyButton.enabled
    panel.ui.applyButton.click()
    assert "No voxel of 'Screw' in 'Implants' lies inside the volume 'CT'" in panel.ui.statusLabel.text
    assert_idle(panel)
    assert not library.calls


def test_the_input_is_removed_during_a_run(rig, panel, volume, library):
    import slicer

    gate = Gate(library)
    panel.ui.applyButton.click()
    rig.spin(gate.entered.is_set)
    slicer.mrmlScene.RemoveNode(volume)
    finish(rig, panel)
    assert_idle(panel)
    assert panel.ui.statusLabel.text == "The input volume was removed, so the correction was cancelled."
    assert not panel.ui.applyButton.enabled
    assert volume_names() == []


def test_the_scene_is_closed_during_a_run(rig, panel, volume, library):
    import slicer

    gate = Gate(library)
    panel.ui.applyButton.click()
    rig.spin(gate.entered.is_set)
    slicer.mrmlScene.Clear()
    assert_idle(panel)
    assert panel.ui.statusLabel.text == "The scene was closed, so the correction was cancelled."
    assert gate.left.wait(2.0), "the thread went on for more than 2 s"
    assert volume_names() == []
    assert not panel.ui.applyButton.enabled

    library.work = None
    panel._parameterNode.inputVolume = add_volume("Next CT")
    panel.ui.applyButton.click()
    finish(rig, panel)
    assert volume_names() == ["Next CT", "Next CT (MAR: NMAR)"]


def test_the_run_goes_on_while_another_module_is_open(rig, panel, volume, library):
    gate = Gate(library)
    panel.ui.applyButton.click()
    rig.spin(gate.entered.is_set)
    panel.exit()
    gate.released.set()
    finish(rig, panel)
    panel.enter()
    assert_idle(panel)
    assert volume_names() == ["CT", "CT (MAR: NMAR)"]
    panel.ui.thresholdSliderWidget.value = 2222.0
    assert panel._parameterNode.thresholdHu == 2222.0


def test_reload_during_a_run(rig, module, library):
    """cleanup(), which Slicer calls before a reload, ends the thread and lets go of the scene."""
    import slicer

    volume = add_volume("CT")
    panel = rig.open_panel(module)
    gate = Gate(library)
    panel.ui.applyButton.click()
    rig.spin(gate.entered.is_set)
    panel.cleanup()
    assert gate.left.is_set()
    assert not panel.Observations
    slicer.mrmlScene.RemoveNode(volume)
    again = rig.open_panel(module)
    assert_idle(again)
    again.cleanup()


@pytest.fixture
def torch_extension(rig, monkeypatch):
    """torch counts as missing, and the PyTorch extension is there. agrees: what the user answers."""
    extension = SimpleNamespace(calls=[], agrees=True)

    class PyTorchUtilsLogic:
        def installTorch(self, askConfirmation=False, forceComputationBackend=None, torchVersionRequirement=None):
            extension.calls.append((askConfirmation, torchVersionRequirement))
            return object() if extension.agrees else None

    rig.packaging.missing.add("torch")
    monkeypatch.setitem(sys.modules, "PyTorchUtils", SimpleNamespace(PyTorchUtilsLogic=PyTorchUtilsLogic))
    return extension


def test_missing_torch_is_asked_for_and_installed_on_apply(rig, panel, volume, library, torch_extension):
    assert panel.ui.applyButton.enabled
    assert not torch_extension.calls
    panel.ui.applyButton.click()
    finish(rig, panel)
    assert torch_extension.calls == [(True, ">=2.2")]
    assert volume_names() == ["CT", "CT (MAR: NMAR)"]


def test_declined_torch_is_said(panel, volume, library, torch_extension):
    torch_extension.agrees = False
    panel.ui.applyButton.click()
    assert "PyTorch was not installed" in panel.ui.statusLabel.text
    assert_idle(panel)
    assert not library.calls


def test_missing_pytorch_extension_is_said(panel, volume, library, torch_extension, monkeypatch):
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    panel.ui.applyButton.click()
    assert "install the extension 'PyTorch' in the Extensions Manager" in panel.ui.statusLabel.text
    assert_idle(panel)
    assert not library.calls


def test_missing_packages_are_installed_by_slicer_s_packaging(rig, panel, volume, library):
    rig.packaging.missing.update({"odl", "safetensors"})
    panel.ui.applyButton.click()
    finish(rig, panel)
    assert [requirement.split(">")[0] for requirement in rig.packaging.installed] == ["odl", "safetensors"]
    assert volume_names() == ["CT", "CT (MAR: NMAR)"]


def test_declined_packages_are_said(rig, panel, volume, library):
    rig.packaging.missing.add("odl")
    rig.packaging.declined = True
    panel.ui.applyButton.click()
    assert "were not installed (User declined package installation)" in panel.ui.statusLabel.text
    assert_idle(panel)
    assert not library.calls


def test_the_logic_works_without_a_panel(module, library):
    volume = add_volume("CT")
    logic = module.SSLMARLogic()
    seen = []
    library.work = lambda progress, is_cancelled: progress(0.5, "Half of it")
    corrected = logic.process(volume, method="li", thresholdHu=2500, progress=lambda *report: seen.append(report))
    assert corrected.GetName() == "CT (MAR: LI)"
    assert seen == [(0.5, "Half of it")]
    segmentation = logic.segmentMetal(add_volume("Screws", numpy.full((3, 9, 9), 3000, numpy.int16)), 2000)
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 1


def test_the_self_test_of_the_module(module):
    """SSLMARTest with the real library, as Slicer's own test run does it."""
    pytest.importorskip("torch", reason="torch is not installed, so the module's self-test did NOT run")
    module.SSLMARTest().runTest()
