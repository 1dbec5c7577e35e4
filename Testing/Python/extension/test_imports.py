"""Who may import what: Slicer in one folder of the library, only what Slicer brings at the module's file scope."""

from __future__ import annotations

import ast
import re
import sys

import pytest

APPLICATION = {"slicer", "vtk", "qt", "ctk", "PythonQt", "mrml"}
MODULE_FILE_SCOPE = {"slicer", "qt", "ctk", "vtk", "numpy", "SimpleITK", "AbstractScriptedSubjectHierarchyPlugin"}  # all Slicer's own


def imported_packages(tree: ast.AST, file_scope_only: bool = False) -> set[str]:
    """Top-level names of the absolute imports in a file; with file_scope_only, those that run at its import."""
    names: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.split(".")[0])
        if not (file_scope_only and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))):
            names |= imported_packages(node, file_scope_only)
    return names


def test_the_walk_sees_imports_wherever_they_are():
    tree = ast.parse("import a.b\nclass C:\n  from d import e\n  def f(self):\n    import g\nif True:\n  import h\n")
    assert imported_packages(tree) == {"a", "d", "g", "h"}
    assert imported_packages(tree, file_scope_only=True) == {"a", "d", "h"}


def test_one_folder_of_the_library_knows_slicer(repository, files_of):
    """SSLMARLib/slicer_logic. No file of the library knows Qt."""
    offenders, knows = {}, set()
    for name in files_of("SSLMARLib"):
        if name.endswith(".py"):
            found = imported_packages(ast.parse((repository / "SSLMARLib" / name).read_text(encoding="utf-8"))) & APPLICATION
            if name.startswith("slicer_logic/"):
                knows |= found
            elif found:
                offenders[name] = sorted(found)
    assert not offenders, f"only SSLMARLib/slicer_logic imports the application: {offenders}"
    assert knows == {"slicer", "vtk"}


@pytest.fixture
def module_files(repository, files_of):
    """Name -> text of each Python file of the module: SSLMAR.py and its sections."""
    return {name: (repository / "SSLMAR" / name).read_text(encoding="utf-8") for name in files_of("SSLMAR") if name.endswith(".py")}


def test_the_module_imports_at_file_scope_only_what_slicer_brings(module_files):
    """And its own sections, which lie beside it."""
    assert len(module_files) > 5
    for name, text in module_files.items():
        found = imported_packages(ast.parse(text), file_scope_only=True)
        assert found <= MODULE_FILE_SCOPE | {"SSLMARPanel"} | sys.stdlib_module_names, (name, found)


def test_packages_are_installed_by_one_file_only(module_files):
    """Never when a file is loaded: ensurePackages of that file is called by Apply, and by what else computes."""
    installs = r"\bpip_(?:ensure|install)\w*\(|installTorch\("
    with_installs = {name for name, text in module_files.items() if re.search(installs, _without_texts(text))}
    assert with_installs == {"SSLMARPanel/installing.py"}
    for name, text in module_files.items():
        at_file_scope = [node for node in ast.parse(text).body if isinstance(node, (ast.Expr, ast.Assign, ast.With, ast.If))]
        assert not re.search(installs + r"|ensurePackages\(", "".join(ast.unparse(node) for node in at_file_scope)), name


def _without_texts(text):
    """A file's code without its string literals."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.unparse(tree)


@pytest.mark.parametrize("pattern", [r"\.connect\(\s*[\"']", r"\bprint\(", r"from __main__", r"import \*"])
def test_old_ways_are_not_used(module_files, pattern):
    for name, text in module_files.items():
        assert not re.search(pattern, text), name
