"""`sslmar correct` from file to file: whatever the scan is, what must not change does not, to the bit and to the header."""

from __future__ import annotations

import json
import os
import sys

import numpy
import pytest
import SimpleITK

import SSLMARLib
from SSLMARLib.methods import DEFAULT_METHOD

METAL_HU = 3000
ROTATED = numpy.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])
SHEARED = numpy.array([[1, 0, 0], [0, numpy.cos(0.3), 0], [0, -numpy.sin(0.3), 1.0]])


def check(before_path, after_path, mask, reads=SimpleITK.ReadImage):
    """The geometry and type of the input's file; only voxels in slices with metal changed, none of metal. Returns both voxel arrays."""
    before, after = (reads(str(path)) for path in (before_path, after_path))
    assert after.GetPixelID() == before.GetPixelID() and after.GetSize() == before.GetSize()
    for name in ("GetSpacing", "GetOrigin", "GetDirection"):
        numpy.testing.assert_allclose(getattr(after, name)(), getattr(before, name)(), rtol=0, atol=1e-5)
    before, after = (SimpleITK.GetArrayFromImage(image).reshape(mask.shape) for image in (before, after))
    without = ~mask.any(axis=(1, 2))
    assert (after[without] == before[without]).all()
    assert (after[mask] == before[mask]).all()
    assert (after[~without] != before[~without]).any()
    return before, after


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".nii", ".mha", ".mhd"])
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_formats_and_types(sslmar, save, make_voxels, tmp_path, suffix, dtype):
    voxels = make_voxels(dtype=dtype)
    scan, out = save(f"scan{suffix}", voxels, (2.5, 3.25, 3.0), (-12.5, 40.0, 7.75)), tmp_path / f"out{suffix}"
    status, output, error = sslmar("correct", scan, out, "--method", "li")
    assert (status, error) == (0, "") and str(out) in output and "2 of 4 slices" in output
    check(scan, out, voxels == METAL_HU)
    assert all(".part" not in path.name for path in tmp_path.iterdir())


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int32", "uint32", "int64", "float64"])
def test_other_types(sslmar, save, make_voxels, tmp_path, dtype):
    """Stored values that are no Hounsfield units are corrected in their scale as well as that goes; nothing wraps."""
    voxels, limits = make_voxels().astype(float), numpy.iinfo(dtype) if dtype != "float64" else None
    if dtype in ("uint8", "int8"):
        voxels = voxels / 32
    if dtype.startswith("u"):
        voxels = (voxels + 1024).clip(0)
    voxels = (voxels if limits is None else voxels.clip(limits.min, limits.max)).astype(dtype)
    mask = make_voxels() == METAL_HU
    mask_file = save("mask.nrrd", mask.astype(numpy.uint8))
    scan = save("scan.nrrd", voxels)
    assert sslmar("correct", scan, tmp_path / "out.nrrd", "--method", "li", "--mask", mask_file)[0] == 0
    before, after = check(scan, tmp_path / "out.nrrd", mask)
    assert numpy.abs(after.astype(float) - before)[~mask].max() < 2000


@pytest.mark.parametrize("order", ["little", "big"])
def test_byte_orders_of_nrrd(sslmar, make_voxels, tmp_path, order):
    voxels = make_voxels()
    header = f"NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 80 80 4\nencoding: raw\nendian: {order}\n"
    header += "space directions: (3,0,0) (0,3,0) (0,0,3)\nspace origin: (0,0,0)\n\n"
    (tmp_path / "scan.nrrd").write_bytes(header.encode() + voxels.astype("<i2" if order == "little" else ">i2").tobytes())
    assert sslmar("correct", tmp_path / "scan.nrrd", tmp_path / "out.nrrd", "--method", "li")[0] == 0
    before, _ = check(tmp_path / "scan.nrrd", tmp_path / "out.nrrd", voxels == METAL_HU)
    assert (before == voxels).all()


@pytest.mark.parametrize("matrix", [256, 512, 1024])
def test_matrices(sslmar, save, make_voxels, tmp_path, matrix):
    voxels = make_voxels((2, matrix, matrix), slices=(1, 2))
    scan = save("scan.nrrd", voxels, (2.0, 250 / matrix, 250 / matrix))
    assert sslmar("correct", scan, tmp_path / "out.nrrd")[0] == 0
    check(scan, tmp_path / "out.nrrd", voxels == METAL_HU)


