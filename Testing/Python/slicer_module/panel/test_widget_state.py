"""The panel and its parameter node: each control writes it and shows it; it is saved with the scene."""

from __future__ import annotations

import numpy
import pytest


def test_each_control_writes_the_parameter_node_and_back(panel, volume, tools):
    """The table names every control that holds a value; what it misses fails the test."""
    import ctk
    import qt
    import slicer

    segmentation, other = tools.add_segmentation("Implants", "Screw"), tools.add_volume("Other CT")
    result = tools.add_volume("Result")
    result.SetAttribute("SSLMAR.Version", "1")
    ui, parameters = panel.ui, panel.parameterNode

    def node(selector):
        return selector.currentNode, selector.setCurrentNode

    def value(widget):
        return lambda: widget.value, lambda new: setattr(widget, "value", new)

    def checked(box):
        return lambda: box.checked, lambda new: setattr(box, "checked", new)

    def path(widget):
        return lambda: widget.currentPath, lambda new: setattr(widget, "currentPath", new)

    def index(combo):
        return lambda: combo.currentIndex, lambda new: setattr(combo, "currentIndex", new)

    # control -> ((read, write), shown by the user's choice, parameter, its value then, another value, shown for that)
    table = {
        "inputVolumeSelector": (node(ui.inputVolumeSelector), other, "inputVolume", other, volume, volume),
        "allFramesCheckBox": (checked(ui.allFramesCheckBox), True, "allFrames", True, False, False),
        "allMethodsCheckBox": (checked(ui.allMethodsCheckBox), True, "allMethods", True, False, False),
        "presetComboBox": (index(ui.presetComboBox), 2, "preset", "hip", "dental", 1),
        "thresholdSliderWidget": (value(ui.thresholdSliderWidget), 2600.0, "thresholdHu", 2600.0, 1500.0, 1500.0),
        "smallestComponentSpinBox": (value(ui.smallestComponentSpinBox), 12.5, "smallestComponentMm3", 12.5, 3.0, 3.0),
        "peakSpinBox": (value(ui.peakSpinBox), 2900.0, "peakHu", 2900.0, 0.0, 0.0),
        "dilationSpinBox": (value(ui.dilationSpinBox), 1.5, "dilationMm", 1.5, 0.5, 0.5),
        "learnedOutlineCheckBox": (checked(ui.learnedOutlineCheckBox), True, "learnedOutline", True, False, False),
        "thresholdPreviewCheckBox": (checked(ui.thresholdPreviewCheckBox), False, "showThresholdPreview", False, True, True),
        "metalSegmentationSelector": (node(ui.metalSegmentationSelector), segmentation, "metalSegmentation", segmentation, None, None),
        "methodComboBox": (index(ui.methodComboBox), 0, "method", "li", "nmar", 1),
        "weightsPathLineEdit": (path(ui.weightsPathLineEdit), "own.safetensors", "weightsFile", "own.safetensors", "", ""),
        "deviceComboBox": (index(ui.deviceComboBox), 1, "device", "cpu", "cuda", 2),
        "metalMaterialComboBox": (index(ui.metalMaterialComboBox), 1, "metalMaterial", "titanium", "", 0),
        "trustCheckBox": (checked(ui.trustCheckBox), True, "makeTrust", True, False, False),
        "strengthSliderWidget": (value(ui.strengthSliderWidget), 60.0, "strengthPercent", 60.0, 30.0, 30.0),
        "correctedVolumeSelector": (node(ui.correctedVolumeSelector), result, "correctedVolume", result, None, None),
    }
    kinds = (
        qt.QComboBox,
        qt.QCheckBox,
        qt.QDoubleSpinBox,
        ctk.ctkPathLineEdit,
        ctk.ctkSliderWidget,
        slicer.qMRMLNodeComboBox,
        qt.QListWidget,
    )
    controls = {name for name, widget in vars(ui).items() if isinstance(widget, kinds)}
    of_the_views_only, tested_elsewhere = {"swipeSliderWidget", "metalSlicesComboBox"}, {"segmentsListWidget"}
    assert controls == set(table) | of_the_views_only | tested_elsewhere

    for control, ((read, write), chosen, parameter, stored, other_value, shown) in table.items():
        write(chosen)
        assert getattr(parameters, parameter) == stored, control
        setattr(parameters, parameter, other_value)
        if parameter == "preset":  # a preset whose values are not the present ones is none
            assert parameters.preset == ""
            continue
        assert read() == shown, control


