"""Masks as DICOM Segmentation: those that highdicom writes are read, those that are written highdicom reads, voxel for voxel."""

from __future__ import annotations

from dataclasses import replace

import numpy
import pytest
from odd_series.building import ROOT, Series
from odd_series.multi_frame import enhance

from SSLMARLib.cli import main
from SSLMARLib.ct.reading_writing import read_mask, read_volume, write_mask, write_volume
from SSLMARLib.errors import InputError

pydicom = pytest.importorskip("pydicom")
highdicom = pytest.importorskip("highdicom", reason="pip install highdicom, which writes and reads segmentations on its own")
from pydicom.sr.codedict import codes  # noqa: E402


@pytest.fixture
def scan(tmp_path):
    """scan(change) -> (volume, its data sets from the feet up, the folder); change: of the series before it is written."""

    def make(change=lambda series: None, name="scan"):
        series = Series()
        series.set_all(PatientBirthDate="19600101", PatientSex="F", ReferringPhysicianName="", Manufacturer="Maker")
        change(series)
        folder = tmp_path / name
        folder.mkdir()
        series.write(folder)
        volume = read_volume(folder)
        return volume, [pydicom.dcmread(file) for file in dict.fromkeys(volume.dicom_files)], folder

    return make


def labels(volume, *places) -> numpy.ndarray:
    """(slices, rows, columns), label n at the n-th place."""
    voxels = numpy.zeros(volume.shape, dtype=numpy.uint8)
    for number, place in enumerate(places, 1):
        voxels[place] = number
    return voxels


def written_by_highdicom(path, sources, pixels, names=("Metal",), kind="BINARY", **options):
    described = [
        highdicom.seg.SegmentDescription(
            number, name, codes.SCT.PhysicalObject, codes.SCT.Implant, highdicom.seg.SegmentAlgorithmTypeValues.MANUAL
        )
        for number, name in enumerate(names, 1)
    ]
    segmentation = highdicom.seg.Segmentation(
        sources, pixels, kind, described, highdicom.UID(), 9, highdicom.UID(), 1, "Maker", "Model", "1", "1", **options
    )
    segmentation.save_as(path)
    return path


def refusal(*arguments, **options) -> str:
    with pytest.raises(InputError) as raised:
        read_mask(*arguments, **options)
    return str(raised.value)


def test_a_sparse_segmentation_lies_where_its_slices_are(scan, tmp_path):
    volume, sources, _ = scan()
    wanted = labels(volume, (2, 3, 4), (4, 1, slice(2, 5)))
    path = written_by_highdicom(tmp_path / "metal.dcm", sources, (wanted > 0).astype(numpy.uint8))
    assert pydicom.dcmread(path).NumberOfFrames == 2  # highdicom leaves empty frames out
    numpy.testing.assert_array_equal(read_mask(path, volume), wanted > 0)
    beside = tmp_path / "folder"
    beside.mkdir()
    path.rename(beside / "any")
    numpy.testing.assert_array_equal(read_mask(beside, volume), wanted > 0)


def test_one_of_several_segments_is_chosen_by_name_or_number(scan, tmp_path):
    volume, sources, _ = scan()
    wanted = labels(volume, (1, slice(2, 4), 4), (3, 5, 2), (1, 2, 7))
    path = written_by_highdicom(tmp_path / "metal.dcm", sources, wanted, ("Tooth", "Metal", "Bone"))
    message = refusal(path, volume)
    assert '1 "Tooth", 2 "Metal", 3 "Bone"' in message and "--mask-label" in message
    numpy.testing.assert_array_equal(read_mask(path, volume, "metal"), wanted == 2)
    numpy.testing.assert_array_equal(read_mask(path, volume, "1"), wanted == 1)
    numpy.testing.assert_array_equal(read_mask(path, volume, ["Metal", "3"]), wanted >= 2)
    assert "no label" in refusal(path, volume, "Screw")


def test_segments_that_overlap(scan, tmp_path):
    volume, sources, _ = scan()
    layers = numpy.zeros((*volume.shape, 2), dtype=numpy.uint8)
    layers[2, 2:5, 3, 0] = layers[2, 4:7, 3, 1] = 1
    path = written_by_highdicom(tmp_path / "metal.dcm", sources, layers, ("One", "Two"))
    for number, name in enumerate(("One", "Two")):
        numpy.testing.assert_array_equal(read_mask(path, volume, name), layers[..., number] > 0)


