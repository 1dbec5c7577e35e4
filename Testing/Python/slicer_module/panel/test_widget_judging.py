"""What helps to judge and to repeat: soft-tissue window, the settings of a result, all methods, Escape."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest


def window_of(node):
    display = node.GetDisplayNode()
    return bool(display.GetAutoWindowLevel()), display.GetWindow(), display.GetLevel()


def test_the_soft_tissue_window_is_that_of_input_and_result_and_goes_again(panel, volume, tools, views):
    from SSLMARLib import slicer_logic

    button = panel.ui.softTissueButton
    volume.GetDisplayNode().SetAutoWindowLevel(False)
    volume.GetDisplayNode().SetWindowLevel(2000, 500)
    tools.apply(panel)
    first = panel.parameterNode.correctedVolume
    first.GetDisplayNode().SetWindowLevel(1500, 300)
    button.click()
    assert button.checked and window_of(volume) == window_of(first) == (False, 400.0, 40.0)
    swipe = slicer_logic.showSwipe(volume, first)
    tools.apply(panel)
    second = panel.parameterNode.correctedVolume
    assert window_of(second) == (False, 400.0, 40.0)
    swipe = slicer_logic.showSwipe(volume, second)
    button.click()
    assert not button.checked
    assert window_of(volume) == window_of(second) == window_of(swipe) == (False, 2000.0, 500.0)
    assert window_of(first) == (False, 1500.0, 300.0)
    slicer_logic.endComparison()


def test_a_window_that_is_chosen_meanwhile_stays(panel, volume):
    button = panel.ui.softTissueButton
    button.click()
    volume.GetDisplayNode().SetWindowLevel(3000, 1000)
    panel.updatePanel()
    assert not button.checked
    button.click()
    assert window_of(volume) == (False, 400.0, 40.0)
    button.click()
    assert window_of(volume) == (False, 3000.0, 1000.0)


def test_the_panel_is_set_as_for_a_result(panel, volume, library, tools):
    ui, parameters = panel.ui, panel.parameterNode
    assert not ui.setPanelButton.enabled
    wanted = {
        "method": "li",
        "device": "cpu",
        "thresholdHu": 2600.0,
        "smallestComponentMm3": 3.0,
        "peakHu": 2900.0,
        "dilationMm": 1.5,
        "metalMaterial": "titanium",
        "strengthPercent": 70.0,
    }
    for name, value in wanted.items():
        setattr(parameters, name, value)
    tools.apply(panel)
    parameters.inputVolume = tools.add_volume("Other")
    tools.settle(panel)
    others = {"method": "nmar", "device": "auto", "thresholdHu": 1500.0, "smallestComponentMm3": 0.0, "peakHu": 0.0, "dilationMm": 0.0}
    for name, value in {**others, "metalMaterial": "", "metalSegmentation": tools.add_segmentation("Implants", "Screw")}.items():
        setattr(parameters, name, value)
    ui.setPanelButton.click()
    assert {name: getattr(parameters, name) for name in wanted} == wanted
    assert parameters.inputVolume is volume and parameters.metalSegmentation is None


def test_the_segments_of_a_result_are_ticked_again(panel, volume, tools):
    parameters = panel.parameterNode
    parameters.metalSegmentation = segmentation = tools.add_segmentation("Implants", "Screw", "Bone")
    bone = segmentation.GetSegmentation().GetSegmentIdBySegmentName("Bone")
    parameters.excludedSegmentIDs = [bone]
    tools.apply(panel)
    parameters.metalSegmentation = None
    tools.settle(panel)
    parameters.excludedSegmentIDs = []
    panel.ui.setPanelButton.click()
    tools.settle(panel)
    assert parameters.metalSegmentation is segmentation and parameters.excludedSegmentIDs == [bone]


def test_the_methods_for_research_are_listed_when_asked_for(panel, volume, library, tools):
    from SSLMARLib import available_methods

    combo, box = panel.ui.methodComboBox, panel.ui.allMethodsCheckBox
    assert combo.count == len(available_methods()) and combo.currentText == "NMAR"
    box.checked = True
    assert combo.count == len(available_methods(for_research=True)) and combo.currentText == "NMAR"
    combo.currentIndex = combo.count - 1
    chosen = available_methods(for_research=True)[-1]
    tools.apply(panel)
    assert library.calls[-1][2]["method"] == chosen
    box.checked = False
    assert panel.parameterNode.method == chosen and combo.currentIndex >= 0, "what is chosen stays in sight"
    panel.parameterNode.method = "nmar"
    assert combo.count == len(available_methods()) and combo.currentText == "NMAR"


def test_escape_cancels_a_run_and_nothing_else(rig, panel, volume, tools):
    escape = panel.runSection._escape
    assert escape.key.toString() == "Esc" and not escape.enabled
    gate = tools.Gate()
    panel.ui.applyButton.click()
    rig.spin(gate.entered.is_set)
    assert escape.enabled
    panel.exit()
    assert not escape.enabled, "another module is open"
    panel.enter()
    assert escape.enabled
    escape.activated.emit()
    tools.finish(panel)
    assert panel.ui.statusLabel.text == "Cancelled; no volume was made." and not escape.enabled
    assert tools.volume_names() == ["CT"]


@pytest.fixture
def result_menu(module, monkeypatch, panel):
    """The plugin of Slicer's data tree as Slicer loads it: by its path, with the class of its name, on its own base class, whose
    constructor registers it. `current` is the item that the menu is of."""
    import slicer
    from PySide6 import QtCore

    abstract = ModuleType("AbstractScriptedSubjectHierarchyPlugin")
    abstract.AbstractScriptedSubjectHierarchyPlugin = type("Abstract", (), {"__init__": lambda self, plugin: None})
    monkeypatch.setitem(sys.modules, abstract.__name__, abstract)
    handler = SimpleNamespace(current=0, currentItem=lambda: handler.current)
    handler.subjectHierarchyNode = lambda: slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    monkeypatch.setattr(slicer, "qSlicerSubjectHierarchyPluginHandler", SimpleNamespace(instance=lambda: handler), raising=False)
    loaded, registered = [], []  # Slicer's handler owns what is registered

    class ScriptedPlugin(QtCore.QObject):
        def setPythonSource(self, path):
            registered.append(self)
            name = Path(path).stem
            specification = importlib.util.spec_from_file_location(name, path)
            source = importlib.util.module_from_spec(specification)
            specification.loader.exec_module(source)
            loaded.append((getattr(source, name)(self), handler))

    monkeypatch.setattr(slicer, "qSlicerSubjectHierarchyScriptedPlugin", ScriptedPlugin, raising=False)
    monkeypatch.setattr(slicer.util, "selectModule", lambda name: loaded.append(name), raising=False)
    monkeypatch.setattr(slicer.util, "getModuleWidget", lambda name: panel, raising=False)
    module.registerResultMenu()
    yield loaded
    registered.clear()


def test_a_result_s_right_click_menu_sets_the_panel(panel, volume, tools, result_menu):
    import slicer

    ((plugin, handler),) = result_menu
    panel.parameterNode.method = "li"
    tools.apply(panel)
    result = panel.parameterNode.correctedVolume
    panel.parameterNode.method, panel.parameterNode.correctedVolume = "nmar", None
    (action,) = plugin.itemContextMenuActions()
    hierarchy = handler.subjectHierarchyNode()
    for node, is_shown in ((volume, False), (result, True)):
        action.visible = False  # as Slicer does before it asks
        handler.current = hierarchy.GetItemByDataNode(node) or hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
        plugin.showContextMenuActionsForItem(handler.current)
        assert action.visible is is_shown
    action.trigger()
    assert result_menu[1:] == ["SSLMAR"]
    assert panel.parameterNode.correctedVolume is result and panel.parameterNode.method == "li"
    slicer.mrmlScene.RemoveNode(result)
    plugin.showContextMenuActionsForItem(handler.current)  # the item went with it
