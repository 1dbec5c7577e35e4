"""A function is read at one glance."""

from __future__ import annotations

import ast

LONGEST_LINES = 60


def test_no_function_is_longer_than_a_screen(repository):
    paths = [path for folder in ("SSLMAR", "SSLMARLib") for path in (repository / folder).rglob("*.py")]
    functions = [
        (node.end_lineno - node.lineno + 1, path.name, node.name)
        for path in paths
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    ]
    assert len(functions) > 500
    assert not [function for function in functions if function[0] > LONGEST_LINES]
