"""DICOM series: order, geometry, choice of the series, and the series that is written."""

from __future__ import annotations

import logging
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pytest

from SSLMARLib.ct.reading_writing import read_volume, refuse_output, write_volume
from SSLMARLib.errors import InputError

pydicom = pytest.importorskip("pydicom")


def written(folder):
    return [pydicom.dcmread(path) for path in sorted(folder.iterdir())]


def hu_of(data):
    return data.pixel_array * float(data.RescaleSlope) + float(data.RescaleIntercept)


@pytest.mark.parametrize("signed", [True, False])
def test_slices_are_sorted_by_position_and_rescaled(tmp_path, make_dicom_series, signed):
    expected = make_dicom_series(tmp_path / "scan", padding=-2000 if signed else 40, signed=signed)
    volume = read_volume(tmp_path / "scan")
    assert volume.voxels_hu.dtype == numpy.int16
    numpy.testing.assert_array_equal(volume.voxels_hu, expected)
    if signed:
        assert volume.voxels_hu.min() == -3024
    assert volume.spacing_mm == pytest.approx((1.5, 0.515625, 0.4))
    assert volume.origin_mm == pytest.approx((-120.123456, -30.5, 485.5))
    numpy.testing.assert_allclose(volume.direction, numpy.eye(3), atol=1e-12)


def test_a_tilted_gantry_becomes_a_sheared_direction(tmp_path, make_dicom_series, caplog):
    expected = make_dicom_series(tmp_path / "scan", tilt_degrees=15)
    with caplog.at_level(logging.INFO):
        volume = read_volume(tmp_path / "scan")
    assert "15.0 degrees" in caplog.text
    numpy.testing.assert_array_equal(volume.voxels_hu, expected)
    assert volume.is_sheared
    # the slices were moved along z, 1.5 mm each, whatever the tilt
    step = volume.index_to_position_mm()[:3, 2]
    numpy.testing.assert_allclose(step, [0, 0, 1.5], atol=1e-6)
    angle = math.degrees(math.acos(volume.direction[:, 2] @ numpy.cross(volume.direction[:, 0], volume.direction[:, 1])))
    assert angle == pytest.approx(15, abs=1e-6)
    for suffix in (".nrrd", ".nii.gz", ".mha", ".nii"):  # NIfTI needs its sform for that
        write_volume(volume, tmp_path / f"out{suffix}")
        again = read_volume(tmp_path / f"out{suffix}")
        assert again.same_geometry(volume, tolerance_mm=1e-4)
        numpy.testing.assert_array_equal(again.voxels_hu, expected)


def test_a_missing_slice_is_said_and_accepted(tmp_path, make_dicom_series, caplog):
    expected = make_dicom_series(tmp_path / "scan", slices=8, missing=(3,))
    volume = read_volume(tmp_path / "scan")
    assert "missing or unevenly spaced (1.5 to 3 mm" in caplog.text
    numpy.testing.assert_array_equal(volume.voxels_hu, expected)
    assert volume.spacing_mm[0] == pytest.approx(1.5)
    write_volume(volume, tmp_path / "out")
    positions = [float(data.ImagePositionPatient[2]) for data in written(tmp_path / "out")]
    assert positions == pytest.approx([485.5 + 1.5 * index for index in (0, 1, 2, 4, 5, 6, 7)])


def test_rounded_positions_are_not_called_uneven(tmp_path, make_dicom_series, caplog):
    make_dicom_series(tmp_path / "scan", slices=9, distance_mm=1.3333333)
    volume = read_volume(tmp_path / "scan")
    assert "unevenly" not in caplog.text
    assert volume.spacing_mm[0] == pytest.approx(1.3333333, abs=1e-6)


def test_two_ct_series_are_refused_by_name(tmp_path, make_dicom_series):
    make_dicom_series(tmp_path / "scan", description="Head soft")
    make_dicom_series(tmp_path / "scan", slices=3, description="Head bone", prefix="B")
    with pytest.raises(InputError, match='2 CT series .*CT "Head bone", 3 images.*CT "Head soft", 5 images'):
        read_volume(tmp_path / "scan")