def test_a_new_panel_starts_with_the_library_s_values(panel):
    from SSLMARLib import MetalSearch, available_methods
    from SSLMARLib.slicer_logic import DEFAULT_METHOD, METAL_MATERIALS_HU, PRESETS

    parameters = panel.parameterNode
    assert parameters.thresholdHu == MetalSearch().threshold_hu
    assert parameters.smallestComponentMm3 == MetalSearch().smallest_component_mm3
    assert (parameters.peakHu, parameters.dilationMm) == (MetalSearch().peak_hu, MetalSearch().dilation_mm)
    assert parameters.method == DEFAULT_METHOD and parameters.method in available_methods()
    assert (parameters.device, parameters.metalMaterial, parameters.strengthPercent) == ("auto", "", 100.0)
    assert "" not in METAL_MATERIALS_HU and "" not in PRESETS


def test_the_state_is_saved_with_the_scene_and_restored(rig, module, library, tools, tmp_path):
    import slicer

    panel = rig.open_panel(module)
    volume, segmentation = tools.add_volume("CT"), tools.add_segmentation("Implants", "Screw", "Bone")
    parameters = panel.parameterNode
    parameters.inputVolume, parameters.metalSegmentation = volume, segmentation
    parameters.excludedSegmentIDs = [segmentation.GetSegmentation().GetSegmentIdBySegmentName("Bone")]
    parameters.thresholdHu, parameters.method, parameters.device = 2350.0, "li", "cpu"
    parameters.metalMaterial, parameters.strengthPercent, parameters.dilationMm = "titanium", 40.0, 2.0
    tools.settle(panel)

    save_scene(tmp_path, volume, segmentation)
    scene = slicer.mrmlScene
    assert "threshold preview" not in (tmp_path / "scene.mrml").read_text()

    scene.Clear()
    assert panel.parameterNode.inputVolume is None
    assert panel.parameterNode.thresholdHu == 2000.0
    assert panel.ui.thresholdSliderWidget.value == 2000.0
    scene.SetURL(str(tmp_path / "scene.mrml"))
    assert scene.Connect()

    parameters, ui = panel.parameterNode, panel.ui
    assert parameters.inputVolume.GetName() == "CT" and parameters.metalSegmentation.GetName() == "Implants"
    assert ui.inputVolumeSelector.currentNode() is parameters.inputVolume
    assert ui.metalSegmentationSelector.currentNode() is parameters.metalSegmentation
    assert (ui.thresholdSliderWidget.value, ui.dilationSpinBox.value) == (2350.0, 2.0)
    assert (ui.methodComboBox.currentText, ui.deviceComboBox.currentText) == ("LI", "CPU")
    assert ui.metalMaterialComboBox.currentText.startswith("titanium")
    assert ui.strengthSliderWidget.value == 40.0
    assert ticks(ui.segmentsListWidget) == {"Screw": True, "Bone": False}
    panel.cleanup()


def save_scene(folder, *nodes):
    """Save the scene and the data of these nodes."""
    import slicer

    scene = slicer.mrmlScene
    scene.SetRootDirectory(str(folder))
    scene.SetURL(str(folder / "scene.mrml"))
    for node in nodes:
        node.AddDefaultStorageNode()
        storage = node.GetStorageNode()
        storage.SetFileName(str(folder / f"{node.GetID()}.{storage.GetDefaultWriteFileExtension()}"))
        assert storage.WriteData(node)
    assert scene.Commit()


