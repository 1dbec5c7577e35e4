"""Result: strength without a new run, comparison with the input, report."""

from __future__ import annotations

import csv

import pytest


@pytest.fixture
def corrected(panel, volume, tools):
    """The result of a run: 1 HU below the input everywhere."""
    tools.apply(panel)
    return panel.parameterNode.correctedVolume


def voxels_of(node):
    import slicer

    return slicer.util.arrayFromVolume(node)


def test_stronger_streaks_are_said_above_the_comparison(panel, corrected, tools, monkeypatch):
    """For as long as the result has them."""
    from SSLMARLib import slicer_logic

    label = panel.ui.resultNoteLabel
    assert not label.visible
    sentence = "The streaks are stronger."
    monkeypatch.setattr(slicer_logic, "strongerStreaks", lambda node: sentence if node is corrected else "")
    panel.resultSection.showReport()
    assert label.visible and label.text.endswith(sentence)
    monkeypatch.setattr(slicer_logic, "strongerStreaks", lambda node: "")
    panel.ui.strengthSliderWidget.value = 50.0
    tools.settle(panel)
    assert not label.visible


def test_a_long_note_leaves_the_units_in_sight(panel, corrected, tools):
    import json

    report = json.loads(corrected.GetAttribute("SSLMAR.Report"))
    corrected.SetAttribute("SSLMAR.Report", json.dumps({**report, "warnings": ["Memory ran out. " * 30]}))
    panel.resultSection.showReport()
    view = panel.ui.reportTableView
    assert view.columnWidth(0) > 100 and 50 < view.columnWidth(1) < 200


# ---------------------------------------------------------------------------------------------------------- Strength


@pytest.fixture
def strong(panel, volume, library, tools, monkeypatch):
    """The result of a run that subtracts 100 HU, with the panel's strength at 100 %."""
    import SSLMARLib.correction

    reduce_metal_artifacts = SSLMARLib.correction.reduce_metal_artifacts

    def subtract_100(volume_hu, *arguments, **keywords):
        result = reduce_metal_artifacts(volume_hu, *arguments, **keywords)
        result.volume_hu[:] = volume_hu - 100
        return result

    monkeypatch.setattr(SSLMARLib.correction, "reduce_metal_artifacts", subtract_100)
    tools.apply(panel)
    return panel.parameterNode.correctedVolume


def test_the_strength_changes_the_result_without_a_new_run(panel, volume, strong, library, tools):
    slider = panel.ui.strengthSliderWidget
    before = voxels_of(volume).copy()
    assert (voxels_of(strong) == before - 100).all()
    for percent in (50.0, 0.0, 25.0, 100.0):
        slider.value = percent
        tools.settle(panel)
        assert (voxels_of(strong) == before - percent).all()
    assert len(library.calls) == 1
    assert (voxels_of(volume) == before).all()
    assert tools.volume_names() == ["CT", "CT (MAR: NMAR)"]


def test_the_next_run_has_the_strength_of_the_panel(panel, volume, strong, tools):
    panel.ui.strengthSliderWidget.value = 40.0
    tools.settle(panel)
    tools.apply(panel)
    second = panel.parameterNode.correctedVolume
    assert second is not strong
    assert (voxels_of(second) == voxels_of(volume) - 40).all()
    assert panel.ui.strengthSliderWidget.value == 40.0


def test_results_are_named_by_method_and_strength(panel, volume, strong, tools):
    panel.ui.strengthSliderWidget.value = 40.0
    tools.settle(panel)
    assert strong.GetName() == "CT (MAR: NMAR, 40 %)"
    panel.ui.strengthSliderWidget.value = 100.0
    tools.settle(panel)
    tools.apply(panel)
    panel.ui.strengthSliderWidget.value = 40.0
    tools.settle(panel)
    assert tools.volume_names() == ["CT", "CT (MAR: NMAR)", "CT (MAR: NMAR, 40 %)"]
    strong.SetName("The good one")
    panel.ui.correctedVolumeSelector.setCurrentNode(strong)
    tools.settle(panel)
    panel.ui.strengthSliderWidget.value = 10.0
    tools.settle(panel)
    assert strong.GetName() == "The good one"


