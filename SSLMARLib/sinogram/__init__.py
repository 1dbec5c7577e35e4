"""What is done to sinograms: the metal trace (eq. 1), linear interpolation (eq. 9), metal trace replacement (eq. 8), NMAR's
normalization. Sinograms are torch tensors (..., views, bins) of line integrals; traces are boolean, True where metal was crossed."""

from __future__ import annotations

from importlib import import_module

_LAZY_NAMES = {
    "metal_trace": "trace",
    "linear_interpolation": "interpolation",
    "metal_trace_replacement": "replacement",
    "normalized_interpolation": "normalization",
}

__all__ = list(_LAZY_NAMES)


def __getattr__(name: str):
    if name not in _LAZY_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LAZY_NAMES[name]}", __name__), name)
