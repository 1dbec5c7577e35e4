"""4D scans: all frames of a sequence, or the one that is shown."""

from __future__ import annotations

import pytest


def voxels_of(node):
    import slicer

    return slicer.util.arrayFromVolume(node)


@pytest.fixture
def frames(panel, volume):
    """A sequence of two frames whose first is shown by the volume node 'CT', which is the input."""
    import slicer

    scene = slicer.mrmlScene
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "4D CT")
    for index in range(2):
        voxels = voxels_of(volume).copy()
        voxels[0] = 10 * index
        frame = slicer.vtkMRMLScalarVolumeNode()
        frame.SetName("frame")
        frame.CopyContent(volume)
        slicer.util.updateVolumeFromArray(frame, voxels)
        sequence.SetDataNodeAtValue(frame, str(index))
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    browser.AddProxyNode(volume, sequence, False)
    browser.SetSelectedItemNumber(0)
    panel.updatePanel()
    return sequence


def test_all_frames_of_a_sequence(panel, volume, frames, library, tools):
    import slicer

    box = panel.ui.allFramesCheckBox
    assert box.visible
    box.checked = True
    tools.apply(panel)
    corrected = slicer.util.getFirstNodeByClassByName("vtkMRMLSequenceNode", "4D CT (MAR: NMAR)")
    assert corrected.GetNumberOfDataNodes() == 2
    for index in range(2):
        before, after = (voxels_of(node.GetNthDataNode(index)) for node in (frames, corrected))
        assert (after == before - 1).all()
    assert panel.ui.statusLabel.text == "Done: 4D CT (MAR: NMAR). 2 of 2 frames corrected, 3.0 s."
    tools.assert_idle(panel)


def test_the_expected_time_is_that_of_all_ticked_frames(panel, volume, frames, tools, monkeypatch):
    from SSLMARLib import slicer_logic

    monkeypatch.setattr(slicer_logic, "expectedSeconds", lambda name, slices, device: 10.0 * slices)
    tools.settle(panel)
    assert panel.ui.methodComboBox.itemText(0) == "LI (about 10 s)"
    panel.ui.allFramesCheckBox.checked = True
    assert panel.ui.methodComboBox.itemText(0) == "LI (about 20 s)"


def test_the_result_of_a_sequence_is_one_to_look_at(panel, volume, frames, tools):
    """Chosen in the section Result, with its report, the strength of the panel and the comparison; another frame is followed."""
    import slicer

    tools.add_slice_view(volume)
    panel.ui.allFramesCheckBox.checked = True
    panel.ui.strengthSliderWidget.value = 0.0
    tools.apply(panel)
    result = panel.parameterNode.correctedVolume
    assert slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")[0].GetSequenceNode(result) is not frames
    assert panel.ui.correctedVolumeSelector.currentNode() is result
    assert panel.ui.reportTableView.visible and panel.ui.sideBySideButton.enabled
    assert (voxels_of(result) == voxels_of(volume)).all()
    panel.ui.strengthSliderWidget.value = 100.0
    tools.settle(panel)
    assert (voxels_of(result) == voxels_of(volume) - 1).all() and not panel.ui.strengthNoteLabel.visible
    slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")[0].SetSelectedItemNumber(1)
    tools.settle(panel)
    assert voxels_of(volume)[0, 0, 0] == 10 and (voxels_of(result) == voxels_of(volume) - 1).all()


def test_frames_from_the_console(module, panel, frames, library):
    corrected = module.SSLMARLogic().processSequence(frames, method="li")
    assert corrected.GetName() == "4D CT (MAR: LI)" and corrected.GetNumberOfDataNodes() == 2


def test_one_frame_of_a_sequence(panel, volume, frames, library, tools):
    tools.apply(panel)
    assert len(library.calls) == 1
    assert "CT (MAR: NMAR)" in tools.volume_names()


def test_a_cancelled_sequence_leaves_nothing(rig, panel, volume, frames, tools):
    import slicer

    panel.ui.allFramesCheckBox.checked = True
    tools.settle(panel)
    count = slicer.mrmlScene.GetNumberOfNodes()
    gate = tools.Gate()
    panel.ui.applyButton.click()
    rig.spin(gate.entered.is_set)
    assert panel.ui.statusLabel.text in ("Starting...", "Frame 1 of 2: Slice 3 of 12")
    panel.ui.applyButton.click()
    tools.finish(panel)
    assert panel.ui.statusLabel.text == "Cancelled; no volume was made."
    assert slicer.mrmlScene.GetNumberOfNodes() == count
    tools.assert_idle(panel)


def test_the_frames_are_offered_only_where_there_are_any(panel, volume, tools):
    assert not panel.ui.allFramesCheckBox.visible
    panel.parameterNode.allFrames = True
    tools.apply(panel)
    assert tools.volume_names() == ["CT", "CT (MAR: NMAR)"]
