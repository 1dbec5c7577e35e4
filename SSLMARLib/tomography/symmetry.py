"""The symmetries of the full-turn fan beam: views that equal other views of the rotated or mirrored image.

With (v + 1/2) 2 pi / views as angles, turning the image by 90 degrees shifts the sinogram by a quarter of its views, and
mirroring it at a diagonal mirrors the first quarter of the views and the detector. So an eighth of the matrix does the work of
the whole. Square images whose views divide by 8 have all eight, by 4 the rotations, other images with even views the half turn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy
import torch

from .geometry import FanBeamGeometry


def symmetry_order(geometry: FanBeamGeometry) -> int:
    """How many copies of the image one pass over the stored views serves: 8, 4, 2 or 1."""
    square = geometry.image_shape[0] == geometry.image_shape[1]
    for order in (8, 4) if square else ():
        if geometry.views % order == 0:
            return order
    return 2 if geometry.views % 2 == 0 else 1


@dataclass(frozen=True)
class SymmetryTables:
    """Index tables between images, sinograms and the dense columns of the sparse product; all flat, int32.

    copies: pixel and copy -> pixel, (pixels * order,); copies_inverse (pixels, order): where each pixel went.
    samples: ray in blocked order and copy -> sinogram sample, (rays * order,); samples_inverse (views * bins,).
    """

    order: int
    copies: torch.Tensor
    copies_inverse: torch.Tensor
    samples: torch.Tensor
    samples_inverse: torch.Tensor

    @classmethod
    def build(cls, geometry: FanBeamGeometry, ray_order: numpy.ndarray, device) -> SymmetryTables:
        order = symmetry_order(geometry)
        pixels = numpy.arange(numpy.prod(geometry.image_shape)).reshape(geometry.image_shape)
        samples = numpy.arange(geometry.views * geometry.bins)
        stored_views = geometry.views // order
        if order <= 2:
            images = [pixels, pixels[::-1, ::-1]][:order]
            samples = samples.reshape(order, -1)
        else:
            images = [pixels]
            for _ in range(3):
                images.append(images[-1][::-1].T)  # the image turned by 90 degrees
            samples = samples.reshape(4, -1, stored_views, geometry.bins)
            if order == 8:
                images += [image[::-1, ::-1].T for image in images]  # mirrored at the diagonal y = -x
                samples = numpy.concatenate([samples[:, 0], samples[:, 1, ::-1, ::-1]])
            samples = samples.reshape(order, -1)
        copies = numpy.stack(images, axis=-1).reshape(-1)
        samples = samples.T[ray_order].reshape(-1)

        def table(values):
            return torch.from_numpy(numpy.ascontiguousarray(values, dtype=numpy.int32)).to(device)

        return cls(
            order,
            table(copies),
            table(numpy.argsort(copies, kind="stable").reshape(-1, order)),
            table(samples),
            table(numpy.argsort(samples, kind="stable")),
        )

    def image_to_columns(self, image: torch.Tensor) -> torch.Tensor:
        """(slices, rows, columns) -> (pixels, order * slices)"""
        flat = image.reshape(len(image), -1).t().contiguous()
        return flat.index_select(0, self.copies).view(flat.shape[0], -1)

    def columns_to_image(self, columns: torch.Tensor, image_shape) -> torch.Tensor:
        """(pixels, order * slices) -> (slices, rows, columns): the sum over the copies, each turned back."""
        flat = columns.view(columns.shape[0] * self.order, -1)
        summed = torch.nn.functional.embedding_bag(self.copies_inverse, flat, mode="sum")
        return summed.t().reshape(-1, *image_shape)

    def sinogram_to_columns(self, sinogram: torch.Tensor) -> torch.Tensor:
        """(slices, views, bins) -> (rays, order * slices)"""
        flat = sinogram.reshape(len(sinogram), -1).t().contiguous()
        return flat.index_select(0, self.samples).view(self.samples.numel() // self.order, -1)

    def columns_to_sinogram(self, columns: torch.Tensor, sinogram_shape) -> torch.Tensor:
        """(rays, order * slices) -> (slices, views, bins)"""
        flat = columns.view(columns.shape[0] * self.order, -1)
        return flat.index_select(0, self.samples_inverse).t().reshape(-1, *sinogram_shape)