@pytest.mark.parametrize(
    "direction",
    [
        numpy.eye(3),
        numpy.diag([-1, -1, 1]),  # RAS
        numpy.diag([1, 1, -1]),  # left-handed: slices run from head to feet
        numpy.diag([-1, 1, 1]),
        numpy.array([[0, 0, 1], [1, 0, 0], [0, -1, 0]]),  # sagittal
        ROTATED,
        ROTATED @ numpy.diag([1, 1, -1]),
        SHEARED,  # the gantry was tilted
    ],
    ids=["LPS", "RAS", "left-handed z", "left-handed x", "sagittal", "oblique", "oblique left-handed", "sheared"],
)
@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".mha"])
def test_directions(sslmar, make_voxels, tmp_path, direction, suffix):
    """The direction has no influence on the voxels, and comes back as it was."""
    voxels = make_voxels((2, 80, 80), slices=(1, 2))
    volume = SSLMARLib.CTVolume(voxels, (2.5, 3.0, 3.0), (10.0, -20.0, 30.5), direction)
    SSLMARLib.write_volume(volume, tmp_path / f"scan{suffix}")
    assert sslmar("correct", tmp_path / f"scan{suffix}", tmp_path / f"out{suffix}", "--method", "li")[0] == 0
    result = SSLMARLib.read_volume(tmp_path / f"out{suffix}")
    assert result.same_geometry(volume, tolerance_mm=1e-3)
    expected = SSLMARLib.reduce_metal_artifacts(voxels, (2.5, 3.0, 3.0), method="li").volume_hu
    numpy.testing.assert_array_equal(result.voxels_hu, expected)


@pytest.mark.parametrize("spacing_mm", [(3, 2, 4), (1, 5, 2.5), (3, 100, 0.1), (3, 1e-3, 1e-3), (3, 1e3, 1e3)])
def test_pixels_of_any_shape_and_size(sslmar, save, make_voxels, tmp_path, spacing_mm):
    voxels = make_voxels((3, 60, 90))
    scan = save("scan.nrrd", voxels, spacing_mm)
    words = ["--method", "li", "--smallest-component-mm3", "0"]
    assert sslmar("correct", scan, tmp_path / "out.nrrd", *words)[0] == 0
    _, after = check(scan, tmp_path / "out.nrrd", voxels == METAL_HU)
    assert after.min() >= -1024 and after.max() <= 3071


def test_one_slice(sslmar, save, make_voxels, tmp_path):
    voxels = make_voxels((1, 80, 80), slices=(0, 1))
    for name, array in (("three.nrrd", voxels), ("two.nrrd", voxels[0]), ("two.nii.gz", voxels[0])):
        scan = save(name, array)
        assert sslmar("correct", scan, tmp_path / f"out_{name}", "--method", "li")[0] == 0
        check(scan, tmp_path / f"out_{name}", voxels == METAL_HU)


@pytest.mark.parametrize("padding", [-1024, -2000, -3024])
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_padding(sslmar, save, make_voxels, tmp_path, padding, dtype):
    voxels = make_voxels((3, 80, 80), dtype, padding=padding)
    scan = save("scan.nii.gz", voxels)
    assert sslmar("correct", scan, tmp_path / "out.nii.gz")[0] == 0
    before, after = check(scan, tmp_path / "out.nii.gz", voxels == METAL_HU)
    assert (before == padding).sum() > 1000 and (after[before == padding] == padding).all()
    assert after[before != padding].min() >= -1024


def test_padding_of_the_lowest_number(sslmar, save, make_voxels, tmp_path):
    voxels = make_voxels(dtype="float64")
    voxels[:, :4] = numpy.finfo("float64").min / 2
    scan, report = save("scan.nrrd", voxels), tmp_path / "report.json"
    status, _, error = sslmar("correct", scan, tmp_path / "out.nrrd", "--method", "li", "--report", report)
    assert (status, error) == (0, "")
    _, after = check(scan, tmp_path / "out.nrrd", voxels == METAL_HU)
    assert (after[:, :4] == voxels[:, :4]).all() and after[:, 4:].min() >= -1024
    assert json.loads(report.read_text())["largest_change_hu"] < 5000