def test_a_report_is_up_to_date_as_soon_as_the_strength_is(rig, panel, volume, strong):
    """The application says nowhere that a scene is about to be saved."""
    panel.resultSection._delayedReport._timer.interval = 100000
    panel.ui.strengthSliderWidget.value = 40.0
    rig.spin(lambda: not panel.correctionSection._delayedStrength.waiting)
    assert (voxels_of(strong) == voxels_of(volume) - 40).all()
    table = panel.ui.reportTableView.mrmlTableNode()
    rows = {table.GetCellText(row, 0): table.GetCellText(row, 1) for row in range(table.GetNumberOfRows())}
    assert rows["Strength"] == "40"


def test_a_result_that_is_deleted_during_the_swipe_leaves_the_input_in_the_views(panel, volume, corrected, views, layout):
    import slicer

    composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    for composite in composites:
        composite.SetBackgroundVolumeID(corrected.GetID())
    panel.ui.swipeButton.click()
    slicer.mrmlScene.RemoveNode(corrected)
    assert [composite.GetBackgroundVolumeID() for composite in composites] == [volume.GetID()] * len(composites)


def test_a_result_that_is_chosen_shows_its_own_strength(panel, volume, strong, tools):
    slider = panel.ui.strengthSliderWidget
    tools.apply(panel)
    second = panel.parameterNode.correctedVolume
    slider.value = 30.0
    tools.settle(panel)
    panel.ui.correctedVolumeSelector.setCurrentNode(strong)
    tools.settle(panel)
    assert slider.value == 100.0
    assert (voxels_of(strong) == voxels_of(volume) - 100).all()
    panel.ui.correctedVolumeSelector.setCurrentNode(second)
    tools.settle(panel)
    assert slider.value == 30.0
    assert (voxels_of(second) == voxels_of(volume) - 30).all()


def test_why_the_strength_cannot_change_is_said(panel, volume, strong, tools):
    import slicer

    note = panel.ui.strengthNoteLabel
    assert not note.visible
    voxels_of(volume)[:] += 7
    slicer.util.arrayFromVolumeModified(volume)
    panel.ui.strengthSliderWidget.value = 50.0
    tools.settle(panel)
    assert note.visible and "have changed since the correction" in note.text and not panel.ui.strengthSliderWidget.enabled
    assert (voxels_of(strong) == voxels_of(volume) - 107).all(), "the result stays as it is"
    tools.apply(panel)
    assert not note.visible and not note.text and panel.ui.strengthSliderWidget.enabled


def test_the_strength_is_not_changed_during_a_run(rig, panel, volume, strong, tools):
    gate = tools.Gate()
    panel.ui.applyButton.click()
    rig.spin(gate.entered.is_set)
    panel.parameterNode.strengthPercent = 10.0
    tools.settle(panel)
    assert (voxels_of(strong) == voxels_of(volume) - 100).all()
    gate.released.set()
    tools.finish(panel)
    tools.settle(panel)


# -------------------------------------------------------------------------------------------------------- Comparison


@pytest.fixture
def layout(views):
    """The real layout node of the stand-in for the window."""
    return views.layoutLogic().GetLayoutNode()


def layers(view):
    import slicer

    for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        if node.GetLayoutName() == view:
            background = slicer.mrmlScene.GetNodeByID(node.GetBackgroundVolumeID() or "")
            return background.GetName() if background is not None else None, bool(node.GetLinkedControl())
    raise AssertionError(view)


def pressed(panel):
    buttons = ("sideBySideButton", "differenceButton", "swipeButton")
    return {name for name in buttons if getattr(panel.ui, name).checked}


def test_comparison_waits_for_a_result(panel, volume, views, tools):
    import slicer

    ui = panel.ui
    buttons = (ui.sideBySideButton, ui.differenceButton, ui.swipeButton)
    assert not any(button.enabled for button in buttons)
    assert "Nothing is corrected yet" in ui.compareLabel.toolTip
    tools.apply(panel)
    assert all(button.enabled for button in buttons)
    slicer.mrmlScene.RemoveNode(volume)
    assert not any(button.enabled for button in buttons)
    assert "no longer in the scene" in ui.compareLabel.toolTip


def test_side_by_side_and_back(panel, volume, corrected, views, layout):
    before = layout.GetViewArrangement(), layers("Red"), layers("Yellow")
    panel.ui.sideBySideButton.click()
    assert layout.GetViewArrangement() == layout.SlicerLayoutSideBySideView
    assert layers("Red") == ("CT", True) and layers("Yellow") == ("CT (MAR: NMAR)", True)
    assert pressed(panel) == {"sideBySideButton"}
    panel.ui.sideBySideButton.click()
    assert (layout.GetViewArrangement(), layers("Red"), layers("Yellow")) == before
    assert not pressed(panel)


