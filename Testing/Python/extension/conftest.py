"""Reading CMakeLists.txt files, for the tests of what ships."""

from __future__ import annotations

import re
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cmake_variables(repository):
    """cmake_variables(folder) returns the set(NAME values...) of a folder's CMakeLists.txt as {name: [values]}."""

    def read(folder: str) -> dict[str, list[str]]:
        text = (repository / folder / "CMakeLists.txt").read_text(encoding="utf-8")
        text = re.sub(r"(?m)#.*$", "", text)
        variables: dict[str, list[str]] = {}
        for name, body in re.findall(r"\bset\(\s*(\w+)((?:[^()\"]|\"[^\"]*\")*)\)", text):
            values = [quoted or plain for quoted, plain in re.findall(r'"([^"]*)"|(\S+)', body)]
            known = {key: value[0] for key, value in variables.items() if len(value) == 1}
            variables[name] = [re.sub(r"\$\{(\w+)\}", lambda match, known=known: known[match[1]], v) for v in values]
        return variables

    return read


@pytest.fixture(scope="session")
def files_of(repository):
    """files_of(folder) lists the folder's files, as paths relative to it."""

    def files(folder: str) -> list[str]:
        root = repository / folder
        paths = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
        return sorted(path.as_posix() for path in paths if not _is_left_by_tools(path))

    return files


def _is_left_by_tools(path: Path) -> bool:
    return path.suffix == ".pyc" or any(part == "__pycache__" or part.startswith(".") for part in path.parts)
