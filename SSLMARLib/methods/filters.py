"""Filters of images and masks that several methods use."""

import torch

from ..ct.scale import WATER_ATTENUATION_PER_CM

METAL_EDGE_PIXELS = 2  # of the projector's grid: see metal_edge_weight


def gaussian_smoothing(image: torch.Tensor, sigma_pixels: float) -> torch.Tensor:
    """Gaussian filter of (slices, rows, columns), edges replicated; the kernel is cut at 3 sigma."""
    radius = max(1, round(3 * sigma_pixels))
    offset = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (offset / sigma_pixels) ** 2)
    kernel = kernel / kernel.sum()
    padded = torch.nn.functional.pad(image[:, None], (radius,) * 4, mode="replicate")
    smoothed = torch.nn.functional.conv2d(padded, kernel.view(1, 1, -1, 1))
    return torch.nn.functional.conv2d(smoothed, kernel.view(1, 1, 1, -1))[:, 0]


def dilated(mask: torch.Tensor, pixels: int) -> torch.Tensor:
    """The boolean mask (slices, rows, columns) with all within so many pixels of it, along rows, columns and diagonals alike."""
    width, values = 2 * pixels + 1, mask[:, None].to(torch.float32)
    along_rows = torch.nn.functional.max_pool2d(values, (1, width), stride=1, padding=(0, pixels))
    return torch.nn.functional.max_pool2d(along_rows, (width, 1), stride=1, padding=(pixels, 0))[:, 0] > 0


def metal_edge_weight(metal_mask: torch.Tensor) -> torch.Tensor:
    """How far the reconstruction alone counts, not the slice plus the difference: 1 on metal and within METAL_EDGE_PIXELS of it, falling to
    0 beyond. Both (slices, rows, columns) on the projector's grid, the mask boolean.

    The slice's metal has sharper edges than any reconstruction on the grid, so that the difference leaves a rim of metal there.
    """
    wider = dilated(metal_mask, METAL_EDGE_PIXELS)[:, None].float()
    return torch.nn.functional.avg_pool2d(wider, 3, stride=1, padding=1, count_include_pad=False)[:, 0]


def without_small_changes(difference: torch.Tensor, small_change_hu: float, small_change_pixels: float) -> torch.Tensor:
    """A correction with its part below the noise taken out, as a Wiener filter would; both (slices, rows, columns) in 1/cm.

    Where it is far below small_change_hu, the slice stays as it is: a filled trace spreads faint rays over the whole body, which cure
    nothing. Simulated development slices come nearer to their truth with it, by every method.
    """
    return difference * kept_share(difference, small_change_hu, small_change_pixels)


def kept_share(difference: torch.Tensor, small_change_hu: float, small_change_pixels: float) -> torch.Tensor:
    """The factor of `without_small_changes`, 0 to 1, both (slices, rows, columns), the difference in 1/cm: v^2 / (v^2 + small_change_hu^2),
    v the root mean square of the difference within small_change_pixels (sigma of a Gaussian, on the projector's grid)."""
    mean_square = gaussian_smoothing(difference.square(), small_change_pixels)
    small = small_change_hu / 1000 * WATER_ATTENUATION_PER_CM
    return mean_square / (mean_square + small**2)


def corrected_in_slices(slices, reconstruction, scan, grid, small_change_hu: float, small_change_pixels: float) -> torch.Tensor:
    """Slices that were loaded as images, with what the correction makes of them, both (slices, rows, columns) in 1/cm on their own grid.

    reconstruction: the corrected image on the grid of the `base.MetalAffectedScan`, grid: the `ct.resampling.SliceGrid` between the two.
    Added is the difference that the correction makes, `without_small_changes`; at metal the reconstruction itself counts.
    """
    change = without_small_changes(reconstruction - scan.uncorrected_image, small_change_hu, small_change_pixels)
    result = slices + grid.from_grid(change)
    edge = grid.from_grid(metal_edge_weight(scan.metal_mask)).clamp(0, 1)
    return result + edge * (grid.from_grid(reconstruction) - result)
