"""What every method gets and gives."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch

from ..sinogram.interpolation import linear_interpolation
from ..sinogram.trace import metal_trace
from ..tomography.projector import FanBeamProjector


@dataclass
class MetalAffectedScan:
    """A batch of slices whose sinograms have a metal trace. What several methods need is computed once, when first asked for.

    sinogram: (slices, views, bins) line integrals, float32.
    trace: (slices, views, bins) boolean, True where rays cross metal (eq. 1).
    metal_mask: (slices, rows, columns) boolean, on the projector's image grid.
    """

    sinogram: torch.Tensor
    trace: torch.Tensor
    metal_mask: torch.Tensor
    projector: FanBeamProjector

    @classmethod
    def from_images(cls, image, metal_mask, projector, trace_dilation_bins: int = 0) -> MetalAffectedScan:
        """Project images (slices, rows, columns) in 1/cm that have artifacts, as scanners hand out no sinograms (III-E)."""
        scan = cls(projector.project(image), metal_trace(metal_mask, projector, trace_dilation_bins), metal_mask, projector)
        return scan

    @cached_property
    def metal_path_cm(self) -> torch.Tensor:
        """Length of each ray in metal, P of the metal mask, (slices, views, bins)."""
        return self.projector.project(self.metal_mask.to(self.sinogram.dtype))

    @cached_property
    def uncorrected_image(self) -> torch.Tensor:
        """FBP of the sinogram as it is, (slices, rows, columns) in 1/cm."""
        return self.projector.fbp(self.sinogram)

    @cached_property
    def interpolated_sinogram(self) -> torch.Tensor:
        """S_LI: the sinogram linearly interpolated across the trace (eq. 9), (slices, views, bins)."""
        return linear_interpolation(self.sinogram, self.trace)

    @cached_property
    def interpolated_image(self) -> torch.Tensor:
        """FBP of S_LI, (slices, rows, columns) in 1/cm."""
        return self.projector.fbp(self.interpolated_sinogram)


class Method(Protocol):
    """A way to correct sinograms. Implementations hold no state of the scan.

    A slow one also has slices_per_batch, such as {"cpu": 1}: by device, how many slices it corrects at once. A run can be
    cancelled between batches only, and should end within two seconds then.
    """

    name: str  # as users write it: "nmar"
    title: str  # as users read it: "NMAR"
    description: str  # one line

    def correct(self, scan: MetalAffectedScan) -> torch.Tensor:
        """The corrected sinograms (slices, views, bins); outside the trace they are the scan's own, to the bit."""
        ...
