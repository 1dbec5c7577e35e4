"""NIfTI of other programs: both placements kept, both versions, any compression; what is not supported is not called damaged."""

from __future__ import annotations

import bz2
import gzip
import logging

import numpy
import pytest
import SimpleITK

from SSLMARLib.ct.reading_writing import read_volume, write_volume
from SSLMARLib.errors import InputError

nibabel = pytest.importorskip("nibabel")

VOXELS = numpy.arange(60, dtype=numpy.int16).reshape(3, 4, 5)  # columns, rows, slices
SFORM = numpy.array([[-0.7, 0, 0, 10], [0, -0.7, 0, 20], [0, 0, 2.5, -30], [0, 0, 0, 1.0]])
TURN = numpy.array([[0.8, -0.6, 0, 3], [0.6, 0.8, 0, -4], [0, 0, 1, 5], [0, 0, 0, 1]])
CODES = [(1, 2), (2, 1), (1, 1), (0, 1), (1, 0), (1, 3), (3, 1), (0, 3), (4, 4), (2, 2)]


def written(path, qform_code, sform_code, image_class=nibabel.Nifti1Image, flip=1):
    """A file whose two forms differ, as nibabel writes it."""
    image = image_class(VOXELS, None)
    image.header.set_sform(SFORM @ numpy.diag([flip, 1, 1, 1]), sform_code)
    image.header.set_qform(TURN @ SFORM @ numpy.diag([flip, 1, 1, 1]), qform_code)
    image.header["qform_code"], image.header["sform_code"] = qform_code, sform_code
    nibabel.save(image, path)
    return path


def refusal(path) -> str:
    with pytest.raises(InputError) as raised:
        read_volume(path)
    return str(raised.value)


@pytest.mark.parametrize("flip", [1, -1])
@pytest.mark.parametrize("codes", CODES)
def test_the_volume_lies_where_slicer_has_it_and_both_forms_are_kept(tmp_path, codes, flip, caplog):
    path = written(tmp_path / "scan.nii", *codes, flip=flip)
    volume, image = read_volume(path), SimpleITK.ReadImage(str(path))
    numpy.testing.assert_allclose(volume.origin_mm, image.GetOrigin(), atol=1e-4)
    numpy.testing.assert_allclose(volume.direction.ravel(), image.GetDirection(), atol=1e-5)
    numpy.testing.assert_allclose(volume.spacing_mm[::-1], image.GetSpacing(), rtol=1e-6)
    assert ("from where its" in caplog.text) is (min(codes) > 0)
    write_volume(volume.with_voxels(volume.voxels_hu + 1), tmp_path / "out.nii.gz")
    before, after = (nibabel.load(one).header for one in (path, tmp_path / "out.nii.gz"))
    for name in ("qform_code", "sform_code", "srow_x", "srow_y", "srow_z", "qoffset_x", "quatern_b", "quatern_c", "quatern_d", "pixdim"):
        numpy.testing.assert_array_equal(after[name], before[name], err_msg=name)


def test_forms_that_no_longer_fit_are_not_kept(tmp_path):
    from dataclasses import replace

    volume = read_volume(written(tmp_path / "scan.nii", 1, 2))
    moved = replace(volume, origin_mm=(1.0, 2.0, 3.0))
    write_volume(moved, tmp_path / "out.nii")
    assert read_volume(tmp_path / "out.nii").same_geometry(moved, 1e-4)
    image = nibabel.load(tmp_path / "out.nii")
    numpy.testing.assert_allclose(image.get_sform(), image.get_qform(), atol=1e-4)


def test_forms_that_agree_are_not_remarked_on(tmp_path, caplog):
    image = nibabel.Nifti1Image(VOXELS, SFORM)
    image.set_qform(SFORM, 1)
    nibabel.save(image, tmp_path / "scan.nii")
    with caplog.at_level(logging.WARNING):
        read_volume(tmp_path / "scan.nii")
    assert not caplog.text


def test_version_2_is_read_and_written_as_such(tmp_path):
    volume = read_volume(written(tmp_path / "scan.nii.gz", 1, 2, nibabel.Nifti2Image))
    numpy.testing.assert_array_equal(volume.voxels_hu, VOXELS.T)
    write_volume(volume, tmp_path / "out.nii")
    before, after = nibabel.load(tmp_path / "scan.nii.gz"), nibabel.load(tmp_path / "out.nii")
    assert isinstance(after, nibabel.Nifti2Image)
    numpy.testing.assert_array_equal(numpy.asarray(after.dataobj), VOXELS)
    numpy.testing.assert_array_equal(after.get_qform(), before.get_qform())
    numpy.testing.assert_array_equal(after.get_sform(), before.get_sform())
    write_volume(volume, tmp_path / "out.nrrd")
    assert b"nifti" not in (tmp_path / "out.nrrd").read_bytes().lower()


