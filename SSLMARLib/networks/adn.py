"""The networks of ADN (Liao et al. 2020, IEEE Trans. Med. Imaging 39, 634): artifacts are disentangled from images, without pairs.

Encoders split an image with artifacts into its content and, at three resolutions, its artifacts; decoders make an image without
artifacts from content, and one with artifacts from both.
"""

from typing import NamedTuple

import torch
from torch import nn

from ..ct.scale import WATER_ATTENUATION_PER_CM
from .adversarial import PatchDiscriminator
from .imgnet import possible_tissue


class Disentangled(NamedTuple):
    """What ADN makes of an image with artifacts and of another without, all (slices, 1, rows, columns) in the networks' unit.

    corrected: the first without its artifacts. affected_again, clean_again: both through encoder and decoder. artifacts_added: the
    second with the artifacts of the first. artifacts_removed: that, corrected.
    """

    corrected: torch.Tensor
    affected_again: torch.Tensor
    clean_again: torch.Tensor
    artifacts_added: torch.Tensor
    artifacts_removed: torch.Tensor


class _Residual(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.layers = nn.Sequential(
            *_convolution(channels, channels, 3), nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect"),
            nn.InstanceNorm2d(channels),
        )  # fmt: skip

    def forward(self, values):
        return values + self.layers(values)


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1, norm=nn.InstanceNorm2d) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, size, stride, (size - 1) // 2, padding_mode="reflect"), norm(outputs), nn.LeakyReLU(0.1),
    ]  # fmt: skip


def _layer_norm(channels: int) -> nn.Module:
    return nn.GroupNorm(1, channels)


class _Encoder(nn.Module):
    """Values at three resolutions, the finest first."""

    def __init__(self, channels: int, residual_blocks: int):
        super().__init__()
        self.levels = nn.ModuleList(
            [
                nn.Sequential(*_convolution(1, channels, 7)),
                nn.Sequential(*_convolution(channels, 2 * channels, 4, 2)),
                nn.Sequential(*_convolution(2 * channels, 4 * channels, 4, 2), *(_Residual(4 * channels) for _ in range(residual_blocks))),
            ]
        )

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        values = [image]
        for level in self.levels:
            values.append(level(values[-1]))
        return values[1:]


class _Decoder(nn.Module):
    """An image of content alone; or of content and, at each resolution, artifacts."""

    def __init__(self, channels: int, residual_blocks: int, with_artifacts: bool):
        super().__init__()
        widths = (channels, 2 * channels, 4 * channels)
        self.merge = nn.ModuleList(nn.Conv2d(2 * width, width, 1) for width in widths) if with_artifacts else None
        self.deep = nn.Sequential(*(_Residual(widths[2]) for _ in range(residual_blocks)))
        self.upward = nn.ModuleList(
            nn.Sequential(nn.Upsample(scale_factor=2), *_convolution(wide, narrow, 5, norm=_layer_norm))
            for wide, narrow in ((widths[2], widths[1]), (widths[1], widths[0]))
        )
        self.last = nn.Conv2d(channels, 1, 7, padding=3, padding_mode="reflect")

    def forward(self, content: torch.Tensor, artifacts: list[torch.Tensor] | None = None) -> torch.Tensor:
        def merged(values, level):
            return values if artifacts is None else self.merge[level](torch.cat([values, artifacts[level]], dim=1))

        values = self.deep(merged(content, 2))
        values = merged(self.upward[0](values), 1)
        return torch.tanh(self.last(merged(self.upward[1](values), 0)))


class ADNNetwork(nn.Module):
    """channels: of the finest resolution, 64 as published. residual_blocks: of every encoder and decoder. discriminator_channels: of
    both discriminators of 34 x 34 pixels, 0 for none, as shipped. Images divide by 4.

    The networks see -1000 to 1000 HU as -1 to 1. Their change is added to the image, cut off at air and at 3000 HU, so that what is
    denser than that window keeps its values: an own choice.
    """

    title = "ADN"

    def __init__(self, channels: int = 16, residual_blocks: int = 4, discriminator_channels: int = 16):
        super().__init__()
        self.options = {"channels": channels, "residual_blocks": residual_blocks, "discriminator_channels": discriminator_channels}
        self.content_of_affected, self.content_of_clean, self.artifacts = (
            _Encoder(channels, blocks) for blocks in (residual_blocks, residual_blocks, 0)
        )
        self.clean_decoder = _Decoder(channels, residual_blocks, with_artifacts=False)
        self.affected_decoder = _Decoder(channels, residual_blocks, with_artifacts=True)
        if discriminator_channels:
            self.clean_discriminator, self.affected_discriminator = (
                PatchDiscriminator(1, discriminator_channels, downsamplings=2) for _ in range(2)
            )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """image: uncorrected, (slices, rows, columns) in 1/cm; the same without artifacts."""
        windowed = in_window(image)
        corrected = self.clean_decoder(self.content_of_affected(windowed)[-1])
        return possible_tissue(image) + WATER_ATTENUATION_PER_CM * (corrected - windowed)[:, 0]

    def disentangle(self, affected: torch.Tensor, clean: torch.Tensor) -> Disentangled:
        """Both (slices, 1, rows, columns) in the networks' unit, see `in_window`; they need not show the same anatomy."""
        content, artifacts = self.content_of_affected(affected)[-1], self.artifacts(affected)
        clean_content = self.content_of_clean(clean)[-1]
        added = self.affected_decoder(clean_content, artifacts)
        return Disentangled(
            corrected=self.clean_decoder(content),
            affected_again=self.affected_decoder(content, artifacts),
            clean_again=self.clean_decoder(clean_content),
            artifacts_added=added,
            artifacts_removed=self.clean_decoder(self.content_of_affected(added)[-1]),
        )


def in_window(image: torch.Tensor) -> torch.Tensor:
    """(slices, rows, columns) in 1/cm to (slices, 1, rows, columns), -1000 to 1000 HU as -1 to 1; the rest is cut off."""
    return (image / WATER_ATTENUATION_PER_CM - 1).clamp(-1, 1)[:, None]
