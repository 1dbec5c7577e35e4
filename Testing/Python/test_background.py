"""BackgroundRun: a computation on a thread, polled by an owner that must stay alive."""

from __future__ import annotations

import ctypes
import sys
import threading
import time

import pytest

from SSLMARLib import Cancelled, InputError
from SSLMARLib.background import BackgroundRun


def test_the_result_comes_back():
    run = BackgroundRun(lambda progress, is_cancelled: threading.current_thread()).start()
    assert run.wait(5)
    assert run.result() is not threading.current_thread()


def test_the_error_comes_back():
    def work(progress, is_cancelled):
        raise InputError("No metal.")

    run = BackgroundRun(work).start()
    assert run.wait(5)
    with pytest.raises(InputError, match="No metal."):
        run.result()


def test_progress_is_the_latest_and_stays_within_0_and_1():
    reported, go_on = threading.Event(), threading.Event()

    def work(progress, is_cancelled):
        progress(0.5, "half")
        progress(1.2, "more than all")
        reported.set()
        go_on.wait(5)

    run = BackgroundRun(work)
    assert run.progress == (0.0, "")
    run.start()
    assert reported.wait(5)
    assert run.progress == (1.0, "more than all")
    assert not run.wait(0)
    with pytest.raises(RuntimeError, match="has not finished"):
        run.result()
    go_on.set()
    assert run.wait(5)


def test_cancel_reaches_the_work_and_drops_what_it_returns():
    def work(progress, is_cancelled):
        while not is_cancelled():
            time.sleep(0.001)
        return "too late"

    run = BackgroundRun(work).start()
    assert not run.cancelled
    run.cancel()
    assert run.cancelled
    assert run.wait(5)
    with pytest.raises(Cancelled):
        run.result()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs the C library of Linux")
def test_the_thread_advances_where_the_event_loop_holds_the_interpreter_lock():
    """Between polls such an application sleeps without giving up the lock; all progress is made inside wait()."""
    sleep_holding_the_lock = ctypes.PyDLL(None).usleep
    steps = 0

    def work(progress, is_cancelled):
        nonlocal steps
        while steps < 50:
            time.sleep(0.001)  # gives up the lock and takes it again, as each torch operation does
            steps += 1

    run = BackgroundRun(work).start()
    polls = 0
    while not run.wait(0.05):
        sleep_holding_the_lock(10_000)
        polls += 1
        assert polls < 20, f"only {steps} of 50 steps after {polls} polls"
    assert run.result() is None


def test_a_series_takes_each_work_in_its_turn_on_the_owner_s_thread():
    taken, threads = [], []

    def works():
        for number in range(3):
            taken.append((number, threading.get_ident(), len(threads)))
            yield lambda progress, is_cancelled, number=number: threads.append(threading.get_ident()) or number

    run = BackgroundRun.of_series(works(), sum).start()
    while not run.wait(0.05):
        pass
    assert taken == [(number, threading.get_ident(), number) for number in range(3)]
    assert threading.get_ident() not in threads
    assert run.wait(0) and run.result() == 3


def test_a_series_ends_with_the_first_error_or_cancel():
    def fail(progress, is_cancelled):
        raise InputError("No metal.")

    def works_that_fail():
        yield lambda progress, is_cancelled: 1
        raise InputError("The frame is gone.")

    for works, sentence in (([fail, pytest.fail], "No metal."), (works_that_fail(), "The frame is gone.")):
        run = BackgroundRun.of_series(works, sum).start()
        while not run.wait(0.05):
            pass
        with pytest.raises(InputError, match=sentence):
            run.result()
    run = BackgroundRun.of_series([lambda progress, is_cancelled: 1, pytest.fail], sum).start()
    run.cancel()
    assert run.wait(5)
    with pytest.raises(Cancelled):
        run.result()
