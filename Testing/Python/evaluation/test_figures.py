"""Figures: what is drawn where, that files are written and repeatable, and sentences for what cannot be drawn."""

from __future__ import annotations

import tracemalloc

import numpy
import pytest

from SSLMARLib.errors import InputError, MissingPackageError
from SSLMARLib.evaluation.figures import METAL_COLOR, FigureRow, displayed, figure_before_after, figure_comparison, most_changed_slice


def _shown(axes) -> numpy.ndarray:
    return numpy.asarray(axes.get_images()[0].get_array())


def test_before_after_shows_window_metal_and_difference(phantom_hu, affected_hu, phantom_metals):
    metal = phantom_metals[0]
    figure = figure_before_after(affected_hu[0], phantom_hu, metal, method_title="truth", window_hu=(-200, 200))
    before, after, difference = figure.axes
    assert "truth" in after.get_title() and "[-200, 200] HU" in before.get_title()
    for axes in figure.axes:
        assert numpy.allclose(_shown(axes)[metal], METAL_COLOR)
    assert numpy.allclose(_shown(after)[~metal][:, 0], numpy.clip((phantom_hu[~metal] + 200) / 400, 0, 1))
    change = phantom_hu - affected_hu[0]
    assert numpy.allclose(_shown(difference)[~metal][:, 2], numpy.clip((change[~metal] + 200) / 400, 0, 1))


def test_the_most_changed_slice_is_found_without_a_float_copy_of_the_volume():
    before = numpy.zeros((40, 64, 64), numpy.int16)
    after = before.copy()
    after[7, 0, 0], after[9], after[30] = -32768, 9, -9
    after[30, 0, 0] = 30000
    tracemalloc.start()
    assert most_changed_slice(before, after) == 30
    assert most_changed_slice(before, after, of=numpy.array([7, 9])) == 9
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < before.nbytes / 2


def test_comparison_has_two_lines_a_case(phantom_hu, affected_hu, phantom_metals):
    images = {"reference": phantom_hu, "uncorrected": affected_hu[0]}
    row = FigureRow("slice_a", images, phantom_metals[0], {"uncorrected": "98.6 HU"})
    figure = figure_comparison([row, row])
    drawn = [axes for axes in figure.axes if axes.get_images()]
    assert len(drawn) == 6
    titles = [axes.get_title() for axes in drawn]
    assert titles[:3] == ["reference", "uncorrected\n98.6 HU", "uncorrected - reference"]
    change, metal = affected_hu[0] - phantom_hu, phantom_metals[0]
    assert numpy.allclose(_shown(drawn[2])[~metal][:, 0], numpy.clip((change[~metal] + 200) / 400, 0, 1))


def test_files_are_whole_repeatable_and_not_replaced(tmp_path, phantom_hu, affected_hu, phantom_metals):
    paths = [tmp_path / "one.png", tmp_path / "two.png"]
    for path in paths:
        figure_before_after(affected_hu[0], phantom_hu, phantom_metals[0], path)
    assert paths[0].read_bytes() == paths[1].read_bytes() and paths[0].read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(InputError, match="overwrite"):
        figure_before_after(affected_hu[0], phantom_hu, None, paths[0])
    figure_before_after(affected_hu[0], phantom_hu, None, paths[0], overwrite=True)
    assert paths[0].read_bytes() != paths[1].read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"one.png", "two.png"}


def test_patients_are_shown_upright():
    image = numpy.arange(6).reshape(2, 3)
    turned = numpy.diag([-1.0, -1.0, 1.0])  # columns run to the patient's right, rows to the front
    assert numpy.array_equal(displayed(image, turned), image[::-1, ::-1])
    assert numpy.array_equal(displayed(image, numpy.eye(3)), image)
    assert numpy.array_equal(displayed(image), image)


def test_what_cannot_be_drawn_is_refused(tmp_path, phantom_hu):
    with pytest.raises(InputError, match="one shape"):
        figure_before_after(phantom_hu, phantom_hu[1:])
    with pytest.raises(InputError, match="ends in .png"):
        figure_before_after(phantom_hu, phantom_hu, path=tmp_path / "figure.txt")
    with pytest.raises(InputError, match="no case"):
        figure_comparison([])


def test_no_global_state_of_matplotlib_is_touched(phantom_hu):
    import sys

    for name in [name for name in sys.modules if name.startswith("matplotlib.pyplot")]:
        del sys.modules[name]
    figure_before_after(phantom_hu, phantom_hu)
    assert "matplotlib.pyplot" not in sys.modules


def test_missing_matplotlib_is_a_sentence(phantom_hu, without_package):
    without_package("matplotlib")
    with pytest.raises(MissingPackageError, match="matplotlib is not installed"):
        figure_before_after(phantom_hu, phantom_hu)
