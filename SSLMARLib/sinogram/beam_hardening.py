"""Beam hardening correction (BHC) of metal in the sinogram: what the metal adds is made proportional to its thickness."""

import torch

from ..errors import InputError

POLYNOMIAL_DEGREE = 3


def metal_beam_hardening_correction(
    sinogram: torch.Tensor, interpolated_sinogram: torch.Tensor, metal_path_cm: torch.Tensor, trace: torch.Tensor
) -> torch.Tensor:
    """S_BHC = S_LI + metal part, made linear; all (slices, views, bins), the trace boolean.

    The metal part S - S_LI of a polychromatic scan bends downward with the metal's thickness L. A cubic a1 L + a2 L^2 + a3 L^3 is
    fitted to it over the trace of each slice by least squares, and its higher terms are taken out (the idea of Verburg and Seco
    2012, Phys. Med. Biol. 57, 2803: a first-order correction for metal alone). Outside the trace the sinogram comes back to the bit.

    metal_path_cm: length of each ray in metal, P of the metal mask. Raises InputError where the shapes differ.
    """
    if not sinogram.shape == interpolated_sinogram.shape == metal_path_cm.shape == trace.shape:
        raise InputError(
            f"The sinograms {tuple(sinogram.shape)}, {tuple(interpolated_sinogram.shape)}, the metal paths {tuple(metal_path_cm.shape)} "
            f"and the trace {tuple(trace.shape)} must have one shape."
        )
    weight = trace.to(torch.float64)
    metal = (sinogram - interpolated_sinogram).double() * weight
    scale = metal_path_cm.amax(dim=(-2, -1), keepdim=True).clamp(min=1e-6).double()
    length = metal_path_cm.double() / scale * weight
    powers = torch.stack([length**degree for degree in range(1, POLYNOMIAL_DEGREE + 1)], dim=-1)
    flat_powers, flat_metal = powers.flatten(-3, -2), metal.flatten(-2)
    normal = flat_powers.transpose(-1, -2) @ flat_powers
    ridge = 1e-9 * normal.diagonal(dim1=-2, dim2=-1).amax(-1)[..., None, None].clamp(min=1e-12)
    normal = normal + ridge * torch.eye(POLYNOMIAL_DEGREE, dtype=normal.dtype, device=normal.device)
    coefficients = torch.linalg.solve(normal, flat_powers.transpose(-1, -2) @ flat_metal[..., None])[..., 0]
    bending = (powers[..., 1:] * coefficients[..., None, None, 1:]).sum(-1)
    return torch.where(trace, sinogram - bending.to(sinogram.dtype), sinogram)
