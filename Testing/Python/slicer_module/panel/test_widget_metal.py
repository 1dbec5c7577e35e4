"""Metal: live count and preview of the threshold, the segmentation, its ticks and its editor."""

from __future__ import annotations

import numpy
import pytest

from SSLMARLib import segment_metal


def preview_node():
    import slicer

    return slicer.mrmlScene.GetFirstNodeByName("SSLMAR threshold preview")


def preview_mask(volume):
    """The preview's voxels on the grid of the volume, put there by their places in space."""
    import slicer

    mask, node = numpy.zeros(slicer.util.arrayFromVolume(volume).shape, dtype=bool), preview_node()
    to_volume = numpy.linalg.inv(ijk_to_ras(volume)) @ ijk_to_ras(node)
    for index in numpy.argwhere(slicer.util.arrayFromVolume(node)):
        i, j, k = numpy.rint(to_volume @ [*index[::-1], 1.0])[:3].astype(int)
        mask[k, j, i] = True
    return mask


def ijk_to_ras(volume):
    import slicer
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


# ------------------------------------------------------------------------------------------------- Count and preview


def test_the_count_follows_the_threshold(panel, volume, tools):
    label = panel.ui.metalCountLabel
    tools.settle(panel)
    assert label.text == "Above it: 0.004 ml (4 voxels), slices: 1."
    panel.ui.thresholdSliderWidget.value = 3000.0
    tools.settle(panel)
    assert label.text.startswith("Above it: 0.004 ml (4 voxels)")

    import slicer

    slicer.util.updateVolumeFromArray(volume, numpy.full((3, 8, 9), 40, numpy.int16))
    tools.settle(panel)
    assert label.text.startswith("No metal found: no voxel reaches 3000 HU, the maximum is 40 HU")
    panel.parameterNode.inputVolume = None
    assert label.text == ""


def test_the_slider_is_not_held_up_by_the_count(panel, volume, tools, monkeypatch):
    """Many steps of the slider, one count."""
    from SSLMARLib import slicer_logic

    counts = []
    count_metal = slicer_logic.countMetal
    monkeypatch.setattr(slicer_logic, "countMetal", lambda *arguments: counts.append(arguments) or count_metal(*arguments))
    tools.settle(panel)
    counts.clear()
    for threshold in range(1000, 2000, 50):
        panel.ui.thresholdSliderWidget.value = threshold
    tools.settle(panel)
    assert [search.threshold_hu for _, search in counts] == [1950.0]


def test_the_preview_shows_what_is_metal(panel, volume, tools):
    import slicer

    voxels = slicer.util.arrayFromVolume(volume)
    tools.settle(panel)
    assert (preview_mask(volume) == (voxels >= 2000)).all()
    panel.ui.thresholdSliderWidget.value = 500.0
    voxels[2, 0, 0] = 600  # a single voxel is noise, bone as bright as this has no peak
    voxels[2, 4:6, 7] = 700
    slicer.util.arrayFromVolumeModified(volume)
    tools.settle(panel)
    assert (preview_mask(volume) == (voxels >= 2000)).all()
    panel.ui.peakSpinBox.value = 0.0
    tools.settle(panel)
    assert preview_mask(volume).sum() == 6
    panel.ui.smallestComponentSpinBox.value = 0.0
    tools.settle(panel)
    assert (preview_mask(volume) == (voxels >= 500)).all() and preview_mask(volume).sum() == 7

    display = preview_node().GetDisplayNode()
    assert preview_node().GetHideFromEditors() and not preview_node().GetSaveWithScene() and not display.GetSaveWithScene()
    names = [panel.ui.metalSegmentationSelector.itemText(i) for i in range(panel.ui.metalSegmentationSelector.count)]
    assert names == ["None (threshold)"]


