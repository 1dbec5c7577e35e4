"""The names that SSLMARLib offers: seen by editors and type checkers as they are at run time."""

from __future__ import annotations

import ast
from pathlib import Path

import SSLMARLib


def test_type_checkers_see_what_is_imported_at_its_first_use():
    tree = ast.parse(Path(SSLMARLib.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING")
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert seen == SSLMARLib._LAZY_NAMES and set(seen) < set(SSLMARLib.__all__)
    assert Path(SSLMARLib.__file__).with_name("py.typed").is_file()


def test_every_public_name_is_there():
    assert {"read_mask", "PRESETS", "simulate_metal", "get_method", "MetalSearch"} <= set(SSLMARLib.__all__)
    assert all(getattr(SSLMARLib, name) is not None for name in SSLMARLib.__all__)
    assert set(SSLMARLib.__all__) <= set(dir(SSLMARLib))
