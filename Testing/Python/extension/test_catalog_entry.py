"""Testing/ExtensionsIndex/SSLMAR.json, the file that lists the extension in the catalog, by the catalog's rules."""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

import pytest

SCHEMAS = "https://raw.githubusercontent.com/Slicer/Slicer/main/Schemas/"
SCHEMA = f"{SCHEMAS}slicer-extension-catalog-entry-schema-v1.0.2.json#"
TYPES = {  # every key that an entry may have
    "$schema": str,
    "category": str,
    "scm_url": str,
    "scm_revision": str,
    "scm_type": str,
    "build_dependencies": list,
    "build_subdirectory": str,
    "dicom_support_rule": str,
    "enabled": bool,
    "tier": int,
}
REQUIRED = {"$schema", "category", "scm_url"}
CATEGORIES = {"DICOM", "Filtering", "Quantification", "Radiotherapy", "Segmentation", "Tomographic Reconstruction"}


def problems_of(entry: dict, name: str) -> list[str]:
    """What the catalog's checks would refuse in the entry of the file `name`.json."""
    problems = [f"{key}: is required" for key in REQUIRED - set(entry)]
    problems += [f"{key}: no such key" for key in set(entry) - set(TYPES)]
    problems += [
        f"{key}: must be {TYPES[key].__name__}"
        for key, value in entry.items()
        if key in TYPES and (not isinstance(value, TYPES[key]) or (TYPES[key] is int and isinstance(value, bool)))
    ]
    if problems:
        return sorted(problems)
    repository = urlsplit(entry["scm_url"]).path.split("/")[-1].removesuffix(".git")
    checks = {
        "$schema: must be version 1.0.2": entry["$schema"] == SCHEMA,
        "name: must not start with Slicer": not name.lower().startswith("slicer"),
        "category: not in the catalog's list": entry["category"] in CATEGORIES,
        "scm_url: must be https or git": urlsplit(entry["scm_url"]).scheme in {"https", "git"},
        "scm_url: the repository's name must start with Slicer": repository.startswith("Slicer"),
        "scm_type: must be git": entry.get("scm_type", "git") == "git",
        "scm_revision: a branch's name is wanted": not re.fullmatch(r"[0-9a-f]{7,40}", entry.get("scm_revision", "main")),
        "build_dependencies: must be names": all(isinstance(item, str) and item for item in entry.get("build_dependencies", [])),
        "tier: must be 1 to 5": 1 <= entry.get("tier", 1) <= 5,
    }
    return [problem for problem, holds in checks.items() if not holds]


@pytest.fixture
def entry(repository):
    return json.loads((repository / "Testing" / "ExtensionsIndex" / "SSLMAR.json").read_text(encoding="utf-8"))


def test_the_entry_follows_the_rules(entry):
    assert problems_of(entry, "SSLMAR") == []


@pytest.mark.parametrize(
    "change, problem",
    [
        ({"homepage": "https://example.org"}, "homepage: no such key"),
        ({"tier": 6}, "tier: must be 1 to 5"),
        ({"tier": True}, "tier: must be int"),
        ({"tier": "1"}, "tier: must be int"),
        ({"category": "Metal"}, "category: not in the catalog's list"),
        ({"scm_url": "http://github.com/SSLMAR/SlicerSSLMAR"}, "scm_url: must be https or git"),
        ({"scm_url": "https://github.com/SSLMAR/SSLMAR.git"}, "scm_url: the repository's name must start with Slicer"),
        ({"scm_revision": "0123456789abcdef"}, "scm_revision: a branch's name is wanted"),
        ({"scm_type": "svn"}, "scm_type: must be git"),
        ({"build_dependencies": [1]}, "build_dependencies: must be names"),
        ({"$schema": SCHEMA.replace("v1.0.2", "v1.0.0")}, "$schema: must be version 1.0.2"),
    ],
)
def test_the_rules_refuse_what_the_catalog_refuses(entry, change, problem):
    assert problems_of(entry | change, "SSLMAR") == [problem]


@pytest.mark.parametrize("key", sorted(REQUIRED))
def test_required_keys(entry, key):
    assert problems_of({name: value for name, value in entry.items() if name != key}, "SSLMAR") == [f"{key}: is required"]


def test_the_name(entry):
    assert problems_of(entry, "SlicerSSLMAR") == ["name: must not start with Slicer"]


def test_the_entry_agrees_with_the_extension(entry, repository, cmake_variables):
    """The file's name is the project's; category, dependencies and address are those of CMakeLists.txt."""
    assert re.search(r"^project\(SSLMAR\b", (repository / "CMakeLists.txt").read_text(encoding="utf-8"), re.MULTILINE)
    variables = {name: " ".join(values) for name, values in cmake_variables(".").items()}
    assert entry["category"] == variables["EXTENSION_CATEGORY"]
    assert entry["build_dependencies"] == variables["EXTENSION_DEPENDS"].split()
    assert entry["scm_url"].removesuffix(".git") == variables["EXTENSION_HOMEPAGE"]
    assert f"/{entry['scm_revision']}/" in variables["EXTENSION_ICONURL"]


def test_what_tier_1_asks_of_the_repository(repository, cmake_variables):
    """Name, description, a picture, one sentence on the module, publication and license on the first page."""
    readme = (repository / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("# SSLMAR") and "## How to cite" in readme and "License: Apache-2.0" in readme
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", readme)
    assert pictures and all((repository / picture).is_file() for picture in pictures)
    (description,) = cmake_variables(".")["EXTENSION_DESCRIPTION"]
    assert 1 <= len(re.findall(r"\.(\s|$)", description)) <= 2
