"""What the pages say is what the code says: SSLMAR/README.md about Slicer, README.md for three readers, and all links."""

from __future__ import annotations

import ast
import re

import pytest

PAGES = (
    "README.md",
    "SSLMAR/README.md",
    "SSLMARLib/README.md",
    "SSLMARLib/training/README.md",
    "SSLMARLib/models/sslmar.md",
    "SSLMARLib/models/cnnmar.md",
    "Testing/Benchmarks/README.md",
)


@pytest.fixture(scope="module")
def front_page(repository):
    return (repository / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def readme(repository):
    return (repository / "SSLMAR" / "README.md").read_text(encoding="utf-8")


def anchors_of(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.fixture(scope="module")
def texts(repository):
    """Every string that stands in the code of the module and of the library."""
    found = []
    for folder in ("SSLMAR", "SSLMARLib"):
        for path in sorted((repository / folder).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found += [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return found


def test_symptoms_in_quotes_are_sentences_of_the_code(readme, texts):
    section = re.search(r"^## When something is wrong\n(.*)", readme, re.MULTILINE | re.DOTALL)[1]
    symptoms = [line.split("|")[1] for line in section.splitlines() if line.startswith("| ")]
    quoted = [text for symptom in symptoms for text in re.findall(r'"([^"]+)"', symptom)]
    assert len(quoted) > 8
    unknown = [text for text in quoted if not any(text in sentence for sentence in texts)]
    assert not unknown


def test_each_row_says_symptom_cause_and_cure(readme):
    section = re.search(r"^## When something is wrong\n(.*)", readme, re.MULTILINE | re.DOTALL)[1]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    assert rows.count("| symptom | cause | cure |") == 2
    assert all(len([cell for cell in row.split("|") if cell.strip()]) == 3 for row in rows)


def test_the_way_without_internet_names_what_is_needed(readme, repository):
    lines = (repository / "SSLMAR" / "Resources" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    brought = [line for line in lines if line.split(">")[0] in ("odl", "safetensors")]
    installing = (repository / "SSLMAR" / "SSLMARPanel" / "installing.py").read_text(encoding="utf-8")
    torch = "torch" + re.search(r'TORCH_REQUIREMENT = "(.*)"', installing)[1]
    assert " ".join(f'"{package}"' for package in [torch, *brought]) in readme


@pytest.mark.parametrize("page", PAGES)
def test_links_and_pictures_lead_somewhere(page, repository):
    path = repository / page
    for target in re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        file = path.parent / name if name else path
        assert file.is_file(), target
        assert not anchor or anchor in anchors_of(file.read_text(encoding="utf-8")), target


def test_the_front_page_is_short_and_has_what_three_readers_need(front_page, cmake_variables):
    assert len(front_page.splitlines()) <= 150
    slicer, command_line, python = (
        re.search(rf"^## {heading}\n(.*?)^## ", front_page, re.MULTILINE | re.DOTALL)[1]
        for heading in ("In Slicer", "On the command line", "In Python")
    )
    assert len(re.findall(r"^\d\. ", slicer, re.MULTILINE)) == 5
    for part, language in ((command_line, "bash"), (python, "python")):
        block = re.search(rf"^```{language}\n(.*?)^```", part, re.MULTILINE | re.DOTALL)[1]
        assert len(block.splitlines()) == 6
    (homepage,) = cmake_variables(".")["EXTENSION_HOMEPAGE"]
    assert f'git+{homepage}"' in command_line
    assert command_line.index("CPU build of PyTorch") < command_line.index("pip install")


def test_the_python_of_the_front_page_corrects_a_scan(front_page, tmp_path, monkeypatch, capsys):
    import json

    import numpy

    import SSLMARLib

    monkeypatch.chdir(tmp_path)
    voxels_hu = numpy.full((2, 64, 64), -1000, numpy.int16)
    voxels_hu[:, 12:52, 8:56] = 40
    voxels_hu[0, 30:33, 30:33] = 3000
    SSLMARLib.write_volume(SSLMARLib.CTVolume(voxels_hu, (3.0, 2.0, 2.0)), "scan.nii.gz")
    section = front_page[front_page.index("## In Python") :]
    exec(re.search(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)[1], {})  # noqa: S102
    assert json.loads(capsys.readouterr().out)["slices_corrected"] == 1
    corrected = SSLMARLib.read_volume("corrected.nii.gz").voxels_hu
    assert (corrected[0] != voxels_hu[0]).any() and (corrected[1] == voxels_hu[1]).all()


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_pages_is_understood(page, repository):
    """Each `sslmar ...` line of a code block, by the parser of the command line."""
    import shlex

    from SSLMARLib.cli import build_parser

    text = (repository / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```bash\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines() if line.strip().startswith("sslmar ")]
    spans = [span for span in re.findall(r"`([^`\n]+)`", text) if span.startswith("sslmar ")]
    lines += [span for span in spans if len(span.split()) > 2 and not span.endswith("--from")]  # the others are parts of a command
    assert lines or page == "SSLMAR/README.md"
    for line in lines:
        build_parser().parse_args(shlex.split(line, comments=True)[1:])


def test_names_of_buttons_and_samples_are_the_panel_s(readme, repository, texts):
    panel = (repository / "SSLMAR" / "Resources" / "UI" / "SSLMAR.ui").read_text(encoding="utf-8")
    shown = set(re.findall(r"<string>([^<]+)</string>", panel)) | set(texts)
    names = ("Apply", "Cancel", "Segment metal", "Preview this slice", "Side by side", "Difference", "Swipe", "Dental")
    for name in (*names, "Simulated dental crowns", "Simulated hip prosthesis", "Metal Artifact Reduction (SSLMAR)"):
        assert name in readme, name
        assert name in shown, name
