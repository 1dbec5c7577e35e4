"""Preview of one slice, the packages that a run needs, and the time that it takes."""

from __future__ import annotations

import numpy
import pytest

from SSLMARLib import MissingPackageError


@pytest.mark.parametrize("slice_index", [0, 1, 2])
def test_the_preview_corrects_the_slice_that_is_shown(panel, volume, library, tools, slice_index):
    import slicer

    voxels = slicer.util.arrayFromVolume(volume)
    voxels[:, 3:5, 4:6] = 3000
    slicer.util.arrayFromVolumeModified(volume)
    tools.add_slice_view(volume, slice_index)
    panel.ui.previewSliceButton.click()
    tools.finish(panel)
    tools.assert_idle(panel)
    ((corrected_voxels, _, _),) = library.calls
    assert corrected_voxels.shape == (1, 8, 9)
    preview = slicer.util.getNode("CT preview")
    assert panel.ui.statusLabel.text == f"Preview of slice {slice_index + 1} in 1.5 s, in front of the input: 'CT preview'."
    assert preview.GetOrigin()[2] == slice_index * volume.GetSpacing()[2]
    composite = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSliceCompositeNode")
    assert composite.GetForegroundVolumeID() == preview.GetID() and composite.GetForegroundOpacity() == 1.0
    assert panel.parameterNode.correctedVolume is None

    panel.ui.applyButton.click()
    tools.finish(panel)
    assert composite.GetForegroundVolumeID() is None, "the preview would hide the result"


