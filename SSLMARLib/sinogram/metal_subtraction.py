"""Metal subtraction: what the metal can have added to the data inside its trace is fitted and taken away, what is left is anatomy."""

from collections.abc import Sequence

import torch

from ..errors import InputError
from ..tomography.projector import FanBeamProjector

LEAST_PATH_CM = 1e-4
RIDGE = 1e-7  # of the mean diagonal of the normal matrix: keeps slices with little metal solvable


def metal_subtracted_sinogram(
    sinogram: torch.Tensor,
    reference_sinogram: torch.Tensor,
    metal_path_cm: torch.Tensor,
    trace: torch.Tensor,
    trust_per_cm: float,
    linear_terms: Sequence[torch.Tensor] = (),
) -> torch.Tensor:
    """S_MS = S - f inside the metal, S_ref elsewhere in the trace, S outside it; all (slices, views, bins), the trace boolean.

    Of a ray that crosses metal the path length L in it is known (`metal_path_cm`, P of the metal mask). The metal's polychromatic part
    is modeled, for each slice, as a constant and powers of L up to the third, and L and L^2 times the reference's line integral, as
    the beam that meets the metal is hardened by the body (after the ideas of Verburg and Seco 2012, Phys. Med. Biol. 57, 2803), and
    the `linear_terms`, such as those of `outline_projections`. f is fitted to S - S_ref by weighted least squares. What f can describe
    of a scan drops out, whatever the metal: a scan without metal and one with metal of that kind give the same result (exactly, where
    the linear terms are the same too). So a network may learn from it on metal-free scans.

    reference_sinogram: a completion of the trace, for example NMAR's. trust_per_cm: data behind L cm of metal count
    exp(-trust_per_cm L) in the fit, as they are noisier, and farther from any polynomial. The first and the last ray of each run
    through metal are not used, as only a part of their width may lie in metal. Raises InputError where the shapes differ.
    """
    shapes = [tuple(values.shape) for values in (sinogram, reference_sinogram, metal_path_cm, trace, *linear_terms)]
    if len(set(shapes)) > 1 or sinogram.ndim != 3:
        raise InputError(
            "The sinogram, the reference, the metal paths, the trace and the linear terms must have one shape (slices, views, bins), "
            f"but have {', '.join(map(str, shapes))}."
        )
    used = rays_inside_metal(metal_path_cm, trace)
    result = torch.where(trace, reference_sinogram, sinogram)
    for number, rays in enumerate(used):
        if rays.any():
            path, reference = metal_path_cm[number][rays].double(), reference_sinogram[number][rays].double()
            linear = [term[number][rays].double() for term in linear_terms]
            metal = _fitted_metal(sinogram[number][rays].double() - reference, path, reference, trust_per_cm, linear)
            result[number][rays] = sinogram[number][rays] - metal.to(sinogram.dtype)
    return result


def outline_projections(metal_mask: torch.Tensor, image: torch.Tensor, projector: FanBeamProjector) -> list[torch.Tensor]:
    """P of what a metal mask may have wrong, for the linear terms of `metal_subtracted_sinogram`; five of (slices, views, bins).

    A pixel more or less around the metal, the metal a little to the side or up or down, and the metal as the image shows it, as it
    need not be the same everywhere; of these the mask decides alone but for the last. metal_mask: boolean, (slices, rows, columns).
    image: FBP of the same sinogram, same shape, in 1/cm.
    """
    metal = metal_mask.to(image.dtype)
    grown, shrunk = (sign * torch.nn.functional.max_pool2d(sign * metal[:, None], 3, stride=1, padding=1)[:, 0] for sign in (1, -1))
    down, right = torch.gradient(metal, dim=(1, 2))
    parts = torch.stack([grown - metal, metal - shrunk, down, right, metal * image])
    return list(projector.project(parts.flatten(0, 1)).unflatten(0, parts.shape[:2]))


def _fitted_metal(
    difference: torch.Tensor, path_cm: torch.Tensor, reference: torch.Tensor, trust_per_cm: float, linear_terms: list[torch.Tensor]
) -> torch.Tensor:
    """The model's best description of the difference of data and reference; (rays,) all."""
    weight = torch.exp(-trust_per_cm * path_cm)
    powers = [torch.ones_like(path_cm), path_cm, path_cm**2, path_cm**3, path_cm * reference, path_cm**2 * reference]
    terms = torch.stack(powers + linear_terms)
    terms = terms / terms.abs().amax(1, keepdim=True).clamp(min=1e-9)
    weighted = terms * weight
    normal = weighted @ weighted.T
    ridge = RIDGE * normal.diagonal().mean().clamp(min=1e-12) * torch.eye(len(terms), dtype=normal.dtype, device=normal.device)
    return torch.linalg.solve(normal + ridge, weighted @ (difference * weight)) @ terms


def rays_inside_metal(metal_path_cm: torch.Tensor, trace: torch.Tensor) -> torch.Tensor:
    """The rays of the trace that cross metal, and whose neighbors on the detector do; boolean, (slices, views, bins) as both inputs."""
    misses = (metal_path_cm <= LEAST_PATH_CM).to(torch.float32)
    beside_a_miss = torch.nn.functional.max_pool2d(misses[:, None], (1, 3), stride=1, padding=(0, 1))[:, 0] > 0
    return trace & ~beside_a_miss
