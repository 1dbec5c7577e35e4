"""The U-Net that SinoNet and ImgNet share: no normalization, borders without zeros, absolute values kept."""

from collections.abc import Sequence

import torch
from torch import nn

from ..errors import InputError

NEGATIVE_SLOPE = 0.1
WIDEST = 8  # times the channels of the first level; deeper levels stay at that


class BorderedConvolution(nn.Conv2d):
    """A 3 x 3 convolution that keeps the size. Beyond the last column lies the last column again; beyond the last row the first
    one where the rows are `circular` (the views of a full turn), else the last row again."""

    def __init__(self, inputs: int, outputs: int, circular: bool):
        super().__init__(inputs, outputs, 3)
        self.circular = circular
        nn.init.kaiming_normal_(self.weight, a=NEGATIVE_SLOPE)
        nn.init.zeros_(self.bias)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        first, last = values[..., :1, :], values[..., -1:, :]
        values = torch.cat([last, values, first] if self.circular else [first, values, last], dim=-2)
        return super().forward(torch.cat([values[..., :1], values, values[..., -1:]], dim=-1))


class _Block(nn.Module):
    """Two convolutions, each with a leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, circular: bool):
        super().__init__()
        self.first = BorderedConvolution(inputs, outputs, circular)
        self.second = BorderedConvolution(outputs, outputs, circular)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return _activated(self.second(_activated(self.first(values), in_place=True)), in_place=True)


class _ResidualBlock(nn.Module):
    """Adds what two convolutions give, of which the second starts at zero; the activation comes before each (He et al. 2016, ECCV)."""

    def __init__(self, inputs: int, outputs: int, circular: bool):
        super().__init__()
        self.widen = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.first = BorderedConvolution(outputs, outputs, circular)
        self.second = BorderedConvolution(outputs, outputs, circular)
        nn.init.zeros_(self.second.weight)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        values = self.widen(values)
        return values + self.second(_activated(self.first(_activated(values)), in_place=True))


class UNet(nn.Module):
    """(slices, inputs, rows, columns) to (slices, rows, columns), any number of rows and columns; the last layer starts at zero.

    channels: width of the first level; each of the `levels` below halves the size and doubles the width, up to 8 times. Or a list of
    the widths of all levels.
    stem: the first level works on squares of stem x stem values at once (pixel unshuffle), which divides the work by stem^2.
    residual: blocks add to what comes in, and the two sides of the U are added instead of concatenated: less work, quicker learning.
    mask_pyramid: a mask joins every level of the encoder, average-pooled (Liao et al. 2019, MICCAI: mask pyramid network).
    circular: the rows close to a ring. Rolling them by a multiple of `total_stride` then rolls the result, where their number
    is such a multiple too; else the ring is lengthened by a few of its own rows, and its seam is approximate.

    Under autocast the first and the last convolution stay in float32: what matters are small differences of large values.
    """

    def __init__(
        self,
        inputs: int,
        channels: int | Sequence[int],
        levels: int = 4,
        stem: int = 1,
        mask_pyramid: bool = False,
        circular: bool = False,
        residual: bool = False,
    ):
        super().__init__()
        are_listed = isinstance(channels, list | tuple)
        widths = list(channels) if are_listed else [channels]
        levels = len(widths) - 1 if are_listed else levels
        for name, value in (*(("channels", width) for width in widths), ("levels", levels), ("stem", stem)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InputError(f"A U-Net of {name} {value!r} cannot be made: give a whole number, 1 or more.")
        if not are_listed:
            widths = [channels * min(2**level, WIDEST) for level in range(levels + 1)]
        self.total_stride, self.stem, self.mask_pyramid, self.circular = stem * 2**levels, stem, mask_pyramid, circular
        self.residual = residual
        mask, block, sides = int(mask_pyramid), _ResidualBlock if residual else _Block, 1 if residual else 2
        self.first = BorderedConvolution((inputs + mask) * stem**2, widths[0], circular)
        self.second = _ResidualBlock(widths[0], widths[0], circular) if residual else BorderedConvolution(widths[0], widths[0], circular)
        steps = list(zip(widths[:-1], widths[1:], strict=True))
        self.encoder = nn.ModuleList(block(above + mask, width, circular) for above, width in steps)
        self.upward = nn.ModuleList(nn.ConvTranspose2d(below, width, 2, stride=2) for width, below in steps)
        self.decoder = nn.ModuleList(block(sides * width, width, circular) for width, _ in steps)
        self.last = BorderedConvolution(widths[0], stem**2, circular)
        nn.init.zeros_(self.last.weight)

    def forward(self, values: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """values: (slices, inputs, rows, columns). mask: (slices, rows, columns), 0 to 1, where there is a mask pyramid."""
        rows, columns = values.shape[-2:]
        everything = values if mask is None else torch.cat([values, mask[:, None].to(values.dtype)], dim=1)
        everything = self._padded(everything)
        pyramid = None if mask is None else nn.functional.avg_pool2d(everything[:, -1:], self.stem)
        with torch.autocast(values.device.type, enabled=False):
            one = self.first(nn.functional.pixel_unshuffle(everything, self.stem))
        one = self.second(one) if self.residual else _activated(self.second(_activated(one, in_place=True)), in_place=True)
        passed = []
        for block in self.encoder:
            passed.append(one)
            one = nn.functional.avg_pool2d(one, 2)
            if pyramid is not None:
                pyramid = nn.functional.avg_pool2d(pyramid, 2)
                one = torch.cat([one, pyramid.to(one.dtype)], dim=1)
            one = block(one)
        for upward, block in zip(reversed(self.upward), reversed(self.decoder), strict=True):
            sides = upward(one), passed.pop()
            one = block(sides[0] + sides[1] if self.residual else torch.cat(sides, dim=1))
        if self.residual:
            one = _activated(one)
        with torch.autocast(values.device.type, enabled=False):
            result = nn.functional.pixel_shuffle(self.last(one.to(values.dtype)), self.stem)
        return result[:, 0, :rows, :columns]

    def _padded(self, values: torch.Tensor) -> torch.Tensor:
        """Rows and columns up to a multiple of the total stride."""
        more_rows, more_columns = (-size % self.total_stride for size in values.shape[-2:])
        if more_columns:
            values = torch.cat([values, values[..., -1:].expand(*values.shape[:-1], more_columns)], dim=-1)
        if more_rows and self.circular:
            turns = 1 + -(-more_rows // values.shape[-2])
            values = torch.cat([values] * turns, dim=-2)[..., : values.shape[-2] + more_rows, :]
        elif more_rows:
            last = values[..., -1:, :]
            values = torch.cat([values, last.expand(*last.shape[:-2], more_rows, last.shape[-1])], dim=-2)
        return values


def _activated(values: torch.Tensor, in_place: bool = False) -> torch.Tensor:
    return nn.functional.leaky_relu(values, NEGATIVE_SLOPE, inplace=in_place)
