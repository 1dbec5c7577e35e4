"""A training whose metal is a file of masks, as in the paper: they are placed on the slices, and are part of what pairs are made from."""

from __future__ import annotations

import json

import numpy
import pytest

from SSLMARLib.errors import InputError
from SSLMARLib.networks.weights import load_weights
from SSLMARLib.training import simulated_scans
from SSLMARLib.training.cnnmar import CNNMARTask
from SSLMARLib.training.configuration import TrainingConfiguration
from SSLMARLib.training.sslmar import SSLMARTask
from SSLMARLib.training.sslmar_image import SSLMARImageTask
from SSLMARLib.training.trainer import train


@pytest.fixture
def ring_file(tmp_path):
    """One shape: a ring, which no drawn implant of these sizes is."""
    y, x = numpy.mgrid[-20:21, -20:21]
    radius = numpy.hypot(x, y)
    path = tmp_path / "masks" / "rings.npz"
    path.parent.mkdir()
    numpy.savez(path, mask=((radius < 20) & (radius > 9))[None])
    return path


def has_hole(mask) -> bool:
    from scipy import ndimage

    return bool((ndimage.binary_fill_holes(mask) & ~mask).sum() > 2)


def test_sslmar_learns_with_the_file_s_masks(make_sslmar_configuration, ring_file):
    options = {"metal_pixels": [60, 100], "validation_pairs": 6}
    configuration = make_sslmar_configuration(metal_shapes=str(ring_file), steps=1, **options)
    task, drawn = SSLMARTask(configuration), SSLMARTask(make_sslmar_configuration("drawn", **options))
    rings, others = (sum(has_hole(mask) for n in range(6) for mask in one.pairs.sample(n)[1]) for one in (task, drawn))
    assert rings >= 6 and others <= 2  # of 12; some rings reach over the body's edge
    assert sum(has_hole(masks[0]) for _, masks in task._cases) >= 2
    _, description = load_weights(train(task, configuration))
    assert description["configuration"]["metal_shapes"] == "rings.npz"


@pytest.mark.parametrize("kind", ["cnnmar", "sslmar_image"])
def test_pairs_of_other_masks_are_made_again(kind, make_configuration, make_sslmar_configuration, ring_file, monkeypatch):
    def pairs(**entries):
        if kind == "cnnmar":
            return CNNMARTask(make_configuration(pairs=4, **entries)).training.copy()
        return SSLMARImageTask(make_sslmar_configuration(pairs=4, metal_pixels=[60, 100], **entries)).training.copy()

    monkeypatch.setattr(
        simulated_scans,
        "random_metal_mask",
        lambda *args, original=simulated_scans.random_metal_mask, **more: original(*args, largest_pixels=100, **more),
    )
    drawn, rings = pairs(), pairs(metal_shapes=str(ring_file))
    assert sum(has_hole(pair[4] > 0.5) for pair in rings) >= 2 and not numpy.array_equal(drawn, rings)
    again = pairs(metal_shapes=str(ring_file))
    assert numpy.array_equal(again, rings)
    numpy.savez(ring_file, mask=numpy.ones((1, 9, 9)))
    assert not numpy.array_equal(pairs(metal_shapes=str(ring_file)), rings)


def test_the_file_is_relative_to_the_configuration(tmp_path, ring_file):
    path = tmp_path / "training.json"
    values = {"network": "sslmar", "data": "data", "output": "out", "metal_shapes": "masks/rings.npz"}
    path.write_text(json.dumps(values))
    configuration = TrainingConfiguration.read(path)
    assert configuration.metal_shapes == str(ring_file)
    shapes, _ = configuration.read_metal_shapes()
    assert len(shapes) == 1 and shapes[0].shape == (41, 41)
    path.write_text(json.dumps({**values, "metal_shapes": 3}))
    with pytest.raises(InputError, match="metal_shapes is 3"):
        TrainingConfiguration.read(path)


def test_a_file_that_is_missing_is_refused(make_sslmar_configuration, tmp_path):
    with pytest.raises(InputError, match="nothing.npz"):
        SSLMARTask(make_sslmar_configuration(metal_shapes=str(tmp_path / "nothing.npz")))