@pytest.mark.parametrize("is_open", [True, False])
def test_a_scene_that_is_loaded_after_a_close_keeps_segmentation_and_result(panel, volume, library, tools, tmp_path, is_open):
    """And Apply takes the segments again. As in the application, a wrapper made before the load does not see the nodes.
    is_open: whether the panel stays open meanwhile."""
    import slicer

    segmentation = tools.add_segmentation("Implants", "Screw", "Plate")  # slicer-core cannot read a file of one segment
    panel.parameterNode.metalSegmentation = segmentation
    tools.apply(panel)
    save_scene(tmp_path, volume, segmentation, panel.parameterNode.correctedVolume)
    slicer.mrmlScene.Clear()
    before_the_load = panel.parameterNode
    if not is_open:
        panel.exit()
        panel.parent.isEntered = False
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    assert slicer.mrmlScene.Connect()
    assert before_the_load.metalSegmentation is None
    assert before_the_load.parameterNode.GetNodeReference("metalSegmentation") is not None
    if not is_open:
        panel.parent.isEntered = True
        panel.enter()
    tools.settle(panel)

    parameters, ui = panel.parameterNode, panel.ui
    names = [node.GetName() for node in (parameters.inputVolume, parameters.metalSegmentation, parameters.correctedVolume)]
    assert names == ["CT", "Implants", "CT (MAR: NMAR)"]
    assert ui.metalSegmentationSelector.currentNode() is parameters.metalSegmentation
    assert ui.correctedVolumeSelector.currentNode() is parameters.correctedVolume
    tools.apply(panel)
    assert library.calls[-1][2]["metal"].sum() == 2


def ticks(list_widget):
    import qt

    items = [list_widget.item(row) for row in range(list_widget.count)]
    return {item.text(): item.checkState() == qt.Qt.Checked for item in items}


def test_the_threshold_stays_within_what_a_scanner_can_store(panel):
    assert (panel.ui.thresholdSliderWidget.minimum, panel.ui.thresholdSliderWidget.maximum) == (500.0, 3000.0)
    with pytest.raises(ValueError):
        panel.parameterNode.thresholdHu = 3100.0


def test_several_volumes_of_one_scene_are_corrected_in_turn(panel, volume, tools):
    """Each result belongs to its input; choosing a result does not change the input."""
    import slicer

    tools.apply(panel)
    other = tools.add_volume("Other CT")
    panel.parameterNode.inputVolume = other
    tools.apply(panel)
    assert tools.volume_names() == ["CT", "CT (MAR: NMAR)", "Other CT", "Other CT (MAR: NMAR)"]
    first, second = slicer.util.getNode("CT (MAR: NMAR)"), slicer.util.getNode("Other CT (MAR: NMAR)")
    assert panel.ui.correctedVolumeSelector.currentNode() is second
    panel.ui.correctedVolumeSelector.setCurrentNode(first)
    tools.settle(panel)
    assert panel.parameterNode.inputVolume is other
    assert first.GetNodeReference("SSLMAR.InputVolume") is volume
    assert second.GetNodeReference("SSLMAR.InputVolume") is other


def test_only_results_can_be_chosen_as_a_result(panel, volume, tools):
    selector = panel.ui.correctedVolumeSelector
    tools.apply(panel)
    assert [selector.itemText(index) for index in range(selector.count)] == ["None (nothing corrected yet)", "CT (MAR: NMAR)"]


def test_nodes_that_are_no_longer_chosen_are_let_go(panel, volume, tools):
    def is_observed(node):
        return any(observed is node for section in panel.sections for observed, *_ in section.Observations)

    assert is_observed(volume)
    panel.parameterNode.inputVolume = other = tools.add_volume("Other CT")
    assert is_observed(other)
    assert not is_observed(volume)
    panel.exit()
    assert not is_observed(other)
    panel.enter()
    assert is_observed(other)


def test_a_panel_that_is_left_does_not_write_until_it_is_entered_again(panel, volume):
    panel.exit()
    panel.ui.thresholdSliderWidget.value = 2222.0
    assert panel.parameterNode.thresholdHu == 2000.0
    panel.enter()
    assert panel.ui.thresholdSliderWidget.value == 2000.0
    panel.ui.thresholdSliderWidget.value = 2222.0
    assert panel.parameterNode.thresholdHu == 2222.0


# ---------------------------------------------------------------------------------------------------------- Input


