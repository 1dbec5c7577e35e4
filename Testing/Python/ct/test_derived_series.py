"""A derived series: each element of its source is kept, or changed or removed as the lists in `dicom_elements` say."""

from __future__ import annotations

import logging

import numpy
import pytest
from odd_series import KINDS
from odd_series.building import Series

from SSLMARLib._version import __version__
from SSLMARLib.ct import dicom_elements
from SSLMARLib.ct.reading_writing import read_volume, write_volume
from SSLMARLib.ct.series_kind import SIMULATED_METAL, corrected_by
from SSLMARLib.errors import InputError

pydicom = pytest.importorskip("pydicom")
from pydicom.datadict import DicomDictionary, tag_for_keyword  # noqa: E402
from pydicom.dataset import Dataset  # noqa: E402

KIND = corrected_by("SSLMAR", {"weights": "own.safetensors", "weights_sha256": "ab12" * 16})
VALUES = {
    **dict.fromkeys(("AE", "LO", "SH", "UC", "LT", "ST", "UT"), "kept"),
    "CS": "KEPT",
    "AS": "042Y",
    "DA": "20200131",
    "DT": "20200131101500",
    "TM": "101500",
    "DS": "12.5",
    "IS": "7",
    "UI": "1.2.840.99",
    "UR": "https://a.org",
    "PN": "Muster^Erika",
    "US": 5,
    "SS": -5,
    "UL": 6,
    "SL": -6,
    "FD": 0.25,
    "FL": 0.5,
    "SV": -7,
    "UV": 7,
    "AT": 0x00100010,
    "OB": b"\1\2",
    "OW": b"\1\2",
    "UN": b"\1\2",
    "OF": b"\1\2\3\4",
    "OL": b"\1\2\3\4",
    "OD": b"\1" * 8,
    "OV": b"\1" * 8,
}
OF_THE_READING = ("ModalityLUTSequence", "TemporalPositionIndex", "PixelSpacing", "RescaleType", "NumberOfFrames")
"""What would make another series of it."""
UNITS = {"SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"}


READ_AGAIN = [kind for kind in KINDS if kind.refused is None]


def rich_series() -> Series:
    """Every element of the standard's dictionary, each group's, with sequences two deep, private elements, overlays and a repeated one."""
    series = Series(count=2)
    for image in series.images:
        for tag, (vr, _, _, _, keyword) in DicomDictionary.items():
            group, element = tag >> 16, tag & 0xFFFF
            skipped = group <= 0x0006 or group == 0x7FE0 or element == 0 or keyword in (*OF_THE_READING, *UNITS) or tag in image
            if skipped or not keyword or vr == "NONE":
                continue
            if vr == "SQ":
                inner = Dataset()
                inner.CodeValue, inner.PatientName = "1", "Muster^Erika"
                outer = Dataset()
                outer.ReferencedImageSequence, outer.CodeMeaning = [inner], "outer"
                image.add_new(tag, "SQ", [outer])
            else:
                vr = vr.split(" or ")[-1]
                image.add_new(tag, vr, [1, 0, 16] if keyword.endswith("LUTDescriptor") or "TableDescriptor" in keyword else VALUES[vr])
        image.SpecificCharacterSet = "ISO_IR 100"
        block = image.private_block(0x0029, "A VENDOR", create=True)
        block.add_new(0x10, "OB", b"\1\2\3\4")
        block.add_new(0x11, "LO", "private")
        for group in (0x6000, 0x6002):
            image.add_new((group, 0x0010), "US", 10)
            image.add_new((group, 0x0102), "US", 15 if group == 0x6002 else 0)
        image.add_new(0x60003000, "OW", b"\1\2\3\4")
    return series


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("syntax", [pydicom.uid.ExplicitVRLittleEndian, pydicom.uid.ImplicitVRLittleEndian])
def test_every_element_of_a_rich_header_is_kept_changed_or_removed_as_listed(tmp_path, syntax):
    series = rich_series()
    series.transfer_syntax = syntax
    (tmp_path / "scan").mkdir()
    series.write(tmp_path / "scan")
    volume = read_volume(tmp_path / "scan")
    write_volume(volume, tmp_path / "out", series_kind=KIND)
    for number, path in enumerate(volume.dicom_files, 1):
        source, result = pydicom.dcmread(path), pydicom.dcmread(tmp_path / "out" / f"slice_{number:04d}.dcm")
        assert len(source) > 4000
        kept = 0
        for element in source:
            keyword = element.keyword or "private"
            if keyword in dicom_elements.REMOVED or (element.tag.group == 0x6002):
                assert element.tag not in result, keyword
            elif keyword in dicom_elements.CHANGED:
                assert element.tag in result, keyword
            else:
                kept += 1
                assert result[element.tag].value == element.value, keyword
        assert kept > 3900
        for element in result:
            assert element.tag in source or element.keyword in dicom_elements.CHANGED, element
        numpy.testing.assert_array_equal(result.pixel_array, source.pixel_array)


