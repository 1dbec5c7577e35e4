"""The module's self-test, as Slicer runs it, with the real library."""

from __future__ import annotations

import unittest

import pytest

pytest.importorskip("torch", reason="torch is not installed, so the module's self-test did NOT run")
pytest.importorskip("PySide6.QtWidgets", reason="PySide6 cannot be imported, so the self-test did NOT run", exc_type=ImportError)


@pytest.fixture
def self_test(rig, repository):
    """The class that Slicer's test runner finds."""
    return rig.load_module(repository / "SSLMAR" / "SSLMAR.py").SSLMARTest


def outcome_of(self_test):
    """Run the class as `slicer.testing.runUnitTest` does, by unittest's loader."""
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(self_test).run(result)
    return result


def test_it_passes(self_test):
    result = outcome_of(self_test)
    assert result.testsRun >= 4
    assert not result.failures and not result.errors and not result.skipped, [*result.failures, *result.errors]


def test_it_notices_a_correction_that_does_nothing(self_test, monkeypatch):
    from SSLMARLib import slicer_logic

    def lazy(volume, *arguments, **options):
        import slicer

        return slicer.util.addVolumeFromArray(slicer.util.arrayFromVolume(volume).copy(), name="nmar NMAR LI")

    monkeypatch.setattr(slicer_logic, "process", lazy)
    monkeypatch.setattr(self_test, "test_a_segmentation_says_where_the_metal_is", lambda self: None)
    result = outcome_of(self_test)
    assert len(result.failures) >= 3


def test_it_is_skipped_where_packages_are_missing(self_test, rig):
    rig.packaging.missing.add("odl")
    result = outcome_of(self_test)
    assert len(result.skipped) == result.testsRun and "not installed: odl>=1.0" in result.skipped[0][1]


def test_reload_and_test_says_how_it_ended(self_test, rig, monkeypatch):
    said = []
    names = [name for name in dir(self_test) if name.startswith("test_")]
    for name in names:
        monkeypatch.setattr(self_test, name, lambda self: None)
    monkeypatch.setattr(self_test, "delayDisplay", lambda self, message, msec=0: said.append(message))
    self_test().runTest()
    assert said == [f"All {len(names)} tests passed."]
    rig.packaging.missing.add("odl")
    with pytest.raises(unittest.SkipTest):
        self_test().runTest()
    assert said[1:] == ["The tests were skipped: not installed: odl>=1.0"]
