"""Metal-free slices: every format, what is left out, and the split by patient."""

from __future__ import annotations

import logging

import numpy
import pytest

from SSLMARLib.errors import InputError
from SSLMARLib.training.slices import MetalFreeSlices, read_metal_free_slices


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    return folder


def write(volume, path, spacing_mm=(2.0, 1.0, 1.0)):
    import SimpleITK

    image = SimpleITK.GetImageFromArray(volume)
    image.SetSpacing(spacing_mm[::-1])
    SimpleITK.WriteImage(image, str(path))


def write_dicom(volume, folder):
    """One series of CT slices, as a scanner would send them."""
    pydicom = pytest.importorskip("pydicom")
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    folder.mkdir()
    series, frame = generate_uid(), generate_uid()
    for number, pixels in enumerate(volume):
        meta = pydicom.dataset.FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data = pydicom.dataset.FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        data.StudyInstanceUID = data.FrameOfReferenceUID = frame
        data.SeriesInstanceUID, data.Modality, data.PatientID, data.InstanceNumber = series, "CT", "x", number + 1
        data.Rows, data.Columns = pixels.shape
        data.PixelSpacing, data.SliceThickness = [1.0, 1.0], 2.0
        data.ImagePositionPatient, data.ImageOrientationPatient = [0.0, 0.0, 2.0 * number], [1, 0, 0, 0, 1, 0]
        data.RescaleIntercept, data.RescaleSlope, data.SamplesPerPixel = -1024, 1, 1
        data.PhotometricInterpretation = "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
        data.PixelData = (pixels + 1024).astype(numpy.uint16).tobytes()
        data.save_as(folder / f"{number}.dcm", enforce_file_format=True)


def test_every_format_gives_the_same_slices(folder, make_scan):
    scan = make_scan(1)
    for name in ("a.nii.gz", "b.nrrd", "c.mha", "d.nii"):
        write(scan, folder / name)
    (folder / "d.nii").rename(folder / "D.NII")
    write(scan.astype(numpy.float32), folder / "e.nii")
    write_dicom(scan, folder / "f")
    numpy.savez(folder / "g.npz", hu=scan, patient=["one", "two"])
    (folder / "notes.txt").write_text("no scan")
    (folder / ".hidden.nrrd").write_text("no scan either")
    slices = read_metal_free_slices(folder, size=64)
    assert slices.images_hu.shape == (14, 64, 64) and slices.images_hu.dtype == numpy.int16
    for image in slices.images_hu.reshape(7, *scan.shape):
        assert (image == scan).all()  # the grid is the scan's own: nothing is resampled
    names = [name for name in slices.patients]
    assert names == ["D"] * 2 + ["a"] * 2 + ["b"] * 2 + ["c"] * 2 + ["e"] * 2 + ["f"] * 2 + ["one", "two"]


def test_names_with_dots_are_different_patients(folder, make_scan):
    for name in ("1.2.840.1", "1.2.840.2"):
        write_dicom(make_scan(1), folder / name)
    write(make_scan(2), folder / "scan.1.nii.gz")
    write(make_scan(2), folder / "scan.2.nrrd")
    assert set(read_metal_free_slices(folder, size=64).patients) == {"1.2.840.1", "1.2.840.2", "scan.1", "scan.2"}


def test_slices_with_metal_or_without_a_body_are_left_out(folder, make_scan):
    scan = make_scan(2, slices=5)
    scan[0, 30, :21] = 3000  # 21 pixels: metal
    scan[1, 30, :20] = 3000  # 20 are bone or noise
    scan[3] = -1000
    scan[4] = -1000
    scan[4, :5, :64] = 40  # a table of 7.8 percent
    write(scan, folder / "scan.nrrd")
    slices = read_metal_free_slices(folder, size=64)
    assert (slices.images_hu == scan[1:3]).all()


def test_a_scan_without_usable_slices_is_named_and_passed_over(folder, make_scan, caplog):
    write(make_scan(1), folder / "good.nrrd")
    write(numpy.full((2, 64, 64), -1000, dtype=numpy.int16), folder / "air.nrrd")
    with caplog.at_level(logging.WARNING):
        assert len(read_metal_free_slices(folder, size=64)) == 2
    assert "air.nrrd has no usable slice" in caplog.text
    (folder / "good.nrrd").unlink()
    with pytest.raises(InputError, match="no usable scan"):
        read_metal_free_slices(folder, size=64)


def test_other_grids_become_square_and_what_is_beside_them_is_air(folder, make_scan):
    scan = make_scan(1, slices=1, size=96)[:, 24:72]  # 48 rows of 96: the grid's upper and lower quarter are beside it
    write(numpy.where(scan < -900, -2000, scan).astype(numpy.int16), folder / "padded.nrrd", spacing_mm=(1.0, 0.7, 0.7))
    write(scan, folder / "wide.nrrd", spacing_mm=(1.0, 0.7, 0.7))
    padded, image = read_metal_free_slices(folder, size=64).images_hu
    assert (padded == image).all()  # a scanner's padding is air, at the edge of the body too
    assert image.shape == (64, 64) and image.min() >= -1000 and (image[:14] == -1000).all() and (image[-14:] == -1000).all()
    assert image[32, 32] > -950 and abs(numpy.median(image[20:44, 25:40]) - 40) < 5


