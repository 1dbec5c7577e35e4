"""A result as a derived DICOM series: from a volume that Slicer's own reader loaded, read back by pydicom."""

from __future__ import annotations

from types import SimpleNamespace

import numpy
import pytest

pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed, so no DICOM was exported")
from pydicom.data import get_testdata_file  # noqa: E402

from SSLMARLib import InputError  # noqa: E402

SLICES = 4


@pytest.fixture
def series(tmp_path, monkeypatch):
    """A CT series of 4 slices with metal in slices 2 and 3, by position, in a DICOM database; the files' names are out of order.

    series.instances: their UIDs, by position. series.files: UID -> file. series.stored: (slices, rows, columns).
    """
    import slicer

    folder = tmp_path / "source"
    folder.mkdir()
    template = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    template.PatientName, template.SeriesInstanceUID = "Doe^Jane", pydicom.uid.generate_uid()
    first = template.pixel_array.copy()
    made = SimpleNamespace(instances=[], files={}, stored=[])
    for index in range(SLICES):
        stored = first + numpy.int16(index)
        if index in (1, 2):
            stored[60:70, 50:60] = 4000
        template.SOPInstanceUID = template.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        template.ImagePositionPatient = [-158.1, -179.0, -75.7 + 5.0 * index]
        template.InstanceNumber = SLICES - index
        template.PixelData = stored.tobytes()
        file = folder / f"image{(2 * index + 1) % 5}.dcm"
        template.save_as(file)
        made.instances.append(template.SOPInstanceUID)
        made.files[template.SOPInstanceUID] = str(file)
        made.stored.append(stored)
    made.stored = numpy.stack(made.stored)
    database = SimpleNamespace(fileForInstance=lambda uid: made.files.get(uid, ""), instanceValue=lambda uid, tag: "")
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    return made


def load(series):
    """As Slicer's DICOM module loads a volume: by its own reader."""
    import slicer
    import vtk

    files = vtk.vtkStringArray()
    for instance in series.instances:
        files.InsertNextValue(series.files[instance])
    volume = slicer.modules.volumes.logic().AddArchetypeScalarVolume(files.GetValue(0), "Abdomen", 0, files)
    volume.SetAttribute("DICOM.instanceUIDs", " ".join(series.instances))
    return volume


@pytest.fixture(params=["by position", "backward"])
def volume(rig, series, request):
    """backward: as from a reader that counts the slices the other way."""
    import slicer

    volume = load(series)
    if request.param == "backward":
        slicer.util.updateVolumeFromArray(volume, slicer.util.arrayFromVolume(volume)[::-1].copy())
    return volume


def written(folder):
    return sorted((pydicom.dcmread(file) for file in folder.iterdir()), key=lambda data: data.ImagePositionPatient[2])


