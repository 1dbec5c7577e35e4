"""Files in and out: the same numbers and geometry, whole outputs or none, one sentence for every refusal."""

from __future__ import annotations

import gzip
import os
import struct
import subprocess
import sys
from dataclasses import replace

import numpy
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from SSLMARLib.ct import image_file
from SSLMARLib.ct.reading_writing import read_mask, read_volume, refuse_output, write_volume
from SSLMARLib.ct.volume import CTVolume
from SSLMARLib.errors import InputError

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
DATA_TYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64")
REAL_SCAN = "data/realmetal/realmetal_tcga_thca_e3_a3e5_dental.nii.gz"


def example(data_type="int16", shape=(3, 5, 4), **fields) -> CTVolume:
    generator = numpy.random.default_rng(7)
    if numpy.dtype(data_type).kind == "f":
        voxels = generator.normal(0, 1000, shape).astype(data_type)
    else:
        limits = numpy.iinfo(data_type)
        voxels = generator.integers(limits.min, limits.max, shape, dtype=data_type, endpoint=True)
    return CTVolume(voxels, **{"spacing_mm": (2.0, 0.5, 0.75), "origin_mm": (-10.0, 20.0, 30.0)} | fields)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    suffix=st.sampled_from(SUFFIXES),
    data_type=st.sampled_from(DATA_TYPES),
    shape=st.tuples(*[st.integers(1, 5)] * 3),
    spacing=st.tuples(*[st.floats(0.05, 12)] * 3),
    origin=st.tuples(*[st.floats(-900, 900)] * 3),
    angles=st.tuples(*[st.floats(-3.1, 3.1)] * 3),
    flips=st.tuples(*[st.sampled_from((-1, 1))] * 3),
    tilt_degrees=st.sampled_from((0.0, 0.0, -20.0, 12.5)),
)
def test_round_trip(tmp_path, suffix, data_type, shape, spacing, origin, angles, flips, tilt_degrees):
    direction = Rotation.from_euler("xyz", angles).as_matrix() * flips
    tilt = numpy.radians(tilt_degrees)
    direction[:, 2] = numpy.cos(tilt) * direction[:, 2] + numpy.sin(tilt) * direction[:, 1]
    volume = example(data_type, shape, spacing_mm=spacing, origin_mm=origin, direction=direction)
    path = tmp_path / f"scan{suffix}"
    write_volume(volume, path, overwrite=True)
    again = read_volume(path)
    assert again.voxels_hu.dtype == volume.voxels_hu.dtype
    numpy.testing.assert_array_equal(again.voxels_hu, volume.voxels_hu)
    # NIfTI keeps its geometry in float32: 2^-24 relative, of positions up to 900 mm + 5 voxels
    tolerance_mm = 1e-3 if "nii" in suffix else 1e-9
    assert again.same_geometry(volume, tolerance_mm)
    assert again.spacing_mm == pytest.approx(volume.spacing_mm, rel=1e-6 if "nii" in suffix else 1e-12)
    numpy.testing.assert_allclose(again.direction, direction, atol=2e-5 if "nii" in suffix else 1e-12)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nibabel_sees_the_same_voxels_and_positions(tmp_path, suffix):
    nibabel = pytest.importorskip("nibabel")
    direction = numpy.array([[1, 0, 0], [0, 1, 0.2588190451], [0, 0, -0.9659258263]])
    for axes in (direction, numpy.diag([-1.0, -1.0, 1.0])):
        volume = example(direction=axes)
        write_volume(volume, tmp_path / f"scan{suffix}", overwrite=True)
        image = nibabel.load(tmp_path / f"scan{suffix}")
        numpy.testing.assert_array_equal(numpy.asarray(image.dataobj).T, volume.voxels_hu)
        numpy.testing.assert_allclose(image.affine, numpy.diag([-1, -1, 1, 1]) @ volume.index_to_position_mm(), atol=1e-5)


def test_nifti_codes_and_texts_travel(tmp_path):
    volume = example(metadata={"descrip": "5.0.11", "qform_code": "0", "sform_code": "2", "aux_file": "x"})
    write_volume(volume, tmp_path / "scan.nii.gz")
    found = read_volume(tmp_path / "scan.nii.gz").metadata
    assert {name: found[name] for name in volume.metadata} == volume.metadata
    write_volume(volume, tmp_path / "scan.nrrd")
    assert b"sform_code" not in (tmp_path / "scan.nrrd").read_bytes()


