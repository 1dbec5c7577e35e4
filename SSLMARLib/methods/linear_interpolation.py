"""LI: linear interpolation of the metal trace (Kalender et al. 1987)."""

from __future__ import annotations

import torch

from .base import MetalAffectedScan


class LinearInterpolation:
    name = "li"
    title = "LI"
    description = "Linear interpolation across the metal trace: fast and robust, blurs what lies near metal."

    def correct(self, scan: MetalAffectedScan) -> torch.Tensor:
        """S_LI of eq. 9, (slices, views, bins)."""
        return scan.interpolated_sinogram