def test_the_series_is_the_source_s_with_the_result_s_voxels(volume, series, slicer_logic, library, tmp_path):
    """The stand-in of the library subtracts 1 HU."""
    before = {file: open(file, "rb").read() for file in series.files.values()}
    corrected = slicer_logic.process(volume, method="nmar")
    assert slicer_logic.whyNoDerivedSeries(corrected) == ""
    folder, warnings = slicer_logic.exportDerivedSeries(corrected, tmp_path)
    assert warnings == []
    assert folder.parent == tmp_path and folder.name == "Abdomen (MAR_ NMAR)"
    slices = written(folder)
    assert numpy.array_equal([data.pixel_array for data in slices], series.stored - 1)
    for data, instance in zip(slices, series.instances, strict=True):
        source = pydicom.dcmread(series.files[instance])
        same = ("PatientName", "PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "ImagePositionPatient", "KVP", "RescaleSlope")
        assert [data[name].value for name in same] == [source[name].value for name in same]
        assert data.SourceImageSequence[0].ReferencedSOPInstanceUID == instance != data.SOPInstanceUID
        assert data.SeriesInstanceUID == slices[0].SeriesInstanceUID != source.SeriesInstanceUID
        assert data.ImageType[:2] == ["DERIVED", "SECONDARY"] and "(MAR: NMAR)" in data.SeriesDescription
    assert {file: open(file, "rb").read() for file in series.files.values()} == before


def test_what_is_shown_is_exported_and_each_time_as_a_new_series(volume, series, slicer_logic, metal_phantom, tmp_path):
    """By the real library: half the strength, without the input in the scene; slices without metal are the source's to the bit."""
    import slicer

    corrected = slicer_logic.process(volume, method="li", device="cpu", thresholdHu=2500, smallestComponentMm3=0.0)
    full = slicer.util.arrayFromVolume(corrected).copy()
    slicer_logic.setStrength(corrected, 0.5)
    slicer.mrmlScene.RemoveNode(volume)
    first, _ = slicer_logic.exportDerivedSeries(corrected, tmp_path)
    slices = written(first)
    shown = numpy.stack([data.pixel_array for data in slices])
    assert slices[0].SeriesDescription.endswith("(MAR: LI, 50 %)")
    assert numpy.array_equal(shown[[0, 3]], series.stored[[0, 3]]) and (shown[1] != series.stored[1]).any()
    ours = numpy.sort(slicer.util.arrayFromVolume(corrected).ravel())
    assert numpy.array_equal(numpy.sort(shown.ravel()) - 1024, ours) and not numpy.array_equal(ours, numpy.sort(full.ravel()))
    second, _ = slicer_logic.exportDerivedSeries(corrected, tmp_path)
    assert second != first and written(second)[0].SeriesInstanceUID != slices[0].SeriesInstanceUID


def test_a_saved_scene_can_be_exported(volume, series, slicer_logic, library, tmp_path):
    import slicer

    corrected = slicer_logic.process(volume, method="nmar")
    name = corrected.GetName()
    corrected.AddDefaultStorageNode()
    corrected.GetStorageNode().SetFileName(str(tmp_path / "corrected.nrrd"))
    assert corrected.GetStorageNode().WriteData(corrected)
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    assert slicer.mrmlScene.Commit()
    slicer.mrmlScene.Clear(True)
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    assert slicer.mrmlScene.Import()
    folder, _ = slicer_logic.exportDerivedSeries(slicer.util.getNode(name), tmp_path)
    assert numpy.array_equal([data.pixel_array for data in written(folder)], series.stored - 1)


def test_why_there_is_no_series_is_said(make_volume, volume, series, slicer_logic, library, monkeypatch, tmp_path):
    import slicer

    assert "Nothing is corrected yet" in slicer_logic.whyNoDerivedSeries(None)
    other = slicer_logic.process(make_volume(), method="nmar")
    with pytest.raises(InputError, match="was not made from a scan of Slicer's DICOM database.*load the scan by the DICOM module"):
        slicer_logic.exportDerivedSeries(other, tmp_path)
    corrected = slicer_logic.process(volume, method="nmar")
    monkeypatch.delattr(slicer, "dicomDatabase")
    assert "no longer in Slicer's DICOM database: import it again" in slicer_logic.whyNoDerivedSeries(corrected)


@pytest.mark.parametrize("fault", ["a file is gone", "a file is damaged", "edited", "cropped", "no place"])
def test_a_fault_is_one_sentence_and_leaves_nothing(series, rig, slicer_logic, library, tmp_path, fault):
    import slicer

    volume, out = load(series), tmp_path / "out"
    out.mkdir()
    expected = "other voxels than its files"
    if fault == "edited":
        slicer.util.arrayFromVolume(volume)[0, 0, 0] = 7
    elif fault == "cropped":
        slicer.util.updateVolumeFromArray(volume, slicer.util.arrayFromVolume(volume)[1:].copy())
    corrected = slicer_logic.process(volume, method="nmar")
    if fault == "a file is gone":
        del series.files[series.instances[2]]
        expected = "no longer in Slicer's DICOM database"
    elif fault == "a file is damaged":
        with open(series.files[series.instances[2]], "wb") as file:
            file.write(b"no DICOM")
        expected = "cannot be read"
    elif fault == "no place":
        out.rmdir()
        expected = "does not exist"
    with pytest.raises(InputError, match=expected):
        slicer_logic.exportDerivedSeries(corrected, out)
    assert not out.exists() or not list(out.iterdir())


def test_an_error_while_writing_leaves_nothing_half_written(series, rig, slicer_logic, library, tmp_path, monkeypatch):
    import pydicom as library_of_files

    corrected = slicer_logic.process(load(series), method="nmar")
    write, count = library_of_files.dcmwrite, []

    def full_disk(*arguments, **options):
        count.append(1)
        if len(count) == 3:
            raise OSError(28, "No space left on device")
        return write(*arguments, **options)

    monkeypatch.setattr(library_of_files, "dcmwrite", full_disk)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(InputError, match="the disk is full"):
        slicer_logic.exportDerivedSeries(corrected, out)
    assert len(count) == 3 and not list(out.iterdir())


def test_values_that_have_no_place_in_the_series_are_said(series, rig, slicer_logic, library, tmp_path):
    """16 bits with a sign and an intercept of -1024 hold 31743 HU at most."""
    import slicer

    corrected = slicer_logic.process(load(series), method="nmar")
    slicer.util.arrayFromVolume(corrected)[0, 0, :3] = 32000
    folder, warnings = slicer_logic.exportDerivedSeries(corrected, tmp_path)
    assert len(warnings) == 1 and warnings[0].startswith("3 voxels of 32000 to 32000 HU do not fit")
    assert max(data.pixel_array.max() for data in written(folder)) == 32767