@pytest.mark.parametrize("peak_hu, dilation_mm, clip_is_metal", [(2750.0, 0.0, False), (0.0, 0.0, True), (0.0, 1.5, True)])
def test_what_the_preview_outlines_is_what_apply_takes(panel, tools, library, peak_hu, dilation_mm, clip_is_metal):
    """The preset for clips, and a clip that does not reach the peak beside a piece that does."""
    import slicer

    voxels = numpy.full((6, 40, 40), 40, numpy.int16)
    voxels[:, :4] = -1000
    voxels[2:4, 10:13, 10:12] = 2600  # the clip
    voxels[2:5, 25:30, 25:30] = 3071
    volume = slicer.util.addVolumeFromArray(voxels, name="Clips")
    panel.parameterNode.inputVolume = volume
    panel.ui.presetComboBox.currentIndex = 4
    assert panel.parameterNode.preset == "clips" and panel.parameterNode.thresholdHu == 1800
    panel.ui.peakSpinBox.value = peak_hu
    panel.ui.dilationSpinBox.value = dilation_mm
    panel.ui.methodComboBox.currentIndex = 0
    tools.settle(panel)
    outlined = preview_mask(volume)
    assert outlined[2, 10, 10] == clip_is_metal
    voxels_said = int(panel.ui.metalCountLabel.text.split("(")[1].split(" voxels")[0])
    tools.apply(panel)
    ((_, spacing_mm, keywords),) = library.calls
    taken = segment_metal(voxels, spacing_mm, keywords["metal"])
    assert numpy.array_equal(taken, outlined) and taken.sum() == voxels_said
    result, names = panel.parameterNode.correctedVolume, ("ThresholdHu", "PeakHu", "DilationMm")
    assert [result.GetAttribute(f"SSLMAR.{name}") for name in names] == ["1800.0", str(peak_hu), str(dilation_mm)]


def test_the_preview_lies_where_the_volume_lies(panel, volume, tools):
    import slicer

    volume.SetIJKToRASDirections(0, 0, 1, 1, 0, 0, 0, 1, 0)
    volume.SetSpacing(0.5, 0.7, 3.0)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    volume.SetAndObserveTransformNodeID(transform.GetID())
    tools.settle(panel)
    assert preview_node().GetParentTransformNode() is transform
    assert (preview_mask(volume) == (slicer.util.arrayFromVolume(volume) >= 2000)).all()


def test_the_preview_goes_when_it_is_not_wanted(panel, volume, tools):
    import slicer

    def displays():
        return slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLLabelMapVolumeDisplayNode")

    tools.settle(panel)
    assert preview_node() is not None and displays() == 1
    panel.ui.thresholdPreviewCheckBox.checked = False
    assert preview_node() is None and displays() == 0
    panel.ui.thresholdPreviewCheckBox.checked = True
    tools.settle(panel)
    assert preview_node() is not None
    panel.exit()
    assert preview_node() is None and displays() == 0
    panel.enter()
    tools.settle(panel)
    assert preview_node() is not None
    slicer.mrmlScene.RemoveNode(preview_node())  # by the user, in the Data module
    panel.ui.thresholdSliderWidget.value = 1000.0
    tools.settle(panel)
    assert preview_mask(volume).sum() == 4
    panel.parameterNode.inputVolume = None
    assert preview_node() is None
    slicer.mrmlScene.Clear()
    assert preview_node() is None


def test_the_preview_is_no_segmentation_and_gives_the_views_back(panel, volume, tools):
    """The application looks for the subject hierarchy item of each segmentation node, which a hidden one does not have, and shows an
    error for it each time."""
    import slicer

    view = tools.add_slice_view(volume)
    composite = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSliceCompositeNode")
    own = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "The user's own")
    composite.SetLabelVolumeID(own.GetID())
    tools.settle(panel)
    panel.ui.thresholdSliderWidget.value = 1500.0
    tools.settle(panel)
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
    assert composite.GetLabelVolumeID() == preview_node().GetID() and view.GetUseLabelOutline()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    assert not hierarchy.GetItemByDataNode(preview_node())
    panel.ui.thresholdPreviewCheckBox.checked = False
    assert composite.GetLabelVolumeID() == own.GetID() and not view.GetUseLabelOutline()
    panel.ui.thresholdPreviewCheckBox.checked = True
    tools.settle(panel)
    another = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Chosen meanwhile")
    composite.SetLabelVolumeID(another.GetID())
    panel.ui.thresholdPreviewCheckBox.checked = False
    assert composite.GetLabelVolumeID() == another.GetID()


# ----------------------------------------------------------------------------------------------------- Segmentation