def test_one_comparison_after_another(panel, volume, corrected, views, layout, tools):
    before = layout.GetViewArrangement(), layers("Red")
    assert not panel.ui.swipeSliderWidget.visible
    panel.ui.sideBySideButton.click()
    panel.ui.differenceButton.click()
    assert pressed(panel) == {"differenceButton"}
    assert layout.GetViewArrangement() == before[0]
    difference = node_shown("Red")
    assert (voxels_of(difference) == -1).all()
    panel.ui.swipeButton.click()
    assert pressed(panel) == {"swipeButton"} and panel.ui.swipeSliderWidget.visible
    assert difference.GetScene() is None
    panel.ui.swipeButton.click()
    assert (layout.GetViewArrangement(), layers("Red")) == before
    assert tools.volume_names() == ["CT", "CT (MAR: NMAR)"] and not panel.ui.swipeSliderWidget.visible


def node_shown(view):
    import slicer

    return slicer.util.getNode(layers(view)[0])


def test_the_swipe_follows_its_slider(panel, volume, corrected, views, tools):
    panel.ui.swipeButton.click()
    before, after = voxels_of(volume), voxels_of(corrected)
    shares = []
    for percent in (0.0, 50.0, 100.0):
        panel.ui.swipeSliderWidget.value = percent
        tools.settle(panel)
        shown = voxels_of(node_shown("Red"))
        assert ((shown == before) | (shown == after)).all()
        shares.append((shown == after).mean())
    assert shares[0] == 0 and 0.3 < shares[1] < 0.7 and shares[2] == 1


def test_the_difference_follows_the_strength(panel, volume, strong, views, tools):
    panel.ui.differenceButton.click()
    assert (voxels_of(node_shown("Red")) == -100).all()
    panel.ui.strengthSliderWidget.value = 20.0
    tools.settle(panel)
    assert (voxels_of(node_shown("Red")) == -20).all()


def test_a_comparison_ends_with_its_nodes(panel, volume, corrected, views, layout, tools):
    """Removed input, another result, a closed scene: the layout returns, and no button stays pressed."""
    import slicer

    before = layout.GetViewArrangement()
    panel.ui.sideBySideButton.click()
    slicer.mrmlScene.RemoveNode(volume)
    assert layout.GetViewArrangement() == before and not pressed(panel)

    panel.parameterNode.inputVolume = tools.add_volume("Next CT")
    tools.apply(panel)
    panel.ui.sideBySideButton.click()
    panel.ui.correctedVolumeSelector.setCurrentNode(corrected)
    assert layout.GetViewArrangement() == before and not pressed(panel)

    panel.ui.correctedVolumeSelector.setCurrentNode(slicer.util.getNode("Next CT (MAR: NMAR)"))
    panel.ui.differenceButton.click()
    slicer.mrmlScene.Clear()
    assert not pressed(panel) and panel.resultSection.comparison == ""
    assert tools.volume_names() == []


def test_another_result_ends_the_comparison(panel, volume, corrected, views, layout, tools):
    tools.apply(panel)
    before = layout.GetViewArrangement()
    panel.ui.sideBySideButton.click()
    panel.ui.correctedVolumeSelector.setCurrentNode(corrected)
    assert layout.GetViewArrangement() == before and not pressed(panel)


def test_a_comparison_outlives_the_panel_but_not_the_module(rig, module, library, views, tools):
    panel = rig.open_panel(module)
    panel.parameterNode.inputVolume = tools.add_volume("CT")
    tools.apply(panel)
    layout = views.layoutLogic().GetLayoutNode()
    before = layout.GetViewArrangement()
    panel.ui.sideBySideButton.click()
    panel.exit()
    assert layout.GetViewArrangement() == layout.SlicerLayoutSideBySideView
    panel.enter()
    assert pressed(panel) == {"sideBySideButton"}
    panel.cleanup()
    assert layout.GetViewArrangement() == before


def test_without_a_window_the_comparison_says_so(panel, volume, corrected):
    panel.ui.sideBySideButton.click()
    assert "without a window" in panel.ui.statusLabel.text
    assert not pressed(panel)


