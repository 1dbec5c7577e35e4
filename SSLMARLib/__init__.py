"""SSLMARLib: metal artifact reduction (MAR) in CT. The public names; everything that computes is imported at first use.

    import SSLMARLib
    result = SSLMARLib.reduce_metal_artifacts(volume_hu, spacing_mm)
    result.volume_hu, result.metal_mask, result.report

Importing this package needs numpy alone.
"""

from typing import TYPE_CHECKING

from ._lazy import lazy_attributes
from ._version import __version__
from .errors import Cancelled, InputError, MARError, MissingPackageError, NoMetalError

if TYPE_CHECKING:  # for editors and type checkers, which do not see what is imported at its first use
    from .correction import CorrectionReport, CorrectionResult, reduce_metal_artifacts
    from .ct.metal_search import MetalSearch
    from .ct.presets import PRESETS
    from .ct.reading_writing import read_mask, read_volume, write_mask, write_volume
    from .ct.segmentation import segment_metal
    from .ct.volume import CTVolume
    from .learned_metal import find_metal
    from .methods import available_methods, get_method
    from .raw_data import correct_sinogram
    from .simulation.volume import simulate_metal
    from .tomography import FanBeamGeometry, FanBeamProjector

_LAZY_NAMES = {
    "reduce_metal_artifacts": "correction",
    "correct_sinogram": "raw_data",
    "CorrectionResult": "correction",
    "CorrectionReport": "correction",
    "available_methods": "methods",
    "get_method": "methods",
    "MetalSearch": "ct.metal_search",
    "PRESETS": "ct.presets",
    "read_mask": "ct.reading_writing",
    "simulate_metal": "simulation.volume",
    "FanBeamGeometry": "tomography",
    "FanBeamProjector": "tomography",
    "segment_metal": "ct.segmentation",
    "find_metal": "learned_metal",
    "CTVolume": "ct.volume",
    "read_volume": "ct.reading_writing",
    "write_mask": "ct.reading_writing",
    "write_volume": "ct.reading_writing",
}

__all__ = [
    "__version__",
    "Cancelled",
    "InputError",
    "MARError",
    "MissingPackageError",
    "NoMetalError",
    "reduce_metal_artifacts",
    "correct_sinogram",
    "CorrectionResult",
    "CorrectionReport",
    "available_methods",
    "get_method",
    "MetalSearch",
    "PRESETS",
    "read_mask",
    "simulate_metal",
    "FanBeamGeometry",
    "FanBeamProjector",
    "segment_metal",
    "find_metal",
    "CTVolume",
    "read_volume",
    "write_mask",
    "write_volume",
]
__getattr__ = lazy_attributes(__name__, _LAZY_NAMES)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
