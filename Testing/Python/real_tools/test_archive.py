"""A real archive (Orthanc, on loopback alone) takes source, derived series and segmentation by C-STORE and gives each back as it was."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

pydicom = pytest.importorskip("pydicom")
SECONDS_TO_START = 20


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def archive(tool, tmp_path_factory):
    """(DICOM port, address of its web interface)"""
    program, folder = tool.find("Orthanc"), tmp_path_factory.mktemp("archive")
    tool.find("storescu")
    dicom_port, http_port = free_port(), free_port()
    options = {
        **{"Name": "test", "StorageDirectory": str(folder / "storage"), "IndexDirectory": str(folder / "storage"), "Plugins": []},
        **{"DicomPort": dicom_port, "DicomAet": "ARCHIVE", "HttpPort": http_port, "RemoteAccessAllowed": False},
        **{"AuthenticationEnabled": False, "DicomAlwaysAllowStore": True, "StorageCompression": False},
    }
    (folder / "orthanc.json").write_text(json.dumps(options))
    with open(folder / "log", "w") as log:
        process = subprocess.Popen([program, str(folder / "orthanc.json")], stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{http_port}"
        end = time.monotonic() + SECONDS_TO_START
        while True:
            try:
                ask(f"{address}/system")
                break
            except (urllib.error.URLError, OSError):
                if process.poll() is not None or time.monotonic() > end:
                    pytest.skip(f"Orthanc did not start, so this test did NOT run: {(folder / 'log').read_text()[-300:]}")
                time.sleep(0.2)
        yield dicom_port, address
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def ask(address: str, data: bytes | None = None) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(address, data), timeout=10) as answer:
        return answer.read()


def sent_back(address: str, instance_uid: str, folder: Path) -> Path:
    query = {"Level": "Instance", "Query": {"SOPInstanceUID": instance_uid}}
    (identity,) = json.loads(ask(f"{address}/tools/find", json.dumps(query).encode()))
    path = folder / f"{identity}.dcm"
    path.write_bytes(ask(f"{address}/instances/{identity}/file"))
    return path


def test_what_is_stored_comes_back_bit_equal(tool, archive, pair, tmp_path):
    """Every element, private ones, sequences and the stored pixels among them, and the syntax; not the file's own meta information,
    which names who stored it."""
    port, address = archive
    is_plain = pydicom.dcmread(pair.source[0]).file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
    files = [*(pair.source if is_plain else []), *pair.derived, pair.segmentation]  # of others the sending program changes the syntax
    tool("storescu", "--required", "-aec", "ARCHIVE", "127.0.0.1", port, *files)
    for file in files:
        sent = pydicom.dcmread(file)
        path = sent_back(address, sent.SOPInstanceUID, tmp_path)
        back = pydicom.dcmread(path)
        assert back.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID
        assert back == sent and back.PixelData == sent.PixelData
        assert len(back) == len(sent) > 30


def test_the_archive_files_it_in_the_study_of_its_source(tool, archive, make_pair):
    port, address = archive
    pair = make_pair("plain")
    tool("storescu", "--required", "-aec", "ARCHIVE", "127.0.0.1", port, *pair.source, *pair.derived, pair.segmentation)
    uid = str(pydicom.dcmread(pair.source[0]).StudyInstanceUID)
    (study,) = json.loads(ask(f"{address}/tools/find", json.dumps({"Level": "Study", "Query": {"StudyInstanceUID": uid}}).encode()))
    series = [json.loads(ask(f"{address}/series/{one}")) for one in json.loads(ask(f"{address}/studies/{study}"))["Series"]]
    named = Counter()  # the series of the other tests are in this study, too
    for one in series:
        named[one["MainDicomTags"].get("SeriesDescription")] += len(one["Instances"])
    assert named["Odd"] >= 6 and named["Odd (MAR: SSLMAR)"] >= 6 and named["Odd (Metal)"] >= 1
