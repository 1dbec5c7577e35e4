"""SSLMAR's last step on slices that were loaded as images: what it adds, where, and on slices of any size."""

from __future__ import annotations

import numpy
import pytest
import torch

from SSLMARLib.ct.resampling import SliceGrid
from SSLMARLib.ct.scale import WATER_ATTENUATION_PER_CM
from SSLMARLib.methods.base import MetalAffectedScan
from SSLMARLib.methods.slice_finish import artifact_share
from SSLMARLib.methods.sslmar import SSLMAR


def test_nothing_is_taken_where_nothing_was_corrected_and_most_where_much_was():
    taken_away = torch.zeros((1, 64, 64))
    taken_away[:, :, 48:] = 100 / 1000 * WATER_ATTENUATION_PER_CM
    share = artifact_share(taken_away, artifact_hu=15.0, artifact_pixels=4.0)[0]
    assert share[32, 0] == 0 and share[32, 60] == pytest.approx(100**2 / (100**2 + 15**2), abs=0.01)
    assert (share[32].diff() >= -1e-6).all()


@pytest.mark.parametrize("shape", [(48, 64), (512, 512)])
def test_slices_of_any_size_come_back_changed_near_the_artifacts_only(projector, shape):
    grid = SliceGrid(shape, (400 / shape[0], 400 / shape[1]), projector.geometry.image_shape[0])
    size = projector.geometry.image_shape[0]
    metal = torch.zeros((1, size, size), dtype=torch.bool)
    metal[:, 200:215, 200:215] = True
    water = torch.full((1, size, size), WATER_ATTENUATION_PER_CM)
    scan = MetalAffectedScan.from_images(water, metal, projector, 1)
    scan.images = {"prior": water, "nmar": water}
    corrected = torch.full((1, *shape), WATER_ATTENUATION_PER_CM)
    slices = corrected.clone()
    slices[:, : shape[0] // 3] += 0.2 * WATER_ATTENUATION_PER_CM
    finished = SSLMAR().finish(slices, corrected, grid.from_grid(metal.float()) > 0.5, scan, grid)
    change_hu = (finished - corrected)[0] / WATER_ATTENUATION_PER_CM * 1000
    assert finished.shape == corrected.shape and torch.isfinite(finished).all()
    assert change_hu[: shape[0] // 3].abs().mean() > 0.1
    assert change_hu[-shape[0] // 4 :].abs().max() < 1e-3
    assert torch.equal(SSLMAR(with_slice_network=False).finish(slices, corrected, None, scan, grid), corrected)


def test_without_images_of_correct_the_slices_stay(projector):
    scan = MetalAffectedScan(torch.zeros(1), torch.zeros(1), torch.zeros(1), projector)
    corrected = torch.zeros((1, 8, 8))
    assert SSLMAR().finish(corrected, corrected, corrected > 0, scan, None) is corrected
    assert numpy.allclose(corrected, 0)
