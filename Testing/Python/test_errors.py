"""Errors are sentences for users."""

from __future__ import annotations

import builtins
import sys

import pytest

from SSLMARLib.errors import MissingPackageError, import_torch


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
    original = builtins.__import__

    def broken(name, *arguments, **options):
        if name == "torch":
            raise error
        return original(name, *arguments, **options)

    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(builtins, "__import__", broken)
    with pytest.raises(MissingPackageError, match=sentence) as raised:
        import_torch()
    assert "\n" not in str(raised.value) and str(raised.value).endswith(".")
