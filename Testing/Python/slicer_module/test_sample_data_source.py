"""The samples that Slicer's Sample Data module offers, on a stand-in of that module; the simulation is real."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest

pytest.importorskip("torch", reason="torch is not installed, so no sample was simulated")


@pytest.fixture
def sample_data(rig, repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "SSLMAR"))
    from SSLMARPanel import sample_data

    return sample_data


@pytest.fixture
def sources(sample_data, monkeypatch):
    """What was registered with Slicer's Sample Data module: category -> sources, by its rules."""
    registered = {}

    class SampleDataLogic:
        @staticmethod
        def registerCustomSampleDataCategory(category, title=None):
            assert title
            registered.setdefault(category, {})

        @staticmethod
        def registerCustomSampleDataSource(
            category=None, sampleName=None, uris=None, fileNames=None, nodeNames=None, customDownloader=None, thumbnailFileName=None
        ):
            assert len(uris) == len(fileNames) == len(nodeNames)
            registered[category][sampleName] = SimpleNamespace(
                sampleName=sampleName, customDownloader=customDownloader, thumbnailFileName=thumbnailFileName
            )

    monkeypatch.setitem(sys.modules, "SampleData", SimpleNamespace(SampleDataLogic=SampleDataLogic))
    sample_data.register()
    return registered["SSLMAR"]


class Dialog:
    """Stands for the progress window; `cancelled` presses its button as soon as it appears."""

    def __init__(self, cancelled=False):
        self.wasCanceled, self.value, self.closed, self.labels = cancelled, 0, False, []

    def __setattr__(self, name, value):
        if name == "labelText":
            self.labels.append(value)
        super().__setattr__(name, value)

    def close(self):
        self.closed = True


@pytest.fixture
def dialog(monkeypatch):
    import slicer.util

    shown = Dialog()
    monkeypatch.setattr(slicer.util, "createProgressDialog", lambda **options: shown)
    return shown


def test_both_samples_are_offered_with_a_picture(sources, sample_data):
    assert set(sources) == {"Simulated hip prosthesis", "Simulated dental crowns"}
    for source in sources.values():
        picture = Path(source.thumbnailFileName)
        assert picture.suffix == ".png" and picture.is_file(), picture
        assert source.customDownloader is sample_data.onSampleChosen


def test_without_slicer_s_sample_data_module_nothing_happens(sample_data, monkeypatch):
    monkeypatch.setitem(sys.modules, "SampleData", None)
    sample_data.register()


def test_a_chosen_sample_becomes_a_volume(sources, dialog, monkeypatch):
    import slicer

    from SSLMARLib import sample_data as library

    original = library.simulate_scan_of
    monkeypatch.setattr(library, "simulate_scan_of", lambda kind, slices, **options: original(kind, 2, **options))
    source = sources["Simulated dental crowns"]
    (volume,) = source.customDownloader(source)
    assert volume.GetName() == "Simulated dental crowns" and dialog.closed and dialog.labels
    expected = original("dental", 2, device="cpu").volume
    assert (slicer.util.arrayFromVolume(volume) == expected.voxels_hu).all()
    matrix = slicer.util.arrayFromVTKMatrix(_ijk_to_ras(volume))
    lps = numpy.diag([-1, -1, 1, 1]) @ matrix
    numpy.testing.assert_allclose(lps, expected.index_to_position_mm())
    assert volume.GetDisplayNode().GetWindow() == 800


def _ijk_to_ras(volume):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return matrix


def test_cancelling_makes_no_volume(sources, dialog):
    import slicer

    dialog.wasCanceled = True
    source = sources["Simulated hip prosthesis"]
    assert source.customDownloader(source) == [] and dialog.closed
    assert slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode") is None


def test_missing_packages_are_a_sentence(rig, sources, dialog, monkeypatch):
    import slicer.util

    said = []
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda text, **options: said.append(text))
    rig.packaging.missing.add("torch")
    source = sources["Simulated hip prosthesis"]
    assert source.customDownloader(source) == []
    assert len(said) == 1 and "Simulating a scan needs torch>=2.2" in said[0]


def test_from_the_console_it_just_waits(sample_data):
    volume = sample_data.makeSample("dental", slices=1, interactive=False)
    assert volume.GetImageData().GetDimensions() == (400, 400, 1)