def test_segment_metal_makes_a_segmentation_and_chooses_it(panel, volume, tools):
    import slicer

    from SSLMARLib.slicer_logic import metalMaskFromSegmentation

    ui, parameters = panel.ui, panel.parameterNode
    assert ui.metalSourceLabel.text == "Apply takes as metal what is found above."
    ui.segmentMetalButton.click()
    segmentation = parameters.metalSegmentation
    assert ui.metalSegmentationSelector.currentNode() is segmentation
    assert ticks(ui) == {"Metal": True}
    assert (metalMaskFromSegmentation(segmentation, volume) == (slicer.util.arrayFromVolume(volume) >= 2000)).all()
    assert "'CT metal'" in ui.statusLabel.text
    assert "ticked segments" in ui.metalSourceLabel.text
    assert not parameters.showThresholdPreview and preview_node() is None
    assert ui.applyButton.enabled


def test_segment_metal_again_replaces_its_segment_and_no_other(panel, volume, tools):
    from SSLMARLib.slicer_logic import metalMaskFromSegmentation

    panel.ui.segmentMetalButton.click()
    segmentation = panel.parameterNode.metalSegmentation
    other_id = segmentation.GetSegmentation().AddEmptySegment("", "Drawn by hand")
    panel.ui.dilationSpinBox.value = 1.0
    panel.ui.segmentMetalButton.click()
    assert panel.parameterNode.metalSegmentation is segmentation
    assert ticks(panel.ui) == {"Metal": True, "Drawn by hand": True}
    assert segmentation.GetSegmentation().GetSegment(other_id) is not None
    assert metalMaskFromSegmentation(segmentation, volume, ["Metal"]).sum() > 4


def test_segment_metal_asks_before_it_replaces_what_was_edited_by_hand(panel, volume, tools, monkeypatch):
    import slicer

    from SSLMARLib.slicer_logic import metalMaskFromSegmentation

    answers, asked = [], []
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, *_: asked.append(text) or answers.pop())
    button = panel.ui.segmentMetalButton
    button.click()
    segmentation = panel.parameterNode.metalSegmentation
    button.click()
    assert asked == []  # nothing was edited
    panel.ui.editorCollapsibleButton.collapsed = False
    painted = numpy.zeros((3, 8, 9), numpy.uint8)
    painted[2, 1:4, 2:6] = 1
    segment_id = segmentation.GetSegmentation().GetSegmentIdBySegmentName("Metal")
    slicer.util.updateSegmentBinaryLabelmapFromArray(painted, segmentation, segment_id, volume)

    def metal():
        return metalMaskFromSegmentation(segmentation, volume)

    answers.append(False)
    button.click()
    assert len(asked) == 1 and "'CT metal'" in asked[0] and "edited by hand" in asked[0]
    assert (metal() == painted).all()
    answers.append(True)
    button.click()
    assert len(asked) == 2 and (metal() == (slicer.util.arrayFromVolume(volume) >= 2000)).all()
    panel.editorSection.editor.undo()
    assert (metal() == painted).all()


def test_segment_metal_says_when_there_is_none(panel, volume, tools):
    import slicer

    slicer.util.updateVolumeFromArray(volume, numpy.full((3, 8, 9), 40, numpy.int16))
    panel.ui.segmentMetalButton.click()
    assert "2000 HU" in panel.ui.statusLabel.text
    assert panel.parameterNode.metalSegmentation is None
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") <= 1  # the preview


def ticks(ui):
    import qt

    rows = [ui.segmentsListWidget.item(row) for row in range(ui.segmentsListWidget.count)]
    return {item.text(): item.checkState() == qt.Qt.Checked for item in rows}


def tick(ui, name, on):
    import qt

    for row in range(ui.segmentsListWidget.count):
        if ui.segmentsListWidget.item(row).text() == name:
            ui.segmentsListWidget.item(row).setCheckState(qt.Qt.Checked if on else qt.Qt.Unchecked)


@pytest.fixture
def implants(panel, volume, tools):
    """A segmentation, chosen: 'Screw' is voxel (1, 3, 4), 'Bone' voxel (1, 3, 5)."""
    segmentation = tools.add_segmentation("Implants", "Screw", "Bone")
    panel.parameterNode.metalSegmentation = segmentation
    return segmentation