def test_unsigned_integers_with_an_offset_stay_integers(tmp_path):
    stored = numpy.arange(60, dtype=numpy.uint16).reshape(3, 5, 4) * 60
    write_volume(CTVolume(stored, (1, 1, 1)), tmp_path / "scan.nii")
    content = bytearray((tmp_path / "scan.nii").read_bytes())
    struct.pack_into("<2f", content, 112, 1.0, -1024.0)
    (tmp_path / "scan.nii").write_bytes(content)
    voxels = read_volume(tmp_path / "scan.nii").voxels_hu
    assert voxels.dtype == numpy.int16
    numpy.testing.assert_array_equal(voxels, stored.astype(int) - 1024)


def test_a_plain_nifti_beside_a_compressed_one_is_not_read_for_it(tmp_path):
    volume, other = example(), example(spacing_mm=(3, 3, 3), origin_mm=(5, 5, 5))
    other.voxels_hu[:] = 1
    write_volume(other, tmp_path / "scan.nii")
    write_volume(volume, tmp_path / "scan.nii.gz")
    numpy.testing.assert_array_equal(read_volume(tmp_path / "scan.nii.gz").voxels_hu, volume.voxels_hu)
    assert read_volume(tmp_path / "scan.nii.gz").same_geometry(volume)
    numpy.testing.assert_array_equal(read_volume(tmp_path / "scan.nii").voxels_hu, other.voxels_hu)


@pytest.mark.parametrize("byte_order", "<>")
@pytest.mark.parametrize("slope, offset", [(1, 0), (2, -1024), (0.5, 3), (0, 7), (1, 40000)])
def test_nifti_scaling_and_byte_order_as_nibabel_reads_them(tmp_path, byte_order, slope, offset):
    nibabel = pytest.importorskip("nibabel")
    header = nibabel.Nifti1Header(endianness=byte_order)
    header.set_data_dtype(byte_order + "i2")
    header.set_data_shape((4, 5, 3))
    header.set_qform(numpy.diag([-1, -1, 2, 1]), 1)
    header["scl_slope"], header["scl_inter"], header["magic"], header["vox_offset"] = slope, offset, b"n+1", 352
    stored = numpy.arange(-30, 30, dtype=byte_order + "i2")
    (tmp_path / "scan.nii").write_bytes(header.binaryblock + bytes(4) + stored.tobytes())
    volume = read_volume(tmp_path / "scan.nii")
    expected = nibabel.load(tmp_path / "scan.nii").get_fdata().T
    numpy.testing.assert_array_equal(volume.voxels_hu, expected)
    assert volume.voxels_hu.dtype == ("float32" if slope == 0.5 else "int32" if offset == 40000 else "int16")
    assert volume.voxels_hu.dtype.isnative and volume.spacing_mm == (2, 1, 1)


def test_custom_header_entries_and_ras_space_of_nrrd(tmp_path):
    header = (
        "NRRD0004\ntype: short\ndimension: 3\nspace: right-anterior-superior\nsizes: 2 3 4\n"
        "space directions: (0.5,0,0) (0,0.5,0) (0,0,2)\nkinds: domain domain domain\nendian: little\nencoding: raw\n"
        "space origin: (10,20,30)\nscanner:=a b\n\n"
    )
    voxels = numpy.arange(-12, 12, dtype="<i2").reshape(4, 3, 2)
    (tmp_path / "scan.nrrd").write_bytes(header.encode() + voxels.tobytes())
    volume = read_volume(tmp_path / "scan.nrrd")
    assert volume.origin_mm == (-10, -20, 30)
    numpy.testing.assert_array_equal(volume.direction, numpy.diag([-1, -1, 1]))
    write_volume(volume, tmp_path / "out.nrrd")
    again = read_volume(tmp_path / "out.nrrd")
    assert again.same_geometry(volume, 0) and again.metadata == {"scanner": "a b"}
    numpy.testing.assert_array_equal(again.voxels_hu, voxels)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_2d_image_is_one_slice_and_comes_back_2d(tmp_path, suffix):
    image = SimpleITK.GetImageFromArray(numpy.arange(-6, 6, dtype=numpy.int16).reshape(4, 3))
    image.SetSpacing((0.5, 0.75))
    image.SetOrigin((7, 8))
    SimpleITK.WriteImage(image, str(tmp_path / f"in{suffix}"))
    volume = read_volume(tmp_path / f"in{suffix}")
    assert volume.shape == (1, 4, 3) and volume.spacing_mm == (1.0, 0.75, 0.5)
    write_volume(volume, tmp_path / f"out{suffix}")
    again = SimpleITK.ReadImage(str(tmp_path / f"out{suffix}"))
    assert again.GetDimension() == 2 and again.GetSpacing() == (0.5, 0.75) and again.GetOrigin() == (7, 8)
    numpy.testing.assert_array_equal(SimpleITK.GetArrayFromImage(again), volume.voxels_hu[0])


