"""`sslmar batch`: what becomes of each scan of a folder, that a killed batch goes on, that one bad scan stops no other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pytest
import SimpleITK

from SSLMARLib.batch.one_case import BatchSettings
from SSLMARLib.batch.run import run_batch
from SSLMARLib.cli import main
from SSLMARLib.ct.metal_search import MetalSearch
from SSLMARLib.errors import InputError

METAL = MetalSearch().to_dict()
LINEAR = BatchSettings("li", METAL, figures=False, device="cpu")


def write_scan(path: Path, has_metal: bool = True, slices: int = 3) -> None:
    voxels = numpy.full((slices, 64, 64), -1000, numpy.int16)
    voxels[:, 10:54, 8:56] = 40
    if has_metal:
        voxels[1, 30:34, 28:33] = 3071
    image = SimpleITK.GetImageFromArray(voxels)
    image.SetSpacing((4.0, 4.0, 3.0))
    path.parent.mkdir(parents=True, exist_ok=True)
    SimpleITK.WriteImage(image, str(path))


@pytest.fixture
def scans(tmp_path):
    """Two scans with metal in folders, one without, one damaged."""
    folder = tmp_path / "scans"
    write_scan(folder / "hip.nrrd")
    write_scan(folder / "ward" / "jaw.nii.gz")
    write_scan(folder / "ward" / "no_metal.nrrd", has_metal=False)
    (folder / "damaged.nrrd").write_bytes(b"NRRD0004\n")
    return folder


def statuses(output: Path) -> dict[str, str]:
    cases = json.loads((output / "summary.json").read_text())["cases"]
    return {Path(case["input"]).name.split(".")[0]: case["status"] for case in cases}


EXPECTED = {"hip": "corrected", "jaw": "corrected", "no_metal": "skipped", "damaged": "failed"}


def test_every_scan_has_its_outcome_and_the_exit_status_says_whether_all_went_well(scans, tmp_path, capsys):
    output = tmp_path / "results"
    assert main(["batch", str(scans), str(output), "--method", "li", "--device", "cpu", "--quiet"]) == 1
    assert statuses(output) == EXPECTED
    assert "damaged.nrrd" in capsys.readouterr().err
    results = sorted(path.name for path in output.glob("*/corrected.*"))
    assert results == ["corrected.nii.gz", "corrected.nrrd"] and len(list(output.glob("*/figure.png"))) == 2
    before = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(scans / "hip.nrrd")))
    after = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(next(output.glob("hip-*/corrected.nrrd")))))
    assert (after[[0, 2]] == before[[0, 2]]).all()
    rows = (output / "summary.csv").read_text().splitlines()
    assert len(rows) == 5 and rows[0].startswith("case,status,reason,input,output")
    (scans / "damaged.nrrd").unlink()
    assert main(["batch", str(scans), str(output), "--method", "li", "--device", "cpu", "--quiet"]) == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in this system's folders, so this test did NOT run")
def test_pipes_links_and_damage_stop_nothing(scans, tmp_path):
    """Opening a pipe that nobody writes into would wait forever."""
    os.mkfifo(scans / "pipe.nii")
    os.mkfifo(scans / "pipe_without_suffix")
    (scans / "dangling.nrrd").symlink_to(scans / "nowhere.nrrd")
    (scans / "zeros.mha").write_bytes(bytes(5000))
    run_batch(scans, tmp_path / "results", LINEAR)
    assert statuses(tmp_path / "results") == {**EXPECTED, "pipe": "failed", "dangling": "failed", "zeros": "failed"}


def test_a_second_run_does_nothing_again(scans, tmp_path):
    output, done = tmp_path / "results", []
    run_batch(scans, output, LINEAR)
    times = {path: path.stat().st_mtime_ns for path in output.glob("*/*")}
    result = run_batch(scans, output, LINEAR, on_record=lambda record, *_: done.append(Path(record["input"]).name))
    assert done == ["damaged.nrrd"] and result.earlier == 3  # what failed is tried again
    assert times == {path: path.stat().st_mtime_ns for path in output.glob("*/*")}
    with pytest.raises(InputError, match="was begun with method li instead of nmar"):
        run_batch(scans, output, BatchSettings("nmar", METAL, figures=False, device="cpu"))


def test_a_scan_that_grew_since_it_was_corrected_is_said(tmp_path, capsys):
    folder, output = tmp_path / "scans", tmp_path / "results"
    write_scan(folder / "hip.nrrd")
    words = ["batch", str(folder), str(output), "--method", "li", "--device", "cpu", "--no-figures", "--quiet"]
    assert main(words) == 0 and capsys.readouterr().err == ""
    write_scan(folder / "hip.nrrd", slices=4)
    assert main(words) == 1
    assert "has changed since it was corrected" in capsys.readouterr().err


def test_killed_in_the_middle_it_goes_on_and_leaves_nothing_half_done(tmp_path):
    folder, output = tmp_path / "scans", tmp_path / "results"
    for number in range(6):
        write_scan(folder / f"scan_{number}.nrrd")
    command = [sys.executable, "-m", "SSLMARLib", "batch", str(folder), str(output), "--method", "li", "--device", "cpu", "--no-figures"]
    for _ in range(2):
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        done = len(list(output.glob("scan-*/report.json")))
        deadline = time.monotonic() + 60
        while len(list(output.glob("scan-*/report.json"))) <= done and time.monotonic() < deadline and running.poll() is None:
            time.sleep(0.02)
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    result = run_batch(folder, output, LINEAR)
    assert [record["status"] for record in result.records] == ["corrected"] * 6 and result.earlier >= 2
    assert len(list(output.glob("scan-*"))) == 6 and not list(output.glob(".*.part")) and not list(output.glob(".*.removed"))
    for path in output.glob("scan-*/corrected.nrrd"):
        assert SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))).shape == (3, 64, 64)


def test_folders_that_lie_in_each_other_and_other_files_are_refused(scans, tmp_path):
    with pytest.raises(InputError, match="lie in each other"):
        run_batch(scans, scans / "results", LINEAR)
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").write_text("Dear colleague")
    with pytest.raises(InputError, match="holds other files"):
        run_batch(scans, other, LINEAR)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="holds no scan"):
        run_batch(empty, tmp_path / "results", LINEAR)


def test_workers_of_a_dask_scheduler_do_the_same_also_when_one_is_killed(tmp_path):
    distributed = pytest.importorskip("distributed", reason="distributed is not installed, so the batch on a cluster was NOT tested")
    folder, output = tmp_path / "scans", tmp_path / "results"
    for number in range(6):
        write_scan(folder / f"scan_{number}.nrrd")
    records, killed = [], []
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:

        def on_record(record, *_):
            records.append(record["status"])
            if not killed:
                killed.append(next(iter(cluster.workers.values())).pid)
                os.kill(killed[0], signal.SIGKILL)

        result = run_batch(folder, output, LINEAR, scheduler=cluster.scheduler_address, on_record=on_record)
    assert records == ["corrected"] * 6 and result.is_all_well and killed
    assert len(list(output.glob("scan-*/report.json"))) == 6 and not list(output.glob(".*.part"))