def test_the_lists_name_elements_of_the_standard_and_are_written_down(repository):
    text = (repository / "SSLMARLib" / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in (*dicom_elements.CHANGED, *dicom_elements.REMOVED))
    names = [*dicom_elements.CHANGED, *dicom_elements.REMOVED]
    assert all(tag_for_keyword(name) for name in names) and len(set(names)) == len(names)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", READ_AGAIN, ids=lambda kind: kind.name)
def test_every_odd_series_comes_back_the_same(kind, tmp_path, caplog):
    """Voxels to the bit and slices at their places, from compressed, big endian and multi-frame sources too."""
    (tmp_path / "scan").mkdir()
    kind.make().write(tmp_path / "scan")
    volume = read_volume(tmp_path / "scan")
    caplog.clear()
    write_volume(volume, tmp_path / "out")
    assert not caplog.text
    again = read_volume(tmp_path / "out")
    numpy.testing.assert_array_equal(again.voxels_hu, volume.voxels_hu)
    assert again.same_geometry(volume, tolerance_mm=1e-6)


def test_what_the_series_says_of_itself(tmp_path):
    (tmp_path / "scan").mkdir()
    series = Series()
    series.set_all(DerivationDescription="averaged", TimezoneOffsetFromUTC="+0530")
    series.write(tmp_path / "scan")
    volume = read_volume(tmp_path / "scan")
    write_volume(volume, tmp_path / "out", series_kind=KIND)
    for path, file in zip(sorted((tmp_path / "out").iterdir()), volume.dicom_files, strict=True):
        result, source = pydicom.dcmread(path), pydicom.dcmread(file)
        assert list(result.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
        assert result.SeriesDescription == "Odd (MAR: SSLMAR)" and result.SeriesNumber == 1001
        for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "InstanceNumber", "RescaleSlope", "RescaleIntercept"):
            assert result[keyword].value == source[keyword].value
        (code,) = result.DerivationCodeSequence
        assert (code.CodeValue, code.CodeMeaning) == ("MAR", "Metal artifact reduction")
        assert "SSLMAR" in result.DerivationDescription and result.DerivationDescription.endswith("; averaged")
        (reference,) = result.SourceImageSequence
        assert (
            reference.ReferencedSOPInstanceUID == source.SOPInstanceUID
            and reference.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
        )
        (equipment,) = result.ContributingEquipmentSequence
        assert equipment.SoftwareVersions == __version__ and "ab12" * 16 in equipment.ContributionDescription
        assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"


def test_the_uids_of_a_seed_are_the_same_again_and_never_those_of_other_voxels(tmp_path):
    (tmp_path / "scan").mkdir()
    Series().write(tmp_path / "scan")
    volume = read_volume(tmp_path / "scan")
    uids = {}
    changed = volume.with_voxels(volume.voxels_hu + 1)
    cases = {"a": (volume, "7"), "again": (volume, "7"), "seed": (volume, "8"), "random": (volume, None), "changed": (changed, "7")}
    for name, (one, seed) in cases.items():
        write_volume(one, tmp_path / name, uid_seed=seed)
        results = [pydicom.dcmread(path) for path in sorted((tmp_path / name).iterdir())]
        assert all(data.SOPInstanceUID.is_valid and data.SeriesInstanceUID.is_valid for data in results)
        uids[name] = {data.SOPInstanceUID for data in results}
        assert len(uids[name]) == 6 and len({data.SeriesInstanceUID for data in results}) == 1
    assert uids["a"] == uids.pop("again")
    assert len(set().union(*uids.values())) == 6 * len(uids)


@pytest.mark.parametrize("name", ["enhanced_out_of_order", "enhanced_with_a_scout_frame", "legacy_converted", "grayscale_word"])
def test_a_multi_frame_source_becomes_a_multi_frame_object(tmp_path, name):
    (tmp_path / "scan").mkdir()
    next(kind for kind in KINDS if kind.name == name).make().write(tmp_path / "scan")
    volume = read_volume(tmp_path / "scan")
    changed = volume.voxels_hu.copy()
    changed[1] += 5
    write_volume(volume.with_voxels(changed), tmp_path / "out", series_kind=KIND)
    (path,) = (tmp_path / "out").iterdir()
    source, result = pydicom.dcmread(volume.dicom_files[0]), pydicom.dcmread(path)
    assert result.SOPClassUID == source.SOPClassUID and result.NumberOfFrames == volume.shape[0]
    assert result.ImageType[0] == "DERIVED"
    (evidence,) = result.SourceImageEvidenceSequence
    assert evidence.StudyInstanceUID == source.StudyInstanceUID
    (series,) = evidence.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == source.SeriesInstanceUID
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    numpy.testing.assert_array_equal(read_volume(path).voxels_hu, changed)
    for index, group in enumerate(result.PerFrameFunctionalGroupsSequence):
        (reference,) = group.DerivationImageSequence[0].SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID and reference.ReferencedFrameNumber == index + 1


