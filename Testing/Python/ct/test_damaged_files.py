"""Files that are damaged at random: the answer is the content or one sentence. The whole of it is Testing/Benchmarks/fuzz_readers.py."""

from __future__ import annotations

import importlib.util
import sys

import pytest

INPUTS = 96  # four of each kind


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does it, so this test did NOT run")
def test_damaged_files_of_every_kind_are_read_or_refused(repository):
    pytest.importorskip("pydicom")
    path = repository / "Testing" / "Benchmarks" / "fuzz_readers.py"
    specification = importlib.util.spec_from_file_location("fuzz_readers", path)
    fuzz_readers = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(fuzz_readers)
    fuzz_readers.SECONDS = 60.0  # on a busy computer; the script itself asks for 5
    counts, faults = fuzz_readers.fuzz(INPUTS, seed=1)
    assert not faults, faults[0]
    outcomes = {outcome for _, outcome in counts}
    assert outcomes == {"read", "refused"} and sum(counts.values()) == INPUTS
