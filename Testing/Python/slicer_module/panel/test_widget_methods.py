"""Compare methods on this slice: a window of tiles, one for each method, of which a click chooses one."""

from __future__ import annotations

import numpy
import pytest

from SSLMARLib import InputError, available_methods


@pytest.fixture
def shown(volume, tools):
    """The second slice of the volume, the one with metal, is shown in an axial view, from 0 to 1000 HU."""
    volume.GetDisplayNode().SetAutoWindowLevel(False)
    volume.GetDisplayNode().SetWindowLevel(1000, 500)
    view = tools.add_slice_view(volume, 1)
    view.GetSliceToRAS().SetElement(0, 0, -1.0)  # the patient's left is at the right
    view.UpdateMatrices()
    return volume


def texts(window):
    return {method: tile.text.split("\n") for method, tile in window.tiles.items()}


def gray(tile):
    """The tile's picture as numbers from 0 to 255, (rows, columns)."""
    image = tile.icon.pixmap(tile.iconSize).toImage()
    return numpy.array([[image.pixelColor(x, y).red() for x in range(image.width())] for y in range(image.height())])


def open_window(rig, panel):
    panel.ui.compareMethodsButton.click()
    rig.spin(lambda: not panel.isRunning)
    return panel.compareMethodsSection.window


def test_each_method_has_a_tile_and_a_click_chooses_it(rig, panel, shown, library):
    window = open_window(rig, panel)
    assert tuple(window.tiles) == available_methods()
    assert texts(window)["li"] == ["LI", "1.5 s"] and texts(window)["sslmar"] == ["SSLMAR", "1.5 s"]
    assert window.dialog.windowTitle == "Methods on slice 2 of 'CT'"
    assert window._layout.itemAt(0).widget() is window.uncorrected and window.uncorrected.text == "Uncorrected"
    assert [keywords["method"] for _, _, keywords in library.calls] == list(available_methods())
    assert all(voxels.shape == (1, 8, 9) and keywords["metal"].sum() == 4 for voxels, _, keywords in library.calls)
    window.tiles["li"].click()
    assert panel.parameterNode.method == "li" and panel.ui.methodComboBox.currentText.startswith("LI")
    assert not window.dialog.visible and panel.compareMethodsSection.window is None
    assert panel.parameterNode.correctedVolume is None


def test_the_methods_for_research_and_own_weights_have_tiles_where_they_are_wanted(rig, panel, shown, monkeypatch, own_weights):
    panel.parameterNode.allMethods = True
    panel.parameterNode.weightsFile = str(own_weights)
    window = open_window(rig, panel)
    assert tuple(window.tiles) == (*available_methods(for_research=True), str(own_weights))
    window.tiles[str(own_weights)].click()
    assert panel.parameterNode.weightsFile == str(own_weights)
    open_window(rig, panel).tiles["nmar"].click()
    assert (panel.parameterNode.weightsFile, panel.parameterNode.method) == ("", "nmar")


def test_tiles_show_what_was_computed_in_the_window_of_the_view(rig, panel, shown, library, monkeypatch):
    """40 HU of 0 to 1000 is a gray of 10; metal is white, and smoothing makes its rim gray."""
    from SSLMARLib import correction

    quick = correction.reduce_metal_artifacts

    def brighter(voxels, spacing, **keywords):
        result = quick(voxels, spacing, **keywords)
        result.volume_hu[0, 0, :] = 800 if keywords["method"] == "li" else 400
        return result

    monkeypatch.setattr(correction, "reduce_metal_artifacts", brighter)
    window = open_window(rig, panel)
    before, li, nmar = (gray(tile) for tile in (window.uncorrected, window.tiles["li"], window.tiles["nmar"]))
    assert before.shape == (round(260 * 8 / 9), 260)
    assert before.min() == 10 and before.max() == 255
    # The first row of voxels lies at the back, and the first column at the patient's right: below and at the left, as in Slicer.
    assert before[-1].max() == 10 and abs(li[-1].mean() - 204) < 2 and abs(nmar[-1].mean() - 102) < 2
    rows, columns = numpy.nonzero(before > 200)
    assert abs(rows.mean() / before.shape[0] - 0.5) < 0.03 and abs(columns.mean() / before.shape[1] - (1 - 5 / 9)) < 0.03


