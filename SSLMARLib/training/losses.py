"""What SSLMAR learns from: the losses of Yu et al., eqs 3, 4, 6 and 7, and one through the whole method.

Each term is a mean absolute difference: of sinograms in line integrals (no unit), of images in 1/cm. In these units the terms are of
one order of size where training starts, from linear interpolation (about 0.001, 0.004 and 0.003), and alpha_1 = alpha_2 = 1.
"""

import math
from dataclasses import asdict, dataclass

import torch

from ..ct.attenuation import attenuation_difference_to_hu
from ..errors import InputError


@dataclass(frozen=True)
class LossWeights:
    """Weight of each term of the loss; a term of weight 0 is not computed. The rows of the paper's Table I, in order:
    completion alone; with consistency (alpha_1); with refinement (alpha_2), which is the paper's method; then end_to_end."""

    completion: float = 1.0
    consistency: float = 1.0
    refinement: float = 1.0
    end_to_end: float = 0.0

    def __post_init__(self):
        values = asdict(self)
        for name, value in values.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
                raise InputError(f"The weight of the loss {name} is {value!r}: give a number, 0 or more.")
        if not any(values.values()):
            raise InputError("All weights of the loss are 0: give one that is not.")


def completion_loss(completed_sinogram: torch.Tensor, metal_free_sinogram: torch.Tensor) -> torch.Tensor:
    """L_SN = |S_sn - S|, eq. 3: mean over all bins, which the trace alone contributes to. (slices, views, bins), line integrals."""
    return (completed_sinogram - metal_free_sinogram).abs().mean()


def consistency_loss(image_1: torch.Tensor, image_2: torch.Tensor, metal_1: torch.Tensor, metal_2: torch.Tensor) -> torch.Tensor:
    """L_FBP = |(X_1 - X_2) (1 - M_1|M_2)|, eq. 4: mean over all pixels, in 1/cm.

    image_1, image_2: FBP of two completions of one sinogram under two traces, (slices, rows, columns) in 1/cm. metal_1, metal_2:
    the masks of the traces, boolean.
    """
    return _mean_difference(image_1, image_2, ~(metal_1 | metal_2))


def refinement_loss(refined_image: torch.Tensor, reference_image: torch.Tensor) -> torch.Tensor:
    """L_IN = |X_out - FBP(S)|, eq. 6: mean over all pixels, in 1/cm. Images (slices, rows, columns) in 1/cm."""
    return _mean_difference(refined_image, reference_image)


def end_to_end_loss(corrected_image: torch.Tensor, reference_image: torch.Tensor, metal: torch.Tensor) -> torch.Tensor:
    """|FBP(S_corr) - FBP(S)| outside metal, S_corr of eq. 8: mean over all pixels, in 1/cm.

    The paper names training through metal trace replacement as its future work. (slices, rows, columns) in 1/cm; metal boolean.
    """
    return _mean_difference(corrected_image, reference_image, ~metal)


def rmse_hu(image: torch.Tensor, truth: torch.Tensor, metal: torch.Tensor) -> float:
    """What validations measure: root mean square error in HU of images in 1/cm, metal (boolean) left out; all of one shape."""
    return float(attenuation_difference_to_hu((image - truth)[~metal]).square().mean().sqrt())


def _mean_difference(one, other, where=None):
    difference = (one - other).abs()
    if where is not None:
        difference = difference * where
    return difference.mean()