@pytest.mark.parametrize("center", [(0.99, 0.0), (0.0, -0.99), (0.98, 0.98)])
def test_metal_at_the_edge(sslmar, save, make_voxels, tmp_path, center):
    voxels = make_voxels(center=center)
    scan = save("scan.nrrd", voxels)
    assert sslmar("correct", scan, tmp_path / "out.nrrd")[0] == 0
    _, after = check(scan, tmp_path / "out.nrrd", voxels == METAL_HU)
    assert after.min() >= -1024 and after.max() <= 3500


def test_metal_in_all_slices_of_a_body_that_is_cut_off(sslmar, save, make_voxels, tmp_path):
    voxels = make_voxels(slices=(0, 4))[:, 20:60, 10:70]
    scan = save("scan.nrrd", voxels)
    assert sslmar("correct", scan, tmp_path / "out.nrrd")[0] == 0
    check(scan, tmp_path / "out.nrrd", voxels == METAL_HU)


def test_a_slice_of_padding_and_metal(sslmar, save, make_voxels, tmp_path):
    voxels = make_voxels()
    voxels[1][voxels[1] != METAL_HU] = -3024
    scan = save("scan.nrrd", voxels)
    assert sslmar("correct", scan, tmp_path / "out.nrrd")[0] == 0
    _, after = check(scan, tmp_path / "out.nrrd", voxels == METAL_HU)
    assert (after[1] == voxels[1]).all()


def test_masks_of_labels_and_of_any_shape(sslmar, scan, save, make_voxels, tmp_path):
    labels = numpy.zeros((4, 80, 80), numpy.int16)
    labels[0, 40, 40], labels[1, 30:34, 30:33], labels[1, 50:52, 50:52], labels[3, 0, 0] = 1, 7, -3, 255
    words = ["--method", "li", "--mask", save("labels.nrrd", labels), "--mask-output", tmp_path / "used.nii.gz"]
    assert sslmar("correct", scan, tmp_path / "out.nrrd", *words)[0] == 2  # which of them is metal?
    words += [word for label in (1, 7, -3, 255) for word in (f"--mask-label={label}",)]
    status, output, _ = sslmar("correct", scan, tmp_path / "out.nrrd", *words)
    assert status == 0 and "3 of 4 slices" in output
    check(scan, tmp_path / "out.nrrd", labels != 0)
    used = SimpleITK.ReadImage(str(tmp_path / "used.nii.gz"))
    assert used.GetPixelID() == SimpleITK.sitkUInt8
    numpy.testing.assert_array_equal(SimpleITK.GetArrayFromImage(used), labels != 0)


def test_a_mask_that_shadows_whole_views(sslmar, scan, save, tmp_path):
    mask = numpy.zeros((4, 80, 80), numpy.uint8)
    mask[1, :, 10:40] = 1
    words = ["--mask", save("mask.nrrd", mask)]
    assert sslmar("correct", scan, tmp_path / "out.nrrd", *words)[0] == 0
    check(scan, tmp_path / "out.nrrd", mask != 0)


