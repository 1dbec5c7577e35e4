"""DICOM series as hospitals have them, made in code, each with the right outcome beside it: what the standard says, not what a reader does.

for kind in KINDS:
    series = kind.make()
    series.write(folder)      # and the truth is series.values_hu, series.spacing_mm, series.origin_mm, series.direction
"""

from . import geometry, headers, multi_frame, values  # noqa: F401  (each registers its kinds)
from .building import KINDS

__all__ = ["KINDS"]
