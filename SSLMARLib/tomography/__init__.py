"""Fan-beam tomography: the geometry (ODL), the projector P with its exact adjoint and FBP (torch), the ODL engine."""

from __future__ import annotations

from importlib import import_module

_LAZY_NAMES = {
    "FanBeamGeometry": "geometry",
    "FanBeamProjector": "projector",
    "get_projector": "projector",
    "register_odl_engine": "odl_engine",
}

__all__ = list(_LAZY_NAMES)


def __getattr__(name: str):
    if name not in _LAZY_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LAZY_NAMES[name]}", __name__), name)
