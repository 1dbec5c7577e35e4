"""Apply, Cancel and Preview: each way that a run can end leaves a sane panel."""

from __future__ import annotations

import threading
import time

import numpy
import pytest

from SSLMARLib import InputError, MetalSearch


@pytest.fixture
def pop_ups(monkeypatch):
    """What slicer.util.errorDisplay would have shown: (text, details)."""
    import slicer

    shown = []
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda text, detailedText=None, **keywords: shown.append((text, detailedText)))
    return shown


def test_apply_is_enabled_exactly_when_it_can_run(panel):
    import slicer

    parameters, scene = panel.parameterNode, slicer.mrmlScene
    buttons = panel.ui.applyButton, panel.ui.previewSliceButton

    def assert_refused(reason):
        for button in buttons:
            assert not button.enabled
            assert reason in button.toolTip

    def assert_ready():
        for button in buttons:
            assert button.enabled
        assert "the result is a new volume beside the input" in buttons[0].toolTip
        assert "Correct only the slice" in buttons[1].toolTip

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


def test_a_run(rig, panel, volume, tools):
    import slicer

    tools.add_slice_view()
    gate = tools.Gate()
    ui = panel.ui
    ui.applyButton.click()
    rig.spin(lambda: ui.progressBar.value == 24)
    assert (ui.applyButton.text, ui.applyButton.enabled) == ("Cancel", True)
    assert ui.progressBar.visible and not ui.previewSliceButton.enabled
    assert ui.statusLabel.text == "Slice 3 of 12"
    for section in (ui.inputCollapsibleButton, ui.metalCollapsibleButton, ui.correctionCollapsibleButton):
        assert not section.enabled
    assert tools.volume_names() == ["CT"]

    gate.released.set()
    tools.finish(panel)
    tools.assert_idle(panel)
    assert ui.statusLabel.text == "Done: CT (MAR: NMAR). 1 of 3 slices corrected, 0.5 ml of metal, 1.5 s."
    corrected = slicer.util.getNode("CT (MAR: NMAR)")
    before = slicer.util.arrayFromVolume(volume)
    assert (slicer.util.arrayFromVolume(corrected) == before - 1).all()
    assert before[0, 0, 0] == 40 and before[1, 3, 4] == 3000
    assert panel.parameterNode.correctedVolume is corrected
    composite = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSliceCompositeNode")
    assert composite.GetBackgroundVolumeID() == corrected.GetID()


def test_the_remaining_time_is_said_once_it_can_be_judged(module):
    from SSLMARPanel.run import RemainingTime

    def said(*steps):
        remaining = RemainingTime()
        return [remaining.text(fraction, now) for fraction, now in steps][-1]

    assert said((0.0, 0.0), (0.01, 60.0)) == ""  # no slice has begun
    assert said((0.02, 60.0), (0.02, 90.0)) == ""  # none is done
    assert said((0.02, 60.0), (0.5, 61.0)) == ""
    assert said((0.02, 60.0), (1.0, 90.0)) == ""
    assert said((0.0, 0.0), (0.02, 60.0), (0.265, 70.0)) == " - about 30 s left"  # the start before the slices does not count
    assert said((0.02, 0.0), (0.118, 60.0)) == " - about 9 min left"


def test_the_remaining_time_falls_between_two_steps(module):
    from SSLMARPanel.run import RemainingTime

    remaining = RemainingTime()
    remaining.text(0.02, 0.0)
    texts = [remaining.text(0.265, now) for now in (10.0, 15.0, 25.0, 60.0)]
    assert texts == [f" - about {seconds} s left" for seconds in (30, 25, 15, 1)]


def test_the_first_slice_of_a_job_counts_for_the_remaining_time(module, volume, library):
    """The job's progress leaves room for measuring, so its first slice begins a little before the library's."""
    from SSLMARPanel.run import RemainingTime

    from SSLMARLib import slicer_logic
    from SSLMARLib.expected_time import SLICES_BEGIN

    seen = []
    library.work = lambda progress, is_cancelled: (progress(SLICES_BEGIN, "slice 1"), progress(0.5, "slice 2"))
    slicer_logic.prepareCorrection(volume, method="li").compute(lambda fraction, message: seen.append(fraction))
    remaining = RemainingTime()
    assert [remaining.text(fraction, now) != "" for fraction, now in zip(seen[:2], (5.0, 15.0), strict=True)] == [False, True]


def test_the_remaining_time_stands_beside_the_slice(rig, panel, volume, tools):
    import time

    gate = tools.Gate()
    panel.ui.applyButton.click()
    rig.spin(gate.entered.is_set)
    panel.runSection._remaining.text(0.02, time.monotonic() - 20.0)
    rig.spin(lambda: panel.ui.statusLabel.text.startswith("Slice 3 of 12 - about"))
    gate.released.set()
    tools.finish(panel)


