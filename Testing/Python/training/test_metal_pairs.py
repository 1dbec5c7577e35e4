"""Mini-batches of slices and two masks: everything follows from (seed, number), with worker processes and several ranks too."""

from __future__ import annotations

import os

import numpy
import pytest
import torch

from SSLMARLib.ct.attenuation import hu_to_attenuation
from SSLMARLib.training.metal_pairs import BatchesInOrder, MetalPairs
from SSLMARLib.training.slices import MetalFreeSlices


@pytest.fixture(scope="module")
def slices(make_scan) -> MetalFreeSlices:
    images = numpy.concatenate([make_scan(patient) for patient in range(3)])
    return MetalFreeSlices(images, numpy.repeat(["a", "b", "c"], 2))


def pairs_of(slices, batch_size=2, seed=(0, 1), scales=(0.7, 1.1)) -> MetalPairs:
    return MetalPairs(slices, batch_size, seed, scales, (4, 100))


def equal(one, other) -> bool:
    return all(torch.equal(left, right) for left, right in zip(one, other, strict=True))


def test_what_a_batch_is(slices):
    images, masks = pairs_of(slices, batch_size=3)[5]
    assert images.shape == (3, 64, 64) and images.dtype == torch.float32 and float(images.min()) >= 0
    assert masks.shape == (2, 3, 64, 64) and masks.dtype == torch.bool
    pixels = masks.sum((-2, -1))
    assert int(pixels.min()) >= 4 and int(pixels.max()) <= 100
    assert not torch.equal(masks[0], masks[1])
    assert float(images[masks.any(0)].min()) > 0.03  # metal lies in the body


def test_a_sample_depends_on_the_seed_and_its_number_alone(slices):
    one, other = pairs_of(slices, batch_size=2), pairs_of(slices, batch_size=3)
    assert equal(one[4], one[4])
    assert torch.equal(one[1][0][1], other[1][0][0])  # both sample 3
    assert not equal(one[4], pairs_of(slices, seed=(1, 1))[4]) and not equal(one[4], pairs_of(slices, seed=(0, 2))[4])
    assert not equal(one[4], one[5])


def test_validation_cases_are_not_augmented(slices):
    image, _ = pairs_of(slices, scales=None).sample(7)
    untouched = hu_to_attenuation(slices.images_hu.astype(numpy.float32))
    assert (untouched == image).all(axis=(1, 2)).any()


def test_workers_give_the_same_batches_from_any_step(slices, monkeypatch):
    """No worker is a fork of this process, whose threads may hold locks: Python 3.12 warns of that."""

    def refuse():
        raise AssertionError("a worker was forked")

    monkeypatch.setattr(os, "fork", refuse, raising=False)
    pairs = pairs_of(slices)
    alone = BatchesInOrder(pairs, workers=0, rank=0, processes=1)
    helped = BatchesInOrder(pairs, workers=2, rank=0, processes=1)
    for step in (2, 3, 4, 1, 9):  # also another than the next one
        assert equal(alone(step), helped(step)), step


def test_several_processes_share_what_one_would_take(slices):
    whole = BatchesInOrder(pairs_of(slices, batch_size=4), 0, 0, 1)
    shares = [BatchesInOrder(pairs_of(slices, batch_size=2), 0, rank, 2) for rank in range(2)]
    for step in range(3):
        images, masks = zip(*(share(step) for share in shares), strict=True)
        assert equal(whole(step), (torch.cat(images), torch.cat(masks, dim=1)))
