"""SSLMARLib: metal artifact reduction (MAR) in CT. The public names; everything that computes is imported at first use.

    import SSLMARLib
    result = SSLMARLib.reduce_metal_artifacts(volume_hu, spacing_mm)
    result.volume_hu, result.metal_mask, result.report

Importing this package needs numpy alone.
"""

from __future__ import annotations

from ._lazy import lazy_attributes
from ._version import __version__
from .errors import Cancelled, InputError, MARError, MissingPackageError, NoMetalError

_LAZY_NAMES = {
    "reduce_metal_artifacts": "correction",
    "CorrectionResult": "correction",
    "CorrectionReport": "correction",
    "available_methods": "methods",
    "FanBeamGeometry": "tomography",
    "FanBeamProjector": "tomography",
    "segment_metal": "ct.segmentation",
    "CTVolume": "ct.volume",
    "read_volume": "ct.reading_writing",
    "write_volume": "ct.reading_writing",
}

__all__ = ["__version__", "Cancelled", "InputError", "MARError", "MissingPackageError", "NoMetalError", *_LAZY_NAMES]
__getattr__ = lazy_attributes(__name__, _LAZY_NAMES)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