@pytest.mark.parametrize(
    "geometry",
    [
        {},
        {"orientation": (1, 0, 0, 0, 0.8, -0.6), "step_mm": (0, 0, 3.0)},  # tilted gantry
        {"orientation": (0, 1, 0, 0, 0, -1), "step_mm": (3.0, 0, 0)},  # sagittal
    ],
    ids=["axial", "tilted", "sagittal"],
)
def test_dicom_folder_in_dicom_folder_out(sslmar, make_dicom_folder, make_voxels, tmp_path, geometry):
    pydicom = pytest.importorskip("pydicom")
    voxels = make_voxels()
    scan, out = make_dicom_folder(voxels=voxels, **geometry), tmp_path / "out"
    status, output, error = sslmar("correct", scan, out, "--method", "li")
    assert status == 0 and "Traceback" not in error and "2 of 4 slices" in output
    expected = SSLMARLib.reduce_metal_artifacts(voxels, (3.0, 3.0, 3.0), method="li").volume_hu
    axis = int(numpy.argmax(numpy.abs(geometry.get("step_mm", (0, 0, 3)))))

    def by_position(folder):
        return sorted((pydicom.dcmread(path) for path in folder.iterdir()), key=lambda one: float(one.ImagePositionPatient[axis]))

    before, after = by_position(scan), by_position(out)
    assert len(after) == len(before) == 4
    for old, new, plane in zip(before, after, expected, strict=True):
        assert new.SOPInstanceUID != old.SOPInstanceUID and new.SeriesInstanceUID != old.SeriesInstanceUID
        assert (new.StudyInstanceUID, new.PatientID) == (old.StudyInstanceUID, old.PatientID)
        numpy.testing.assert_allclose(new.ImagePositionPatient, old.ImagePositionPatient, atol=1e-5)
        numpy.testing.assert_allclose(new.ImageOrientationPatient, old.ImageOrientationPatient, atol=1e-6)
        assert list(new.PixelSpacing) == list(old.PixelSpacing) and "MAR" in new.SeriesDescription
        values = new.pixel_array * float(new.RescaleSlope) + float(new.RescaleIntercept)
        numpy.testing.assert_array_equal(values, plane)
    assert sslmar("correct", scan, out)[0] == 2
    assert sslmar("correct", scan, out, "--method", "li", "--overwrite")[0] == 0
    assert sslmar("correct", scan, tmp_path / "out.nrrd", "--method", "li")[0] == 0
    as_nrrd, as_dicom = (SSLMARLib.read_volume(path) for path in (tmp_path / "out.nrrd", out))
    assert as_nrrd.same_geometry(as_dicom)
    numpy.testing.assert_array_equal(as_nrrd.voxels_hu, as_dicom.voxels_hu)


def test_all_outputs(sslmar, scan, make_voxels, tmp_path):
    report, figure, mask = tmp_path / "report.json", tmp_path / "figure.png", tmp_path / "mask.nrrd"
    words = ["--report", report, "--figure", figure, "--mask-output", mask, "--device", "cpu"]
    assert sslmar("correct", scan, tmp_path / "out.nrrd", *words)[0] == 0
    metal = make_voxels() == METAL_HU
    data = json.loads(report.read_text())
    assert data.keys() >= {
        *("method", "slices", "slices_corrected", "metal_voxels", "metal_volume_ml", "seconds", "device", "version"),
        *("threshold_hu", "parameters", "warnings"),
    }
    assert (data["method"], data["slices"], data["slices_corrected"], data["device"]) == (DEFAULT_METHOD, 4, 2, "cpu")
    assert data["metal_voxels"] == metal.sum() and data["metal_volume_ml"] == pytest.approx(metal.sum() * 0.027)
    numpy.testing.assert_array_equal(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(mask))), metal)
    assert figure.read_bytes().startswith(b"\x89PNG") and figure.stat().st_size > 10_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figure.png", "mask.nrrd", "out.nrrd", "report.json", "scan.nrrd"]
    old = report.read_text()
    assert sslmar("correct", scan, tmp_path / "out.nrrd", *words, "--method", "li", "--overwrite")[0] == 0
    assert json.loads(report.read_text())["method"] == "li" and old != report.read_text()


def test_weights_that_were_trained(sslmar, scan, own_weights, tmp_path):
    out, report = tmp_path / "out.nrrd", tmp_path / "report.json"
    status, output, error = sslmar("correct", scan, out, "--method", own_weights, "--report", report, "--figure", tmp_path / "f.png")
    assert (status, error) == (0, "") and output.startswith("SSLMAR (hospital) corrected 2 of 4 slices")
    assert json.loads(report.read_text())["parameters"]["weights"] == "hospital.safetensors"
    for other in (own_weights, own_weights.with_suffix(".json")):  # never written over, whatever is asked for
        before = other.read_bytes()
        status, _, error = sslmar("correct", scan, tmp_path / "new.nrrd", "--method", own_weights, "--report", other, "--overwrite")
        assert status == 2 and other.read_bytes() == before
    own_weights.with_suffix(".json").unlink()
    status, _, error = sslmar("correct", scan, out, "--method", own_weights, "--overwrite")
    assert status == 2 and "hospital.json" in error


def test_the_mask_that_was_written_gives_the_same_result(sslmar, scan, tmp_path):
    out, again, mask = (tmp_path / name for name in ("out.nrrd", "again.nrrd", "mask.nrrd"))
    assert sslmar("correct", scan, out, "--method", "li", "--mask-output", mask)[0] == 0
    assert sslmar("correct", scan, again, "--method", "li", "--mask", mask)[0] == 0
    first, second = (SSLMARLib.read_volume(path).voxels_hu for path in (out, again))
    numpy.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", ["trust.nrrd", "trust.nii.gz", "trust.mha"])
