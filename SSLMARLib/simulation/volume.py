"""Simulate metal into a metal-free CT volume: the scan's artifacts are added to the volume as they are reconstructed.

    slices -> attenuation -> polychromatic scan with and without metal -> FBP of the difference -> added to the slice

So the slice keeps its own detail and noise, and gets what the metal adds: the metal itself, beam hardening, photon
starvation and partial volume. Path lengths are the volume's true ones.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy

from ..ct.attenuation import attenuation_difference_to_hu, hu_to_attenuation
from ..ct.checks import check_mask, check_spacing, check_volume
from ..ct.padding import padding_mask
from ..ct.scale import HIGHEST_12_BIT_HU, LOWEST_12_BIT_HU
from ..device import choose_device, to_array, to_tensor
from ..errors import Cancelled, InputError
from ..optional_imports import import_optional
from .scanners import Scanner, smoothed_starved_rays

DEFAULT_KERNEL_FWHM_MM = 1.0  # the blur of a scanner's soft-tissue kernel; the bare ramp gives the metal too sharp a noise
SLICES_PER_BATCH = 8
SMALLEST_COVER = 0.05  # of a pixel; below is the ringing of the resampling, not metal


def simulate_metal(
    volume_hu: numpy.ndarray,
    spacing_mm: tuple[float, float, float],
    metal_mask: numpy.ndarray,
    material: str | None = None,
    seed: int = 0,
    *,
    protocol=None,
    kernel_fwhm_mm: float = DEFAULT_KERNEL_FWHM_MM,
    highest_hu: float | None = HIGHEST_12_BIT_HU,
    device: str = "auto",
    progress: Callable[[float, str], None] | None = None,
    is_cancelled: Callable[[], bool] | None = None,
    projector=None,
    scanner: Scanner | None = None,
) -> numpy.ndarray:
    """The volume as a CT scanner would show it with metal in it: a new array of the same shape and type.

    volume_hu: (slices, rows, columns) in HU, without metal, of types as `reduce_metal_artifacts` takes them.
    spacing_mm: (slices, rows, columns). metal_mask: the volume's shape, non-zero = metal. material: a metal of `materials.METALS`, None
    for the protocol's (titanium). seed: of the photon noise. protocol: ScanProtocol, None for the default; the part of its noise that is
    not the metal's is left out, as the volume has its own. kernel_fwhm_mm: Gaussian blur of the reconstruction, 0 for none.
    highest_hu: what the scanner can store, 3071 HU with 12 bits; None for as high as it gets. scanner: one of `scanners.SCANNERS` or a
    random one, whose geometry, tube voltage, photons, smoothing of starved rays, kernel and cut-off count in place of all these.

    Slices without metal and padding come back to the bit. Raises InputError for data that cannot be used; Cancelled.
    """
    import_optional("torch")
    from ..tomography.projector import get_projector
    from .scan import ScanProtocol

    volume_hu, spacing_mm = check_volume(volume_hu), check_spacing(spacing_mm)
    metal_mask = check_mask(metal_mask, volume_hu.shape)
    protocol = protocol if protocol is not None else ScanProtocol()
    if scanner is not None:
        protocol, kernel_fwhm_mm, highest_hu = scanner.protocol(protocol), scanner.kernel_fwhm_mm, scanner.highest_hu
    if highest_hu is not None and not highest_hu > 0:
        raise InputError(f"highest_hu is {highest_hu}: give the highest value that a voxel can have, such as 3071.")
    if not 0 <= kernel_fwhm_mm < 20:
        raise InputError(f"kernel_fwhm_mm is {kernel_fwhm_mm}: give the width of the scanner's blur in mm, 0 for none.")
    if material is not None:
        protocol = replace(protocol, material=material, metal_density_g_per_cm3=None)
    protocol = replace(protocol, noise="none" if protocol.noise == "none" else "shared")
    progress = progress or (lambda fraction, message: None)
    progress(0.0, "Preparing the projector")
    projector = projector or get_projector(choose_device(device), scanner.geometry() if scanner is not None else None)
    run = _ScanRun(projector, protocol, kernel_fwhm_mm, volume_hu.shape, spacing_mm, seed, scanner)
    result = volume_hu.copy()
    metal_slices = numpy.flatnonzero(metal_mask.any(axis=(1, 2)))
    for start in range(0, len(metal_slices), SLICES_PER_BATCH):
        if is_cancelled is not None and is_cancelled():
            raise Cancelled("Cancelled; nothing was changed.")
        indices = metal_slices[start : start + SLICES_PER_BATCH]
        progress(0.02 + 0.98 * start / len(metal_slices), f"Scanning slice {indices[0] + 1} ({start + 1} of {len(metal_slices)})")
        difference_hu = run.what_metal_adds_hu(volume_hu[indices], metal_mask[indices])
        result[indices] = _add(volume_hu[indices], difference_hu, highest_hu)
    progress(1.0, "Done")
    return result


class _ScanRun:
    """What stays the same from batch to batch."""

    def __init__(self, projector, protocol, kernel_fwhm_mm, shape, spacing_mm, seed, scanner):
        import torch

        from ..ct.resampling import SliceGrid

        geometry = projector.geometry
        self.projector, self.protocol, self.scanner = projector, protocol, scanner
        self.grid = SliceGrid(shape[1:], spacing_mm[1:], geometry.image_shape[0])
        self.pixel_size_cm = self.grid.pixel_mm / 10
        self.ratio = self.pixel_size_cm / geometry.pixel_size_cm
        self.blur_bins = kernel_fwhm_mm / (10 * self.ratio * geometry.bin_width_cm / geometry.magnification)  # of bins at the axis
        self.generator = torch.Generator().manual_seed(seed)

    def what_metal_adds_hu(self, slices_hu: numpy.ndarray, metal_mask: numpy.ndarray) -> numpy.ndarray:
        """All (slices, rows, columns)."""
        import torch

        from .scan import simulate_scan

        with torch.inference_mode():
            image = hu_to_attenuation(to_tensor(slices_hu, self.projector.device, torch.float32))
            cover = self.grid.to_grid(to_tensor(metal_mask, self.projector.device, torch.float32)).clamp(0, 1)
            cover = torch.where(cover < SMALLEST_COVER, 0.0, cover)
            image = self.grid.to_grid(image).clamp_(min=0.0)
            scan = simulate_scan(image, cover, self.projector, self.protocol, self.generator, pixel_size_cm=self.pixel_size_cm)
            sinogram = scan.sinogram
            if self.scanner is not None and self.scanner.smoothed_from is not None:
                sinogram = smoothed_starved_rays(sinogram, self.scanner.smoothed_from, self.scanner.smoothed_bins)
            difference = blurred_along_detector(sinogram - scan.metal_free_sinogram, self.blur_bins)
            difference = self.projector.fbp(difference / self.ratio)
            return to_array(attenuation_difference_to_hu(self.grid.from_grid(difference)))


def _add(original: numpy.ndarray, difference_hu: numpy.ndarray, highest_hu: float | None) -> numpy.ndarray:
    """The sum, rounded and clipped to what a scanner and the data type can store; padding stays."""
    integer = numpy.issubdtype(original.dtype, numpy.integer)
    limits = (numpy.iinfo if integer else numpy.finfo)(original.dtype)
    high = float(limits.max) if highest_hu is None else min(float(limits.max), highest_hu)
    low = max(LOWEST_12_BIT_HU, float(limits.min))
    result = (original + difference_hu).clip(low, high)
    if integer:
        result = numpy.rint(result)
    return numpy.where(padding_mask(original), original, result.astype(original.dtype))


def blurred_along_detector(sinogram, fwhm_bins: float):
    """A Gaussian along the detector, (slices, views, bins) -> the same."""
    import torch

    sigma = fwhm_bins / math.sqrt(8 * math.log(2))
    reach = math.ceil(4 * sigma)
    if sigma < 0.1:
        return sinogram
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=sinogram.device) / sigma) ** 2).to(sinogram.dtype)
    rows = sinogram.reshape(-1, 1, sinogram.shape[-1])
    return torch.nn.functional.conv1d(rows, (weights / weights.sum()).view(1, 1, -1), padding=reach).view(sinogram.shape)