@pytest.mark.parametrize("suffix", [".NII.GZ", ".Nrrd", ".MHA"])
def test_suffixes_in_capitals(tmp_path, suffix):
    volume = example()
    write_volume(volume, tmp_path / f"scan{suffix}")
    numpy.testing.assert_array_equal(read_volume(tmp_path / f"scan{suffix}").voxels_hu, volume.voxels_hu)


def test_the_real_scan_comes_back_bit_for_bit(tmp_path, shared):
    volume = read_volume(shared / REAL_SCAN)
    assert volume.shape == (30, 512, 512) and volume.voxels_hu.dtype == numpy.int16
    assert volume.spacing_mm == (1.5, 0.515625, 0.515625) and volume.voxels_hu.max() == 2976
    write_volume(volume, tmp_path / "out.nii.gz")
    before, after = (gzip.decompress(path.read_bytes()) for path in (shared / REAL_SCAN, tmp_path / "out.nii.gz"))
    assert before[352:] == after[352:]
    for name, start, stop in (("dim", 40, 56), ("datatype", 70, 74), ("codes, qform, sform", 252, 328)):
        numbers = [numpy.frombuffer(content[start:stop], "<i2") for content in (before, after)]
        if name.startswith("codes"):  # -0.0 and 0.0 are the same position
            assert before[252:256] == after[252:256]
            numbers = [numpy.frombuffer(content[256:328], "<f4") for content in (before, after)]
        numpy.testing.assert_array_equal(*numbers, err_msg=name)


# What is refused


def refusal(call, *arguments, **options) -> str:
    with pytest.raises(InputError) as raised:
        call(*arguments, **options)
    message = str(raised.value)
    assert "\n" not in message and "itk" not in message.lower()
    return message


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_missing_foreign_and_truncated_files(tmp_path, suffix, capfd):
    path = tmp_path / f"scan{suffix}"
    assert "does not exist" in refusal(read_volume, path)
    path.write_text("hello, this is no image " * 30)
    assert "damaged, incomplete or of another type" in refusal(read_volume, path)
    path.unlink()
    write_volume(example(shape=(20, 30, 40)), path)
    data = next((item for item in tmp_path.iterdir() if item.suffix == ".raw"), path)
    data.write_bytes(data.read_bytes()[:-2000])
    assert "damaged, incomplete or of another type" in refusal(read_volume, path)
    assert "WARNING" not in capfd.readouterr().err


def test_a_flipped_bit_in_a_compressed_nifti_is_noticed(tmp_path):
    path = tmp_path / "scan.nii.gz"
    write_volume(example(shape=(20, 30, 40)), path)
    content = bytearray(path.read_bytes())
    content[-500] ^= 16
    path.write_bytes(content)
    assert "damaged" in refusal(read_volume, path)


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".mha"])
def test_color_4d_complex_and_nan(tmp_path, suffix):
    path = str(tmp_path / f"scan{suffix}")
    SimpleITK.WriteImage(SimpleITK.Image([4, 4, 4], SimpleITK.sitkVectorUInt8, 3), path)
    assert "3 values in each voxel" in refusal(read_volume, path)
    SimpleITK.WriteImage(SimpleITK.Image([6, 5, 4, 3], SimpleITK.sitkInt16), path)
    message = refusal(read_volume, path)
    assert "4D volume of 6 x 5 x 4 x 3" in message and "frame by frame" in message
    SimpleITK.WriteImage(SimpleITK.Image([6, 5, 4, 1], SimpleITK.sitkInt16), path)
    assert read_volume(path).shape == (4, 5, 6)
    for value in (numpy.nan, numpy.inf, -numpy.inf):
        volume = example("float32")
        volume.voxels_hu[1, 2, 3] = value
        write_volume(volume, path, overwrite=True)
        assert "1 voxels that are NaN or infinite" in refusal(read_volume, path)


