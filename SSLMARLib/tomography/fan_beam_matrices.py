"""The sparse matrices of the fan beam: Joseph's projection and the pixel-driven, weighted backprojection of FBP.

Both are computed in float64 from the source and detector points that ODL's geometry gives, for a run of consecutive views, and
hold their weights in the projector's own precision. A matrix is three flat arrays (compressed sparse rows).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy
import torch

from .geometry import FanBeamGeometry

RAYS_PER_BLOCK = 4096  # what is computed for one block stays in the cache
BINS_PER_BLOCK = 8  # neighboring bins of all views lie together in memory: the rays of one block cross the same pixels


_builders_lock = threading.Lock()
_builders = 0
_threads_without_builders = 1


@contextmanager
def _one_thread() -> Iterator[None]:
    """torch on one thread. The builders run many operations of microseconds each, for which threads that wait for each other gain
    nothing; on a computer that is busy with other things they would take ten times as long.

    torch keeps a number for each Python thread, and a new one starts with the number that was set last: so what the first of several
    builders found is what each of them leaves."""
    global _builders, _threads_without_builders
    with _builders_lock:
        own = torch.get_num_threads()
        if not _builders:
            _threads_without_builders = own
        before = own if own > 1 else _threads_without_builders
        _builders += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _builders_lock:
            _builders -= 1
            torch.set_num_threads(before)


@dataclass(frozen=True)
class SparseMatrix:
    """Compressed sparse rows. columns int32 (entries,), weights (entries,), row_starts int32 (rows,)."""

    columns: torch.Tensor
    weights: torch.Tensor
    row_starts: torch.Tensor
    column_count: int

    @property
    def row_count(self) -> int:
        return self.row_starts.numel()

    def to(self, device) -> SparseMatrix:
        return SparseMatrix(self.columns.to(device), self.weights.to(device), self.row_starts.to(device), self.column_count)

    def transposed(self) -> SparseMatrix:
        """The exact transpose, stored (same weights, other order)."""
        import scipy.sparse

        row_ends = numpy.append(self.row_starts.cpu().numpy(), self.columns.numel())
        matrix = scipy.sparse.csr_matrix(
            (self.weights.cpu().numpy(), self.columns.cpu().numpy(), row_ends), shape=(self.row_count, self.column_count)
        ).tocsc()
        return SparseMatrix(
            torch.from_numpy(matrix.indices), torch.from_numpy(matrix.data), torch.from_numpy(matrix.indptr[:-1].copy()), self.row_count
        ).to(self.columns.device)

    def multiply(self, dense: torch.Tensor) -> torch.Tensor:
        """(column_count, k) -> (rows, k). One line for CPU and CUDA; an empty row gives zeros."""
        return torch.nn.functional.embedding_bag(self.columns, dense, self.row_starts, mode="sum", per_sample_weights=self.weights)


def blocked_ray_order(views: int, bins: int) -> numpy.ndarray:
    """Flat ray numbers view * bins + bin, int64 (views * bins,), in blocks of 8 bins by all views."""
    view, bin_ = numpy.divmod(numpy.arange(views * bins), bins)
    return numpy.lexsort((bin_, view, bin_ // BINS_PER_BLOCK))


@_one_thread()
def joseph_matrix(geometry: FanBeamGeometry, sources, cells, ray_order, dtype: torch.dtype) -> SparseMatrix:
    """Projection matrix: one row a ray, in `ray_order`, one column a pixel (axis 0 slowest); weights in cm.

    sources (views, 2), cells (views, bins, 2): x, y in cm. Joseph's method (Joseph 1982): the ray is sampled where it crosses
    the pixel rows (or columns) of the axis that it runs along, linearly interpolated between two pixels.
    """
    rows, columns = geometry.image_shape
    pixel_cm = geometry.pixel_size_cm
    bins = cells.shape[1]
    source = torch.from_numpy(sources)[torch.from_numpy(ray_order // bins)]
    direction = torch.from_numpy(cells).reshape(-1, 2)[torch.from_numpy(ray_order)] - source
    counts, entry_columns, entry_weights = [], [], []
    for start in range(0, len(ray_order), RAYS_PER_BLOCK):
        block = slice(start, start + RAYS_PER_BLOCK)
        parts = _joseph_block(source[block], direction[block], rows, columns, pixel_cm, dtype)
        for total, part in zip((counts, entry_columns, entry_weights), parts, strict=True):
            total.append(part)
    row_starts = torch.cat([torch.zeros(1, dtype=torch.int64), torch.cat(counts).cumsum(0)[:-1]])
    return SparseMatrix(torch.cat(entry_columns), torch.cat(entry_weights), row_starts.int(), rows * columns)


def _joseph_block(source, direction, rows, columns, pixel_cm, dtype):
    """(entries of each ray, pixel of each entry, weight of each entry) of some rays; two entries per step along the ray."""
    along_y = direction[:, 1].abs() >= direction[:, 0].abs()
    major = torch.where(along_y, 1, 0)
    minor = 1 - major

    def pick(points, axis):
        return points.gather(1, axis[:, None])[:, 0]

    sizes = torch.tensor([rows, columns], dtype=torch.float64)
    major_size, minor_size = sizes[major], sizes[minor]
    # where the ray crosses pixel row k of its major axis, in pixels of its minor axis: first + k * slope
    slope = pick(direction, minor) / pick(direction, major)
    first_cm = pick(source, minor) + (-(major_size - 1) / 2 * pixel_cm - pick(source, major)) * slope
    first = first_cm / pixel_cm + (minor_size - 1) / 2
    length_cm = pixel_cm * direction.norm(dim=1) / pick(direction, major).abs()

    # the steps k at which the crossing lies in (-1, minor_size): one run, as the crossing moves one way
    safe_slope = torch.where(slope.abs() < 1e-12, 1e-12, slope)
    ends = torch.stack([(-1 - first) / safe_slope, (minor_size - first) / safe_slope])
    begin = ends.amin(0).floor().clamp(min=0).minimum(major_size).int()
    end = (ends.amax(0).ceil() + 1).clamp(min=0).minimum(major_size).int().maximum(begin)
    steps = end - begin
    ray = torch.repeat_interleave(torch.arange(len(steps)), steps)
    step = torch.arange(len(ray), dtype=torch.int32) - (steps.cumsum(0) - steps - begin).int()[ray]

    position = first[ray] + step * slope[ray]
    lower = position.floor()
    fraction = (position - lower).to(dtype)
    length = length_cm.to(dtype)[ray]
    stride_minor = torch.where(along_y, columns, 1).int()[ray]
    stride_major = torch.where(along_y, 1, columns).int()[ray]
    lower, limit = lower.int(), minor_size.int()[ray]
    pixels = torch.empty((len(ray), 2), dtype=torch.int32)
    weights = torch.empty((len(ray), 2), dtype=dtype)
    for side, share in ((0, 1 - fraction), (1, fraction)):
        neighbor = lower + side
        inside = (neighbor >= 0) & (neighbor < limit)
        pixels[:, side] = (neighbor * stride_minor + step * stride_major) * inside
        weights[:, side] = length * share * inside
    return 2 * steps.long(), pixels.view(-1), weights.view(-1)


@_one_thread()
def backprojection_matrix(geometry: FanBeamGeometry, sources, cells, ray_order, dtype: torch.dtype) -> SparseMatrix:
    """Backprojection matrix of FBP: one row a pixel, one column a ray in `ray_order`; no unit.

    Pixel-driven, linear between two bins, with the fan-beam weight (R / l)^2, where l is the pixel's distance from the source
    along the central ray (Kak and Slaney 1988, section 3.4.2). Two entries per view and pixel; outside the detector they weigh 0.
    """
    rows, columns = geometry.image_shape
    views, bins = cells.shape[:2]
    radius_cm, bin_cm = geometry.source_radius_cm, geometry.bin_width_cm
    rank = torch.empty(views * bins, dtype=torch.int32)
    rank[torch.from_numpy(ray_order)] = torch.arange(views * bins, dtype=torch.int32)
    rank = rank.view(views, bins)
    x = (torch.arange(rows, dtype=torch.float64) - (rows - 1) / 2) * geometry.pixel_size_cm
    y = (torch.arange(columns, dtype=torch.float64) - (columns - 1) / 2) * geometry.pixel_size_cm
    entry_columns = torch.empty((rows * columns, views, 2), dtype=torch.int32)
    entry_weights = torch.empty((rows * columns, views, 2), dtype=dtype)
    for view in range(views):
        source = sources[view]
        toward_axis = -source / numpy.linalg.norm(source)
        along_detector = cells[view, -1] - cells[view, 0] if bins > 1 else numpy.array([-toward_axis[1], toward_axis[0]])
        along_detector = along_detector / numpy.linalg.norm(along_detector)
        dx, dy = (x - source[0])[:, None], (y - source[1])[None, :]
        depth_cm = (dx * toward_axis[0] + dy * toward_axis[1]).reshape(-1)
        side_cm = (dx * along_detector[0] + dy * along_detector[1]).reshape(-1)
        bin_position = side_cm * (radius_cm * geometry.magnification / bin_cm) / depth_cm + (bins - 1) / 2
        lower = bin_position.floor()
        fraction = bin_position - lower
        lower = lower.long()
        weight = (radius_cm / depth_cm) ** 2
        for side, share in ((0, 1 - fraction), (1, fraction)):
            neighbor = lower + side
            seen = (neighbor >= 0) & (neighbor < bins)
            entry_columns[:, view, side] = rank[view][neighbor.clamp(0, bins - 1)]
            entry_weights[:, view, side] = (weight * share * seen).to(dtype)
    row_starts = torch.arange(rows * columns, dtype=torch.int32) * (2 * views)
    return SparseMatrix(entry_columns.reshape(-1), entry_weights.reshape(-1), row_starts, views * bins)