def test_label_maps_and_fractions(scan, tmp_path, caplog):
    volume, sources, _ = scan()
    wanted = labels(volume, (1, 2, 4), (3, 5, 2))
    path = written_by_highdicom(tmp_path / "map.dcm", sources, wanted, ("One", "Two"), "LABELMAP")
    numpy.testing.assert_array_equal(read_mask(path, volume, "Two"), wanted == 2)
    fractions = numpy.zeros(volume.shape, dtype=numpy.float32)
    fractions[2, 3, :5] = (0.0, 0.2, 0.49, 0.51, 1.0)
    path = written_by_highdicom(tmp_path / "fractions.dcm", sources, fractions, kind="FRACTIONAL", max_fractional_value=200)
    numpy.testing.assert_array_equal(read_mask(path, volume), fractions >= 0.5)
    assert "50 % or more" in caplog.text


def test_frames_of_a_multi_frame_scan_that_is_out_of_order(scan, tmp_path):
    volume, sources, _ = scan(lambda series: enhance(series, [3, 0, 5, 2, 1, 4]))
    assert volume.dicom_frames == (1, 4, 3, 0, 5, 2)
    wanted = labels(volume, (1, 2, 3), (5, 4, 4)) > 0
    path = tmp_path / "metal.dcm"
    write_mask(wanted, volume, path)
    numpy.testing.assert_array_equal(read_mask(path, volume), wanted)
    sources = [
        source.ReferencedFrameNumber
        for group in pydicom.dcmread(path).PerFrameFunctionalGroupsSequence
        for source in group.DerivationImageSequence[0].SourceImageSequence
    ]
    assert sources == [5, 3]  # slices 2 and 6, by their frames, counted from 1


def test_without_references_and_for_a_copy_of_the_scan_the_places_decide(scan, tmp_path):
    volume, sources, _ = scan()
    wanted = labels(volume, (2, 3, 4), (4, 1, 2)) > 0
    path = written_by_highdicom(tmp_path / "metal.dcm", sources, wanted.astype(numpy.uint8))
    write_volume(volume, tmp_path / "scan.nii.gz")
    numpy.testing.assert_array_equal(read_mask(path, read_volume(tmp_path / "scan.nii.gz")), wanted)
    turned = replace(
        volume,
        voxels_hu=numpy.ascontiguousarray(volume.voxels_hu[::-1, :, ::-1]),
        origin_mm=tuple((volume.index_to_position_mm() @ [volume.shape[2] - 1, 0, volume.shape[0] - 1, 1])[:3]),
        direction=volume.direction * [-1, 1, -1],
        dicom_files=(),
    )
    numpy.testing.assert_array_equal(read_mask(path, turned), wanted[::-1, :, ::-1])


def test_uneven_slices_by_their_references(scan, tmp_path, caplog):
    def change(series):
        positions = series.positions_mm()
        positions[3:, 2] += 0.7
        series.place(positions)

    volume, sources, _ = scan(change)
    assert "unevenly spaced" in caplog.text
    wanted = labels(volume, (1, 3, 4), (4, 1, 2)) > 0
    path = written_by_highdicom(tmp_path / "metal.dcm", sources, wanted.astype(numpy.uint8))
    numpy.testing.assert_array_equal(read_mask(path, volume), wanted)
    write_mask(wanted, volume, tmp_path / "own.dcm")
    numpy.testing.assert_array_equal(read_mask(tmp_path / "own.dcm", volume), wanted)


