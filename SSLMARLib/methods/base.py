"""What every method gets and gives, and what it says of itself. Importing this needs no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import torch

    from ..tomography.projector import FanBeamProjector


@dataclass
class MetalAffectedScan:
    """A batch of slices whose sinograms have a metal trace. What several methods need is computed once, when first asked for.

    sinogram: (slices, views, bins) line integrals, float32.
    trace: (slices, views, bins) boolean, True where rays cross metal (eq. 1).
    metal_mask: (slices, rows, columns) boolean, on the projector's image grid.
    images: what a method's `correct` keeps for its `finish`, by name: (slices, rows, columns) in 1/cm, on that grid.
    is_measured: whether the sinogram is a scanner's (or simulated as such), and not projected from reconstructed slices.
    """

    sinogram: torch.Tensor
    trace: torch.Tensor
    metal_mask: torch.Tensor
    projector: FanBeamProjector
    images: dict[str, torch.Tensor] = field(default_factory=dict)
    is_measured: bool = True

    @classmethod
    def from_images(cls, image, metal_mask, projector, trace_dilation_bins: int = 0) -> MetalAffectedScan:
        """Project images (slices, rows, columns) in 1/cm that have artifacts, as scanners hand out no sinograms (III-E)."""
        from ..sinogram.trace import metal_trace

        trace = metal_trace(metal_mask, projector, trace_dilation_bins)
        return cls(projector.project(image), trace, metal_mask, projector, is_measured=False)

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
        from ..sinogram.interpolation import linear_interpolation

        return linear_interpolation(self.sinogram, self.trace)

    @cached_property
    def interpolated_image(self) -> torch.Tensor:
        """FBP of S_LI, (slices, rows, columns) in 1/cm."""
        return self.projector.fbp(self.interpolated_sinogram)


class Method(ABC):
    """A way to correct sinograms, and all that is known of it. Implementations hold no state of the scan.

    The panel shows methods before PyTorch is installed: a method's file imports torch, and what needs it, where it computes.

    name: as users write it, "nmar". title: as they read it, "NMAR". description: one line, which the panel shows too.
    relative_cost: time of a slice in units of LI's, measured on a CPU; None where it is not known.
    packages: what it needs beyond PyTorch and what every method needs, as named in the panel's requirements.txt.
    for_research: whether it is here to be compared with, not to be used: left out of the panel's short list.
    learned_from: what its networks learned from, "" where it has none. published_rmse_hu: of the paper's 2000 cases (Yu et al., Table II).
    slices_per_batch: such as {"cpu": 1}: by device, how many slices it corrects at once, where the usual number is too slow. A run
        can be cancelled between batches only, and should end within two seconds then.
    trace_dilation_bins: by which the trace of slices that were loaded as images is wider on both sides than the mask's projection.
    small_change_hu, small_change_pixels: below which strength a change is taken out again; see `filters.without_small_changes`.
    """

    name: ClassVar[str]
    title: str
    description: str
    relative_cost: ClassVar[float | None] = None
    packages: ClassVar[tuple[str, ...]] = ()
    for_research: ClassVar[bool] = False
    learned_from: ClassVar[str] = ""
    published_rmse_hu: ClassVar[float | None] = None
    slices_per_batch: ClassVar[dict[str, int]] = {}
    trace_dilation_bins: ClassVar[int] = 1
    small_change_hu: float = 8.0
    small_change_pixels: float = 10.0  # of the projector's grid

    @abstractmethod
    def correct(self, scan: MetalAffectedScan) -> torch.Tensor:
        """The corrected sinograms (slices, views, bins); outside the trace they are the scan's own, to the bit."""

    def image(self, scan: MetalAffectedScan) -> torch.Tensor:
        """The corrected slices on the projector's grid, (slices, rows, columns) in 1/cm: the FBP of `correct`; of a method whose
        result is an image, that image."""
        return self.images(scan, [scan.projector.fbp])[0]

    def images(self, scan: MetalAffectedScan, reconstructions: Sequence[Callable[[torch.Tensor], torch.Tensor]]) -> list[torch.Tensor]:
        """`image` by each of several functions from sinograms to images; the scan is corrected once."""
        sinogram = self.correct(scan)
        return [reconstruct(sinogram) for reconstruct in reconstructions]

    def finish(self, slices, corrected, metal_mask, scan: MetalAffectedScan, grid) -> torch.Tensor:
        """What else a method does to slices that were loaded as images, once the sinogram's correction is in them; here nothing.

        slices, corrected: (slices, rows, columns) in 1/cm, as loaded and corrected, on their own grid. metal_mask: boolean, the same
        shape. scan: what `correct` got. grid: the `ct.resampling.SliceGrid` between the slices and the scan's images.
        """
        return corrected

    def facts(self) -> dict:
        """What else a report says of the method, in JSON's types."""
        return {}
