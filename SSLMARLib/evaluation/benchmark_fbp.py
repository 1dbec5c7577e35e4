"""The filtered backprojection (FBP) that made the benchmark's own images, beside the product's exact fan-beam FBP.

It is not the textbook's: there is no cosine weight, the distance weight is R / l instead of (R / l)^2, and the ramp
is sampled at half-integer frequencies. Only figures reconstructed by it can be compared with published ones. It gives
`poly_CT` from `poly_sinogram` within about 1 HU (root mean square).
"""

import math
from functools import cached_property, lru_cache

import numpy
import torch

from ..errors import InputError
from ..tomography.fan_beam_matrices import SparseMatrix
from ..tomography.filtering import RowFilter
from ..tomography.geometry import FanBeamGeometry
from ..tomography.projector import FanBeamProjector, get_projector
from .settings import FBP_NAMES


def benchmark_filter(geometry: FanBeamGeometry, dtype: torch.dtype = torch.float32, device="cpu") -> RowFilter:
    """The benchmark's ramp filter of the rows of a sinogram; 1/cm.

    ODL pads a row of the detector from n to N = 2 n - 1 bins and shifts its discrete Fourier transform by half the
    sampling frequency; as N is odd, the frequencies are (j - N / 2) / (N pitch), j = 0 ... N - 1: none is zero, so
    that the ramp does not remove the mean. The constant holds the ramp's 1/2, the step 2 pi / views, and the
    magnification, as the ramp is taken at the pitch of the detector and not at that of the axis.
    """
    bins, pitch_cm = geometry.bins, geometry.bin_width_cm
    padded = 2 * bins - 1
    frequency_per_cm = (numpy.arange(padded) - padded / 2) / (padded * pitch_cm)
    lag_cm = numpy.arange(bins) * pitch_cm
    kernel = numpy.cos(2 * math.pi * lag_cm[:, None] * frequency_per_cm) @ numpy.abs(frequency_per_cm) / padded
    return RowFilter(kernel * geometry.magnification * math.pi / geometry.views, numpy.ones(bins), dtype, device)


class BenchmarkFBPProjector(FanBeamProjector):
    """A projector whose `fbp` is the benchmark's: (..., views, bins) -> (..., rows, columns), 1/cm.

    It stands on the projector with the exact FBP and shares its tables, so that both cost little more than one.
    """

    def __init__(self, exact: FanBeamProjector):
        super().__init__(exact.geometry, exact.device, exact.dtype)
        self.exact = exact

    @cached_property
    def _filter(self) -> RowFilter:
        return benchmark_filter(self.geometry, self.dtype, self.device)

    @cached_property
    def _backprojection(self) -> SparseMatrix:
        """The exact FBP's matrix (two entries a pixel and view), its weight (R / l)^2 times l / R."""
        exact, geometry = self.exact._backprojection, self.geometry
        sources = torch.from_numpy(self._rays[0])
        x, y = ((torch.arange(count, dtype=torch.float64) - (count - 1) / 2) * geometry.pixel_size_cm for count in geometry.image_shape)
        toward_axis = -sources / geometry.source_radius_cm
        depth_cm = torch.cartesian_prod(x, y) @ toward_axis.T + geometry.source_radius_cm  # along the central ray
        relative_depth = (depth_cm / geometry.source_radius_cm).to(self.dtype).to(self.device)  # (pixels, views)
        weights = exact.weights.view(*relative_depth.shape, 2) * relative_depth[:, :, None]
        return SparseMatrix(exact.columns, weights.reshape(-1), exact.row_starts, exact.column_count)

    @property
    def _rays(self):
        return self.exact._rays

    @property
    def _symmetry(self):
        return self.exact._symmetry

    @property
    def _projection(self) -> SparseMatrix:
        return self.exact._projection

    @property
    def _projection_transposed(self) -> SparseMatrix:
        return self.exact._projection_transposed


@lru_cache(maxsize=2)
def get_benchmark_projector(device: str = "cpu") -> BenchmarkFBPProjector:
    """The projector of the benchmark's geometry with the benchmark's FBP, built once a device and kept."""
    return BenchmarkFBPProjector(get_projector(device))


def get_reconstruction(fbp: str, device: str = "cpu"):
    """The FBP of a name as a function of torch sinograms (..., views, bins) -> images (..., rows, columns) in 1/cm.

    fbp: "exact" (the product's fan-beam FBP) or "benchmark" (the benchmark authors'). Raises InputError for another
    name.
    """
    if fbp == "exact":
        return get_projector(device).fbp
    if fbp == "benchmark":
        return get_benchmark_projector(device).fbp
    raise InputError(f"There is no FBP of the name {fbp!r}: choose one of {', '.join(FBP_NAMES)}.")
