"""Metal segmentation against masks that are known voxel by voxel."""

from __future__ import annotations

import itertools
import math

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from SSLMARLib.ct.metal_search import MetalSearch
from SSLMARLib.ct.reading_writing import read_volume
from SSLMARLib.ct.segmentation import segment_metal, summarize_mask, with_bright_rim
from SSLMARLib.errors import InputError, NoMetalError

SPACING_MM = (1.5, 0.5, 0.5)  # a voxel of 0.375 mm3


def scan(shape=(10, 20, 20), data_type=numpy.int16) -> numpy.ndarray:
    voxels = numpy.full(shape, 40, data_type)
    voxels[:, :2] = -2000
    return voxels


def components_by_search(above: numpy.ndarray) -> list[set]:
    """Connected components with 26 neighbors, by plain search: the definition itself."""
    left, found = set(zip(*numpy.nonzero(above), strict=True)), []
    while left:
        component, border = set(), [left.pop()]
        while border:
            voxel = border.pop()
            component.add(voxel)
            for step in itertools.product((-1, 0, 1), repeat=3):
                neighbor = tuple(a + b for a, b in zip(voxel, step, strict=True))
                if neighbor in left:
                    left.remove(neighbor)
                    border.append(neighbor)
        found.append(component)
    return found


@settings(max_examples=80, deadline=None)
@given(
    voxels=arrays(numpy.int16, (4, 5, 6), elements=st.sampled_from((-1000, -1000, -1000, 1999, 2000, 3071))),
    smallest=st.sampled_from((0.0, 1.0, 2.5)),
)
def test_components_as_defined(voxels, smallest):
    expected = numpy.zeros(voxels.shape, bool)
    for component in components_by_search(voxels >= 2000):
        if len(component) * 0.375 >= smallest and (len(component) > 1 or smallest == 0):
            expected[tuple(zip(*component, strict=True))] = True
    if expected.any():
        mask = segment_metal(voxels, SPACING_MM, MetalSearch(smallest_component_mm3=smallest, peak_hu=0))
        numpy.testing.assert_array_equal(mask, expected)
        kept = components_by_search(expected)
        assert summarize_mask(mask, SPACING_MM).components == len(kept)
    else:
        with pytest.raises(InputError, match="No metal found"):
            segment_metal(voxels, SPACING_MM, MetalSearch(smallest_component_mm3=smallest, peak_hu=0))


def test_noise_goes_and_a_thin_oblique_wire_stays():
    voxels = scan()
    wire = [(index, 5 + index, 15 - index) for index in range(8)]  # one voxel a slice, touching at corners only
    voxels[tuple(zip(*wire, strict=True))] = 2500
    voxels[9, 3, 3] = voxels[0, 18, 18] = 3071  # noise
    mask = segment_metal(voxels, SPACING_MM, MetalSearch(peak_hu=0))
    assert set(zip(*numpy.nonzero(mask), strict=True)) == set(wire)
    assert segment_metal(voxels, SPACING_MM, MetalSearch(smallest_component_mm3=0, peak_hu=0)).sum() == 10


def test_a_single_voxel_of_a_thick_slice_is_noise_too():
    voxels = scan()
    voxels[5, 10, 10] = 3000
    voxels[3, 10, 10:12] = 3000
    assert segment_metal(voxels, (5.0, 1.0, 1.0), MetalSearch(peak_hu=0)).sum() == 2


@pytest.mark.parametrize("data_type", [numpy.int16, numpy.uint16, numpy.int32, numpy.float32, numpy.float64])
def test_the_threshold_itself_is_metal_in_every_type(data_type):
    voxels = numpy.zeros((3, 6, 6), data_type)
    voxels[1, 1:4, 1:4] = 2000
    voxels[1, 5] = 1999
    assert segment_metal(voxels, SPACING_MM, MetalSearch(peak_hu=0)).sum() == 9
    with pytest.raises(InputError, match="the maximum is 2000 HU"):
        segment_metal(voxels, SPACING_MM, MetalSearch(threshold_hu=2000.5, peak_hu=0))


