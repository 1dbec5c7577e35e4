"""Discriminators that judge patches, and how a network learns against one in a single step (LSGAN, Mao et al. 2017, ICCV)."""

import torch
from torch import nn


class PatchDiscriminator(nn.Sequential):
    """A number for each patch of an image: 1 is wanted where it looks real. (slices, inputs, rows, columns) to (slices, 1, fewer, fewer).

    downsamplings: of 4 x 4 convolutions with stride 2, each but the first with instance normalization; two more convolutions follow.
    With 3 a number sees 70 x 70 pixels (Isola et al. 2017, CVPR), with 2 it sees 34 x 34.
    """

    def __init__(self, inputs: int, channels: int, downsamplings: int):
        layers: list[nn.Module] = []
        width = inputs
        for level in range(downsamplings + 1):
            wider = channels * min(2**level, 8)
            layers.append(nn.Conv2d(width, wider, 4, stride=2 if level < downsamplings else 1, padding=1))
            layers += [nn.InstanceNorm2d(wider)] if level else []
            layers.append(nn.LeakyReLU(0.2))
            width = wider
        super().__init__(*layers, nn.Conv2d(width, 1, 4, padding=1))


def adversarial_losses(discriminator: nn.Module, real: torch.Tensor, made: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(what the network that made images is taught, what the discriminator is taught): mean squared distances from what is wanted.

    The first has no gradient for the discriminator's weights, the second none for the images, so one optimizer may use their sum.
    """
    fixed = {name: value.detach() for name, value in discriminator.named_parameters()}
    judged = torch.func.functional_call(discriminator, fixed, (made,))
    taught = (discriminator(real) - 1).square().mean() + discriminator(made.detach()).square().mean()
    return (judged - 1).square().mean(), 0.5 * taught
