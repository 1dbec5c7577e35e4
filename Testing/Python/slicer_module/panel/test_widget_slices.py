"""The list of the slices with metal: what it says, what it follows, and where it sends the slice views."""

from __future__ import annotations

import numpy
import pytest

TILTED = [[-0.8, 0, 0, 10], [0, -0.9, 0.6, 20], [0, 0, 2.4, 30], [0, 0, 0, 1]]
OBLIQUE = [[0.7, 0.5, 0.4, 5], [-0.4, 0.8, -0.6, 6], [-0.5, 0.3, 2.2, 7], [0, 0, 0, 1]]
FEET_UP = [[-0.8, 0, 0, 10], [0, -0.9, 0, 20], [0, 0, -2.5, 30], [0, 0, 0, 1]]


def entries(panel):
    combo = panel.ui.metalSlicesComboBox
    return [combo.itemText(row) for row in range(combo.count)]


def choose(panel, text):
    """As a user does it."""
    combo = panel.ui.metalSlicesComboBox
    combo.currentIndex = entries(panel).index(text)
    combo.activated.emit(combo.currentIndex)


def scan(tools, *metalSlices, matrix=None):
    """A volume of 12 slices that hold metal at these indices."""
    import slicer

    voxels = numpy.full((12, 8, 9), 40, numpy.int16)
    voxels[list(metalSlices), 3:5, 4:6] = 3000
    volume = tools.add_volume("Scan", voxels)
    if matrix is not None:
        volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(numpy.array(matrix, float)))
    return volume


def test_the_slices_that_the_threshold_finds_are_listed(panel, tools):
    import slicer

    panel.parameterNode.inputVolume = volume = scan(tools, 2, 3, 4, 8, 10, 11)
    tools.settle(panel)
    assert entries(panel) == ["6 slices", "3-5", "9", "11-12"]
    assert panel.ui.metalSlicesComboBox.enabled
    slicer.util.arrayFromVolume(volume)[2:11] = 40
    slicer.util.arrayFromVolumeModified(volume)
    panel.updatePanel()
    tools.settle(panel)
    assert entries(panel) == ["1 slice", "12"]
    panel.parameterNode.thresholdHu = 3000.0
    panel.parameterNode.inputVolume = scan(tools)
    tools.settle(panel)
    assert entries(panel) == ["0 slices"] and not panel.ui.metalSlicesComboBox.enabled


def test_the_list_follows_ticks_and_edits_of_the_segmentation(panel, tools):
    import slicer

    panel.parameterNode.inputVolume = volume = scan(tools, 0)
    segmentation = tools.add_segmentation("Implants", "Screw", "Plate")
    panel.parameterNode.metalSegmentation = segmentation
    tools.settle(panel)
    assert entries(panel) == ["1 slice", "2"], "both segments are voxels of the second slice"
    plate = segmentation.GetSegmentation().GetSegmentIdBySegmentName("Plate")
    mask = numpy.zeros((12, 8, 9), numpy.uint8)
    mask[[5, 6, 9]] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, plate, volume)
    tools.settle(panel)
    assert entries(panel) == ["4 slices", "2", "6-7", "10"]
    panel.parameterNode.excludedSegmentIDs = [plate]
    tools.settle(panel)
    assert entries(panel) == ["1 slice", "2"]


@pytest.mark.parametrize("matrix", [None, FEET_UP, TILTED, OBLIQUE], ids=["straight", "feet up", "tilted gantry", "oblique"])
@pytest.mark.parametrize("isTransformed", [False, True])
def test_a_click_shows_the_slice(panel, tools, views, matrix, isTransformed):
    """The plane of the axial view then runs through the center of the slice's metal, or beside it by what the slices are oblique."""
    import slicer
    from SSLMARPanel.nodes import shownSlice

    panel.parameterNode.inputVolume = volume = scan(tools, 2, 3, 8, matrix=matrix)
    if isTransformed:
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        shift = numpy.eye(4)
        shift[:3, 3] = (11.0, -7.0, 40.0)
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(shift))
        volume.SetAndObserveTransformNodeID(transform.GetID())
    tools.settle(panel)
    red, yellow = (slicer.mrmlScene.GetNodeByID(f"vtkMRMLSliceNode{name}") for name in ("Red", "Yellow"))
    offset = yellow.GetSliceOffset()
    for text, index in (("9", 8), ("3-4", 2)):
        choose(panel, text)
        assert shownSlice(volume) == index
        if matrix is not OBLIQUE:
            spacing = 1.0 if matrix is None else matrix[2][2]
            height = (0.0 if matrix is None else matrix[2][3]) + index * spacing + (40.0 if isTransformed else 0.0)
            assert abs(red.GetSliceOffset() - height) < 1e-6
    assert yellow.GetSliceOffset() == offset, "the other views stay"


def test_both_views_of_a_comparison_go_there(panel, tools, views):
    import slicer

    panel.parameterNode.inputVolume = scan(tools, 5)
    tools.apply(panel)
    panel.ui.sideBySideButton.click()
    choose(panel, "6")
    offsets = [slicer.mrmlScene.GetNodeByID(f"vtkMRMLSliceNode{name}").GetSliceOffset() for name in ("Red", "Yellow")]
    assert offsets == [5.0, 5.0]
    panel.ui.sideBySideButton.click()


def test_the_summary_is_no_slice(panel, tools, views):
    import slicer

    panel.parameterNode.inputVolume = scan(tools, 5)
    tools.settle(panel)
    red = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
    offset = red.GetSliceOffset()
    choose(panel, "1 slice")
    assert red.GetSliceOffset() == offset
