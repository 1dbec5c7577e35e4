"""Scans with metal as files, and `sslmar` called as a user calls it: in this process, or as a program of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import SimpleITK

SPACING_MM = (3.0, 3.0, 3.0)
METAL_HU = 3000


def body_with_metal(shape=(4, 80, 80), dtype="int16", center=(0.3, 0.1), slices=(1, 3), padding=None) -> numpy.ndarray:
    """(slices, rows, columns) in HU: an elliptic body of 40 HU with two bones, noise, and a disk of metal in some of the slices."""
    y, x = numpy.mgrid[-1 : 1 : shape[1] * 1j, -1 : 1 : shape[2] * 1j]
    plane = numpy.where((x / 0.8) ** 2 + (y / 0.6) ** 2 < 1, 40.0, -1000.0)
    plane[(numpy.abs(x) - 0.5) ** 2 + y**2 < 0.02] = 700
    volume = plane + numpy.random.default_rng(5).normal(0, 8, shape)
    volume[:, (x / 0.8) ** 2 + (y / 0.6) ** 2 >= 1] = -1000
    if padding is not None:
        volume[:, x**2 + y**2 > 1] = padding
    volume[slice(*slices), (x - center[0]) ** 2 + (y - center[1]) ** 2 < 0.012] = METAL_HU
    return numpy.rint(volume).astype(dtype)


@pytest.fixture
def make_voxels():
    return body_with_metal


@pytest.fixture
def save(tmp_path):
    """save(name, voxels, spacing_mm, origin, direction) -> path, by SimpleITK alone; spacing in (slices, rows, columns)."""

    def save(name, voxels=None, spacing_mm=SPACING_MM, origin=(0.0, 0.0, 0.0), direction=None, **options) -> Path:
        image = SimpleITK.GetImageFromArray(body_with_metal() if voxels is None else voxels, **options)
        axes = image.GetDimension()
        if axes <= 3:
            image.SetSpacing(tuple(spacing_mm)[::-1][:axes])
            image.SetOrigin(origin[:axes])
        if direction is not None:
            image.SetDirection(numpy.asarray(direction, float).ravel().tolist())
        SimpleITK.WriteImage(image, str(tmp_path / name))
        return tmp_path / name

    return save


@pytest.fixture
def scan(save) -> Path:
    """A small scan with metal, the only file of the test's folder."""
    return save("scan.nrrd")


@pytest.fixture
def sslmar(capfd, monkeypatch):
    """sslmar(*words) -> (exit status, standard output, standard error); what C++ code prints is seen too."""
    from SSLMARLib import cli

    def call(*words):
        capfd.readouterr()
        try:
            status = cli.main([str(word) for word in words])
        except SystemExit as end:
            status = end.code
        return status, *capfd.readouterr()

    return call


@pytest.fixture
def refusal(sslmar, tmp_path):
    """refusal(*words) -> the sentence; checks that nothing was written and that all is as a refusal has to be."""

    def call(*words) -> str:
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.exists()}
        status, output, error = sslmar(*words)
        assert status == 2 and output == "", (status, output, error)
        assert error.startswith("sslmar: error: ") and error.endswith(".\n") and error.count("\n") == 1, error
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.exists()} == before
        return error

    return call


@pytest.fixture
def start(repository):
    """start(*words, script=None) -> Popen of `python -m SSLMARLib *words`, or of a script; killed at the end of the test."""
    processes = []

    def listen_to_ctrl_c():
        # tests that run in the background of a shell are told to ignore it, and would tell so those that they start
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    def start(*words, script=None, **options) -> subprocess.Popen:
        command = ["-m", "SSLMARLib"] if script is None else ["-c", script]
        process = subprocess.Popen(
            [sys.executable, *command, *map(str, words)],
            env=os.environ | {"PYTHONPATH": str(repository), "PYTHONUNBUFFERED": "1"},
            preexec_fn=None if sys.platform == "win32" else listen_to_ctrl_c,
            **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options),
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def make_dicom_folder(tmp_path):
    """make_dicom_folder(name, voxels, ...) -> folder of a CT series made with pydicom, stored as HU + 1024."""
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import Dataset, FileMetaDataset

    def make(name="scan", voxels=None, orientation=(1, 0, 0, 0, 1, 0), step_mm=(0, 0, 3.0), origin=(-120.0, -100.0, 50.0)) -> Path:
        voxels = body_with_metal() if voxels is None else voxels
        (tmp_path / name).mkdir()
        series, study, frame = (pydicom.uid.generate_uid() for _ in range(3))
        for index, plane in enumerate(voxels):
            data = Dataset()
            data.file_meta = FileMetaDataset()
            data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
            data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
            data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
            data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = study, series, frame
            data.Modality, data.ImageType, data.SeriesDescription = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"], "Jaw"
            data.PatientName, data.PatientID, data.StudyDate, data.StudyTime = "Test^Jaw", "P1", "20200131", "101500"
            data.AccessionNumber, data.StudyID, data.SeriesNumber, data.InstanceNumber = "A", "S", 4, index + 1
            data.PixelSpacing, data.SliceThickness = [3.0, 3.0], 3.0
            data.ImageOrientationPatient = list(orientation)
            data.ImagePositionPatient = [round(o + index * s, 6) for o, s in zip(origin, step_mm, strict=True)]
            data.Rows, data.Columns, data.SamplesPerPixel = *plane.shape, 1
            data.PhotometricInterpretation, data.PixelRepresentation = "MONOCHROME2", 1
            data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
            data.RescaleIntercept, data.RescaleSlope, data.RescaleType = -1024, 1, "HU"
            data.PixelData = (plane.astype(numpy.int16) + 1024).tobytes()
            data.save_as(tmp_path / name / f"IM{(index * 7 + 3) % 101:03d}", enforce_file_format=True)
        return tmp_path / name

    return make