def test_what_a_frame_was_derived_by_before_is_kept(tmp_path):
    series = next(kind for kind in KINDS if kind.name == "enhanced").make()
    for number, group in enumerate(series.images[0].PerFrameFunctionalGroupsSequence):
        former, code = Dataset(), Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "113072", "DCM", "Multiplanar reformatting"
        former.DerivationDescription, former.DerivationCodeSequence = f"reformatted {number}", [code]
        group.DerivationImageSequence = [former]
    (tmp_path / "scan").mkdir()
    series.write(tmp_path / "scan")
    write_volume(read_volume(tmp_path / "scan"), tmp_path / "out", series_kind=KIND)
    result = pydicom.dcmread(next((tmp_path / "out").iterdir()))
    for number, group in enumerate(result.PerFrameFunctionalGroupsSequence):
        (derivation,) = group.DerivationImageSequence
        assert derivation.DerivationDescription.endswith(f"; reformatted {number}")
        assert [one.CodeValue for one in derivation.DerivationCodeSequence] == ["113072", "MAR"]


def test_a_long_description_and_a_simulated_mark(tmp_path):
    assert corrected_by("NMAR").describe("x" * 80) == "x" * 52 + " (MAR: NMAR)"
    assert len(corrected_by("y{}" * 40).describe("x" * 80)) <= 64
    (tmp_path / "scan").mkdir()
    Series().write(tmp_path / "scan")
    write_volume(read_volume(tmp_path / "scan"), tmp_path / "out", series_kind=SIMULATED_METAL)
    result = pydicom.dcmread(next((tmp_path / "out").iterdir()))
    assert list(result.ImageType) == ["DERIVED", "SECONDARY", "AXIAL", "SIMULATED"]


@pytest.mark.filterwarnings("ignore")
def test_a_damaged_header_is_a_sentence(tmp_path, monkeypatch):
    (tmp_path / "scan").mkdir()
    Series().write(tmp_path / "scan")
    volume = read_volume(tmp_path / "scan")
    monkeypatch.setattr(pydicom, "dcmwrite", lambda *_, **__: 1 / 0)
    with pytest.raises(InputError, match="header of .* cannot be copied") as raised:
        write_volume(volume, tmp_path / "out")
    assert "\n" not in str(raised.value) and not (tmp_path / "out").exists()


def test_a_header_that_cannot_be_copied_is_refused_before_the_work(tmp_path, monkeypatch, capsys):
    from SSLMARLib import cli, correction

    series = Series(rows=64, columns=64, transfer_syntax=pydicom.uid.ImplicitVRLittleEndian)
    series.stored[2, 30:34, 30:34] = 4500
    (tmp_path / "scan").mkdir()
    series.write(tmp_path / "scan")
    damaged = sorted((tmp_path / "scan").iterdir())[3]
    content = damaged.read_bytes()
    patient = content.index(b"\x10\0\x10\0")
    no_sequence = b"\x08\0\x40\x11" + (8).to_bytes(4, "little") + b"no items"  # Referenced Image Sequence, which nobody needs
    damaged.write_bytes(content[:patient] + no_sequence + content[patient:])
    monkeypatch.setattr(correction._VolumeRun, "correct_all", lambda *_: pytest.fail("the work began"))
    assert cli.main(["correct", str(tmp_path / "scan"), str(tmp_path / "out"), "--method", "li"]) == 2
    assert "cannot be copied" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_nothing_of_the_patient_is_said_or_reported(tmp_path, caplog, capsys):
    from SSLMARLib.cli import main

    series = Series(rows=64, columns=64)
    series.set_all(PatientName="Geheim^Name", PatientID="PID777", AccessionNumber="ACC777", PatientBirthDate="19700102")
    series.stored[:] = 1024
    series.stored[2, 30:34, 30:34] = 4000
    (tmp_path / "scan").mkdir()
    series.write(tmp_path / "scan")
    words = ["correct", str(tmp_path / "scan"), str(tmp_path / "out"), "--method", "li", "--report", str(tmp_path / "report.json")]
    with caplog.at_level(logging.DEBUG):
        assert main(words) == 0
    said = caplog.text + "".join(capsys.readouterr()) + (tmp_path / "report.json").read_text()
    assert not any(secret in said for secret in ("Geheim", "PID777", "ACC777", "19700102"))
    source, result = read_volume(tmp_path / "scan"), read_volume(tmp_path / "out")
    numpy.testing.assert_array_equal(numpy.delete(result.voxels_hu, 2, 0), numpy.delete(source.voxels_hu, 2, 0))
    assert not numpy.array_equal(result.voxels_hu[2], source.voxels_hu[2])