def test_unknown_types(tmp_path):
    (tmp_path / "scan.txt").write_text("text")
    assert "no known type" in refusal(read_volume, tmp_path / "scan.txt")
    assert "no known suffix" in refusal(write_volume, example(), tmp_path / "scan.tiff")
    assert "DICOM folder only for" in refusal(write_volume, example(), tmp_path / "folder")
    assert "float16" in refusal(write_volume, example("float16"), tmp_path / "scan.nrrd")
    assert [path.name for path in tmp_path.iterdir()] == ["scan.txt"]


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz"])
def test_masks(tmp_path, suffix):
    volume = example(shape=(4, 6, 5))
    path = tmp_path / f"mask{suffix}"
    labels = numpy.zeros((4, 6, 5), numpy.int16)
    labels[1, 2, 3], labels[2, 2, 2] = 3, 3
    write_volume(volume.with_voxels(labels), path)
    mask = read_mask(path, volume)
    assert mask.dtype == bool and mask.sum() == 2 and mask[1, 2, 3] and mask[2, 2, 2]
    write_volume(volume.with_voxels(labels != 0), path, overwrite=True)
    numpy.testing.assert_array_equal(read_mask(path, volume), labels != 0)
    message = refusal(read_mask, path, example(shape=(4, 5, 6)))
    assert "5 x 6 x 4" in message and "6 x 5 x 4" in message
    message = refusal(read_mask, path, replace(volume, origin_mm=(-10, 20, 31)))
    assert "-10, 20, 30" in message and "-10, 20, 31" in message and "0.05 mm" in message


# Whole outputs or none


def test_outputs_are_not_replaced_unasked(tmp_path):
    volume = example()
    for suffix in SUFFIXES:
        path = tmp_path / f"scan{suffix}"
        write_volume(volume, path, overwrite=True)
        assert "--overwrite" in refusal(write_volume, volume, path)
        assert "--overwrite" in refusal(refuse_output, path, tmp_path / "other.nrrd", False)
        refuse_output(path, tmp_path / "other.nrrd", True)
    (tmp_path / "series.nrrd").mkdir()
    assert "is a folder" in refusal(write_volume, volume, tmp_path / "series.nrrd", overwrite=True)
    (tmp_path / "b.raw").write_bytes(b"somebody else's data")
    assert "b.raw exists" in refusal(write_volume, volume, tmp_path / "b.mhd")


def test_the_input_is_never_the_output(tmp_path, monkeypatch):
    write_volume(example(), tmp_path / "scan.nhdr")
    (tmp_path / "link.nhdr").symlink_to(tmp_path / "scan.nhdr")
    (tmp_path / "hard.nrrd").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    for output in ("scan.nhdr", "./scan.nhdr", tmp_path / "x" / ".." / "scan.nhdr", "link.nhdr", "scan.mhd"):
        assert "is the input itself" in refusal(refuse_output, output, tmp_path / "scan.nhdr", True)
    assert "is the input itself" in refusal(refuse_output, "m.nrrd", ["scan.nhdr", tmp_path / "m.nrrd"], True)


def test_missing_and_unwritable_folders(tmp_path):
    assert "does not exist" in refusal(write_volume, example(), tmp_path / "no" / "scan.nrrd")
    if os.geteuid() == 0:
        return  # root may write everywhere
    tmp_path.chmod(0o500)
    assert "not writable" in refusal(write_volume, example(), tmp_path / "scan.nrrd")
    tmp_path.chmod(0o700)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError("ITK ERROR\nof lines"), OSError(28, "No space left")])
def test_what_goes_wrong_leaves_the_old_file(tmp_path, monkeypatch, error):
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(b"old")

    def fail(volume, target):
        target.write_bytes(b"half")
        raise error

    monkeypatch.setattr("SSLMARLib.ct.reading_writing.write_image_file", fail)
    if error is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            write_volume(example(), path, overwrite=True)
    else:
        message = refusal(write_volume, example(), path, overwrite=True)
        assert ("disk is full" in message) == isinstance(error, OSError)
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="limits of the file size exist on POSIX")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_disk_that_takes_no_more_is_noticed(tmp_path, suffix):
    script = f"""
import resource, numpy
from SSLMARLib.ct.reading_writing import CTVolume, write_volume
from SSLMARLib.errors import InputError
noise = numpy.random.default_rng(0).integers(-1000, 3000, (4, 256, 256)).astype("int16")
resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))
try:
    write_volume(CTVolume(noise, (1, 1, 1)), r"{tmp_path / ("scan" + suffix)}")
except InputError as error:
    assert "could not be written" in str(error), error
    raise SystemExit(7)
"""
    source_tree = os.path.dirname(os.path.dirname(os.path.dirname(image_file.__file__)))
    done = subprocess.run([sys.executable, "-c", script], cwd=source_tree, capture_output=True, text=True)
    assert done.returncode == 7, done.stderr
    assert not list(tmp_path.iterdir())


