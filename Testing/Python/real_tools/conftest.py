"""Source and derived series for programs that others wrote: DICOM validators, readers, an archive. What is not installed is skipped."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy
import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))  # odd_series
pytest.importorskip("pydicom")
from odd_series import KINDS  # noqa: E402
from odd_series.building import ROOT  # noqa: E402

from SSLMARLib.ct.reading_writing import read_volume, write_mask, write_volume  # noqa: E402
from SSLMARLib.ct.series_kind import corrected_by  # noqa: E402

PACKAGES = {  # program: Debian's package
    "dciodvfy": "dicom3tools",
    "dcmdump": "dcmtk",
    "dcmj2pnm": "dcmtk",
    "storescu": "dcmtk",
    "gdcminfo": "libgdcm-tools",
    "Orthanc": "orthanc",
}


@dataclass(frozen=True)
class Pair:
    """A source series and what is derived from it, as files in the order of the slices; its metal as DICOM segmentation."""

    source: tuple[Path, ...]
    derived: tuple[Path, ...]
    segmentation: Path


@pytest.fixture(scope="session")
def tool():
    """tool(program, *arguments) -> CompletedProcess; a test that needs a program that is absent is skipped, with this reason."""

    def run(program: str, *arguments, check: bool = True) -> subprocess.CompletedProcess:
        path = find(program)
        done = subprocess.run([path, *map(str, arguments)], capture_output=True, text=True, errors="replace", timeout=60, check=False)
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    def find(program: str) -> str:
        path = None if os.environ.get("SSLMAR_WITHOUT_TOOLS") else shutil.which(program)
        if path is None:
            pytest.skip(f"{program} is not installed, so this test did NOT run: apt-get install {PACKAGES[program]}")
        return path

    run.find = find
    return run


SERIES = ("plain", "gantry_tilt", "big_endian", "implicit", "jpeg_ls", "enhanced_out_of_order", "legacy_converted")


@pytest.fixture(params=SERIES)
def pair(request, tmp_path) -> Pair:
    """Each kind of source in turn."""
    return derived_pair(request.param, tmp_path)


@pytest.fixture
def make_pair(tmp_path):
    return lambda name: derived_pair(name, tmp_path)


def derived_pair(name: str, folder: Path) -> Pair:
    series = next(kind for kind in KINDS if kind.name == name).make()
    series.set_all(PatientBirthDate="19600101", PatientSex="F", ReferringPhysicianName="", Manufacturer="Maker", Laterality="")
    own = f"{ROOT}.{zlib.crc32(name.encode())}"  # an archive keeps the first of two instances with one UID
    for number, image in enumerate(series.images):
        image.SOPInstanceUID, image.SeriesInstanceUID = f"{own}.{number + 1}", own
    (folder / "source").mkdir()
    series.write(folder / "source")
    volume = read_volume(folder / "source")
    voxels_hu, mask = volume.voxels_hu.copy(), numpy.zeros(volume.shape, dtype=bool)
    voxels_hu[2, 3:6] -= 5
    mask[2, 4, 3:5] = mask[4, 5, 5] = True
    write_volume(volume.with_voxels(voxels_hu), folder / "derived", series_kind=corrected_by("SSLMAR", {}))
    write_mask(mask, volume, folder / "metal.dcm", found_by="threshold 2000 HU")
    source = tuple(dict.fromkeys(map(Path, volume.dicom_files)))
    return Pair(source, tuple(sorted((folder / "derived").iterdir())), folder / "metal.dcm")
