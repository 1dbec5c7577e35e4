"""How long a correction is expected to take: from earlier runs, or not at all."""

from __future__ import annotations

import json
import math
import time
from types import SimpleNamespace

import pytest

from SSLMARLib import expected_time
from SSLMARLib.expected_time import KEY, ExpectedTime, Stopwatch
from SSLMARLib.methods.nmar import NMAR


class Store:
    """What QSettings offers, as far as it is used; values are texts."""

    def __init__(self, **values):
        self.values = values

    def value(self, key):
        return self.values.get(key)

    def setValue(self, key, value):
        self.values[key] = value


def test_nothing_is_known_before_a_run():
    times = ExpectedTime()
    assert times.seconds("li", 10) is None
    assert times.seconds("li", 0) is None


def test_a_run_tells_its_method_and_device():
    times = ExpectedTime()
    times.remember("nmar", "cuda", 0.5)
    times.remember("nmar", "cpu", 2.0, asked_device="cpu")
    assert times.seconds("nmar", 10, "cuda") == 5.0
    assert times.seconds("nmar", 10, "cpu") == 20.0
    assert times.seconds("nmar", 10, "auto") == 5.0  # what "auto" chose last
    assert times.seconds("nmar", 0, "cpu") == 0.0


def test_the_later_run_counts_but_for_few_slices():
    times = ExpectedTime()
    times.remember("li", "cpu", 3.0, slices=1)
    assert times.seconds("li", 1) == 3.0
    times.remember("li", "cpu", 1.0, slices=40)
    times.remember("li", "cpu", 5.0, slices=1)
    assert times.seconds("li", 1) == 1.0
    times.remember("li", "cpu", 2.0, slices=40)
    assert times.seconds("li", 1) == 2.0


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf])
def test_what_is_no_time_is_not_remembered(seconds):
    times = ExpectedTime()
    times.remember("li", "cpu", seconds)
    assert times.seconds("li", 1) is None


def test_other_methods_are_estimated_from_those_that_ran():
    times = ExpectedTime()
    times.remember("li", "cpu", 1.0)
    assert times.seconds("nmar", 2) == pytest.approx(2 * NMAR.relative_cost)
    assert times.seconds("a new one", 2) is None
    times.remember("a new one", "cpu", 7.0)
    assert times.seconds("a new one", 2) == 14.0


def test_a_store_outlives_the_process():
    store = Store()
    times = ExpectedTime(store)
    times.remember("li", "cuda", 0.25)
    again = ExpectedTime(Store(**store.values))
    assert again.seconds("li", 4) == 1.0
    assert list(store.values) == [KEY]


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "no JSON",
        "[]",
        "{}",
        json.dumps({"auto": "cpu", "seconds_per_slice": {"cpu": 3}}),
        json.dumps({"auto": "cpu", "seconds_per_slice": {"cpu": {"li": "fast"}}}),
        json.dumps({"auto": "cpu", "seconds_per_slice": {"cpu": {"li": -2}}}),
        b"\xff",
    ],
)
def test_a_damaged_store_is_forgotten(content):
    times = ExpectedTime(Store(**{KEY: content}))
    assert times.seconds("li", 1) is None
    times.remember("li", "cpu", 1.0)
    assert times.seconds("li", 1) == 1.0


def test_the_stopwatch_leaves_the_start_out_and_hands_all_on():
    seen = []
    stopwatch = Stopwatch(lambda fraction, message: seen.append((fraction, message)))
    stopwatch(0.01, "Preparing")
    time.sleep(0.05)
    assert stopwatch.seconds_per_slice(4) == 0.0
    stopwatch(0.02, "slice 1")
    time.sleep(0.02)
    stopwatch(0.5, "slice 3")
    assert 0.004 < stopwatch.seconds_per_slice(4) < 0.012 + 0.05
    assert stopwatch.seconds_per_slice(0) == 0.0
    assert seen == [(0.01, "Preparing"), (0.02, "slice 1"), (0.5, "slice 3")]
    Stopwatch(None)(0.5, "nobody listens")


def test_runs_are_kept_in_the_store_that_is_used():
    report = SimpleNamespace(method="li", device="cpu", slices_corrected=10)
    store = Store()
    expected_time.use_timing_store(store)
    expected_time.remember_run(report, 0.5, "auto")
    assert expected_time.expected_seconds("li", 10) == 5.0
    expected_time.use_timing_store(None)
    assert expected_time.expected_seconds("li", 10) is None
    expected_time.use_timing_store(store)
    assert expected_time.expected_seconds("li", 10) == 5.0
    expected_time.use_timing_store(None)


def test_the_library_reports_its_slices_from_the_fraction_that_is_watched():
    """SLICES_BEGIN follows what reduce_metal_artifacts reports."""
    pytest.importorskip("torch", reason="torch is not installed, so nothing was watched")
    import numpy

    from SSLMARLib import reduce_metal_artifacts

    rows, columns = numpy.mgrid[:64, :64] - 31.5
    volume = numpy.full((2, 64, 64), -1000, numpy.int16)
    volume[:, numpy.hypot(rows, columns) < 25] = 0
    volume[:, numpy.hypot(rows, columns - 10) < 4] = 3000
    seen = []
    reduce_metal_artifacts(volume, (3.0, 3.0, 3.0), method="li", device="cpu", progress=lambda *call: seen.append(call))
    first = min(fraction for fraction, message in seen if "slice" in message)
    assert first == expected_time.SLICES_BEGIN
    assert max(fraction for fraction, message in seen if "slice" not in message and fraction < 1) < first
