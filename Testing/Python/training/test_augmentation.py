"""Random views of a slice: parameters first, so that each can be replayed; then a transform that follows from them alone."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy
import pytest

from SSLMARLib.training.augmentation import LARGEST_ANGLE_DEGREES, LARGEST_SHIFT, SCALES, TurnAndScale


@pytest.fixture
def image(make_scan):
    return make_scan(3)[0]


def test_nothing_drawn_is_the_slice_itself(image):
    found = TurnAndScale().apply(image)
    assert found.dtype == numpy.float32 and (found == image).all()


def test_a_draw_is_replayed_from_the_seed_and_from_its_parameters(image):
    draw = TurnAndScale.draw(numpy.random.default_rng(8))
    assert draw == TurnAndScale.draw(numpy.random.default_rng(8)) != TurnAndScale.draw(numpy.random.default_rng(9))
    again = TurnAndScale(**json.loads(json.dumps(asdict(draw))))  # a line in a log is enough
    assert (again.apply(image) == draw.apply(image)).all()


def test_draws_fill_their_ranges():
    generator = numpy.random.default_rng(0)
    draws = [TurnAndScale.draw(generator) for _ in range(400)]
    for values, low, high in (
        ([draw.angle_degrees for draw in draws], -LARGEST_ANGLE_DEGREES, LARGEST_ANGLE_DEGREES),
        ([draw.scale for draw in draws], *SCALES),
        ([value for draw in draws for value in draw.shift], -LARGEST_SHIFT, LARGEST_SHIFT),
    ):
        assert low <= min(values) < low + 0.05 * (high - low) and high - 0.05 * (high - low) < max(values) <= high
    assert {draw.quarter_turns for draw in draws} == {0, 1, 2, 3} and {draw.flip for draw in draws} == {False, True}


def test_flips_and_quarter_turns_are_exact(image):
    assert (TurnAndScale(flip=True).apply(image) == image[:, ::-1]).all()
    assert (TurnAndScale(quarter_turns=3).apply(image) == numpy.rot90(image, 3)).all()
    assert (TurnAndScale(flip=True, quarter_turns=1).apply(image) == numpy.rot90(image[:, ::-1])).all()
    numpy.testing.assert_allclose(TurnAndScale(angle_degrees=90).apply(image), numpy.rot90(image, -1), atol=0.01)


def test_shift_is_a_share_of_the_side(image):
    found = TurnAndScale(shift=(4 / 64, -2 / 64)).apply(image)
    numpy.testing.assert_allclose(found[4:, :-2], image[:-4, 2:], atol=0.01)
    assert (found[:4] == -1000).all() and (found[:, -2:] == -1000).all()


def test_the_shift_comes_after_turn_and_scale(image):
    straight = TurnAndScale(scale=0.8, angle_degrees=30).apply(image)
    moved = TurnAndScale(scale=0.8, angle_degrees=30, shift=(6 / 64, 0.0)).apply(image)
    numpy.testing.assert_allclose(moved[6:], straight[:-6], atol=0.01)


@pytest.mark.parametrize("scale", SCALES)
def test_scale_is_that_of_the_body(scale):
    y, x = numpy.mgrid[-1:1:128j, -1:1:128j]
    disk = numpy.where(x**2 + y**2 < 0.5, 40, -1000)
    found = TurnAndScale(scale=scale, angle_degrees=11).apply(disk)
    assert (found > -500).sum() / (disk > -500).sum() == pytest.approx(scale**2, rel=0.01)