def test_a_localizer_and_a_report_beside_the_series_do_not_matter(tmp_path, make_dicom_series, caplog):
    expected = make_dicom_series(tmp_path / "scan")
    make_dicom_series(tmp_path / "scan", slices=1, description="Topogram", image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"), prefix="A")
    make_dicom_series(tmp_path / "scan", slices=2, description="PET", modality="PT", prefix="P")
    (tmp_path / "scan" / "notes.txt").write_text("not DICOM")
    (tmp_path / "scan" / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    numpy.testing.assert_array_equal(read_volume(tmp_path / "scan").voxels_hu, expected)
    uid = pydicom.dcmread(tmp_path / "scan" / "IM003").SeriesInstanceUID
    assert f': CT "Head native", 5 images, first file IM003, UID {uid} is read' in " ".join(caplog.text.split())


def test_images_of_another_orientation_in_the_series_are_left_out(tmp_path, make_dicom_series, caplog):
    expected = make_dicom_series(tmp_path / "scan")
    make_dicom_series(tmp_path / "other", slices=1, ImageOrientationPatient=[1, 0, 0, 0, 0, -1])
    uid = pydicom.dcmread(tmp_path / "scan" / "IM003").SeriesInstanceUID
    data = pydicom.dcmread(tmp_path / "other" / "IM003")
    data.SeriesInstanceUID = uid
    data.save_as(tmp_path / "scan" / "A")
    numpy.testing.assert_array_equal(read_volume(tmp_path / "scan").voxels_hu, expected)
    assert "1 of 6 images differ in frame of reference from the others and are left out: A." in caplog.text


def test_copies_are_dropped_and_phases_refused(tmp_path, make_dicom_series, caplog):
    expected = make_dicom_series(tmp_path / "scan")
    shutil.copy(tmp_path / "scan" / "IM010", tmp_path / "scan" / "copy")
    numpy.testing.assert_array_equal(read_volume(tmp_path / "scan").voxels_hu, expected)
    assert "is a copy" in caplog.text
    data = pydicom.dcmread(tmp_path / "scan" / "copy")
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    data.save_as(tmp_path / "scan" / "copy")
    with pytest.raises(InputError, match="two images at one position"):
        read_volume(tmp_path / "scan")


def test_one_slice_as_folder_and_as_file(tmp_path, make_dicom_series):
    expected = make_dicom_series(tmp_path / "scan", slices=1)
    for path in (tmp_path / "scan", tmp_path / "scan" / "IM003"):
        volume = read_volume(path)
        numpy.testing.assert_array_equal(volume.voxels_hu, expected)
        assert volume.spacing_mm == pytest.approx((1.25, 0.515625, 0.4))
        write_volume(volume, tmp_path / f"out{path.name}")
        numpy.testing.assert_array_equal(read_volume(tmp_path / f"out{path.name}").voxels_hu, expected)


def test_folders_that_hold_nothing_to_read(tmp_path, make_dicom_series):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no DICOM images"):
        read_volume(tmp_path / "empty")
    make_dicom_series(tmp_path / "scan", slices=2)
    for path in (tmp_path / "scan").iterdir():
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="no DICOM images"):
        read_volume(tmp_path / "scan")


def test_a_damaged_slice_is_named(tmp_path, make_dicom_series, caplog):
    make_dicom_series(tmp_path / "scan")
    damaged = tmp_path / "scan" / "IM017"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    assert read_volume(tmp_path / "scan").shape[0] == 4
    assert "IM017" in caplog.text and "unevenly spaced" in caplog.text


def test_the_written_series_is_new_and_belongs_to_the_patient(tmp_path, make_dicom_series):
    expected = make_dicom_series(tmp_path / "scan", padding=-2000, tilt_degrees=10)
    volume = read_volume(tmp_path / "scan")
    corrected = volume.voxels_hu.copy()
    corrected[2, 5:, 3:] += 77
    write_volume(volume.with_voxels(corrected), tmp_path / "out")
    by_position = {tuple(data.ImagePositionPatient): data for data in map(pydicom.dcmread, (tmp_path / "scan").iterdir())}
    results = written(tmp_path / "out")
    assert len(results) == 5
    assert len({data.SeriesInstanceUID for data in results}) == 1
    assert len({data.SOPInstanceUID for data in results}) == 5
    for index, data in enumerate(results):
        original = by_position[tuple(data.ImagePositionPatient)]
        numpy.testing.assert_array_equal(hu_of(data), corrected[index])
        assert data.SeriesInstanceUID != original.SeriesInstanceUID
        assert data.SOPInstanceUID != original.SOPInstanceUID == original.file_meta.MediaStorageSOPInstanceUID
        assert data.file_meta.MediaStorageSOPInstanceUID == data.SOPInstanceUID
        assert data.SOPClassUID == original.SOPClassUID
        assert list(data.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
        assert data.SeriesDescription == "Head native (MAR)"
        assert data.SeriesNumber == 1003
        assert str(data.PatientName) == "Müller^Jörg" and data.SpecificCharacterSet == "ISO_IR 100"
        assert data.PixelPaddingValue == -2000
        for name in (
            *("PatientID", "StudyInstanceUID", "StudyDate", "StudyTime", "AccessionNumber", "FrameOfReferenceUID"),
            *("ImageOrientationPatient", "PixelSpacing", "SliceThickness", "KVP", "InstanceNumber", "RescaleType"),
        ):
            assert data[name].value == original[name].value, name
    again = read_volume(tmp_path / "out")
    numpy.testing.assert_array_equal(again.voxels_hu, corrected)
    assert again.same_geometry(volume, tolerance_mm=1e-6)
    assert not numpy.array_equal(expected, corrected)


@pytest.mark.parametrize("slope, intercept", [(0.5, -1000), (1.0003, -1024.5), (10, -10240)])
def test_a_fractional_slope_keeps_unchanged_values_to_the_bit(tmp_path, make_dicom_series, slope, intercept):
    expected = make_dicom_series(tmp_path / "scan", slices=2, slope=slope, intercept=intercept)
    volume = read_volume(tmp_path / "scan")
    numpy.testing.assert_array_equal(volume.voxels_hu, expected)
    corrected = volume.voxels_hu.copy()
    corrected[1, 3] += 3.3 if corrected.dtype.kind == "f" else 3
    write_volume(volume.with_voxels(corrected), tmp_path / "out")
    again = read_volume(tmp_path / "out").voxels_hu
    numpy.testing.assert_array_equal(again[0], expected[0])
    numpy.testing.assert_array_equal(numpy.delete(again[1], 3, 0), numpy.delete(expected[1], 3, 0))
    assert numpy.abs(again[1, 3].astype(float) - corrected[1, 3]).max() <= slope / 2 + 1e-9


@pytest.mark.parametrize("signed, lowest_hu, highest_hu", [(False, -1024, 3071), (True, -3072, 1023)])
def test_values_beyond_the_depth_of_the_source_are_set_to_its_ends_and_counted(
    tmp_path, make_dicom_series, caplog, signed, lowest_hu, highest_hu
):
    make_dicom_series(tmp_path / "scan", slices=2, signed=signed, BitsStored=12, HighBit=11)
    volume = read_volume(tmp_path / "scan")
    changed = volume.voxels_hu.astype(numpy.float32)
    changed[1, 0, :3] = 40000, -5000, numpy.float32(-900.4)
    write_volume(volume.with_voxels(changed), tmp_path / "out")
    assert "2 voxels of -5000 to 40000 HU do not fit" in caplog.text
    again = read_volume(tmp_path / "out").voxels_hu
    numpy.testing.assert_array_equal(again[1, 0, :3], [highest_hu, lowest_hu, -900])
    changed[1, 0, :3] = again[1, 0, :3]
    numpy.testing.assert_array_equal(again, changed)
    for data in written(tmp_path / "out"):
        assert (data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation) == (16, 12, 11, int(signed))


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device"), RuntimeError("ITK\nERROR")])
def test_an_interrupted_folder_leaves_nothing(tmp_path, make_dicom_series, monkeypatch, error):
    make_dicom_series(tmp_path / "scan", slices=3)
    volume = read_volume(tmp_path / "scan")
    from SSLMARLib.ct import dicom_writing

    calls = []

    derived = dicom_writing._derived

    def fail_at_the_third(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise error
        return derived(*arguments)

    monkeypatch.setattr(dicom_writing, "_derived", fail_at_the_third)
    with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else InputError) as raised:
        write_volume(volume, tmp_path / "out")
    assert "\n" not in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["scan"]


def test_folders_are_overwritten_only_when_asked_and_only_dicom(tmp_path, make_dicom_series):
    expected = make_dicom_series(tmp_path / "scan")
    volume = read_volume(tmp_path / "scan")
    out = tmp_path / "out"
    out.mkdir()
    write_volume(volume, out)  # an empty folder is no loss
    with pytest.raises(InputError, match="--overwrite"):
        write_volume(volume, out)
    write_volume(volume, out, overwrite=True)
    numpy.testing.assert_array_equal(read_volume(out).voxels_hu, expected)
    (out / "thesis.txt").write_text("the only copy")
    with pytest.raises(InputError, match="more than DICOM"):
        write_volume(volume, out, overwrite=True)
    assert (out / "thesis.txt").exists() and len(list(out.iterdir())) == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "scan"]


def test_outputs_that_touch_the_input_are_refused(tmp_path, make_dicom_series):
    make_dicom_series(tmp_path / "scan")
    (tmp_path / "link").symlink_to(tmp_path / "scan")
    volume = read_volume(tmp_path / "scan")
    for output in (tmp_path / "scan", tmp_path / "link", tmp_path / "scan" / ".." / "scan", tmp_path):
        with pytest.raises(InputError, match="is the input itself"):
            refuse_output(output, tmp_path / "scan", overwrite=True)
        with pytest.raises(InputError, match="is the input itself"):
            write_volume(volume, output, overwrite=True)
    with pytest.raises(InputError, match="is the input itself"):
        refuse_output(tmp_path / "scan", tmp_path / "scan" / "IM003", overwrite=True)
    refuse_output(tmp_path / "new", [tmp_path / "scan", tmp_path / "mask.nrrd"], overwrite=False)
    with pytest.raises(InputError, match="no known suffix"):
        refuse_output(tmp_path / "new", tmp_path / "scan", overwrite=False, kind="mask")
    with pytest.raises(InputError, match="no known suffix"):
        refuse_output(tmp_path / "new.tiff", tmp_path / "scan", overwrite=False)
    refuse_output(tmp_path / "1.2.840.42", tmp_path / "scan", overwrite=False)


def test_another_modality_is_only_warned_about(tmp_path, make_dicom_series, caplog):
    make_dicom_series(tmp_path / "scan", modality="MR")
    assert read_volume(tmp_path / "scan").shape[0] == 5
    assert "modality MR" in caplog.text


def test_a_patient_name_in_japanese_survives(tmp_path, make_dicom_series):
    make_dicom_series(tmp_path / "scan", slices=1, SpecificCharacterSet="ISO_IR 192", patient_name="山田^太郎")
    write_volume(read_volume(tmp_path / "scan"), tmp_path / "out")
    assert str(written(tmp_path / "out")[0].PatientName) == "山田^太郎"


def test_original_files_that_went_away_are_named(tmp_path, make_dicom_series):
    make_dicom_series(tmp_path / "scan")
    volume = read_volume(tmp_path / "scan")
    Path(volume.dicom_files[1]).unlink()
    with pytest.raises(InputError, match="needed for its header"):
        write_volume(volume, tmp_path / "out")


RENAME_THAT_HANGS = """
import hashlib, os, sys
from SSLMARLib.ct.reading_writing import read_volume, write_volume
from SSLMARLib.commands.interruption import Interruption

volume, replace, calls = read_volume(sys.argv[1]), os.replace, []
def hang(*arguments):
    calls.append(arguments)
    if len(calls) == {number} and not {after}:
        wait()
    replace(*arguments)
    if len(calls) == {number}:
        wait()
def wait():
    print("now", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
try:
    with Interruption():
        os.replace = hang
        write_volume(volume.with_voxels(volume.voxels_hu + 1), sys.argv[2], overwrite=True)
except KeyboardInterrupt:  # the signal came before the wait
    sys.exit(130)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number, after", [(1, False), (1, True), (2, False), (2, True)])
def test_a_rename_that_hangs_and_a_polite_kill_leave_one_whole_series(tmp_path, make_dicom_series, repository, number, after):
    expected = make_dicom_series(tmp_path / "scan", slices=3)
    shutil.copytree(tmp_path / "scan", tmp_path / "out")
    script = RENAME_THAT_HANGS.format(number=number, after=after)
    command = [sys.executable, "-c", script, str(tmp_path / "scan"), str(tmp_path / "out")]
    with subprocess.Popen(command, cwd=repository, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "now\n", process.communicate()
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "scan"]
    numpy.testing.assert_array_equal(read_volume(tmp_path / "out").voxels_hu, expected + (number == 2 and after))


@pytest.mark.parametrize("number", [1, 2])
def test_a_rename_that_fails_leaves_the_former_series(tmp_path, make_dicom_series, monkeypatch, number):
    expected, calls, replace = make_dicom_series(tmp_path / "scan"), [], os.replace
    volume = read_volume(tmp_path / "scan")
    shutil.copytree(tmp_path / "scan", tmp_path / "out")

    def fail(*arguments):
        calls.append(arguments)
        if len(calls) == number:
            raise OSError(5, "Input/output error")
        replace(*arguments)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(InputError, match="could not be written"):
        write_volume(volume.with_voxels(volume.voxels_hu + 1), tmp_path / "out", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "scan"]
    numpy.testing.assert_array_equal(read_volume(tmp_path / "out").voxels_hu, expected)