@settings(max_examples=30, deadline=None)
@given(
    dilation_mm=st.floats(0.3, 4), spacing_mm=st.tuples(st.floats(0.5, 5), st.floats(0.3, 2), st.floats(0.3, 2)), seed=st.integers(0, 1000)
)
def test_dilation_is_the_distance_in_mm(dilation_mm, spacing_mm, seed):
    generator = numpy.random.default_rng(seed)
    voxels = numpy.zeros((6, 9, 9), numpy.int16)
    for index in generator.integers(0, [6, 9, 8], (3, 3)):  # pairs of voxels, at the edges too
        voxels[index[0], index[1], index[2] : index[2] + 2] = 2500
    metal = numpy.argwhere(voxels >= 2000)
    offsets = (numpy.argwhere(numpy.ones(voxels.shape))[:, None] - metal) * spacing_mm
    distances_mm = numpy.sqrt((offsets**2).sum(-1)).min(1).reshape(voxels.shape)
    if numpy.abs(distances_mm - dilation_mm).min() < 1e-6:
        return  # on the border rounding decides
    mask = segment_metal(voxels, spacing_mm, MetalSearch(smallest_component_mm3=0, peak_hu=0, dilation_mm=dilation_mm))
    numpy.testing.assert_array_equal(mask, distances_mm <= dilation_mm)


def test_dilation_stays_out_of_padding_and_slices_far_away():
    voxels = scan()
    voxels[5, 2:4, 8:12] = 3000
    mask = segment_metal(voxels, SPACING_MM, MetalSearch(peak_hu=0, dilation_mm=1.4))
    assert mask.any(axis=(1, 2)).sum() == 1  # the next slice is 1.5 mm away
    assert mask[5].sum() > 8 and not mask[:, :2].any()
    assert segment_metal(voxels, SPACING_MM, MetalSearch(peak_hu=0, dilation_mm=1.5)).any(axis=(1, 2)).sum() == 3


def test_messages_name_threshold_and_maximum():
    voxels = scan()
    voxels[5, 5:8, 5] = 1850
    with pytest.raises(InputError, match=r"no voxel reaches 2000 HU, the maximum is 1850 HU"):
        segment_metal(voxels, SPACING_MM)
    with pytest.raises(InputError, match="12-bit scanners stop at 3071 HU"):
        segment_metal(voxels, SPACING_MM, MetalSearch(threshold_hu=3200))
    voxels[0, 10, 10] = 2900
    with pytest.raises(InputError, match=r"maximum 2900 HU\) is specks of at most 1 voxels, 0.375 mm3"):
        segment_metal(voxels, SPACING_MM)


@pytest.mark.parametrize(
    "arguments", [{"spacing_mm": (1, 0, 1)}, {"voxels_hu": numpy.full((2, 2, 2), numpy.nan)}, {"voxels_hu": numpy.zeros((2, 2))}]
)
def test_unusable_arguments(arguments):
    with pytest.raises(InputError):
        segment_metal(**{"voxels_hu": scan() + 3000, "spacing_mm": SPACING_MM} | arguments)


@pytest.mark.parametrize("field", ["threshold_hu", "smallest_component_mm3", "peak_hu", "dilation_mm"])
@pytest.mark.parametrize("value", [None, math.nan, math.inf, -1, "2000", True])
def test_a_search_is_of_numbers(field, value):
    with pytest.raises(InputError, match=rf"\({field}\) is .*: give a number"):
        MetalSearch(**{field: value})
    assert MetalSearch(**{field: numpy.float32(3)}).to_dict()[field] == 3.0


def test_a_threshold_of_zero_is_no_threshold():
    with pytest.raises(InputError, match="above 0"):
        MetalSearch(threshold_hu=0)


def test_summary():
    mask = numpy.zeros((5, 6, 7), bool)
    mask[1:3, 2, 2], mask[4, 5, 5] = True, True
    assert summarize_mask(mask, (2, 1, 1)).to_dict() == {**{"voxels": 3, "volume_ml": 0.006}, **{"components": 2, "slices_with_metal": 3}}
    assert summarize_mask(mask & False, (2, 1, 1)).voxels == 0