def test_measuring_has_its_share_of_the_bar(module, volume, library, monkeypatch):
    import dataclasses

    import SSLMARLib.correction
    from SSLMARLib import slicer_logic

    seen, stand_in = [], SSLMARLib.correction.reduce_metal_artifacts

    def with_metal(volume_hu, spacing_mm, **keywords):
        keywords["progress"](1.0, "Done")
        return dataclasses.replace(stand_in(volume_hu, spacing_mm, **keywords), metal_mask=volume_hu > 2000)

    monkeypatch.setattr(SSLMARLib.correction, "reduce_metal_artifacts", with_metal)
    slicer_logic.prepareCorrection(volume, method="li").compute(lambda *step: seen.append(step))
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    measuring = [fraction for fraction, message in seen if message.startswith("Measuring")]
    assert len(measuring) == 2 and min(measuring) > 0.9 and max(measuring) < 1.0


def test_what_is_chosen_reaches_the_library(panel, volume, library, tools):
    """And two runs in a row take the parameters of their time."""
    tools.apply(panel)
    ui = panel.ui
    ui.methodComboBox.currentIndex = 0
    ui.deviceComboBox.currentIndex = 1
    ui.thresholdSliderWidget.value = 2500.0
    ui.smallestComponentSpinBox.value = 4.0
    ui.peakSpinBox.value = 0.0
    ui.dilationSpinBox.value = 2.0
    tools.apply(panel)
    assert tools.volume_names() == ["CT", "CT (MAR: LI)", "CT (MAR: NMAR)"]
    chosen = [tuple(keywords[name] for name in ("method", "device", "metal")) for _, _, keywords in library.calls]
    assert chosen == [("nmar", "auto", MetalSearch()), ("li", "cpu", MetalSearch(2500.0, 4.0, 0.0, 2.0))]
    assert panel.parameterNode.inputVolume is volume
    tools.assert_idle(panel)


def test_metal_becomes_the_chosen_material(panel, volume, tools):
    import slicer

    from SSLMARLib.slicer_logic import METAL_MATERIALS_HU

    combo = panel.ui.metalMaterialComboBox
    assert combo.currentText == "as it was"
    assert [combo.itemText(index).split(" (")[0] for index in range(1, combo.count)] == list(METAL_MATERIALS_HU)
    panel.parameterNode.metalSegmentation = tools.add_segmentation("Implants", "Screw")
    seen = []
    from SSLMARLib import slicer_logic

    prepare = slicer_logic.prepareCorrection
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slicer_logic, "prepareCorrection", lambda *nodes, **options: seen.append(options) or prepare(*nodes, **options))
        tools.apply(panel)
        combo.currentIndex = 1
        tools.apply(panel)
    assert "metalHu" not in seen[0]
    assert seen[1]["metalHu"] == METAL_MATERIALS_HU["titanium"]
    assert slicer.util.getNode("CT (MAR: NMAR) 2").GetAttribute("SSLMAR.MetalHu") == "11570"


def test_the_map_of_trust_lies_over_its_own_result_alone(panel, volume, library, tools):
    import slicer

    tools.add_slice_view()
    composite = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSliceCompositeNode")
    tools.apply(panel)
    assert not composite.GetForegroundVolumeID() and "trust" not in library.calls[0][2]
    panel.ui.trustCheckBox.checked = True
    tools.apply(panel)
    corrected = panel.parameterNode.correctedVolume
    assert library.calls[1][2]["trust"] is True
    foreground = slicer.mrmlScene.GetNodeByID(composite.GetForegroundVolumeID())
    assert foreground.GetName() == f"Trust (%) of {corrected.GetName()}"
    assert composite.GetBackgroundVolumeID() == corrected.GetID() and 0 < composite.GetForegroundOpacity() < 1
    panel.ui.trustCheckBox.checked = False
    tools.apply(panel)
    assert composite.GetBackgroundVolumeID() != corrected.GetID() and not composite.GetForegroundVolumeID()


def test_cancel(rig, panel, volume, tools):
    gate = tools.Gate()
    panel.ui.applyButton.click()
    rig.spin(gate.entered.is_set)
    start = time.monotonic()
    panel.ui.applyButton.click()
    assert (panel.ui.applyButton.text, panel.ui.applyButton.enabled) == ("Cancelling...", False)
    tools.finish(panel)
    assert time.monotonic() - start < 2.0
    tools.assert_idle(panel)
    assert panel.ui.applyButton.enabled
    assert panel.ui.statusLabel.text == "Cancelled; no volume was made."
    assert tools.volume_names() == ["CT"]


