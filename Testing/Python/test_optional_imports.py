"""A package that is missing or broken is one sentence for the user."""

from __future__ import annotations

import ast
import tomllib
from importlib import resources
from pathlib import Path

import pytest

from SSLMARLib import optional_imports
from SSLMARLib.errors import MissingPackageError
from SSLMARLib.optional_imports import PACKAGES, import_optional


@pytest.mark.parametrize(
    "error, sentence",
    [
        (ModuleNotFoundError("No module named 'torch'", name="torch"), "PyTorch is not installed: install it with"),
        (OSError("[WinError 126] The specified module could not be found. Error loading c10.dll"), "cannot be loaded .*c10.dll"),
        (ImportError("libcudnn.so.9: cannot open shared object file\nmore"), "cannot be loaded .libcudnn"),
        (ModuleNotFoundError("No module named 'sympy'", name="sympy"), "cannot be loaded .No module named 'sympy'"),
    ],
)
def test_torch_that_is_missing_or_broken_is_one_sentence(monkeypatch, error, sentence):
    def broken(module):
        raise error

    monkeypatch.setattr(optional_imports, "import_module", broken)
    with pytest.raises(MissingPackageError, match=sentence) as raised:
        import_optional("torch")
    assert "\n" not in str(raised.value) and str(raised.value).endswith(".")


def test_every_optional_import_has_its_sentence():
    modules = set()
    for path in Path(str(resources.files("SSLMARLib"))).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_optional" and isinstance(node.args[0], ast.Constant):
                modules.add(node.args[0].value.split(".")[0])
    assert modules - {"matplotlib"} == set(PACKAGES) - {"matplotlib"}


def test_extras_that_are_named_exist():
    project = Path(__file__).resolve().parents[2] / "pyproject.toml"
    extras = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = {install.split("[")[1].split("]")[0] for _, install in PACKAGES.values() if "[" in install}
    assert named and named <= set(extras)