def test_a_method_that_fails_says_so_in_its_tile_alone(rig, panel, shown, library, monkeypatch):
    from SSLMARLib import correction

    quick = correction.reduce_metal_artifacts

    def failing(voxels, spacing, **keywords):
        if keywords["method"] in ("nmar", "cnnmar"):
            raise InputError("This slice cannot be normalized.") if keywords["method"] == "nmar" else ZeroDivisionError("by zero")
        return quick(voxels, spacing, **keywords)

    monkeypatch.setattr(correction, "reduce_metal_artifacts", failing)
    window = open_window(rig, panel)
    assert texts(window)["nmar"] == ["NMAR", "This slice cannot be", "normalized."] and texts(window)["cnnmar"] == ["CNNMAR", "by zero"]
    assert texts(window)["li"] == ["LI", "1.5 s"] and texts(window)["sslmar"] == ["SSLMAR", "1.5 s"]
    window.close()


def test_tiles_fill_one_after_another_and_escape_cancels(rig, panel, shown, library, tools):
    from PySide6.QtCore import Qt
    from PySide6.QtTest import QTest

    gate = tools.Gate()
    gate.released.set()
    first = []

    def work(progress, is_cancelled):
        if not first:
            first.append(True)
            return
        gate.released.clear()
        gate(lambda *_: None, is_cancelled)

    library.work = work
    panel.ui.compareMethodsButton.click()
    window = panel.compareMethodsSection.window
    rig.spin(lambda: texts(window)["li"][-1] == "1.5 s" and gate.entered.is_set())
    assert texts(window)["nmar"] == ["NMAR", "..."]
    assert panel.ui.statusLabel.text == "Slice 2: NMAR (2 of 4 methods)"
    assert panel.ui.applyButton.text == "Cancel" and not panel.ui.compareMethodsButton.enabled
    QTest.keyClick(window.dialog, Qt.Key_Escape)
    assert panel.compareMethodsSection.window is None
    tools.finish(panel)
    assert gate.left.is_set() and panel.ui.statusLabel.text == "Cancelled; no volume was made."
    tools.assert_idle(panel)


@pytest.mark.parametrize("how", ["cancel", "scene", "panel", "input"])
def test_the_window_goes_with_its_run(rig, panel, shown, tools, how):
    import slicer

    gate = tools.Gate()
    panel.ui.compareMethodsButton.click()
    rig.spin(gate.entered.is_set)
    closed = []
    panel.compareMethodsSection.window.dialog.finished.connect(closed.append)
    if how == "cancel":
        panel.ui.applyButton.click()
    elif how == "scene":
        slicer.mrmlScene.Clear(False)
    elif how == "panel":
        panel.exit()
    else:
        slicer.mrmlScene.RemoveNode(shown)
    rig.spin(lambda: not panel.isRunning and gate.left.is_set())
    assert panel.compareMethodsSection.window is None and closed


def test_a_slice_without_metal_is_said_and_no_window_stays(rig, panel, volume, tools, library):
    tools.add_slice_view(volume, 0)
    assert open_window(rig, panel) is None
    assert "Slice 1 holds no metal" in panel.ui.statusLabel.text and not library.calls


def test_without_a_shown_slice_nothing_is_opened(rig, panel, volume, library):
    assert open_window(rig, panel) is None
    assert "No slice view shows a slice" in panel.ui.statusLabel.text and not library.calls


def test_a_new_window_takes_the_place_of_the_former(rig, panel, shown):
    former = open_window(rig, panel)
    window = open_window(rig, panel)
    assert window is not former and window is not None
