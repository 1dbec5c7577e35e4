"""The measures for real scans must rank: streaks worse than none, blur less sharp, a change far away as what it is."""

from __future__ import annotations

import numpy
import pytest
from scipy.ndimage import gaussian_filter

from SSLMARLib.errors import InputError
from SSLMARLib.evaluation.no_reference import measure_without_reference, measuring_regions

SPACING_MM = (1.0, 1.0)


@pytest.fixture
def noisy_hu(phantom_hu, random_generator):
    """The phantom with scanner-like noise of 10 HU."""
    return phantom_hu + gaussian_filter(random_generator.normal(0, 20, phantom_hu.shape), 0.7)


@pytest.mark.parametrize(
    ("case", "names"),
    [(0, ("streak_amplitude_hu", "artifact_index_hu")), (1, ("streak_amplitude_hu",))],  # a ball leaves most tissue flat
)
def test_streaks_are_worse_than_none(noisy_hu, affected_hu, phantom_hu, phantom_metals, case, names):
    metal = phantom_metals[case]
    streaky = noisy_hu + (affected_hu[case] - phantom_hu)
    before = measure_without_reference(streaky, streaky, metal, SPACING_MM)
    clean = measure_without_reference(streaky, noisy_hu, metal, SPACING_MM)
    half = measure_without_reference(streaky, (streaky + noisy_hu) / 2, metal, SPACING_MM)
    for name in names:
        assert before[name] > half[name] > clean[name], name


def test_no_pixel_is_chosen_by_its_own_value(noisy_hu, phantom_metals, random_generator):
    """Streaks far above any threshold of tissue still count in the uncorrected image, whose values set the regions."""
    metal = phantom_metals[0]
    near = measuring_regions(noisy_hu, metal, SPACING_MM).near
    streaks = gaussian_filter(random_generator.normal(0, 1, metal.shape), 2)
    streaky = noisy_hu + near * streaks / streaks.std() * 250
    assert abs(streaky[near]).max() > 800
    assert measuring_regions(streaky, metal, SPACING_MM).near[near].mean() > 0.99
    before = measure_without_reference(streaky, streaky, metal, SPACING_MM)
    clean = measure_without_reference(streaky, noisy_hu, metal, SPACING_MM)
    assert before["streak_amplitude_hu"] > 2 * clean["streak_amplitude_hu"]
    assert before["artifact_index_hu"] > 50


def test_blur_is_less_sharp_and_a_copy_is_equal(noisy_hu, phantom_metals):
    same = measure_without_reference(noisy_hu, noisy_hu, phantom_metals[1], SPACING_MM)
    blurred = measure_without_reference(noisy_hu, gaussian_filter(noisy_hu, 1.5), phantom_metals[1], SPACING_MM)
    assert same["sharpness"] == 1 and same["change_far_from_metal_hu"] == 0
    assert blurred["sharpness"] < 0.7


def test_change_is_measured_far_from_metal_only(noisy_hu, phantom_metals):
    metal = phantom_metals[1]
    far = measuring_regions(noisy_hu, metal, SPACING_MM).far
    assert measure_without_reference(noisy_hu, noisy_hu + 50 * ~far, metal, SPACING_MM)["change_far_from_metal_hu"] == 0
    changed = measure_without_reference(noisy_hu, noisy_hu + 5 * far, metal, SPACING_MM)
    assert changed["change_far_from_metal_hu"] == pytest.approx(5)


def test_regions_are_in_mm_and_in_the_body(noisy_hu, phantom_hu, phantom_metals):
    fine, coarse = (measuring_regions(noisy_hu, phantom_metals[1], (side, side)) for side in (0.5, 1.0))
    assert fine.near.sum() > 3.3 * coarse.near.sum()
    assert fine.far.sum() < coarse.far.sum()
    outside = numpy.hypot(*(numpy.mgrid[:416, :416] - 208)) > 165
    assert not (coarse.near & outside).any() and not (coarse.far & outside).any()
    assert not (coarse.near & phantom_metals[1]).any()


def test_small_regions_give_none_and_no_metal_is_refused(noisy_hu, phantom_metals):
    found = measure_without_reference(noisy_hu, noisy_hu, phantom_metals[0], (0.1, 0.1))
    assert found["change_far_from_metal_hu"] is None and found["sharpness"] is None
    assert found["artifact_index_hu"] is None and found["streak_amplitude_hu"] is not None
    with pytest.raises(InputError, match="no metal"):
        measure_without_reference(noisy_hu, noisy_hu, phantom_metals[0] & False, SPACING_MM)
    with pytest.raises(InputError, match="differ in shape"):
        measure_without_reference(noisy_hu, noisy_hu[1:], phantom_metals[0], SPACING_MM)