def test_the_segmentation_of_another_scan_is_refused(scan, tmp_path):
    volume, sources, _ = scan()
    path = written_by_highdicom(tmp_path / "metal.dcm", sources, (labels(volume, (2, 3, 4)) > 0).astype(numpy.uint8))

    def elsewhere(series):
        series.set_all(FrameOfReferenceUID=f"{ROOT}.44", SeriesInstanceUID=f"{ROOT}.22")
        for index, image in enumerate(series.images):
            image.SOPInstanceUID = f"{ROOT}.33.{index}"

    other, _, _ = scan(elsewhere, "other")
    assert "another frame of reference" in refusal(path, other)

    def shifted(series):
        elsewhere(series)
        series.set_all(FrameOfReferenceUID=f"{ROOT}.4")
        series.place(series.positions_mm() + [0.3, 0, 0])

    other, _, _ = scan(shifted, "shifted")
    assert "lies elsewhere" in refusal(path, other)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - 12])
    assert "damaged or incomplete" in refusal(path, volume)


def test_what_is_written_is_read_by_highdicom(scan, tmp_path):
    volume, sources, folder = scan()
    wanted = labels(volume, (1, slice(2, 5), 4), (2, 5, 2)) > 0
    write_mask(wanted, volume, tmp_path / "metal.dcm", found_by="threshold 2000 HU", uid_seed="seed")
    found = highdicom.seg.segread(tmp_path / "metal.dcm")
    pixels = found.get_pixels_by_source_instance([source.SOPInstanceUID for source in sources], assert_missing_frames_are_empty=True)
    numpy.testing.assert_array_equal(pixels[..., 0] > 0, wanted)
    grid = found.get_volume()
    numpy.testing.assert_allclose(grid.spacing, volume.spacing_mm)
    description = found.get_segment_description(1)
    assert description.segment_label == "Metal" and description.algorithm_type.value == "AUTOMATIC"
    assert (description.segmented_property_category, description.segmented_property_type) == (codes.SCT.PhysicalObject, codes.SCT.Implant)
    source = sources[0]
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientName", "PatientID", "StudyDate", "AccessionNumber"):
        assert found[keyword].value == source[keyword].value
    assert found.SeriesInstanceUID != source.SeriesInstanceUID and found.Modality == "SEG"
    (referenced,) = found.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == source.SeriesInstanceUID and len(referenced.ReferencedInstanceSequence) == 6
    write_mask(wanted, volume, tmp_path / "again.dcm", found_by="threshold 2000 HU", uid_seed="seed")
    again = pydicom.dcmread(tmp_path / "again.dcm")
    assert again.SOPInstanceUID == found.SOPInstanceUID and again.SeriesInstanceUID == found.SeriesInstanceUID
    write_mask(wanted, volume, tmp_path / "third.dcm")
    assert pydicom.dcmread(tmp_path / "third.dcm").SeriesInstanceUID != found.SeriesInstanceUID


def test_the_commands_write_and_read_it(scan, tmp_path, capsys):
    volume, _, folder = scan(lambda series: series.stored.__setitem__((slice(2, 4), slice(3, 6), slice(3, 6)), 4000))
    mask, out = tmp_path / "metal.dcm", tmp_path / "out"
    assert main(["segment", str(folder), str(mask), "--quiet"]) == 0
    wanted = read_mask(mask, read_volume(folder))
    assert wanted.sum() == 18
    options = ["--method", "li", "--mask", str(mask), "--mask-output", str(tmp_path / "used.dcm"), "--quiet"]
    assert main(["correct", str(folder), str(out), *options]) == 0
    numpy.testing.assert_array_equal(read_mask(tmp_path / "used.dcm", volume), wanted)
    assert pydicom.dcmread(tmp_path / "used.dcm").SegmentSequence[0].SegmentAlgorithmType == "MANUAL"
    write_volume(volume, tmp_path / "scan.nrrd")
    assert main(["segment", str(tmp_path / "scan.nrrd"), str(tmp_path / "no.dcm")]) == 2
    assert ".dcm only for a scan from DICOM" in capsys.readouterr().err
    assert main(["segment", str(folder), str(mask)]) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_what_cannot_be_written(scan, tmp_path):
    volume, _, _ = scan()
    with pytest.raises(InputError, match="cannot be empty"):
        write_mask(numpy.zeros(volume.shape, bool), volume, tmp_path / "metal.dcm")
    with pytest.raises(InputError, match="did not come from DICOM"):
        write_mask(numpy.ones(volume.shape, bool), replace(volume, dicom_files=()), tmp_path / "metal.dcm")
    assert not list(tmp_path.glob("*.dcm"))