def test_left_out_files_are_not_read(folder, make_scan):
    write(make_scan(1), folder / "good.nrrd")
    (folder / "broken.nrrd").write_text("damaged")
    with pytest.raises(InputError):
        read_metal_free_slices(folder, size=64)
    assert set(read_metal_free_slices(folder, 64, ("broken.nrrd",)).patients) == {"good"}
    with pytest.raises(InputError, match=r"leave_out names brokn\.nrrd, which"):
        read_metal_free_slices(folder, 64, ("broken.nrrd", "brokn.nrrd"))


def damaged_archives():
    hu = numpy.zeros((2, 8, 8), dtype=numpy.int16)
    return {
        "no patient": {"hu": hu},
        "no hu": {"patient": ["a", "b"]},
        "two axes": {"hu": hu[0], "patient": ["a"]},
        "other number": {"hu": hu, "patient": ["a", "b", "c"]},
        "not finite": {"hu": numpy.full((2, 8, 8), numpy.nan), "patient": ["a", "b"]},
        "texts": {"hu": numpy.full((2, 8, 8), "a"), "patient": ["a", "b"]},
        "pickled": {"hu": hu, "patient": numpy.array(["a", None], dtype=object)},
    }


@pytest.mark.parametrize("name", [*damaged_archives(), "no archive", "empty", "cut off", "npy"])
def test_damaged_archives_are_refused(folder, name):
    path = folder / "slices.npz"
    if name in damaged_archives():
        numpy.savez(path, **damaged_archives()[name])
    elif name == "cut off":
        numpy.savez(path, hu=numpy.zeros((2, 8, 8)), patient=["a", "b"])
        path.write_bytes(path.read_bytes()[:-100])
    elif name == "npy":
        with open(path, "wb") as file:
            numpy.save(file, numpy.zeros(3))
    else:
        path.write_bytes(b"" if name == "empty" else b"text")
    with pytest.raises(InputError, match="remove it from the training data") as caught:
        read_metal_free_slices(folder, size=64)
    assert "slices.npz" in str(caught.value)


def test_missing_folder():
    with pytest.raises(InputError, match="does not exist"):
        read_metal_free_slices("/no such folder")


def many_patients(patients=20):
    names = numpy.repeat([f"p{number}" for number in range(patients)], 3)
    return MetalFreeSlices(numpy.arange(len(names), dtype=numpy.int16)[:, None, None] * numpy.ones((1, 2, 2), numpy.int16), names)


def test_the_split_is_by_patient_disjoint_complete_and_repeatable():
    slices = many_patients()
    training, validation = slices.split(0.15, seed=4)
    assert len(numpy.unique(validation.patients)) == 3 and len(numpy.unique(training.patients)) == 17
    assert not set(training.patients) & set(validation.patients)
    assert sorted([*training.images_hu[:, 0, 0], *validation.images_hu[:, 0, 0]]) == list(range(60))
    for part in (training, validation):  # slices stay with their patient
        assert (part.patients == numpy.array([f"p{number // 3}" for number in part.images_hu[:, 0, 0]])).all()
    again = slices.split(0.15, seed=4)
    assert (again[1].patients == validation.patients).all()
    # the order of files on the disk does not matter, the seed does
    turned = MetalFreeSlices(slices.images_hu[::-1], slices.patients[::-1]).split(0.15, seed=4)
    assert set(turned[1].patients) == set(validation.patients)
    assert any(set(slices.split(0.15, seed=seed)[1].patients) != set(validation.patients) for seed in (5, 6, 7))


@pytest.mark.parametrize("share, expected", [(0.001, 1), (0.5, 10), (0.999, 19)])
def test_both_sides_have_a_patient(share, expected):
    assert len(numpy.unique(many_patients().split(share, 0)[1].patients)) == expected
    with pytest.raises(InputError, match="has 1 patient: two are needed"):
        many_patients(1).split(share, 0)


@pytest.mark.parametrize(
    "name",
    [
        "test_tcga_thca_e3_a3e5_neck.nii.gz",
        "realmetal_tcga_thca_e3_a3e5_dental.nii.gz",
        "TCGA-E3-A3E5",
        "TCGA-09-2043.nrrd",
        "test_tcga_ov_09_2043_pelvis_contig.nii.gz",
        "LIDC-IDRI-0314.mha",
        "test_naist_sample1.nii.gz",
        "test_naist_sample2.nii.gz",
        "realmetal_totalsegmentator_femoral_nail.nii.gz",
    ],
)
def test_who_judges_must_not_be_learned_from(folder, make_scan, name):
    write(make_scan(1), folder / "someone_else.nrrd")
    if "." in name:
        write(make_scan(2), folder / name)
    else:
        write_dicom(make_scan(2), folder / name)
    with pytest.raises(InputError, match="on whom SSLMAR is judged"):
        read_metal_free_slices(folder, size=64)
    assert len(read_metal_free_slices(folder, size=64, leave_out=[name])) == 2


def test_a_judge_among_packed_slices_is_found_by_the_patient_s_name(folder, make_scan):
    numpy.savez(folder / "packed.npz", hu=make_scan(1), patient=["somebody", "LIDC_IDRI_0314"])
    with pytest.raises(InputError, match="the patient lidc_idri_0314, on whom SSLMAR is judged"):
        read_metal_free_slices(folder, size=64)
    numpy.savez(folder / "packed.npz", hu=make_scan(1), patient=["somebody", "LIDC_IDRI_0313"])
    assert len(read_metal_free_slices(folder, size=64)) == 2
