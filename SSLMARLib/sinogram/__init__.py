"""What is done to sinograms: the metal trace (eq. 1), linear interpolation (eq. 9), metal trace replacement (eq. 8), NMAR's
normalization. Sinograms are torch tensors (..., views, bins) of line integrals; traces are boolean, True where metal was crossed."""

from .._lazy import lazy_attributes

_LAZY_NAMES = {
    "metal_trace": "trace",
    "trace_share": "trace",
    "linear_interpolation": "interpolation",
    "metal_trace_replacement": "replacement",
    "normalized_interpolation": "normalization",
}

__all__ = list(_LAZY_NAMES)
__getattr__ = lazy_attributes(__name__, _LAZY_NAMES)
