"""Filters of images and masks that several methods use."""

from __future__ import annotations

import torch


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
