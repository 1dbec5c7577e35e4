"""What a folder, a zip archive or a DICOMDIR holds, series by series."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import numpy
import pydicom
import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from SSLMARLib.cli import main
from SSLMARLib.ct.dicom_header import is_dicom_file
from SSLMARLib.ct.dicom_series import list_series
from SSLMARLib.ct.reading_writing import read_volume, refuse_output, write_volume
from SSLMARLib.errors import InputError


def reasons(path):
    return {series.description: series.reason_not_ct for series in list_series(path)}


def without_preamble(path, transfer_syntax=pydicom.uid.ImplicitVRLittleEndian):
    """As treatment planning systems write them: the data set alone."""
    data = pydicom.dcmread(path)
    implicit, little = transfer_syntax.is_implicit_VR, transfer_syntax.is_little_endian
    pydicom.filewriter.dcmwrite(path, remove_meta(data), implicit_vr=implicit, little_endian=little, force_encoding=True)


def remove_meta(data):
    plain = pydicom.Dataset()
    plain.update(data)
    return plain


def test_series_say_what_they_are(tmp_path, make_dicom_series):
    make_dicom_series(tmp_path / "scan", description="Head soft")
    make_dicom_series(tmp_path / "scan", slices=3, description="Head bone", prefix="B")
    make_dicom_series(tmp_path / "scan", slices=2, description="Topogram", image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"), prefix="A")
    make_dicom_series(tmp_path / "scan", slices=2, description="PET", modality="PT", prefix="P")
    make_dicom_series(tmp_path / "scan", slices=1, description="Dose", modality="RTDOSE", prefix="D")
    make_dicom_series(tmp_path / "scan", slices=1, description="Flow", image_type=("DERIVED", "PRIMARY", "AXIAL", "CBF"), prefix="F")
    make_dicom_series(tmp_path / "scan", slices=1, description="Zeff", prefix="Z", RescaleType="Z_EFF")
    capture = {"SOPClassUID": pydicom.uid.SecondaryCaptureImageStorage}
    make_dicom_series(tmp_path / "scan", slices=1, description="Protocol", prefix="S", **capture)
    (tmp_path / "scan" / "notes.txt").write_text("not DICOM")
    found = {series.description: series for series in list_series(tmp_path / "scan")}
    assert reasons(tmp_path / "scan") == {
        "Head soft": None,
        "Head bone": None,
        "Topogram": "it is a scout (localizer)",
        "PET": "its modality is PT, not CT",
        "Dose": "it is a dose grid",
        "Flow": "it is a map of other values than HU (image type DERIVED/PRIMARY/AXIAL/CBF)",
        "Zeff": "its values are in Z_EFF, not in HU",
        "Protocol": "it is a screenshot (secondary capture)",
    }
    bone = found["Head bone"]
    header = pydicom.dcmread(tmp_path / "scan" / "B003")
    assert (bone.uid, bone.study_uid, bone.modality) == (header.SeriesInstanceUID, header.StudyInstanceUID, "CT")
    assert bone.number_of_slices == 3 and sorted(map(os.path.basename, bone.files)) == ["B003", "B010", "B017"]
    assert found["Topogram"].number_of_slices == 0


def test_images_of_the_scan_itself_are_no_maps(tmp_path, make_dicom_series):
    make_dicom_series(tmp_path / "scan", image_type=("ORIGINAL", "PRIMARY", "AXIAL", "PERFUSION"), RescaleType="HU_MOD")
    assert reasons(tmp_path / "scan") == {"Head native": None}


def test_a_study_in_subfolders(tmp_path, make_dicom_series):
    (tmp_path / "study").mkdir()
    make_dicom_series(tmp_path / "study" / "one", description="one")
    make_dicom_series(tmp_path / "study" / "two", slices=2, description="two")
    assert reasons(tmp_path / "study") == {"one": None, "two": None}
    assert list_series(tmp_path / "study", subfolders=False) == []


@pytest.mark.parametrize(
    "syntax", [pydicom.uid.ImplicitVRLittleEndian, pydicom.uid.ExplicitVRLittleEndian, pydicom.uid.ExplicitVRBigEndian]
)
def test_files_without_a_preamble_belong_to_it(tmp_path, make_dicom_series, syntax):
    make_dicom_series(tmp_path / "scan")
    for name in ("IM003", "IM010"):
        without_preamble(tmp_path / "scan" / name, syntax)
        assert (tmp_path / "scan" / name).read_bytes()[128:132] != b"DICM"
    (series,) = list_series(tmp_path / "scan")
    assert series.number_of_slices == 5 and len(series.files) == 5


@pytest.mark.parametrize(
    "content", [b"", b"short", b"\x08\0\0\0" * 40, b"\x08\0" + b"x" * 200, b"PNG" * 80, b"{" + b'"a": 1,' * 50, b"\0" * 500]
)
def test_other_files_are_no_dicom(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    assert not is_dicom_file(tmp_path / "file")


def test_what_cannot_be_read_is_named(tmp_path, make_dicom_series, caplog):
    make_dicom_series(tmp_path / "scan")
    cut, damaged = tmp_path / "scan" / "IM010", tmp_path / "scan" / "IM017"
    cut.write_bytes(cut.read_bytes()[:-10])
    damaged.write_bytes(damaged.read_bytes()[:300])
    (series,) = list_series(tmp_path / "scan")
    assert series.number_of_slices == 3
    assert "IM010: it is cut off: pixels are missing" in caplog.text and "IM017: " in caplog.text


def test_a_zip_archive_whatever_its_name(tmp_path, make_dicom_series, caplog):
    make_dicom_series(tmp_path / "scan")
    make_dicom_series(tmp_path / "other", slices=2, description="other")
    with zipfile.ZipFile(tmp_path / "study.bin", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((tmp_path / "scan").iterdir()):
            archive.write(path, f"../../disk/{path.name}")  # as a hostile archive would name them
            archive.write(path, f"disk/again/{path.name}.txt")
        for path in (tmp_path / "other").iterdir():
            archive.write(path, f"disk/other/{path.name}")
        archive.writestr("disk/read me.html", "<html>" * 100)
    found = {series.description: series for series in list_series(tmp_path / "study.bin")}
    assert found["other"].number_of_slices == 2 and len(found["Head native"].files) == 10
    assert all(os.path.exists(file) for file in found["other"].files)
    assert not (tmp_path.parent.parent / "disk").exists()
    assert [series.files for series in list_series(tmp_path / "study.bin")] == [series.files for series in found.values()]  # unpacked once


def test_archives_that_cannot_be_unpacked(tmp_path, make_dicom_series):
    make_dicom_series(tmp_path / "scan", slices=1)
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(tmp_path / "scan" / "IM003", "IM003")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="is damaged"):
        list_series(path)
    encrypted = bytearray(whole)
    encrypted[6] |= 1  # the flag of encryption, in the member's header and in the directory's
    encrypted[whole.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(encrypted)
    with pytest.raises(InputError, match="is encrypted"):
        list_series(path)


def directory(folder, names):
    """A DICOMDIR with the least that lists files."""
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = pydicom.uid.MediaStorageDirectoryStorage
    data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.FileSetID, data.DirectoryRecordSequence = "DISK", [pydicom.Dataset()]
    data.DirectoryRecordSequence[0].DirectoryRecordType = "PATIENT"
    for name in names:
        record = pydicom.Dataset()
        record.DirectoryRecordType, record.ReferencedFileID = "IMAGE", name
        record.ReferencedSOPClassUIDInFile = CTImageStorage
        data.DirectoryRecordSequence.append(record)
    data.save_as(folder / "DICOMDIR", enforce_file_format=True)


def test_a_dicomdir_brings_the_files_that_it_lists(tmp_path, make_dicom_series, caplog):
    make_dicom_series(tmp_path / "scan")
    (tmp_path / "disk" / "dicom").mkdir(parents=True)
    shutil.copytree(tmp_path / "scan", tmp_path / "disk" / "dicom" / "pat1")  # small letters, as copied from a medium
    names = [["DICOM", "PAT1", path.name] for path in (tmp_path / "scan").iterdir()]
    directory(tmp_path / "disk", [*names[:4], ["DICOM", "PAT1", "GONE"], ["..", "..", "x"], "X"])
    (series,) = list_series(tmp_path / "disk" / "DICOMDIR")
    assert series.number_of_slices == 4
    assert "lists files that are not there: DICOM/PAT1/GONE, ../../x, X" in caplog.text
    (tmp_path / "disk" / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM" + b"\4\0\x20\x12SQ\0\0\xff\xff\xff\xff\1\2")
    with pytest.raises(InputError, match="DICOMDIR"):
        list_series(tmp_path / "disk" / "DICOMDIR")


def test_what_is_not_there_or_not_allowed(tmp_path, make_dicom_series):
    with pytest.raises(InputError, match="does not exist"):
        list_series(tmp_path / "gone")
    (tmp_path / "text.txt").write_text("no DICOM at all")
    assert list_series(tmp_path / "text.txt") == []


def test_text_of_headers_commands_no_terminal(tmp_path, make_dicom_series):
    make_dicom_series(tmp_path / "scan", description="\x1b[31mred", modality="C\x1bT")
    (series,) = list_series(tmp_path / "scan")
    assert "\x1b" not in series.describe() and "red" in series.description


def test_one_of_several_series_is_chosen_by_its_uid(tmp_path, make_dicom_series, caplog):
    soft = make_dicom_series(tmp_path / "scan", description="Head soft")
    bone = make_dicom_series(tmp_path / "scan", slices=3, description="Head bone", prefix="B")
    make_dicom_series(tmp_path / "scan", slices=2, description="Topogram", image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"), prefix="A")
    uids = {series.description: series.uid for series in list_series(tmp_path / "scan")}
    with pytest.raises(InputError, match="2 CT series .*--series UID") as raised:
        read_volume(tmp_path / "scan")
    assert all(uid in str(raised.value) for uid in uids.values())
    numpy.testing.assert_array_equal(read_volume(tmp_path / "scan", uids["Head bone"]).voxels_hu, bone)
    numpy.testing.assert_array_equal(read_volume(tmp_path / "scan", uids["Head soft"]).voxels_hu, soft)
    with pytest.raises(InputError, match="no series with the UID 1.2.3"):
        read_volume(tmp_path / "scan", "1.2.3")
    with pytest.raises(InputError, match="holds no CT .*scout"):
        read_volume(tmp_path / "scan", uids["Topogram"])
    metal = ["--threshold-hu", "1000", "--peak-hu", "0", "--smallest-component-mm3", "0"]
    assert main(["segment", str(tmp_path / "scan"), str(tmp_path / "mask.nrrd"), "--series", uids["Head bone"], *metal]) == 0
    assert read_volume(tmp_path / "mask.nrrd").shape[0] == 3
    with pytest.raises(InputError, match="is no DICOM"):
        read_volume(tmp_path / "mask.nrrd", uids["Head bone"])


@pytest.mark.parametrize("kind", ["folder", "zip", "DICOMDIR", "folder with a DICOMDIR"])
def test_a_series_is_read_from_whatever_brings_it(tmp_path, make_dicom_series, kind):
    (tmp_path / "disk").mkdir()
    expected = make_dicom_series(tmp_path / "disk" / "CT")
    path = tmp_path / "disk"
    if kind == "zip":
        path = Path(shutil.make_archive(str(tmp_path / "study"), "zip", tmp_path / "disk"))
    elif kind != "folder":
        directory(path, [["CT", item.name] for item in (path / "CT").iterdir()])
        path = path if kind.startswith("folder") else path / "DICOMDIR"
    volume = read_volume(path)
    numpy.testing.assert_array_equal(volume.voxels_hu, expected)
    refuse_output(tmp_path / "out", path, overwrite=False)
    write_volume(volume.with_voxels(volume.voxels_hu + 1), tmp_path / "out")
    numpy.testing.assert_array_equal(read_volume(tmp_path / "out").voxels_hu, expected + 1)