def test_the_preview_takes_the_view_along_the_slices(panel, tools, library):
    """A sagittal volume is previewed by the slice view that shows its slices, with a transform too."""
    import slicer
    from SSLMARPanel.nodes import shownSlice

    volume = tools.add_volume("Sagittal")
    volume.SetIJKToRASDirections(0, 0, 1, 1, 0, 0, 0, 1, 0)  # slices along R
    volume.SetSpacing(1.0, 1.0, 2.5)
    axial = tools.add_slice_view()
    sagittal = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceNode", "Yellow")
    sagittal.SetSliceToRASByNTP(1, 0, 0, 0, 1, 0, 0, 0, 0, 0)
    for offset, expected in ((0.0, 0), (2.4, 1), (5.0, 2), (6.5, None), (-1.5, None)):
        sagittal.SetSliceOffset(offset)
        axial.SetSliceOffset(100.0)
        assert shownSlice(volume) == expected, offset

    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = slicer.util.vtkMatrixFromArray(numpy.array([[1, 0, 0, 50.0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    transform.SetMatrixTransformToParent(matrix)
    volume.SetAndObserveTransformNodeID(transform.GetID())
    sagittal.SetSliceOffset(52.5)
    assert shownSlice(volume) == 1


def test_a_preview_without_a_shown_slice_is_said(panel, volume, library, tools):
    panel.ui.previewSliceButton.click()
    assert panel.ui.statusLabel.text == "No slice view shows a slice of 'CT': scroll to one of its slices first."
    tools.assert_idle(panel)
    tools.add_slice_view(volume, 7)
    panel.ui.previewSliceButton.click()
    assert "No slice view shows a slice" in panel.ui.statusLabel.text
    assert not library.calls


def test_a_preview_of_a_slice_without_metal_is_said(panel, volume, library, tools):
    tools.add_slice_view(volume, 0)
    panel.ui.previewSliceButton.click()
    tools.finish(panel)
    assert "Slice 1 holds no metal" in panel.ui.statusLabel.text
    tools.assert_idle(panel)
    assert tools.volume_names() == ["CT"] and not library.calls


def test_a_preview_can_be_cancelled(rig, panel, volume, tools):
    tools.add_slice_view(volume, 1)
    gate = tools.Gate()
    panel.ui.previewSliceButton.click()
    rig.spin(gate.entered.is_set)
    panel.ui.applyButton.click()
    tools.finish(panel)
    assert panel.ui.statusLabel.text == "Cancelled; no volume was made."
    assert tools.volume_names() == ["CT"]


def test_packages_are_asked_for_where_they_are_needed(panel, module, volume, tools, monkeypatch):
    asked = []
    monkeypatch.setattr(module, "ensurePackages", lambda file, method: asked.append((str(file), method)))
    panel.parameterNode.method = "li"
    panel.ui.segmentMetalButton.click()
    assert not asked
    panel.ui.learnedOutlineCheckBox.checked = True
    panel.ui.segmentMetalButton.click()
    assert [method for _, method in asked] == ["li", "sslmar"]
    panel.ui.learnedOutlineCheckBox.checked = False
    del asked[:]
    tools.apply(panel)
    tools.add_slice_view(volume, 1)
    panel.ui.previewSliceButton.click()
    tools.finish(panel)
    assert [method for _, method in asked] == ["li", "li"]
    assert all(file.endswith("requirements.txt") for file, _ in asked)


def test_packages_that_stay_missing_are_said(panel, module, volume, library, tools, monkeypatch):
    def refuse(file, method):
        raise MissingPackageError("torch: not installed, as you said no.")

    monkeypatch.setattr(module, "ensurePackages", refuse)
    panel.ui.applyButton.click()
    assert panel.ui.statusLabel.text == "torch: not installed, as you said no."
    tools.assert_idle(panel)
    assert panel.ui.applyButton.enabled and not library.calls


def test_the_expected_time_stands_beside_each_method(panel, volume, tools, monkeypatch):
    from SSLMARLib import slicer_logic

    combo = panel.ui.methodComboBox
    tools.settle(panel)
    assert combo.currentText == "NMAR"
    assert panel.ui.methodDescriptionLabel.text.endswith("How long it takes here is known after a first run or preview.")

    seconds = {"li": 4.0, "nmar": 100.0}
    monkeypatch.setattr(slicer_logic, "expectedSeconds", lambda name, slices, device: slices * seconds.get(name, 7200.0))
    panel.updatePanel()
    assert combo.itemText(0) == "LI (about 4 s)"
    assert combo.currentText == "NMAR (about 1.7 min)"
    assert combo.itemText(2).endswith("(about 2 h)")
    assert "known after" not in panel.ui.methodDescriptionLabel.text


def test_the_expected_time_counts_the_slices_of_the_ticked_segments(panel, volume, tools, monkeypatch):
    """Of the voxels, not of the label map that holds them; it follows ticks and edits."""
    import slicer

    from SSLMARLib import slicer_logic
    from SSLMARLib.slicer_logic.nodes import arrayFromImage, ijkToRas
    from SSLMARLib.slicer_logic.segmentations import labelmapOfMask

    monkeypatch.setattr(slicer_logic, "expectedSeconds", lambda name, slices, device: 10.0 * slices)
    volume.SetSpacing(0.5, 0.7, 3.0)
    volume.SetOrigin(10, 20, 30)
    segmentation = tools.add_segmentation("Implants")
    for name, first in (("Screw", 2), ("Plate", 1)):
        labelmap = labelmapOfMask(numpy.ones((3, 8, 9), bool), ijkToRas(volume))
        arrayFromImage(labelmap)[:first] = 0
        segmentation.AddSegmentFromBinaryLabelmapRepresentation(labelmap, name)
    segments = segmentation.GetSegmentation()
    screw, plate = (segments.GetSegmentIdBySegmentName(name) for name in ("Screw", "Plate"))

    def expected():
        tools.settle(panel)
        return panel.ui.methodComboBox.itemText(0)

    panel.parameterNode.metalSegmentation = segmentation
    assert expected() == "LI (about 20 s)"
    panel.parameterNode.excludedSegmentIDs = [plate]
    assert expected() == "LI (about 10 s)"
    apart = numpy.ones((3, 8, 9), numpy.uint8)
    apart[1] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(apart, segmentation, screw, volume)
    assert expected() == "LI (about 20 s)"  # the slice between holds none
    slicer.util.updateSegmentBinaryLabelmapFromArray(numpy.ones((3, 8, 9), numpy.uint8), segmentation, screw, volume)
    assert expected() == "LI (about 30 s)"
    slicer.util.updateSegmentBinaryLabelmapFromArray(numpy.zeros((3, 8, 9), numpy.uint8), segmentation, screw, volume)
    assert expected() == "LI"
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = slicer.util.vtkMatrixFromArray(numpy.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 3.0], [0, 0, 0, 1]]))
    transform.SetMatrixTransformToParent(matrix)
    panel.parameterNode.excludedSegmentIDs = [screw]
    assert expected() == "LI (about 20 s)"
    segmentation.SetAndObserveTransformNodeID(transform.GetID())
    assert expected() == "LI (about 10 s)"


def test_the_times_outlive_the_session(panel, volume):
    """They are kept in Slicer's settings."""
    import slicer

    from SSLMARLib import expected_time

    assert expected_time._expected._store is slicer.app.userSettings()
