"""The fan-beam projector: P, its exact adjoint, and exact filtered backprojection (FBP), differentiable any number of times.

One sparse matrix for each operator, for an eighth of the views where the symmetry holds (`symmetry.py`), is applied to a few
slices and all their rotations and reflections at once. The same lines run on CPU and CUDA.
"""

from functools import cached_property, lru_cache

import torch

from ..errors import InputError
from .fan_beam_matrices import SparseMatrix, backprojection_matrix, blocked_ray_order, joseph_matrix
from .filtering import RowFilter, fan_beam_filter
from .geometry import FanBeamGeometry, ray_points
from .symmetry import SymmetryTables, symmetry_order

SLICES_PER_PASS_CPU = 8  # 8 slices of 8 copies are one cache line of float32 for each weight
SLICES_PER_PASS_CUDA = 16


class _LinearMap(torch.autograd.Function):
    """A linear map whose derivative is the map's own adjoint, which is linear too: so it differentiates any number of times."""

    @staticmethod
    def forward(ctx, values, forward_map, adjoint_map):
        ctx.maps = forward_map, adjoint_map
        return forward_map(values)

    @staticmethod
    def backward(ctx, gradient):
        forward_map, adjoint_map = ctx.maps
        return _LinearMap.apply(gradient, adjoint_map, forward_map), None, None


