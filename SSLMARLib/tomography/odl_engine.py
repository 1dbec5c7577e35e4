"""SSLMAR's projector as an engine of ODL's `RayTransform`, so that ODL's operators and solvers run without ASTRA.

register_odl_engine()
transform = odl.applications.tomo.RayTransform(space, geometry, impl="sslmar")
"""

import numpy
import torch

from ..optional_imports import import_optional
from .geometry import FanBeamGeometry
from .projector import FanBeamProjector

ENGINE_NAME = "sslmar"


class SSLMARRayTransformEngine:
    """What ODL calls an `impl`: made by `RayTransform` from its geometry and spaces, in float32 or float64.

    ODL's adjoint is with respect to the weighted inner products of its spaces: the plain transpose, scaled by the ratio of
    the two weights.
    """

    def __init__(self, geometry, vol_space, proj_space):
        dtype = torch.float64 if numpy.dtype(vol_space.dtype_identifier).itemsize == 8 else torch.float32
        device = getattr(vol_space, "device", "cpu")
        self.vol_space, self.proj_space = vol_space, proj_space
        self.projector = FanBeamProjector(FanBeamGeometry.from_odl(vol_space, geometry), device=str(device), dtype=dtype)
        self.adjoint_scale = _weight(proj_space) / _weight(vol_space)

    def call_forward(self, x, out=None, **_):
        """P of an element of the image space."""
        return self._returned(self.projector.project(self._tensor(x)), self.proj_space, out)

    def call_backward(self, x, out=None, **_):
        """The adjoint of P in ODL's weighted spaces, of an element of the sinogram space."""
        return self._returned(self.projector.backproject(self._tensor(x)) * self.adjoint_scale, self.vol_space, out)

    def _tensor(self, element):
        data = element.data
        if isinstance(data, torch.Tensor):
            return data.to(self.projector.device)
        return torch.from_numpy(numpy.array(data))  # a copy: ODL may hand out a read-only or reversed view

    @staticmethod
    def _returned(result, space, out):
        data = result if space.impl == "pytorch" else result.cpu().numpy()
        if out is None:
            return space.element(data)
        out[:] = space.element(data)
        return out


def _weight(space) -> float:
    return float(getattr(space.weighting, "const", 1.0))


def register_odl_engine() -> str:
    """Make `impl="sslmar"` known to ODL's `RayTransform`; where no other engine is installed it is the default. Returns the name."""
    import_optional("odl.applications.tomo")
    from odl.applications.tomo.operators.ray_trafo import RAY_TRAFO_IMPLS

    if ENGINE_NAME not in RAY_TRAFO_IMPLS:
        RAY_TRAFO_IMPLS[ENGINE_NAME] = SSLMARRayTransformEngine
        RAY_TRAFO_IMPLS.move_to_end(ENGINE_NAME, last=False)  # the last one is ODL's default
    return ENGINE_NAME
