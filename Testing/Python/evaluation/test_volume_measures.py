"""The measures of a corrected volume: which slices, which means."""

from __future__ import annotations

import numpy
import pytest

from SSLMARLib import Cancelled
from SSLMARLib.evaluation.volume_measures import measure_volume, regions_of_slices, slices_to_measure

SPACING_MM = (3.0, 2.0, 2.0)


@pytest.fixture
def scan(random_generator):
    """(volume, mask): a wide body of 0 HU in 9 slices, metal in slices 2 to 8 on the left, stripes near it."""
    rows, columns = numpy.mgrid[:120, :160] - numpy.array([59.5, 79.5])[:, None, None]
    volume = numpy.full((9, 120, 160), -1000.0)
    volume[:, numpy.hypot(rows / 50, columns / 75) < 1] = 0
    mask = numpy.zeros(volume.shape, bool)
    mask[2:, numpy.hypot(rows, columns + 50) < 3] = True
    volume[:, (numpy.hypot(rows, columns + 50) < 14) & (rows % 4 < 2)] += 100
    volume[mask] = 3000
    return volume, mask


def test_slices_are_spread_over_those_with_metal():
    mask = numpy.zeros((50, 2, 2), bool)
    mask[10:40, 0, 0] = True
    assert slices_to_measure(mask) == [13, 19, 25, 31, 37]
    assert slices_to_measure(mask, most=1) == [25]
    mask[12:] = False
    assert slices_to_measure(mask) == [10, 11]
    assert slices_to_measure(numpy.zeros((3, 2, 2), bool)) == []


def test_known_changes_are_measured(scan):
    before, mask = scan
    regions = regions_of_slices(before, mask, SPACING_MM)
    assert len(regions) == 5
    after = before.copy()
    for region in regions:
        after[region.index][region.near] -= 7
        after[region.index][region.far] += 3
    measures = measure_volume(before, after, regions, SPACING_MM)
    assert measures.slices_measured == 5
    assert measures.change_near_hu == pytest.approx(7)
    assert measures.change_far_hu == pytest.approx(3)
    assert measures.streak_amplitude_before_hu > 20
    smooth = numpy.where(mask | (before < -500), before, 0)
    streaks_hu = measure_volume(before, smooth, regions, SPACING_MM).streak_amplitude_after_hu
    assert streaks_hu < measures.streak_amplitude_before_hu / 3  # what is left are edges of metal and skin
    same = measure_volume(before, before, regions, SPACING_MM)
    assert same.change_near_hu == 0 and same.streak_amplitude_after_hu == same.streak_amplitude_before_hu


def test_integers_do_not_wrap(scan):
    before, mask = scan
    regions = regions_of_slices(before, mask, SPACING_MM)
    before, after = (numpy.full(mask.shape, value, numpy.int16) for value in (-32768, 32767))
    assert measure_volume(before, after, regions, SPACING_MM).change_near_hu == 65535


def test_a_region_that_is_nowhere_large_enough_is_not_measured(scan):
    before, mask = scan
    regions = regions_of_slices(before, mask, (3.0, 0.2, 0.2))  # the body ends before 60 mm
    measures = measure_volume(before, before, regions, (3.0, 0.2, 0.2))
    assert measures.change_far_hu is None and measures.change_near_hu == 0
    assert measure_volume(before, before, [], SPACING_MM).to_dict() == {
        "slices_measured": 0,
        "streak_amplitude_before_hu": None,
        "streak_amplitude_after_hu": None,
        "change_near_hu": None,
        "change_far_hu": None,
        "slices_with_stronger_streaks": (),
    }


def test_slices_whose_streaks_grew_clearly_are_named(scan):
    """In slice 4 they are twice as strong, in slice 5 stronger by 2 HU, which is nothing, and in slice 6 they are gone."""
    before, mask = scan
    regions = regions_of_slices(before, mask, SPACING_MM)
    assert [region.index for region in regions] == [2, 4, 5, 6, 8]
    stripes = before > 50
    after = before.copy()
    for index, change_hu in ((4, 100), (5, 2), (6, -100)):
        after[index][stripes[index] & ~mask[index]] += change_hu
    measures = measure_volume(before, after, regions, SPACING_MM)
    assert measures.slices_with_stronger_streaks == (4,)
    assert measure_volume(before, before, regions, SPACING_MM).slices_with_stronger_streaks == ()
    nowhere = [type(region)(region.index, region.near & False, region.far) for region in regions]
    assert measure_volume(before, after, nowhere, SPACING_MM).slices_with_stronger_streaks == ()


def test_finding_the_regions_can_be_cancelled(scan):
    def cancel(done, count):
        raise Cancelled("Cancelled.")

    with pytest.raises(Cancelled):
        regions_of_slices(*scan, SPACING_MM, cancel)
