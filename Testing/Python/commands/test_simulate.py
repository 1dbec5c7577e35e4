"""`sslmar simulate` from DICOM to DICOM: what it writes says of itself that it is simulated."""

from __future__ import annotations

import numpy
import pytest

pydicom = pytest.importorskip("pydicom")


@pytest.mark.parametrize("name", ["Jaw", "", "A description that needs each of the 64 characters of the standard"[:64]])
def test_simulated_series_are_marked_and_not_called_metal_artifact_reduction(sslmar, save, make_dicom_folder, make_voxels, tmp_path, name):
    with_metal = make_voxels(shape=(2, 80, 80))
    mask = with_metal > 2000
    source = make_dicom_folder(voxels=numpy.where(mask, 40, with_metal).astype(numpy.int16))
    for path in source.iterdir():
        data = pydicom.dcmread(path)
        data.SeriesDescription = name
        data.save_as(path)
    teeth = save("teeth.nrrd", mask.astype(numpy.uint8), origin=(-120.0, -100.0, 50.0))
    status, _, error = sslmar("simulate", source, tmp_path / "fake", "--mask", teeth, "--quiet")
    assert status == 0, error
    descriptions = set()
    for folder in ("fake", "fake_truth"):
        for path in sorted((tmp_path / folder).iterdir()):
            data = pydicom.dcmread(path)
            assert "SIMULATED" in data.SeriesDescription and len(data.SeriesDescription) <= 64
            assert "SIMULATED" in data.ImageType and list(data.ImageType[:3]) == ["DERIVED", "SECONDARY", "AXIAL"]
            assert "SIMULATED" in data.DerivationDescription
            assert "artifact reduction" not in str(data) and "MAR" not in data.SeriesDescription.split()
            assert name[:20] in data.SeriesDescription
            descriptions.add(data.SeriesDescription)
    assert len(descriptions) == 2  # the truth is not taken for the fake
