"""The Slicer rig for these tests: a real MRML scene; stand-ins for the rest of the application (see slicer_rig)."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest

TESTING_PYTHON = Path(__file__).resolve().parents[1]
SHAPE = (6, 20, 24)  # slices, rows, columns

# IJK to RAS, columns i, j, k, origin: name -> matrix
IJK_TO_RAS = {
    "RAS": [[0.8, 0, 0, -10], [0, 0.9, 0, -20], [0, 0, 2.5, 30], [0, 0, 0, 1]],
    "LPS": [[-0.8, 0, 0, 10], [0, -0.9, 0, 20], [0, 0, 2.5, 30], [0, 0, 0, 1]],
    "left-handed": [[-0.8, 0, 0, 10], [0, -0.9, 0, 20], [0, 0, -2.5, 30], [0, 0, 0, 1]],
    "oblique": [[0.8 * 0.8660254, -0.9 * 0.5, 0, 1], [0.8 * 0.5, 0.9 * 0.8660254, 0, 2], [0, 0, 2.5, 3], [0, 0, 0, 1]],
    "tilted gantry": [[-0.8, 0, 0, 10], [0, -0.9, 0.6, 20], [0, 0, 2.4, 30], [0, 0, 0, 1]],
}


@pytest.fixture(scope="session")
def slicer_rig():
    """The rig of this process; skipped, with this reason, without slicer-core."""
    reason = "slicer-core cannot be imported, so the tests on MRML nodes did NOT run"
    pytest.importorskip("slicer", reason=reason, exc_type=ImportError)
    # At the end of the path, and only now: no folder in there may stand before an installed package.
    if str(TESTING_PYTHON) not in sys.path:
        sys.path.append(str(TESTING_PYTHON))
    import slicer_rig

    return slicer_rig.start()


@pytest.fixture
def rig(slicer_rig, monkeypatch):
    """The rig with an empty scene. An error inside an observer or a Qt slot, which is only printed, fails the test."""
    hidden_errors = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: hidden_errors.append(error))
    slicer_rig.clear()
    yield slicer_rig
    slicer_rig.clear()
    assert not hidden_errors


@pytest.fixture
def slicer_logic(rig):
    """SSLMARLib.slicer_logic, importable once there is a `slicer`."""
    from SSLMARLib import slicer_logic

    return slicer_logic


@pytest.fixture
def library(monkeypatch):
    """Put a quick stand-in in the place of SSLMARLib.reduce_metal_artifacts: it subtracts 1 HU, and records its calls.

    library.calls: list of (voxels, spacing, keywords).
    library.work: if set, called first, as work(progress, is_cancelled).
    """
    import SSLMARLib.correction

    library = SimpleNamespace(calls=[], work=None)

    def reduce_metal_artifacts(volume_hu, spacing_mm, *, progress=None, is_cancelled=None, **keywords):
        library.calls.append((volume_hu, spacing_mm, keywords))
        if library.work is not None:
            library.work(progress, is_cancelled)
        report = SSLMARLib.correction.CorrectionReport(
            method=keywords["method"],
            slices=len(volume_hu),
            slices_corrected=1,
            metal_voxels=7,
            metal_volume_ml=0.5,
            threshold_hu=getattr(keywords["metal"], "threshold_hu", None),
            mean_absolute_change_hu=1.0,
            largest_change_hu=1.0,
            seconds=1.5,
            device="cpu",
            batch_size=1,
        )
        trust = numpy.full(volume_hu.shape, 60, numpy.uint8) if keywords.get("trust") else None
        return SSLMARLib.correction.CorrectionResult(volume_hu - 1, numpy.zeros(volume_hu.shape, bool), report, trust)

    monkeypatch.setattr(SSLMARLib.correction, "reduce_metal_artifacts", reduce_metal_artifacts)
    return library


@pytest.fixture
def ijk_to_ras():
    """The IJK-to-RAS matrices of make_volume, by name."""
    return IJK_TO_RAS


@pytest.fixture
def make_volume(rig, random_generator):
    """make_volume(geometry, dtype) adds a volume named CT with random voxels and a bright block of 'metal'."""
    import slicer

    def make(geometry="LPS", dtype=numpy.int16):
        voxels = random_generator.integers(-1000, 1500, SHAPE).astype(dtype)
        voxels[2:4, 8:12, 10:15] = 3000
        return slicer.util.addVolumeFromArray(voxels, numpy.array(IJK_TO_RAS[geometry], float), "CT")

    return make


@pytest.fixture
def add_segment(rig, slicer_logic):
    """add_segment(segmentation, name, mask, like) adds a segment from a mask on the grid of the volume `like`."""

    from SSLMARLib.slicer_logic.nodes import ijkToRas
    from SSLMARLib.slicer_logic.segmentations import labelmapOfMask

    def add(segmentation, name, mask, like):
        labelmap = labelmapOfMask(mask, ijkToRas(like))
        return segmentation.AddSegmentFromBinaryLabelmapRepresentation(labelmap, name, (1.0, 0.0, 0.0))

    return add


@pytest.fixture
def views(rig):
    """Slice views Red, Green and Yellow in a layout, made of real nodes; the layout manager."""
    from slicer_rig.scene import close_views, open_views

    yield open_views()
    close_views()


@pytest.fixture
def metal_phantom(rig):
    """A volume node 'Phantom' for the real job: a disk of water in three slices, the second with two metals and a dark band."""
    pytest.importorskip("torch", reason="torch is not installed, so the real job on MRML nodes did NOT run")
    import slicer

    rows, columns = numpy.mgrid[:96, :96] - 47.5
    voxels = numpy.full((3, 96, 96), -1000, numpy.int16)
    voxels[:, numpy.hypot(rows, columns) < 40] = 0
    voxels[1, 40:56, 25:70] -= 300
    voxels[1, numpy.hypot(rows, numpy.abs(columns) - 16) < 3] = 3000
    return slicer.util.addVolumeFromArray(voxels, numpy.diag([-2.0, -2.0, 3.0, 1.0]), "Phantom")
