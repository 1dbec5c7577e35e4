"""Sentences that were found to be wrong or hard to read do not come back, in the code or in any page."""

from __future__ import annotations

import pytest

WRONG = {
    "learned without images free of metal": "the networks learned from images free of metal",
    "Two neural networks repair": "what each network contributes",
    "SinoNet contributes almost nothing": "what it has contributed since it was trained",
    "SSLMAR saw no metal": "its networks did not, its limits did",
    "no medical device": "not a medical device",
    "fell apart": "Training diverged",
    "s a slice (": "per slice",
    "one mask a slice": "per slice",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_no_file_says_what_is_not_so(wrong, repository):
    folders = ("SSLMAR", "SSLMARLib", "Testing/Benchmarks")
    files = [repository / "README.md", repository / "CMakeLists.txt"]
    files += [path for folder in folders for ending in ("py", "md", "ui", "txt") for path in (repository / folder).rglob(f"*.{ending}")]
    assert len(files) > 100
    found = [path.name for path in files if wrong in " ".join(path.read_text(encoding="utf-8").split())]
    assert not found, f"say {WRONG[wrong]!r}"