def test_the_real_filling(shared):
    volume = read_volume(shared / "data/realmetal/realmetal_tcga_thca_e3_a3e5_dental.nii.gz")
    mask = segment_metal(volume.voxels_hu, volume.spacing_mm, MetalSearch(peak_hu=0))
    summary = summarize_mask(mask, volume.spacing_mm)
    assert mask.dtype == bool and mask.shape == volume.shape
    numpy.testing.assert_array_equal(mask, volume.voxels_hu >= 2000)  # no specks in this scan: its smallest part has 57
    assert summary.slices_with_metal == 15 and summary.components == 7
    assert summary.volume_ml == pytest.approx(mask.sum() * 1.5 * 0.515625**2 / 1000)
    # of the seven, two are metal: a filling and what is beside the ear; five are teeth, of which an unerupted one reaches 2892 HU
    metal = segment_metal(volume.voxels_hu, volume.spacing_mm)
    assert summarize_mask(metal, volume.spacing_mm).components == 2
    assert volume.voxels_hu[mask & ~metal].max() == 2892 and volume.voxels_hu[metal].max() == 2976
    assert not metal[9:12].any()  # in these slices lies that tooth alone


def test_enamel_is_no_metal_where_there_is_metal():
    voxels = scan()
    voxels[3:6, 3:6, 3:6] = 2400  # a tooth
    with pytest.raises(NoMetalError, match="nothing has a peak of 2750 HU"):
        segment_metal(voxels, SPACING_MM)
    voxels[3:6, 12:15, 12:15] = 2200
    voxels[4, 13, 13] = 3000  # a filling, its edge blurred
    assert set(numpy.argwhere(segment_metal(voxels, SPACING_MM))[:, 1]) == {12, 13, 14}
    assert segment_metal(voxels, SPACING_MM, MetalSearch(peak_hu=0)).sum() == 54
    assert segment_metal(voxels, SPACING_MM, MetalSearch(peak_hu=2300)).sum() == 54


def test_a_tooth_with_a_few_bright_voxels_is_no_metal_but_one_with_a_filling_is():
    voxels = scan()
    voxels[2:8, 3:9, 3:9] = 2400  # a large tooth of 216 voxels
    voxels[4, 5, 3:9] = 2900  # 3 % of it
    voxels[2:5, 14:17, 14:17] = 3071  # metal elsewhere
    assert set(numpy.argwhere(segment_metal(voxels, SPACING_MM))[:, 1]) == {14, 15, 16}
    voxels[2:5, 14:17, 14:17] = 2950
    assert set(numpy.argwhere(segment_metal(voxels, SPACING_MM))[:, 1]) == {14, 15, 16}  # not the 2900 HU: the scan is cut off at 2950
    voxels[4, 5, 3:6] = 3000
    assert set(numpy.argwhere(segment_metal(voxels, SPACING_MM))[:, 1]) == {3, 4, 5, 6, 7, 8, 14, 15, 16}
    voxels[2:5, 14:17, 14:17] = 0
    voxels[4, 5, 3:9] = 2900
    assert segment_metal(voxels, SPACING_MM).sum() == 216  # nothing else could be the metal


def test_a_large_scan():
    voxels = numpy.full((300, 512, 512), -1000, numpy.int16)
    voxels[::7, 200:220, 200:230] = 2800
    voxels[0, 0, :2] = voxels[-1, -1, -2:] = 2800  # the box is the whole scan
    mask = segment_metal(voxels, SPACING_MM, MetalSearch(dilation_mm=1.0))
    assert mask.any(axis=(1, 2)).sum() == 43  # the speck in the last slice is too small


def test_a_scan_in_which_nothing_is_as_bright_as_metal_has_none_and_the_user_learns_how_to_insist():
    """Petrous bone of a head without metal reaches 2121 HU."""
    voxels_hu = numpy.zeros((4, 20, 20), dtype=numpy.int16)
    voxels_hu[1:3, 5:9, 5:9] = 2121
    with pytest.raises(NoMetalError, match="No metal found.*0 lets the threshold alone decide"):
        segment_metal(voxels_hu, SPACING_MM)
    assert segment_metal(voxels_hu, SPACING_MM, MetalSearch(peak_hu=0)).sum() == 32


@pytest.mark.parametrize("side_mm, is_coarse", [(1.0, False), (1.5, False), (3.0, True)])
def test_bright_neighbors_count_in_coarse_scans_alone(side_mm, is_coarse):
    voxels, mask = scan(), numpy.zeros((10, 20, 20), bool)
    mask[4, 10, 10] = True
    voxels[4, 10, 10:12], voxels[4, 9, 9], voxels[5, 10, 10], voxels[4, 11, 10] = 2500, 2500, 2500, 1999
    rim = with_bright_rim(mask, voxels, (2.0, side_mm, 1.0))
    assert numpy.argwhere(rim & ~mask).tolist() == ([[4, 10, 11]] if is_coarse else [])
    assert mask.sum() == 1
