"""Ctrl-C and a polite kill at bad moments: soon at an end, exit status 130, no traceback, nothing left behind."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

ENDS_WITHIN_SECONDS = 5.0  # 2 s on a computer that is not busy with other tests

# Each script says "now" at its moment and then does what takes far longer than the test. pbkdf2_hmac computes in C without looking at
# signals, as a compressor or SimpleITK do.
IN_C = "hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)"
IN_PYTHON = "time.sleep(1000)"
SCRIPT = """
import hashlib, sys, time
from SSLMARLib import cli

def stop_here(*arguments, **options):
    print("now", flush=True)
    {work}

{moment}
sys.exit(cli.main())
"""
MOMENTS = {
    "importing": "cli.build_parser = stop_here",
    "reading": "from SSLMARLib.ct import image_file; image_file._open_image = stop_here",
    "segmenting": "from SSLMARLib.ct import segmentation; segmentation.segment_metal = stop_here",
    "correcting": "from SSLMARLib import correction; correction._SliceRun.correct_slices = stop_here",
    "writing": """
from SSLMARLib.ct import reading_writing
def write(volume, path):
    path.write_bytes(b"half a volume")
    stop_here()
reading_writing.write_image_file = write""",
    "writing the report": """
from SSLMARLib import atomic_files, correction
from SSLMARLib.commands import correct
report = correction.CorrectionReport("li", 4, 2, 9, 1.0, 2000.0, 1.0, 9.0, 0.1, "cpu", 8)
correct.reduce_metal_artifacts = lambda volume, *_, **__: correction.CorrectionResult(volume, volume > 2000, report)
def write(path, function, *arguments):
    with atomic_files.unfinished_beside(path) as temporary:
        temporary.write_bytes(b"half a report")
        stop_here()
atomic_files.write_complete = write""",
}


def interrupt(process, number=signal.SIGINT) -> tuple[int, str]:
    """Send the signal; returns the exit status and what was said on standard error."""
    start = time.monotonic()
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert time.monotonic() - start < ENDS_WITHIN_SECONDS
    return process.returncode, error


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("work", [IN_PYTHON, IN_C], ids=["in Python", "in C"])
def test_ctrl_c(start, scan, tmp_path, moment, work):
    script = SCRIPT.format(work=work, moment=MOMENTS[moment])
    words = ["correct", scan, tmp_path / "out.nrrd", "--method", "li", "--report", tmp_path / "report.json"]
    process = start(*(words if moment in ("correcting", "writing the report") else ["segment", *words[1:3]]), script=script)
    assert process.stdout.readline() == "now\n", process.communicate()
    status, error = interrupt(process)
    assert status == 130
    assert error == "sslmar: cancelled.\n"
    assert os.listdir(tmp_path) == ["scan.nrrd"]


@pytest.mark.parametrize("work", [IN_PYTHON, IN_C], ids=["in Python", "in C"])
def test_a_polite_kill(start, scan, tmp_path, work):
    process = start("segment", scan, tmp_path / "out.nrrd", script=SCRIPT.format(work=work, moment=MOMENTS["writing"]))
    assert process.stdout.readline() == "now\n"
    status, error = interrupt(process, signal.SIGTERM)
    assert (status, error) == (130, "sslmar: cancelled.\n")
    assert os.listdir(tmp_path) == ["scan.nrrd"]


def test_an_impatient_user(start, scan, tmp_path):
    """Ctrl-C again and again does not disturb the tidying up."""
    process = start("segment", scan, tmp_path / "out.nrrd", script=SCRIPT.format(work=IN_PYTHON, moment=MOMENTS["writing"]))
    assert process.stdout.readline() == "now\n"
    for _ in range(20):
        process.send_signal(signal.SIGINT)
    assert interrupt(process)[0] == 130
    assert os.listdir(tmp_path) == ["scan.nrrd"]


def test_an_interruption_that_a_library_turns_into_another_error(start, scan, tmp_path):
    moment = """
from SSLMARLib.ct import image_file
def read(*_):
    try:
        stop_here()
    except KeyboardInterrupt:
        raise ImportError("could not be initialized") from None
image_file._open_image = read"""
    process = start("segment", scan, tmp_path / "out.nrrd", script=SCRIPT.format(work=IN_PYTHON, moment=moment))
    assert process.stdout.readline() == "now\n"
    assert interrupt(process) == (130, "sslmar: cancelled.\n")


def test_an_interruption_that_a_library_swallows(start, scan, tmp_path):
    moment = """
from SSLMARLib.ct import image_file
def read(*_):
    try:
        stop_here()
    except KeyboardInterrupt:
        time.sleep(1000)
image_file._open_image = read"""
    process = start("segment", scan, tmp_path / "out.nrrd", script=SCRIPT.format(work=IN_PYTHON, moment=moment))
    assert process.stdout.readline() == "now\n"
    assert interrupt(process) == (130, "sslmar: cancelled.\n")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="what a process has loaded is in /proc on Linux")
@pytest.mark.parametrize("library", ["_multiarray_umath", "libtorch", "SimpleITK"])
def test_while_libraries_are_loaded(start, scan, tmp_path, library):
    """No stand-ins: the moment at which the library is seen in the program's memory."""
    process = start("correct", scan, tmp_path / "out.nrrd", "--method", "li")
    while process.poll() is None:
        with open(f"/proc/{process.pid}/maps") as maps:
            if library in maps.read():
                break
    status, error = interrupt(process)
    assert status == 130, error
    assert "Traceback" not in error
    assert os.listdir(tmp_path) == ["scan.nrrd"]


def test_with_overwrite_the_old_file_stays(start, scan, tmp_path):
    (tmp_path / "out.nrrd").write_text("old")
    script = SCRIPT.format(work=IN_C, moment=MOMENTS["writing"])
    process = start("segment", scan, tmp_path / "out.nrrd", "--overwrite", script=script)
    assert process.stdout.readline() == "now\n"
    assert interrupt(process)[0] == 130
    assert sorted(os.listdir(tmp_path)) == ["out.nrrd", "scan.nrrd"] and (tmp_path / "out.nrrd").read_text() == "old"


def test_the_demo_leaves_no_folder(start, tmp_path):
    moment = "from SSLMARLib.simulation import phantom; phantom.body_phantom = stop_here"
    process = start("demo", "--output", tmp_path / "demo", script=SCRIPT.format(work=IN_PYTHON, moment=moment))
    assert process.stdout.readline() == "now\n", process.communicate()
    assert interrupt(process)[0] == 130
    assert not os.listdir(tmp_path)


def test_signals_are_as_before_afterwards(sslmar):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert sslmar("info")[0] == 0
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert signal.set_wakeup_fd(-1) == -1


def test_in_another_thread(sslmar):
    """Signals belong to the main thread alone."""
    import threading

    seen = []
    thread = threading.Thread(target=lambda: seen.append(sslmar("info")[0]))
    thread.start()
    thread.join()
    assert seen == [0]