def test_the_trust_is_written_as_the_library_gives_it(sslmar, make_voxels, tmp_path, name):
    volume = SSLMARLib.CTVolume(make_voxels(), (2.5, 3.0, 3.0), (10.0, -20.0, 30.5), ROTATED)
    SSLMARLib.write_volume(volume, tmp_path / "scan.nrrd")
    words = ["--method", "li", "--trust-output", tmp_path / name]
    assert sslmar("correct", tmp_path / "scan.nrrd", tmp_path / "out.nrrd", *words)[0] == 0
    trust = SSLMARLib.read_volume(tmp_path / name)
    assert trust.same_geometry(volume, tolerance_mm=1e-3) and trust.voxels_hu.dtype == numpy.uint8
    expected = SSLMARLib.reduce_metal_artifacts(volume.voxels_hu, volume.spacing_mm, method="li", trust=True).trust_percent
    numpy.testing.assert_array_equal(trust.voxels_hu, expected)


def test_the_trust_of_a_dicom_series_is_a_file(sslmar, make_dicom_folder, tmp_path):
    """Percentages in a CT series would pass for Hounsfield units."""
    pytest.importorskip("pydicom")
    folder, out, trust = make_dicom_folder(), tmp_path / "out", tmp_path / "trust.nrrd"
    status, _, error = sslmar("correct", folder, out, "--method", "li", "--trust-output", tmp_path / "trust")
    assert status == 2 and "no known suffix" in error and not out.exists()
    assert sslmar("correct", folder, out, "--method", "li", "--trust-output", trust)[0] == 0
    written = SSLMARLib.read_volume(trust)
    assert written.same_geometry(SSLMARLib.read_volume(folder), tolerance_mm=1e-3)
    assert written.voxels_hu.min() == 0 and written.voxels_hu.max() == 100


def test_quiet_and_progress(sslmar, scan, tmp_path, monkeypatch):
    out = tmp_path / "out.nrrd"
    status, output, error = sslmar("correct", scan, out, "--method", "li")
    assert status == 0 and output.count("\n") == 1 and error == ""  # no bar where no terminal is
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert sslmar("correct", scan, out, "--method", "li", "--quiet", "--overwrite") == (0, "", "")
    assert sslmar("segment", scan, tmp_path / "mask.nrrd", "--quiet") == (0, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")
def test_progress_on_a_terminal(start, scan, tmp_path):
    import fcntl
    import struct
    import termios

    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    process = start("correct", scan, tmp_path / "out.nrrd", "--method", "li", stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # the end of a terminal, as Linux tells it
        pass
    os.close(ours)
    assert process.wait(60) == 0
    assert b"Reading" in shown and b"LI: slice 2 (1 of 2 with metal)" in shown and b" 90%" in shown


def test_names_with_spaces_and_of_other_scripts(sslmar, save, tmp_path):
    scan = save("Kopf nativ 頭部.nii.gz")
    assert sslmar("correct", scan, tmp_path / "Kopf ohne Metall 頭部.nii.gz", "--method", "li")[0] == 0
    assert (tmp_path / "Kopf ohne Metall 頭部.nii.gz").exists()


@pytest.mark.parametrize("method", ["li", "NMAR"])
def test_the_command_line_gives_what_python_gives(sslmar, scan, make_voxels, tmp_path, method):
    assert sslmar("correct", scan, tmp_path / "out.nrrd", "--method", method)[0] == 0
    expected = SSLMARLib.reduce_metal_artifacts(make_voxels(), (3.0, 3.0, 3.0), method=method).volume_hu
    numpy.testing.assert_array_equal(SSLMARLib.read_volume(tmp_path / "out.nrrd").voxels_hu, expected)


@pytest.mark.skipif(sys.platform == "win32", reason="descriptors of POSIX")
def test_with_standard_error_closed(save, tmp_path, start):
    close = "import os, sys; os.close(2); os.execv(sys.executable, [sys.executable, '-m', 'SSLMARLib', *sys.argv[1:]])"
    process = start("correct", save("scan.mha"), tmp_path / "out.mha", "--method", "li", script=close)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and "out.mha" in output and (tmp_path / "out.mha").exists()
