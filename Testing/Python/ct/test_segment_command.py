"""`sslmar segment` as a user calls it."""

from __future__ import annotations

import numpy
import pytest
import SimpleITK

from SSLMARLib import cli
from SSLMARLib.ct.reading_writing import read_mask, read_volume, write_volume
from SSLMARLib.ct.volume import CTVolume


@pytest.fixture(autouse=True)
def only_this_verb(monkeypatch):
    """The other verbs and what they import are not needed here."""
    monkeypatch.setattr(cli, "VERBS", ("segment",))


@pytest.fixture
def scan(tmp_path):
    voxels = numpy.full((6, 20, 20), -1000, numpy.int16)
    voxels[2:4, 5:10, 5:9] = 2900
    volume = CTVolume(voxels, (2.0, 0.5, 0.5), (1, 2, 3), numpy.diag([-1, -1, 1]), metadata={"descrip": "scanner"})
    write_volume(volume, tmp_path / "scan.nii.gz")
    return tmp_path / "scan.nii.gz"


def test_the_mask_and_the_line_that_says_what_was_found(scan, tmp_path, capsys):
    assert cli.main(["segment", str(scan), str(tmp_path / "mask.nrrd")]) == 0
    assert capsys.readouterr().out == f"Metal in 2 of 6 slices, 0.020 ml in 1 part: {tmp_path / 'mask.nrrd'}\n"
    image = SimpleITK.ReadImage(str(tmp_path / "mask.nrrd"))
    assert image.GetPixelID() == SimpleITK.sitkUInt8
    numpy.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image), read_volume(scan).voxels_hu == 2900)
    assert read_mask(tmp_path / "mask.nrrd", read_volume(scan)).sum() == 40


def test_options(scan, tmp_path, capsys):
    mask = tmp_path / "mask.nii.gz"
    options = ["--threshold-hu", "2500", "--dilation-mm", "0.5", "--smallest-component-mm3", "5", "--quiet"]
    assert cli.main(["segment", str(scan), str(mask), *options]) == 0
    assert capsys.readouterr().out == ""
    assert read_mask(mask, read_volume(scan)).sum() == 2 * (20 + 2 * 5 + 2 * 4)
    assert cli.main(["segment", str(scan), str(mask)]) == 2
    assert cli.main(["segment", str(scan), str(mask), "--overwrite"]) == 0
    assert read_mask(mask, read_volume(scan)).sum() == 40


@pytest.mark.parametrize(
    "output, options, sentence",
    [
        ("mask.nrrd", ["--threshold-hu", "2950"], "no voxel reaches 2950 HU, the maximum is 2900 HU"),
        ("mask.nrrd", ["--threshold-hu", "3500"], "12-bit scanners stop at 3071 HU"),
        ("mask", [], "no known suffix"),
        ("no/mask.nrrd", [], "does not exist"),
        ("scan.nii.gz", ["--overwrite"], "is the input itself"),
    ],
)
def test_refusals_end_with_2_one_line_and_no_file(scan, tmp_path, capsys, output, options, sentence):
    assert cli.main(["segment", str(scan), str(tmp_path / output), *options]) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1 and error.startswith("sslmar: error: ")
    assert [path.name for path in tmp_path.iterdir()] == ["scan.nii.gz"]


def test_a_dicom_folder_gives_a_mask_file_without_patient_data(make_dicom_series, tmp_path):
    expected = make_dicom_series(tmp_path / "scan")
    assert cli.main(["segment", str(tmp_path / "scan"), str(tmp_path / "mask.nrrd"), "--peak-hu", "0"]) == 0
    mask = read_mask(tmp_path / "mask.nrrd", read_volume(tmp_path / "scan"))
    assert mask.any() and (expected[mask] >= 2000).all()
    assert b"ller" not in (tmp_path / "mask.nrrd").read_bytes()
    assert cli.main(["segment", str(tmp_path / "scan"), str(tmp_path / "mask")]) == 2


def test_values_that_are_no_hu_are_warned_about(tmp_path, caplog):
    voxels = numpy.zeros((2, 9, 9), numpy.uint16)
    voxels[:, 3:5, 3:5] = 4000
    write_volume(CTVolume(voxels, (1, 1, 1)), tmp_path / "scan.nrrd")
    assert cli.main(["segment", str(tmp_path / "scan.nrrd"), str(tmp_path / "mask.nrrd")]) == 0
    assert "from 0 to 4000, but air is -1000 HU" in caplog.text