class FanBeamProjector:
    """P, P's adjoint and FBP of one geometry on one device.

    Images are (..., rows, columns) in 1/cm, sinograms (..., views, bins) line integrals without unit, with any leading
    shape. Axis 0 of an image is x, axis 1 is y. Everything is computed in `dtype` (float32, or float64 for checks of
    gradients), also under autocast. The matrices are built at first use, the transposes that gradients need at their first use.

        projector = FanBeamProjector(FanBeamGeometry(), device="cpu")
        sinogram = projector.project(image)
        image = projector.fbp(sinogram)

    Raises InputError for data of another shape or on another device.
    """

    def __init__(self, geometry: FanBeamGeometry | None = None, device="cpu", dtype: torch.dtype = torch.float32):
        self.geometry = geometry if geometry is not None else FanBeamGeometry()
        self.device = torch.device(device)
        if self.device.type == "cuda" and self.device.index is None:
            self.device = torch.device("cuda", torch.cuda.current_device())
        self.dtype = dtype
        self.slices_per_pass = SLICES_PER_PASS_CPU if self.device.type == "cpu" else SLICES_PER_PASS_CUDA

    def project(self, image: torch.Tensor) -> torch.Tensor:
        """Forward projection P: (..., rows, columns) 1/cm -> (..., views, bins) line integrals. Joseph's method."""
        return self._apply(image, self.geometry.image_shape, self._project, self._backproject)

    def backproject(self, sinogram: torch.Tensor) -> torch.Tensor:
        """The exact adjoint of `project`: (..., views, bins) -> (..., rows, columns), in cm times the sinogram's unit."""
        return self._apply(sinogram, self.geometry.sinogram_shape, self._backproject, self._project)

    def fbp(self, sinogram: torch.Tensor) -> torch.Tensor:
        """Fan-beam FBP: (..., views, bins) line integrals -> (..., rows, columns) 1/cm (Kak and Slaney 1988, section 3.4.2)."""
        return self._apply(sinogram, self.geometry.sinogram_shape, self._fbp, self._fbp_adjoint)

    def prepare(self) -> "FanBeamProjector":
        """Build what `project` and `fbp` need, so that their first slice takes no longer than the next; returns itself."""
        self._projection, self._backprojection, self._symmetry, self._filter  # noqa: B018
        return self

    def buffer_bytes(self) -> int:
        """Memory held by the matrices and tables built so far."""
        held = [value for name, value in vars(self).items() if name.startswith("_") and name != "_rays"]
        tensors = []
        for value in held:
            candidates = vars(value).values() if isinstance(value, SparseMatrix | SymmetryTables) else [value]
            tensors += [tensor for tensor in candidates if isinstance(tensor, torch.Tensor)]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def _apply(self, values, expected_shape, forward_map, adjoint_map):
        if not isinstance(values, torch.Tensor) or values.dim() < 2 or tuple(values.shape[-2:]) != expected_shape:
            found = tuple(values.shape) if isinstance(values, torch.Tensor) else type(values).__name__
            raise InputError(f"A torch tensor of shape (..., {expected_shape[0]}, {expected_shape[1]}) is needed, not {found}.")
        if values.device != self.device:
            raise InputError(
                f"The data is on {values.device} and the projector on {self.device}: move the data, or make a projector there."
            )
        if values.numel() == 0:
            raise InputError("There is no slice to work on: the batch is empty.")
        leading = values.shape[:-2]
        with torch.autocast(self.device.type, enabled=False):
            flat = values.to(self.dtype).reshape(-1, *expected_shape)
            result = _LinearMap.apply(flat, forward_map, adjoint_map)
        return result.reshape(*leading, *result.shape[-2:])

    # The four linear maps, (slices, ., .) -> (slices, ., .).

    def _project(self, image):
        return self._in_passes(image, lambda part: self._columns_to_sinogram(self._projection.multiply(self._fold(part))))

    def _backproject(self, sinogram):
        return self._in_passes(sinogram, lambda part: self._unfold(self._projection_transposed.multiply(self._rays_of(part))))

    def _fbp(self, sinogram):
        return self._in_passes(sinogram, lambda part: self._unfold(self._backprojection.multiply(self._rays_of(self._filter.apply(part)))))

    def _fbp_adjoint(self, image):
        return self._in_passes(
            image,
            lambda part: self._filter.apply_adjoint(self._columns_to_sinogram(self._backprojection_transposed.multiply(self._fold(part)))),
        )

    def _in_passes(self, values, one_pass):
        with torch.autocast(self.device.type, enabled=False):
            parts = [one_pass(part) for part in values.to(self.dtype).split(self.slices_per_pass)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _fold(self, image):
        return self._symmetry.image_to_columns(image)

    def _unfold(self, columns):
        return self._symmetry.columns_to_image(columns, self.geometry.image_shape)

    def _rays_of(self, sinogram):
        return self._symmetry.sinogram_to_columns(sinogram)

    def _columns_to_sinogram(self, columns):
        return self._symmetry.columns_to_sinogram(columns, self.geometry.sinogram_shape)

    # Matrices and tables, each built when it is first needed.

    @cached_property
    def _rays(self):
        """(sources, detector cells, order of the rays) of the stored views."""
        stored_views = self.geometry.views // symmetry_order(self.geometry)
        sources, cells = ray_points(self.geometry.odl_geometry())
        return sources[:stored_views], cells[:stored_views], blocked_ray_order(stored_views, self.geometry.bins)

    @cached_property
    def _symmetry(self) -> SymmetryTables:
        return SymmetryTables.build(self.geometry, self._rays[2], self.device)

    @cached_property
    def _projection(self) -> SparseMatrix:
        return joseph_matrix(self.geometry, *self._rays, self.dtype).to(self.device)

    @cached_property
    def _projection_transposed(self) -> SparseMatrix:
        return self._projection.transposed()

    @cached_property
    def _backprojection(self) -> SparseMatrix:
        return backprojection_matrix(self.geometry, *self._rays, self.dtype).to(self.device)

    @cached_property
    def _backprojection_transposed(self) -> SparseMatrix:
        return self._backprojection.transposed()

    @cached_property
    def _filter(self) -> RowFilter:
        return fan_beam_filter(self.geometry, self.dtype, self.device)


@lru_cache(maxsize=2)
def get_projector(device: str = "cpu", geometry: FanBeamGeometry | None = None) -> FanBeamProjector:
    """The projector of a geometry (the benchmark's by default) in float32, built once a device and kept."""
    return FanBeamProjector(geometry, device=device)
