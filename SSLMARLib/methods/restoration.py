"""What SSLMAR computes, and its training too: SinoNet, FBP, ImgNet, metal subtraction, metal trace replacement (Yu et al., eqs 2, 5, 8)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..ct.scale import WATER_ATTENUATION_PER_CM
from ..errors import InputError
from ..networks.sslmar import SSLMARNetwork
from ..sinogram.metal_subtraction import metal_subtracted_sinogram, outline_projections
from ..sinogram.replacement import metal_trace_replacement
from .base import MetalAffectedScan
from .filters import dilated, gaussian_smoothing
from .nmar import NMAR
from .sslmar import SSLMARConstants

STREAK_PIXELS = (1.5, 6.0)  # standard deviations between whose Gaussian filters streaks show
NEAR_PIXELS, EDGE_PIXELS = 60, 4  # from metal


@dataclass
class Restoration:
    """What the two networks make of a scan; all differentiable.

    completed_sinogram: S_sn of eq. 2, (slices, views, bins). completed_image: its FBP, (slices, rows, columns) in 1/cm.
    refined_images: X_out of eq. 5, one of each iteration. Each iteration after the first refines the FBP of the sinogram whose
    trace was replaced by the projections of the former one. Empty where SinoNet works alone.
    nmar_image, measured_image: of the scan, the same shape, where ImgNet sees them; the latter of the last iteration.
    """

    completed_sinogram: torch.Tensor
    completed_image: torch.Tensor
    refined_images: list[torch.Tensor]
    nmar_image: torch.Tensor | None = None
    measured_image: torch.Tensor | None = None

    @property
    def prior_image(self) -> torch.Tensor:
        """The last image, (slices, rows, columns) in 1/cm."""
        return self.refined_images[-1] if self.refined_images else self.completed_image


def run_networks(
    network: SSLMARNetwork,
    scan: MetalAffectedScan,
    constants: SSLMARConstants,
    iterations: int = 1,
    data_in_trace: torch.Tensor | None = None,
    measured_share: torch.Tensor | None = None,
) -> Restoration:
    """SinoNet, FBP, ImgNet; with more `iterations` also P, metal trace replacement, FBP and the same ImgNet again; with 0 SinoNet alone.

    Of the sinogram inside the trace only the image "measured" reads, where ImgNet has that further input: what
    `metal_subtracted_sinogram` leaves of it, relative to NMAR in the first iteration and to the replaced sinogram later, as far as
    it can be trusted. A training gives both: data_in_trace, (slices, views, bins), is read there in place of the scan's own, and
    measured_share, (slices,) from 0 to 1, is what of it is trusted. Raises InputError for fewer than 0 iterations.
    """
    if iterations < 0:
        raise InputError(f"SSLMAR cannot be iterated {iterations} times: give 0, 1, 2, ...")
    completed_sinogram = network.complete(scan.interpolated_sinogram, scan.trace)
    restoration = Restoration(completed_sinogram, scan.projector.fbp(completed_sinogram), [])
    inputs, further, image = network.image_network.further_inputs, {}, restoration.completed_image
    if "metal" in inputs:
        further["metal"] = scan.metal_mask
    if iterations and {"nmar", "measured"} & set(inputs):
        reference = NMAR().correct(scan)
        further["nmar"] = restoration.nmar_image = reference_image = scan.projector.fbp(reference)
    if iterations and "measured" in inputs:
        measured_image = metal_subtraction(scan, constants.trust_per_cm, data_in_trace)
    for iteration in range(iterations):
        if iteration:
            reference = replaced_sinogram(image, scan)
            image = reference_image = scan.projector.fbp(reference)
        if "measured" in inputs:
            measured, share = measured_image(reference), measured_share
            if share is None:
                share = trusted_share(measured, reference_image, scan.uncorrected_image, scan.metal_mask, constants)
            further["measured"] = reference_image + share[:, None, None] * (measured - reference_image)
            restoration.measured_image = further["measured"]
        image = network.refine(image, further)
        restoration.refined_images.append(image)
    return restoration


def trusted_share(
    measured: torch.Tensor, unmeasured: torch.Tensor, uncorrected: torch.Tensor, metal_mask: torch.Tensor, constants: SSLMARConstants
) -> torch.Tensor:
    """How far the measured image can be trusted, (slices,) from 0 to 1. Images (slices, rows, columns) in 1/cm.

    Metal that the model of `metal_subtracted_sinogram` does not describe leaves streaks in the measured image. Two signs of that are
    looked for in soft tissue within NEAR_PIXELS of metal, in structures of the size of streaks: it is rougher than without the data,
    by a factor within constants.rougher_limits; and the artifacts (uncorrected - unmeasured) come back in what the data add
    (measured - unmeasured), by a share within constants.artifacts_back_limits. Either has innocent causes, so only both together take
    the trust away, from the first limit to the second.
    """
    darkest, brightest = constants.trusted_tissue_water
    near = dilated(metal_mask, NEAR_PIXELS) & ~dilated(metal_mask, EDGE_PIXELS)
    smooth = gaussian_smoothing(unmeasured, STREAK_PIXELS[1] / 2) / WATER_ATTENUATION_PER_CM
    soft = near & ~dilated((smooth < darkest) | (smooth > brightest), 2)

    def streaks(image):
        return (gaussian_smoothing(image, STREAK_PIXELS[0]) - gaussian_smoothing(image, STREAK_PIXELS[1])) * soft

    def product(one, other):
        return (one * other).sum((-2, -1)).clamp(min=1e-9)

    def trust(value, limits):
        return ((limits[1] - value) / (limits[1] - limits[0])).clamp(0, 1)

    with_data, without = streaks(measured), streaks(unmeasured)
    rougher = (product(with_data, with_data) / product(without, without)).sqrt()
    artifacts = streaks(uncorrected) - without
    back = product(artifacts, with_data - without) / product(artifacts, artifacts)
    return torch.maximum(trust(rougher, constants.rougher_limits), trust(back, constants.artifacts_back_limits))


def replaced_sinogram(prior_image: torch.Tensor, scan: MetalAffectedScan) -> torch.Tensor:
    """S_corr of eq. 8 with the projections of a prior image (slices, rows, columns) in 1/cm; (slices, views, bins)."""
    return metal_trace_replacement(scan.sinogram, scan.projector.project(prior_image), scan.trace)


def corrected_sinogram(restoration: Restoration, scan: MetalAffectedScan) -> torch.Tensor:
    """What a training judges, (slices, views, bins): S_corr of eq. 8 with the last image as prior; S_sn where SinoNet works alone."""
    if not restoration.refined_images:
        return restoration.completed_sinogram
    return replaced_sinogram(restoration.prior_image, scan)


def metal_subtraction(
    scan: MetalAffectedScan, trust_per_cm: float, data_in_trace: torch.Tensor | None = None
) -> Callable[[torch.Tensor], torch.Tensor]:
    """A function from a reference sinogram (slices, views, bins) to the measured image: FBP of `metal_subtracted_sinogram`, (slices,
    rows, columns) in 1/cm, through which no gradient goes. What all references share is computed here. trust_per_cm: see there;
    data_in_trace: see `run_networks`.
    """
    with torch.no_grad():
        sinogram, image = scan.sinogram, scan.uncorrected_image
        if data_in_trace is not None:
            sinogram = torch.where(scan.trace, data_in_trace, scan.sinogram)
            image = scan.projector.fbp(sinogram)
        outline = outline_projections(scan.metal_mask, image, scan.projector)

    @torch.no_grad()
    def measured_image(reference_sinogram: torch.Tensor) -> torch.Tensor:
        subtracted = metal_subtracted_sinogram(sinogram, reference_sinogram, scan.metal_path_cm, scan.trace, trust_per_cm, outline)
        return scan.projector.fbp(subtracted)

    return measured_image
