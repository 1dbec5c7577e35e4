"""The panel over the real library: a preview, a cancel and a run, without any stand-in for what computes."""

from __future__ import annotations

import time

import numpy
import pytest

SECONDS_FOR_A_CANCEL = 2.0


@pytest.fixture
def real_panel(rig, module, metal_phantom):
    """The panel with the phantom as its input; PyTorch and the projector are loaded, as after a first run."""
    from SSLMARLib import slicer_logic

    slicer_logic.process(metal_phantom, method="li")
    widget = rig.open_panel(module)
    widget.parameterNode.device = "cpu"
    assert widget.parameterNode.inputVolume is metal_phantom
    yield widget
    widget.cleanup()


def voxels_of(node):
    import slicer

    return slicer.util.arrayFromVolume(node)


def test_a_run_and_its_strength(rig, real_panel, metal_phantom, views):
    panel, before = real_panel, voxels_of(metal_phantom).copy()
    panel.parameterNode.method = "li"
    panel.ui.applyButton.click()
    rig.spin(lambda: not panel.isRunning, 60)
    assert panel.ui.statusLabel.text.startswith("Done: Phantom (MAR: LI)")
    corrected = panel.parameterNode.correctedVolume
    full = voxels_of(corrected).copy()
    assert (voxels_of(metal_phantom) == before).all()
    assert (full[[0, 2]] == before[[0, 2]]).all() and (full[1] != before[1]).any()
    rig.spin(lambda: "about" in panel.ui.methodComboBox.currentText)  # the run was timed

    panel.ui.strengthSliderWidget.value = 50.0
    panel.correctionSection.blend()
    assert numpy.abs(voxels_of(corrected) - (before + full.astype(float)) / 2).max() <= 0.5
    panel.ui.strengthSliderWidget.value = 100.0
    panel.correctionSection.blend()
    assert (voxels_of(corrected) == full).all()


@pytest.mark.parametrize("method", ["nmar", "cnnmar", "sslmar"])
def test_a_preview_shows_the_corrected_slice(rig, real_panel, metal_phantom, views, method):
    import slicer

    from SSLMARLib import available_methods

    if method not in available_methods():
        pytest.skip(f"the method {method} is not in the library yet, so its preview was NOT tried")
    panel = real_panel
    panel.parameterNode.method = method
    for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        node.SetSliceOffset(3.0)
    panel.ui.previewSliceButton.click()
    rig.spin(lambda: not panel.isRunning, 60)
    assert panel.ui.statusLabel.text.startswith("Preview of slice 2")
    preview = slicer.util.getNode("Phantom preview")
    assert preview.GetImageData().GetDimensions() == (96, 96, 1)
    assert (voxels_of(preview)[0] != voxels_of(metal_phantom)[1]).any()


def test_a_cancel_is_quick(rig, real_panel, metal_phantom):
    """A volume of many slices with metal, cancelled in the middle."""
    import slicer

    voxels = numpy.repeat(voxels_of(metal_phantom)[1:2], 200, axis=0)
    long_volume = slicer.util.addVolumeFromArray(voxels, name="Long")
    panel = real_panel
    panel.parameterNode.inputVolume = long_volume
    panel.ui.applyButton.click()
    rig.spin(lambda: "slice" in panel.ui.statusLabel.text, 60)
    start = time.monotonic()
    panel.ui.applyButton.click()
    rig.spin(lambda: not panel.isRunning, 60)
    assert time.monotonic() - start < SECONDS_FOR_A_CANCEL
    assert panel.ui.statusLabel.text == "Cancelled; no volume was made."
    volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    names = {node.GetName() for node in volumes if not node.GetHideFromEditors()}
    assert names == {"Phantom", "Phantom (MAR: LI)", "Long"}


def test_a_volume_without_metal_gets_a_sentence_and_a_way_on(rig, real_panel, metal_phantom):
    import slicer

    panel = real_panel
    water = slicer.util.addVolumeFromArray(numpy.minimum(voxels_of(metal_phantom), 0), name="Water")
    panel.parameterNode.inputVolume = water
    panel.ui.applyButton.click()
    rig.spin(lambda: not panel.isRunning, 60)
    assert "2000" in panel.ui.statusLabel.text and "HU" in panel.ui.statusLabel.text
    assert panel.ui.applyButton.enabled and panel.ui.applyButton.text == "Apply"