def test_the_ticked_segments_are_the_metal(panel, implants, library, tools):
    assert panel.ui.segmentsListWidget.visible and ticks(panel.ui) == {"Screw": True, "Bone": True}
    tick(panel.ui, "Bone", False)
    bone = implants.GetSegmentation().GetSegmentIdBySegmentName("Bone")
    assert panel.parameterNode.excludedSegmentIDs == [bone]
    tools.apply(panel)
    tick(panel.ui, "Bone", True)
    assert panel.parameterNode.excludedSegmentIDs == []
    tools.apply(panel)
    masks = [numpy.argwhere(keywords["metal"]).tolist() for _, _, keywords in library.calls]
    assert masks == [[[1, 3, 4]], [[1, 3, 4], [1, 3, 5]]]


def test_with_no_segment_ticked_apply_says_so(panel, implants):
    button = panel.ui.applyButton
    assert button.enabled
    tick(panel.ui, "Screw", False)
    tick(panel.ui, "Bone", False)
    assert not button.enabled
    assert button.toolTip == "No segment of 'Implants' is chosen: name at least one that is metal."
    tick(panel.ui, "Screw", True)
    assert button.enabled


def test_the_list_follows_the_segmentation(panel, implants):
    """Segments that come are metal; renamed and removed ones are followed."""
    tick(panel.ui, "Bone", False)
    segments = implants.GetSegmentation()
    screw_id = segments.GetSegmentIdBySegmentName("Screw")
    segments.AddEmptySegment("", "Plate")
    assert ticks(panel.ui) == {"Screw": True, "Bone": False, "Plate": True}
    segments.GetSegment(screw_id).SetName("Long screw")
    assert ticks(panel.ui) == {"Long screw": True, "Bone": False, "Plate": True}
    segments.RemoveSegment(screw_id)
    assert ticks(panel.ui) == {"Bone": False, "Plate": True}
    panel.parameterNode.metalSegmentation = None
    assert ticks(panel.ui) == {} and not panel.ui.segmentsListWidget.visible


def test_the_ticks_are_those_of_one_segmentation(panel, volume, tools):
    """The same segment ID in another segmentation is another segment; leaving the panel changes nothing."""
    one, other = tools.add_segmentation("Implants"), tools.add_segmentation("Other")
    for segmentation, names in ((one, ("Screw", "Bone")), (other, ("Plate", "Nail"))):
        for number, name in enumerate(names):
            segmentation.GetSegmentation().AddEmptySegment(f"Segment_{number}", name)
    panel.parameterNode.metalSegmentation = one
    tick(panel.ui, "Bone", False)
    panel.exit()
    panel.enter()
    assert ticks(panel.ui) == {"Screw": True, "Bone": False}
    panel.parameterNode.metalSegmentation = other
    assert ticks(panel.ui) == {"Plate": True, "Nail": True}
    panel.parameterNode.metalSegmentation = one
    assert ticks(panel.ui) == {"Screw": True, "Bone": True}


