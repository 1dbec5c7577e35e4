"""The Slicer rig for these tests: a real MRML scene; stand-ins for the rest of the application (see slicer_rig)."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest

TESTING_PYTHON = Path(__file__).resolve().parents[1]


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
            threshold_hu=keywords.get("threshold_hu"),
            mean_absolute_change_hu=1.0,
            largest_change_hu=1.0,
            seconds=1.5,
            device="cpu",
            batch_size=1,
        )
        return SSLMARLib.correction.CorrectionResult(volume_hu - 1, numpy.zeros(volume_hu.shape, bool), report)

    monkeypatch.setattr(SSLMARLib.correction, "reduce_metal_artifacts", reduce_metal_artifacts)
    return library