def test_an_axis_that_version_1_cannot_count_makes_it_version_2(tmp_path):
    from SSLMARLib.ct.volume import CTVolume

    volume = CTVolume(numpy.arange(40000, dtype=numpy.int32).reshape(1, 1, 40000), (1, 1, 1))
    write_volume(volume, tmp_path / "long.nii")
    image = nibabel.load(tmp_path / "long.nii")
    assert isinstance(image, nibabel.Nifti2Image) and image.shape == (40000, 1, 1)
    numpy.testing.assert_array_equal(read_volume(tmp_path / "long.nii").voxels_hu, volume.voxels_hu)


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, bytes], ids=["gzip", "bzip2", "plain"])
def test_the_content_says_how_it_is_compressed_not_the_name(tmp_path, name, compress):
    content = written(tmp_path / "plain.nii", 1, 1).read_bytes()
    (tmp_path / name).write_bytes(compress(content))
    numpy.testing.assert_array_equal(read_volume(tmp_path / name).voxels_hu, VOXELS.T)
    (tmp_path / name).write_bytes(compress(content)[:-20])
    assert "damaged" in refusal(tmp_path / name)


@pytest.mark.parametrize("unit, mm", [("meter", 1000), ("mm", 1), ("micron", 0.001)])
def test_lengths_in_other_units(tmp_path, unit, mm):
    for qform_code, sform_code in ((1, 0), (0, 1)):
        image = nibabel.Nifti1Image(VOXELS, SFORM)
        image.set_qform(SFORM, qform_code)
        image.header["qform_code"], image.header["sform_code"] = qform_code, sform_code
        image.header.set_xyzt_units(unit)
        nibabel.save(image, tmp_path / "scan.nii")
        volume = read_volume(tmp_path / "scan.nii")
        assert volume.spacing_mm == pytest.approx((2.5 * mm, 0.7 * mm, 0.7 * mm), rel=1e-6)
        assert volume.origin_mm == pytest.approx((-10 * mm, -20 * mm, -30 * mm), rel=1e-5)


def test_what_is_not_read_is_not_called_damaged(tmp_path):
    nibabel.save(nibabel.AnalyzeImage(VOXELS, numpy.eye(4)), tmp_path / "scan.hdr")
    nibabel.save(nibabel.Nifti1Pair(VOXELS, numpy.eye(4)), tmp_path / "pair.hdr")
    for name in ("scan", "pair"):
        (tmp_path / f"{name}.nii").write_bytes((tmp_path / f"{name}.hdr").read_bytes())
        message = refusal(tmp_path / f"{name}.nii")
        assert "convert it to one NIfTI file" in message and "damaged" not in message
    content = bytearray(written(tmp_path / "scan.nii", 1, 1).read_bytes())
    content[70:72] = (1536).to_bytes(2, "little")  # 128-bit floats
    (tmp_path / "long.nii").write_bytes(content)
    message = refusal(tmp_path / "long.nii")
    assert "type 1536" in message and "damaged" not in message


@pytest.mark.parametrize("dim", [[3, 32767, 32767, 32767], [3, -1, 4, 5], [0, 3, 4, 5], [9, 3, 4, 5]])
def test_absurd_sizes_are_damage(tmp_path, dim):
    path = written(tmp_path / "scan.nii", 1, 1)
    content = bytearray(path.read_bytes())
    content[40:48] = numpy.array(dim, "<i2").tobytes()
    path.write_bytes(content)
    assert "damaged" in refusal(path)


# NRRD and MetaImage


def meta_image(entries: str) -> bytes:
    header = "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
    header += f"TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nElementSpacing = 1 1 2\nDimSize = 3 4 5\n{entries}"
    return header.encode() + b"ElementType = MET_SHORT\nElementDataFile = LOCAL\n" + VOXELS.T.astype("<i2").tobytes()


@pytest.mark.parametrize("slope, offset, data_type", [("2", "-1024", "int16"), ("0.5", "3", "float32"), ("1", "40000", "int32")])
def test_slope_and_offset_of_meta_image_are_applied(tmp_path, slope, offset, data_type):
    entries = f"ElementToIntensityFunctionSlope = {slope}\nElementToIntensityFunctionOffset = {offset}\n"
    (tmp_path / "scan.mha").write_bytes(meta_image(entries))
    volume = read_volume(tmp_path / "scan.mha")
    numpy.testing.assert_array_equal(volume.voxels_hu, VOXELS.T * float(slope) + float(offset))
    assert volume.voxels_hu.dtype == data_type and volume.spacing_mm == (2, 1, 1)
    write_volume(volume, tmp_path / "out.mha")
    numpy.testing.assert_array_equal(read_volume(tmp_path / "out.mha").voxels_hu, volume.voxels_hu)
    (tmp_path / "scan.mha").write_bytes(meta_image(""))
    numpy.testing.assert_array_equal(read_volume(tmp_path / "scan.mha").voxels_hu, VOXELS.T)


def test_bzip2_in_nrrd_is_said_to_be_not_supported(tmp_path):
    header = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 3 4 5\nendian: little\nencoding: bzip2\n\n"
    (tmp_path / "scan.nrrd").write_bytes(header + bz2.compress(VOXELS.T.astype("<i2").tobytes()))
    message = refusal(tmp_path / "scan.nrrd")
    assert "bzip2" in message and "save it with gzip" in message and "damaged" not in message


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_a_header_without_its_data_names_the_file_that_is_missing(tmp_path, suffix):
    image = SimpleITK.GetImageFromArray(VOXELS.T)
    SimpleITK.WriteImage(image, str(tmp_path / f"scan{suffix}"))
    (data,) = (item for item in tmp_path.iterdir() if item.suffix != suffix)
    data.unlink()
    message = refusal(tmp_path / f"scan{suffix}")
    assert data.name in message and "is not there" in message and "damaged" not in message
