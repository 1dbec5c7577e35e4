"""What is written as DICOM, seen by the validator of dicom3tools, by DCMTK, GDCM and Slicer's own readers."""

from __future__ import annotations

import re

import numpy
import pytest
import SimpleITK


def errors_of(tool, path) -> set[str]:
    """What dciodvfy calls errors; the numbers that tell frames and items apart are left out."""
    said = tool("dciodvfy", path, check=False).stderr.splitlines()
    return {re.sub(r"\[\d+\]", "[]", line) for line in said if line.startswith("Error")}


def test_dciodvfy_finds_no_error_that_the_source_has_not(tool, pair):
    known = set().union(*(errors_of(tool, path) for path in pair.source))
    found = set().union(*(errors_of(tool, path) for path in pair.derived))
    assert found <= known


def test_dciodvfy_finds_errors_where_there_are_some(tool, make_pair, tmp_path):
    import pydicom

    data = pydicom.dcmread(make_pair("plain").derived[0])
    del data.PatientID, data.SeriesInstanceUID
    data.save_as(tmp_path / "incomplete.dcm")
    assert len(errors_of(tool, tmp_path / "incomplete.dcm")) >= 2


def test_dciodvfy_finds_no_error_in_the_segmentation(tool, pair):
    assert not errors_of(tool, pair.segmentation)


def test_dcmtk_reads_and_draws_it(tool, pair, tmp_path):
    for number, path in enumerate((*pair.derived, pair.segmentation)):
        text = tool("dcmdump", "+L", path)
        assert "(7fe0,0010)" in text.stdout and "E:" not in text.stderr and "W:" not in text.stderr
        picture = tmp_path / f"{number}.pgm"
        tool("dcmj2pnm", "--write-raw-pnm", path, picture)
        assert picture.read_bytes().startswith(b"P5")


def test_gdcm_reads_it(tool, pair):
    for path in (*pair.derived, pair.segmentation):
        assert "Dimensions:" in tool("gdcminfo", path).stdout


def test_itk_sees_both_at_one_place(pair):
    """By its GDCM reader, which knows single frames and, roughly, enhanced objects."""
    images = [
        SimpleITK.ReadImage([str(path) for path in files] if len(files) > 1 else str(files[0])) for files in (pair.source, pair.derived)
    ]
    source, derived = images
    numpy.testing.assert_allclose(derived.GetSpacing(), source.GetSpacing(), rtol=1e-9)
    numpy.testing.assert_allclose(derived.GetOrigin(), source.GetOrigin(), rtol=1e-9)
    numpy.testing.assert_allclose(derived.GetDirection(), source.GetDirection(), atol=1e-9)
    changed = SimpleITK.GetArrayFromImage(derived).astype(float) - SimpleITK.GetArrayFromImage(source)
    assert set(numpy.unique(changed)) == {-5.0, 0.0}


def test_pydicom_sees_both_at_one_place(pair):
    import pydicom

    def places(files):
        found = []
        for data in map(pydicom.dcmread, files):
            shared = data.SharedFunctionalGroupsSequence[0] if "SharedFunctionalGroupsSequence" in data else data
            for group in data.get("PerFrameFunctionalGroupsSequence", [data]):
                position = group.PlanePositionSequence[0] if "PlanePositionSequence" in group else group
                orientation = shared.PlaneOrientationSequence[0] if "PlaneOrientationSequence" in shared else group
                measures = shared.PixelMeasuresSequence[0] if "PixelMeasuresSequence" in shared else group
                found.append((*position.ImagePositionPatient, *orientation.ImageOrientationPatient, *measures.PixelSpacing))
        return found

    assert places(pair.derived) == places(pair.source) and len(places(pair.source)) >= 6


@pytest.mark.parametrize("name", ["plain", "gantry_tilt", "big_endian", "jpeg_ls"])  # of enhanced objects it reads no geometry
def test_slicer_sees_both_at_one_place(make_pair, name):
    slicer = pytest.importorskip(
        "slicer", reason="slicer-core cannot be imported, so this test did NOT run: pip install slicer-core", exc_type=ImportError
    )
    import vtk

    pair = make_pair(name)
    places = []
    for files in (pair.source, pair.derived):
        scene, storage = slicer.vtkMRMLScene(), slicer.vtkMRMLVolumeArchetypeStorageNode()
        volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
        scene.AddNode(storage)
        storage.SetFileName(str(files[0]))
        storage.ResetFileNameList()
        for file in files:
            storage.AddFileName(str(file))
        storage.SetSingleFile(0)
        assert storage.ReadData(volume)
        matrix = vtk.vtkMatrix4x4()
        volume.GetIJKToRASMatrix(matrix)
        numbers = [matrix.GetElement(row, column) for row in range(4) for column in range(4)]
        places.append((volume.GetImageData().GetDimensions(), numbers))
    assert places[0][0] == places[1][0]
    numpy.testing.assert_allclose(places[1][1], places[0][1], atol=1e-9)