def test_a_result_that_comes_after_the_cancel_is_dropped(rig, panel, volume, library, tools):
    entered, released = threading.Event(), threading.Event()

    def work(progress, is_cancelled):
        entered.set()
        released.wait(10)

    library.work = work
    panel.ui.applyButton.click()
    rig.spin(entered.is_set)
    panel.ui.applyButton.click()
    released.set()
    tools.finish(panel)
    assert tools.volume_names() == ["CT"]
    assert panel.ui.statusLabel.text == "Cancelled; no volume was made."


def test_a_sentence_of_the_library_is_shown_in_the_panel(panel, volume, library, tools, pop_ups):
    def no_metal(progress, is_cancelled):
        raise InputError("No voxel exceeds 2000 HU (the highest is 40 HU): lower the threshold.")

    library.work = no_metal
    tools.apply(panel)
    assert panel.ui.statusLabel.text.startswith("No voxel exceeds 2000 HU")
    tools.assert_idle(panel)
    assert panel.ui.applyButton.enabled
    assert tools.volume_names() == ["CT"]
    assert not pop_ups
    library.work = None
    tools.apply(panel)
    assert tools.volume_names() == ["CT", "CT (MAR: NMAR)"]


def test_an_unforeseen_error_is_shown_with_its_trace(panel, volume, library, tools, pop_ups):
    def break_down(progress, is_cancelled):
        raise ZeroDivisionError("division by zero")

    library.work = break_down
    tools.apply(panel)
    tools.assert_idle(panel)
    ((text, details),) = pop_ups
    assert text == "This did not work: division by zero"
    assert "break_down" in details
    assert tools.volume_names() == ["CT"]


def test_what_the_library_noticed_is_said(panel, volume, monkeypatch, tools):
    import SSLMARLib.correction

    reduce_metal_artifacts = SSLMARLib.correction.reduce_metal_artifacts

    def warn(*arguments, **keywords):
        result = reduce_metal_artifacts(*arguments, **keywords)
        result.report.warnings.append("The GPU was not used.")
        return result

    monkeypatch.setattr(SSLMARLib.correction, "reduce_metal_artifacts", warn)
    tools.apply(panel)
    assert panel.ui.statusLabel.text.endswith("1.5 s. The GPU was not used.")


def test_the_input_is_removed_during_a_run(rig, panel, volume, tools):
    import slicer

    gate = tools.Gate()
    panel.ui.applyButton.click()
    rig.spin(gate.entered.is_set)
    slicer.mrmlScene.RemoveNode(volume)
    tools.finish(panel)
    tools.assert_idle(panel)
    assert panel.ui.statusLabel.text == "The input was removed, so the correction was cancelled."
    assert not panel.ui.applyButton.enabled
    assert tools.volume_names() == []


def test_the_segmentation_is_removed_during_a_run(rig, panel, volume, tools):
    """Its voxels were copied, so the result still comes; it says by name what it was made with."""
    import slicer

    segmentation = tools.add_segmentation("Implants", "Screw")
    panel.parameterNode.metalSegmentation = segmentation
    gate = tools.Gate()
    panel.ui.applyButton.click()
    rig.spin(gate.entered.is_set)
    slicer.mrmlScene.RemoveNode(segmentation)
    gate.released.set()
    tools.finish(panel)
    tools.assert_idle(panel)
    corrected = slicer.util.getNode("CT (MAR: NMAR)")
    assert corrected.GetAttribute("SSLMAR.MetalSegmentation") == "Implants"
    assert panel.parameterNode.metalSegmentation is None and panel.ui.applyButton.enabled


def test_the_scene_is_closed_during_a_run(rig, panel, volume, library, tools):
    import slicer

    gate = tools.Gate()
    panel.ui.applyButton.click()
    rig.spin(gate.entered.is_set)
    slicer.mrmlScene.Clear()
    tools.assert_idle(panel)
    assert panel.ui.statusLabel.text == "The scene was closed, so the correction was cancelled."
    assert gate.left.wait(2.0), "the thread went on for more than 2 s"
    assert tools.volume_names() == []
    assert not panel.ui.applyButton.enabled

    library.work = None
    panel.parameterNode.inputVolume = tools.add_volume("Next CT")
    tools.apply(panel)
    assert tools.volume_names() == ["Next CT", "Next CT (MAR: NMAR)"]


def test_the_run_goes_on_while_another_module_is_open(rig, panel, volume, tools):
    gate = tools.Gate()
    panel.ui.applyButton.click()
    rig.spin(gate.entered.is_set)
    panel.exit()
    gate.released.set()
    tools.finish(panel)
    panel.enter()
    tools.assert_idle(panel)
    assert tools.volume_names() == ["CT", "CT (MAR: NMAR)"]
    assert panel.ui.correctedVolumeSelector.currentNode().GetName() == "CT (MAR: NMAR)"
    panel.ui.thresholdSliderWidget.value = 2222.0
    assert panel.parameterNode.thresholdHu == 2222.0
