"""What README.md says about Slicer is what the code says."""

from __future__ import annotations

import ast
import re

import pytest


@pytest.fixture(scope="module")
def readme(repository):
    return (repository / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def texts(repository):
    """Every string that stands in the code of the module and of the library."""
    found = []
    for folder in ("SSLMAR", "SSLMARLib"):
        for path in sorted((repository / folder).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found += [
                node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
            ]
    return found


def test_symptoms_in_quotes_are_sentences_of_the_code(readme, texts):
    section = re.search(r"^## When something is wrong\n(.*?)^## ", readme, re.MULTILINE | re.DOTALL)[1]
    symptoms = [line.split("|")[1] for line in section.splitlines() if line.startswith("| ")]
    quoted = [text for symptom in symptoms for text in re.findall(r'"([^"]+)"', symptom)]
    assert len(quoted) > 8
    unknown = [text for text in quoted if not any(text in sentence for sentence in texts)]
    assert not unknown


def test_each_row_says_symptom_cause_and_cure(readme):
    section = re.search(r"^## When something is wrong\n(.*?)^## ", readme, re.MULTILINE | re.DOTALL)[1]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    assert rows.count("| symptom | cause | cure |") == 2
    assert all(len([cell for cell in row.split("|") if cell.strip()]) == 3 for row in rows)


def test_the_way_without_internet_names_what_is_needed(readme, repository):
    lines = (repository / "SSLMAR" / "Resources" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    brought = [line for line in lines if line.split(">")[0] in ("odl", "safetensors")]
    installing = (repository / "SSLMAR" / "SSLMARPanel" / "installing.py").read_text(encoding="utf-8")
    torch = "torch" + re.search(r'TORCH_REQUIREMENT = "(.*)"', installing)[1]
    assert " ".join(f'"{package}"' for package in [torch, *brought]) in readme


def test_links_inside_the_page_lead_somewhere(readme):
    headings = re.findall(r"^#+ (.+)$", readme, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", readme)) <= anchors


def test_names_of_buttons_and_samples_are_the_panel_s(readme, repository, texts):
    panel = (repository / "SSLMAR" / "Resources" / "UI" / "SSLMAR.ui").read_text(encoding="utf-8")
    shown = set(re.findall(r"<string>([^<]+)</string>", panel)) | set(texts)
    names = ("Apply", "Cancel", "Segment metal", "Preview this slice", "Side by side", "Difference", "Swipe", "Dental")
    for name in (*names, "Simulated dental crowns", "Simulated hip prosthesis", "Metal Artifact Reduction (SSLMAR)"):
        assert name in readme, name
        assert name in shown, name