def test_a_segmentation_elsewhere_is_said_and_another_can_be_chosen(panel, volume, tools, library):
    """Known only once the segments are resampled: on Apply."""
    import slicer

    far = tools.add_segmentation("Far away", "Screw")
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = slicer.util.vtkMatrixFromArray(numpy.array([[1, 0, 0, 500], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    transform.SetMatrixTransformToParent(matrix)
    far.SetAndObserveTransformNodeID(transform.GetID())
    panel.parameterNode.metalSegmentation = far
    assert panel.ui.applyButton.enabled
    panel.ui.applyButton.click()
    assert "No voxel of 'Screw' in 'Far away' lies inside the volume 'CT'" in panel.ui.statusLabel.text
    tools.assert_idle(panel)
    assert not library.calls
    panel.parameterNode.metalSegmentation = None
    tools.apply(panel)
    assert tools.volume_names() == ["CT", "CT (MAR: NMAR)"]


# ------------------------------------------------------------------------------------------------------------ Editor


def editor_node():
    import slicer

    return slicer.mrmlScene.GetSingletonNode("SSLMAR", "vtkMRMLSegmentEditorNode")


def test_the_editor_is_made_when_it_is_opened(panel, volume, tools):
    assert not panel.ui.editorCollapsibleButton.enabled
    panel.parameterNode.metalSegmentation = tools.add_segmentation("Implants", "Screw")
    assert panel.ui.editorCollapsibleButton.enabled and panel.ui.editorCollapsibleButton.collapsed
    assert panel.editorSection.editor is None and editor_node() is None


@pytest.fixture
def editor(panel, implants):
    """The open editor on the segmentation 'Implants'."""
    panel.ui.editorCollapsibleButton.collapsed = False
    return panel.editorSection.editor


def test_the_editor_edits_the_chosen_segmentation_over_the_input(panel, volume, implants, editor, tools):
    assert editor.mrmlSegmentEditorNode() is editor_node()
    assert editor.segmentationNode() is implants and editor.sourceVolumeNode() is volume
    assert not any(editor.selectors.values()), "the panel chooses the nodes, not the editor"
    assert editor.observes_views and editor.has_shortcuts
    panel.parameterNode.metalSegmentation = other = tools.add_segmentation("Other", "Plate")
    panel.parameterNode.inputVolume = other_volume = tools.add_volume("Other CT")
    assert editor.segmentationNode() is other and editor.sourceVolumeNode() is other_volume
    assert panel.ui.editorCollapsibleButton.layout().count() == 1


def test_the_editor_has_a_node_of_its_own(panel, implants, editor):
    """The node of Slicer's Segment Editor module keeps its choices."""
    import slicer

    node = slicer.vtkMRMLSegmentEditorNode()
    node.SetSingletonTag("SegmentEditor")
    node = slicer.mrmlScene.AddNode(node)
    assert editor_node() is not node
    assert node.GetSegmentationNode() is None


def assert_released(editor):
    assert not editor.observes_views and not editor.has_shortcuts
    node = editor.mrmlSegmentEditorNode()
    assert not node.GetActiveEffectName()


def test_the_editor_lets_go_of_the_views_when_the_panel_is_left(panel, implants, editor):
    editor.setActiveEffectByName("Paint")
    panel.exit()
    assert_released(editor)
    assert editor.segmentationNode() is None
    panel.enter()
    assert panel.editorSection.editor is editor
    assert editor.observes_views and editor.segmentationNode() is implants


def test_the_editor_lets_go_when_it_is_closed_or_its_segmentation_goes(rig, panel, implants, editor):
    import slicer

    editor.setActiveEffectByName("Paint")
    panel.ui.editorCollapsibleButton.collapsed = True
    assert_released(editor)
    panel.ui.editorCollapsibleButton.collapsed = False
    assert editor.observes_views
    editor.setActiveEffectByName("Paint")
    slicer.mrmlScene.RemoveNode(implants)
    assert_released(editor)
    assert not panel.ui.editorCollapsibleButton.enabled


def test_the_editor_lets_go_during_a_run(rig, panel, implants, editor, tools):
    gate = tools.Gate()
    editor.setActiveEffectByName("Paint")
    panel.ui.applyButton.click()
    assert_released(editor)
    gate.released.set()
    tools.finish(panel)
    assert editor.observes_views


def test_the_editor_survives_a_closed_scene(panel, implants, editor, tools):
    import slicer

    editor.setActiveEffectByName("Paint")
    slicer.mrmlScene.Clear()
    assert_released(editor)
    assert editor.segmentationNode() is None
    panel.parameterNode.inputVolume = tools.add_volume("Next CT")
    panel.ui.segmentMetalButton.click()
    assert editor.observes_views
    assert editor.segmentationNode() is panel.parameterNode.metalSegmentation
    assert editor.mrmlSegmentEditorNode() is editor_node()


def test_the_editor_gives_the_views_back(panel, volume, implants, tools):
    """The application shows the editor's volume in all views when it is opened."""
    import slicer

    tools.add_slice_view(volume)
    composite = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSliceCompositeNode")
    result = tools.add_volume("Result")
    composite.SetBackgroundVolumeID(result.GetID())
    button = panel.ui.editorCollapsibleButton
    button.collapsed = False
    assert composite.GetBackgroundVolumeID() == volume.GetID()
    button.collapsed = True
    assert composite.GetBackgroundVolumeID() == result.GetID()
    button.collapsed = False
    third = tools.add_volume("Chosen meanwhile")
    composite.SetBackgroundVolumeID(third.GetID())
    button.collapsed = True
    assert composite.GetBackgroundVolumeID() == third.GetID()