# ------------------------------------------------------------------------------------------------------------ Report


def table_texts(view):
    model = view.model()
    return [[model.index(row, column).data() for column in range(model.columnCount())] for row in range(model.rowCount())]


def test_the_report_is_a_table_of_the_scene(panel, volume, corrected, tools):
    import slicer

    view = panel.ui.reportTableView
    assert view.visible
    table = view.mrmlTableNode()
    assert table is corrected.GetNodeReference("SSLMAR.ReportTable")
    rows = {name: (value, unit) for name, value, unit in table_texts(view)}
    assert rows["Slices corrected"] == ("1", "")
    assert rows["Metal volume"] == ("0.50", "ml")
    assert rows["Strength"] == ("100", "%")
    assert any("Streak amplitude" in name for name in rows)
    tools.apply(panel)
    assert view.mrmlTableNode() is not table
    panel.ui.correctedVolumeSelector.setCurrentNode(corrected)
    tools.settle(panel)
    assert view.mrmlTableNode() is table
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 2
    panel.ui.correctedVolumeSelector.setCurrentNode(None)
    assert not view.visible and view.mrmlTableNode() is None


def test_the_report_follows_the_strength(panel, corrected, tools):
    panel.ui.strengthSliderWidget.value = 50.0
    tools.settle(panel)
    rows = {name: value for name, value, _ in table_texts(panel.ui.reportTableView)}
    assert rows["Strength"] == "50"


def test_all_rows_of_the_report_are_in_sight(panel, corrected):
    """The panel scrolls, so the table does not."""
    view = panel.ui.reportTableView
    rows = view.model().rowCount()
    assert rows > 5
    assert view.minimumHeight >= rows * view.rowHeight(0)
    columns = view.model().columnCount()
    assert sum(view.columnWidth(column) for column in range(columns)) == view.viewport().width


def test_the_report_is_saved_as_csv(panel, corrected, tmp_path, monkeypatch):
    import qt

    asked = []

    def choose(parent, title, name, kinds):
        asked.append(name)
        return answer

    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", choose)
    answer = ""
    panel.ui.saveReportButton.click()
    answer = str(tmp_path / "report.csv")
    panel.ui.saveReportButton.click()
    assert asked == ["CT (MAR_ NMAR).csv"] * 2
    with open(answer, newline="") as file:
        rows = list(csv.reader(file))
    assert rows[1:] == table_texts(panel.ui.reportTableView)
    assert answer in panel.ui.statusLabel.text

    answer = str(tmp_path / "no folder" / "report.csv")
    panel.ui.saveReportButton.click()
    assert "no folder" in panel.ui.statusLabel.text and "Report saved" not in panel.ui.statusLabel.text


def test_a_removed_result_leaves_an_empty_section(panel, corrected, tools):
    import slicer

    slicer.mrmlScene.RemoveNode(corrected)
    tools.settle(panel)
    assert panel.parameterNode.correctedVolume is None
    assert not panel.ui.saveReportButton.enabled and not panel.ui.reportTableView.visible
    assert panel.ui.saveReportButton.toolTip


def test_a_result_is_exported_as_a_derived_series(panel, volume, corrected, monkeypatch, tmp_path):
    """The button is gray with the reason; in the folder that is chosen the series gets one of its own."""
    import qt

    from SSLMARLib import InputError, slicer_logic

    button = panel.ui.exportDicomButton
    assert not button.enabled and "load the scan by the DICOM module" in button.toolTip
    monkeypatch.setattr(slicer_logic, "whyNoDerivedSeries", lambda one: "" if one is corrected else "none")
    panel.updatePanel()
    assert button.enabled
    asked = []

    def export(one, folder):
        asked.append((one, folder))
        if len(asked) == 2:
            raise InputError("The disk is full.")
        return tmp_path / "series", ["3 voxels do not fit."]

    monkeypatch.setattr(slicer_logic, "exportDerivedSeries", export)
    folders = ["", str(tmp_path), str(tmp_path)]
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *_: folders.pop(0))
    button.click()
    assert not asked
    button.click()
    assert asked == [(corrected, str(tmp_path))]
    assert panel.ui.statusLabel.text == f"Derived DICOM series written: {tmp_path / 'series'} 3 voxels do not fit."
    button.click()
    assert panel.ui.statusLabel.text == "The disk is full."
    panel.parameterNode.correctedVolume = None
    assert not button.enabled
