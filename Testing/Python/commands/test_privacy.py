"""Nothing of the patient, and no character that commands a terminal, leaves a DICOM header for a log, a report, a table or a name."""

from __future__ import annotations

import logging
import sys
import unicodedata
from pathlib import Path

import pytest

from SSLMARLib.cli import main

pytest.importorskip("pydicom")
sys.path.append(str(Path(__file__).resolve().parents[1]))
from odd_series.building import Series  # noqa: E402

SECRETS = {
    "PatientName": "Geheim^Name",
    "PatientID": "PID777",
    "PatientBirthDate": "19700102",
    "AccessionNumber": "ACC777",
    "OtherPatientIDs": "OTHER777",
    "PatientAddress": "Hidden Street 7",
    "ReferringPhysicianName": "Doctor^Secret",
    "InstitutionName": "Hospital Seven",
    "StationName": "STATION777",
}
COMMANDS = "\x1b[31mred\x07\x9b2J\u202e\u2028end"


@pytest.fixture
def scan(tmp_path):
    series = Series(rows=64, columns=64)
    series.set_all(SpecificCharacterSet="ISO_IR 192", SeriesDescription=COMMANDS, StudyDescription=COMMANDS, ProtocolName=COMMANDS)
    series.set_all(**SECRETS)
    series.stored[:] = 1024
    series.stored[2, 28:36, 28:36] = 4500
    (tmp_path / "scans" / "one").mkdir(parents=True)
    series.write(tmp_path / "scans" / "one")
    return tmp_path / "scans"


VERBS = {
    "correct": [
        "correct",
        "{scan}/one",
        "{out}/corrected",
        "--method",
        "li",
        "--report",
        "{out}/report.json",
        "--mask-output",
        "{out}/m.nrrd",
    ],
    "segment": ["segment", "{scan}/one", "{out}/metal.nii.gz"],
    "batch": ["batch", "{scan}", "{out}/results", "--method", "li", "--device", "cpu"],
    "a refusal": ["correct", "{scan}/one", "{out}/corrected", "--series", "1.2.3"],
}


@pytest.mark.parametrize("verb", VERBS)
def test_nothing_of_the_patient_is_said_or_written_beside_the_images(verb, scan, tmp_path, capsys, caplog):
    out = tmp_path / "out"
    out.mkdir()
    with caplog.at_level(logging.DEBUG):
        assert main([word.format(scan=scan, out=out) for word in VERBS[verb]]) == (2 if verb == "a refusal" else 0)
    texts = {"log": caplog.text, "terminal": "".join(capsys.readouterr())}
    for path in out.rglob("*"):
        texts[f"name of {path}"] = str(path.relative_to(out))
        if path.is_file() and path.suffix in (".json", ".jsonl", ".csv", ".png", ".nrrd", ".gz"):
            texts[str(path)] = path.read_bytes().decode("utf-8", "replace")
    assert len(texts) > 2 or verb == "a refusal"
    for place, text in texts.items():
        assert not [name for name, secret in SECRETS.items() if secret in text], place
        if Path(place).suffix not in (".png", ".nrrd", ".gz"):
            commands = [one for one in text if one not in "\n\r\t" and unicodedata.category(one) in ("Cc", "Cf", "Zl", "Zp")]
            assert not commands, (place, commands)
