"""Fan-beam tomography: the geometry (ODL), the projector P with its exact adjoint and FBP (torch), the ODL engine."""

from .._lazy import lazy_attributes

_LAZY_NAMES = {
    "FanBeamGeometry": "geometry",
    "FanBeamProjector": "projector",
    "get_projector": "projector",
    "register_odl_engine": "odl_engine",
}

__all__ = list(_LAZY_NAMES)
__getattr__ = lazy_attributes(__name__, _LAZY_NAMES)