def test_the_input_is_described(panel, tools):
    ui = panel.ui
    assert ui.volumeSummaryLabel.text == "Choose the CT volume to correct, or load one."
    assert not ui.volumeRemarksLabel.visible
    voxels = numpy.full((3, 8, 9), 40, numpy.int16)
    voxels[0] = -1000
    panel.parameterNode.inputVolume = volume = tools.add_volume("CT", voxels)
    assert "9 x 8 x 3" in ui.volumeSummaryLabel.text and "-1000 to 40 HU" in ui.volumeSummaryLabel.text
    assert not ui.volumeRemarksLabel.text and not ui.remarksButton.visible

    import slicer

    voxels[1] = 3071
    slicer.util.updateVolumeFromArray(volume, voxels)
    assert "3071" in ui.volumeSummaryLabel.text
    assert ui.remarksButton.visible and ui.remarksButton.text.startswith("\u26a0 1 notice: The scan is cut off at 3071 HU")
    assert not ui.volumeRemarksLabel.visible  # one line, which opens
    ui.remarksButton.checked = True
    assert ui.volumeRemarksLabel.visible and "3071" in ui.volumeRemarksLabel.text
    volume.SetAndObserveTransformNodeID(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode").GetID())
    assert ui.remarksButton.text.startswith("\u26a0 2 notices: ")
    ui.remarksButton.checked = False
    assert not ui.volumeRemarksLabel.visible


def test_what_was_said_of_another_volume_goes(panel, volume, tools):
    panel.showStatus("Done: something.")
    panel.parameterNode.inputVolume = tools.add_volume("Another")
    assert panel.ui.statusLabel.text == ""


def test_a_transform_of_the_input_is_noticed_when_it_comes_and_goes(panel, volume):
    import slicer

    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Tilt")
    volume.SetAndObserveTransformNodeID(transform.GetID())
    assert "Tilt" in panel.ui.volumeRemarksLabel.text or "transform" in panel.ui.volumeRemarksLabel.text
    volume.SetAndObserveTransformNodeID(None)
    assert "transform" not in panel.ui.volumeRemarksLabel.text


def test_a_volume_that_is_no_ct_is_remarked_but_not_refused(panel, tools):
    panel.parameterNode.inputVolume = tools.add_volume("MRI", numpy.full((3, 8, 9), 300, numpy.int16))
    assert "Hounsfield" in panel.ui.volumeRemarksLabel.text
    assert panel.ui.applyButton.enabled


@pytest.mark.parametrize("odd", ["empty", "color"])
def test_an_odd_volume_gives_a_sentence_and_a_way_on(panel, tools, odd):
    import slicer
    import vtk

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Odd")
    if odd == "color":
        image = vtk.vtkImageData()
        image.SetDimensions(4, 4, 4)
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
        node.SetAndObserveImageData(image)
    panel.parameterNode.inputVolume = node
    assert "'Odd'" in panel.ui.volumeRemarksLabel.text
    assert not panel.ui.applyButton.enabled and "'Odd'" in panel.ui.applyButton.toolTip
    assert not panel.ui.segmentMetalButton.enabled and "'Odd'" in panel.ui.segmentMetalButton.toolTip
    panel.parameterNode.inputVolume = tools.add_volume("CT")
    assert panel.ui.applyButton.enabled and panel.ui.segmentMetalButton.enabled


# ---------------------------------------------------------------------------------------------------------- Presets


def test_a_preset_sets_its_values_until_one_is_changed(panel, volume):
    from SSLMARLib.slicer_logic import PRESETS

    ui, parameters = panel.ui, panel.parameterNode
    combo = ui.presetComboBox
    assert combo.currentText == "Custom"
    titles = [combo.itemText(index) for index in range(combo.count)]
    assert titles == ["Custom", *(preset.title for preset in PRESETS.values())]
    for index, preset in enumerate(PRESETS.values(), start=1):
        combo.currentIndex = index
        assert parameters.preset == preset.name
        assert (parameters.thresholdHu, ui.thresholdSliderWidget.value) == (preset.search.threshold_hu,) * 2
        assert (parameters.smallestComponentMm3, ui.smallestComponentSpinBox.value) == (preset.search.smallest_component_mm3,) * 2
        assert (parameters.dilationMm, ui.dilationSpinBox.value) == (preset.search.dilation_mm,) * 2
        assert combo.currentText == preset.title

    for control, new in ((ui.thresholdSliderWidget, 1700.0), (ui.smallestComponentSpinBox, 77.0), (ui.dilationSpinBox, 3.5)):
        combo.currentIndex = 2
        control.value = new
        assert (parameters.preset, combo.currentText) == ("", "Custom")


def test_the_values_of_a_preset_reach_the_library(panel, volume, library, tools):
    from SSLMARLib.slicer_logic import PRESETS

    panel.ui.presetComboBox.currentIndex = 1
    tools.apply(panel)
    ((_, _, keywords),) = library.calls
    preset = PRESETS["dental"]
    assert keywords["metal"] == preset.search