def test_simple_itk_warnings_are_off_only_inside():
    before = SimpleITK.ProcessObject.GetGlobalWarningDisplay()
    with image_file.quiet_simple_itk():
        assert not SimpleITK.ProcessObject.GetGlobalWarningDisplay()
    assert SimpleITK.ProcessObject.GetGlobalWarningDisplay() == before


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
@pytest.mark.parametrize("renames", [0, 1, 2])
def test_header_and_data_are_a_pair_whenever_the_process_is_killed(tmp_path, suffix, renames):
    """Killed without a word before the first rename, between the two, and right after the last."""
    old, new = example(), example(shape=(3, 5, 4), spacing_mm=(2.0, 1.0, 1.0))
    new = new.with_voxels(old.voxels_hu[::-1].copy())
    path = tmp_path / f"scan{suffix}"
    write_volume(old, path)
    write_volume(new, tmp_path / "new.nrrd")
    script = f"""
import os, sys
from SSLMARLib.ct.reading_writing import read_volume, write_volume
volume, replace, left = read_volume(sys.argv[1]), os.replace, {renames}
def replace_some(*arguments):
    global left
    if left == 0:
        os._exit(9)
    replace(*arguments)
    left -= 1
    if left == 0 and {renames} == 2:
        os._exit(9)
os.replace = replace_some
write_volume(volume, sys.argv[2], overwrite=True)
"""
    source_tree = os.path.dirname(os.path.dirname(os.path.dirname(image_file.__file__)))
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "new.nrrd", path], cwd=source_tree, capture_output=True, text=True)
    assert done.returncode == 9, done.stderr
    found, expected = read_volume(path), new if renames == 2 else old
    numpy.testing.assert_array_equal(found.voxels_hu, expected.voxels_hu)
    assert found.same_geometry(expected)


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_overwriting_a_pair_again_and_again_leaves_one_pair(tmp_path, suffix):
    path = tmp_path / f"scan{suffix}"
    for number in range(4):
        volume = example().with_voxels(numpy.full((3, 5, 4), number, numpy.int16))
        write_volume(volume, path, overwrite=True)
        numpy.testing.assert_array_equal(read_volume(path).voxels_hu, volume.voxels_hu)
        assert len(list(tmp_path.iterdir())) == 2
        data_path = next(item for item in tmp_path.iterdir() if item != path)
        assert "input itself" in refusal(refuse_output, path, [data_path], True)


@pytest.mark.parametrize("rename", [1, 2])
def test_a_rename_that_fails_leaves_the_former_pair(tmp_path, monkeypatch, rename):
    path, calls, replace = tmp_path / "scan.mhd", [], os.replace
    write_volume(example(), path)

    def fail(*arguments):
        calls.append(arguments)
        if len(calls) == rename:
            raise OSError(5, "Input/output error")
        replace(*arguments)

    monkeypatch.setattr(os, "replace", fail)
    assert "could not be written" in refusal(write_volume, example(shape=(2, 3, 3)), path, overwrite=True)
    numpy.testing.assert_array_equal(read_volume(path).voxels_hu, example().voxels_hu)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["scan.mhd", "scan.raw"]


@pytest.mark.skipif(sys.platform == "win32", reason="descriptors of POSIX")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_is_read_with_standard_error_closed(tmp_path, suffix):
    write_volume(example(), tmp_path / f"scan{suffix}")
    script = f"""
import os
from SSLMARLib.ct.reading_writing import read_volume
os.close(2)
volume = read_volume(r"{tmp_path}/scan{suffix}")
try:
    os.fstat(2)
except OSError:
    print(int(volume.voxels_hu.astype("int64").sum()))
"""
    source_tree = os.path.dirname(os.path.dirname(os.path.dirname(image_file.__file__)))
    done = subprocess.run([sys.executable, "-c", script], cwd=source_tree, capture_output=True, text=True)
    assert done.stdout == f"{int(example().voxels_hu.astype('int64').sum())}\n", done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="descriptors of POSIX")
def test_standard_error_is_as_before_after_reading(tmp_path, capfd):
    write_volume(example(), tmp_path / "scan.mha")
    read_volume(tmp_path / "scan.mha")
    os.write(2, b"still here")
    assert capfd.readouterr().err == "still here"
