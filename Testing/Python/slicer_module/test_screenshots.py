"""The scripts that draw the pictures: slice views by the MRML pipeline, and both samples from end to end."""

from __future__ import annotations

import sys

import numpy
import pytest

pytest.importorskip("PySide6.QtWidgets", reason="PySide6 cannot be imported, so no picture was drawn", exc_type=ImportError)


@pytest.fixture
def screenshots(rig, repository, monkeypatch):
    """The folder of the scripts on the path."""
    rig.start_qt()
    monkeypatch.syspath_prepend(str(repository / "Testing" / "Screenshots"))
    return repository / "Testing" / "Screenshots"


@pytest.fixture
def volume(rig):
    """40 x 40 x 3 voxels of 1 mm: -100 HU, at the patient's left and front a square of 100 HU with metal."""
    import slicer

    voxels = numpy.full((3, 40, 40), -100, numpy.int16)
    voxels[1, 5:15, 25:35] = 100
    voxels[1, 6:14, 26:34] = 3000
    to_ras = numpy.array([[-1, 0, 0, 19.5], [0, -1, 0, 19.5], [0, 0, 1, -1], [0, 0, 0, 1.0]])
    volume = slicer.util.addVolumeFromArray(voxels, to_ras, "CT")
    display = volume.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(200, 0)
    display.SetInterpolate(False)
    return volume


def test_a_slice_is_what_slicer_shows(screenshots, volume, slicer_logic):
    """Window and level, and the radiologists' way round: the patient's left at the right, the front at the top."""
    import slicer
    from slice_views import slice_image

    nodes = slicer.mrmlScene.GetNumberOfNodes()
    image = slice_image(volume, 0.0, (80, 80), field_of_view_mm=40.0)
    assert image.shape == (80, 80, 3) and image.dtype == numpy.uint8
    assert (image[40, 10] == 0).all() and (image[14, 54] == 255).all()
    below = slice_image(volume, -1.0, (80, 80), field_of_view_mm=40.0)
    assert (below[10:70, 10:70] == 0).all()  # at the rim the view may reach out of the volume
    assert slicer.mrmlScene.GetNumberOfNodes() <= nodes + 1  # the default segmentation of colors at most
    metal = slicer_logic.segmentMetal(volume, 2000, smallestComponentMm3=0.0)
    outlined = slice_image(volume, 0.0, (80, 80), field_of_view_mm=40.0, metal=metal)
    colored = (outlined.max(axis=2).astype(int) - outlined.min(axis=2)) > 30
    rows, columns = numpy.nonzero(colored)
    assert colored.any() and not colored[20, 60]
    assert abs(rows.mean() - 19.5) < 2 and abs(columns.mean() - 59.5) < 2


def test_pictures_are_put_together(screenshots, tmp_path):
    from pictures import TITLE_HEIGHT, below, beside, image_of, save, titled
    from PySide6.QtGui import QImage

    red, blue = numpy.zeros((20, 30, 3), numpy.uint8), numpy.zeros((10, 15, 3), numpy.uint8)
    red[..., 0], blue[..., 2] = 200, 200
    picture = beside(titled(red, "Title"), below(image_of(blue), image_of(blue)))
    save(picture, tmp_path / "picture.png")
    written = QImage(str(tmp_path / "picture.png"))
    assert (written.width(), written.height()) == (picture.width(), picture.height()) == (49, 20 + TITLE_HEIGHT)
    assert written.pixelColor(5, TITLE_HEIGHT + 5).red() == 200 and written.pixelColor(40, 5).blue() == 200
    with pytest.raises(OSError, match="could not be written"):
        save(picture, tmp_path / "missing" / "picture.png")


def test_both_samples_are_drawn(screenshots, rig, tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="torch is not installed, so no sample was drawn")
    monkeypatch.setattr(sys, "path", list(sys.path))
    import make_screenshots

    from SSLMARLib import sample_data

    original = sample_data.simulate_scan_of
    monkeypatch.setattr(sample_data, "simulate_scan_of", lambda kind, slices, **options: original(kind, 2, **options))
    assert make_screenshots.main(["--only", "samples", "--method", "li", "--output", str(tmp_path)]) == 0
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png"))
    assert names == ["Icons/SSLMARDental.png", "Icons/SSLMARHip.png", "Screenshots/Dental.png", "Screenshots/Hip.png"]


def test_what_is_in_sight_in_a_window_is_drawn(screenshots, rig, tmp_path, monkeypatch):
    """The panel before, with a segmentation, during and after a run, and the tiles of all methods, in the dark."""
    pytest.importorskip("torch", reason="torch is not installed, so no window was drawn")
    from PySide6.QtGui import QImage
    from PySide6.QtWidgets import QApplication

    monkeypatch.setattr(sys, "path", list(sys.path))
    import make_screenshots

    palette = QApplication.palette()
    assert make_screenshots.main(["--window", "1100x720", "--theme", "dark", "--method", "li", "--output", str(tmp_path)]) == 0
    QApplication.setPalette(palette)
    picture = QImage(str(tmp_path / "Screenshots" / "Window1100x720Dark.png"))
    assert picture.height() == 720 - 315 and picture.pixelColor(3, 3).lightness() < 128
    assert QImage(str(tmp_path / "Screenshots" / "MethodsDark.png")).height() > 500
