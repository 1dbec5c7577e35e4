"""The slice loop: what must not change does not, what is bad is refused, progress and cancelling work."""

from __future__ import annotations

import json

import numpy
import pytest

import SSLMARLib
from SSLMARLib import correction
from SSLMARLib.ct.scale import WATER_ATTENUATION_PER_CM
from SSLMARLib.errors import Cancelled, InputError
from SSLMARLib.evaluation.no_reference import measuring_regions, streak_amplitude_hu
from SSLMARLib.methods import filters

SPACING_MM = (3.0, 3.0, 3.0)


@pytest.mark.parametrize(
    "options, spacing_mm",
    [
        ({}, SPACING_MM),
        ({"dtype": numpy.float32}, SPACING_MM),
        ({"dtype": numpy.float64, "shape": (1, 100, 90)}, SPACING_MM),
        ({"dtype": numpy.int32, "shape": (3, 256, 256)}, (1.0, 1.5, 1.5)),
        ({"shape": (3, 512, 512)}, (1.0, 0.7, 0.7)),
        ({"shape": (3, 1024, 1024)}, (0.5, 0.35, 0.35)),
        ({"shape": (3, 300, 200)}, (2.0, 0.8, 1.7)),
        ({"padding": -1024}, SPACING_MM),
        ({"padding": -2000}, SPACING_MM),
        ({"padding": -3024, "dtype": numpy.float32}, SPACING_MM),
        ({"metal": (0.99, 0.0)}, SPACING_MM),
    ],
)
@pytest.mark.parametrize("method", ["li", "nmar"])
def test_what_must_not_change_does_not(make_scan, options, spacing_mm, method):
    volume, mask = make_scan(spacing_mm=spacing_mm, **options)
    before = volume.copy()
    result = SSLMARLib.reduce_metal_artifacts(volume, spacing_mm, method=method)
    assert (volume == before).all()
    assert result.volume_hu.dtype == volume.dtype and result.volume_hu.shape == volume.shape
    assert result.volume_hu is not volume
    untouched = ~mask.any(axis=(1, 2))
    assert (result.volume_hu[untouched] == volume[untouched]).all()
    assert (result.volume_hu[result.metal_mask] == volume[result.metal_mask]).all()
    if options.get("padding"):
        padded = make_scan(spacing_mm=spacing_mm, **(options | {"padding": 30000}))[0] == 30000
        assert padded.any() and (result.volume_hu[padded] == options["padding"]).all()
    assert (result.volume_hu[~untouched] != volume[~untouched]).any()
    assert result.volume_hu[volume >= -1024].min() >= -1100 and result.volume_hu.max() <= 3100
    assert result.report.slices_corrected == int((~untouched).sum())


def test_a_scan_without_artifacts_stays_as_it_is(make_scan):
    volume, mask = make_scan(dtype=numpy.float32)
    result = SSLMARLib.reduce_metal_artifacts(volume, SPACING_MM, mask, "nmar")
    # the band of one pixel around metal belongs to it: there the grid's pixels are metal in part
    near = numpy.stack([_grown(one, 2) for one in mask])
    change = numpy.abs(result.volume_hu - volume)[mask.any(axis=(1, 2))][~near[mask.any(axis=(1, 2))]]
    assert change.mean() < 6 and numpy.percentile(change, 99) < 60


def _grown(mask, pixels):
    from scipy.ndimage import binary_dilation

    return binary_dilation(mask, iterations=pixels)


def test_transposed_and_flipped_slices_give_transposed_and_flipped_results(make_scan):
    volume, mask = make_scan(dtype=numpy.float64, shape=(3, 96, 96))
    expected = SSLMARLib.reduce_metal_artifacts(volume, SPACING_MM, mask, "nmar").volume_hu
    for turn in (lambda a: a.transpose(0, 2, 1), lambda a: a[:, ::-1], lambda a: a[:, :, ::-1]):
        turned = SSLMARLib.reduce_metal_artifacts(turn(volume), SPACING_MM, turn(mask), "nmar").volume_hu
        numpy.testing.assert_allclose(turned, turn(expected), atol=0.5)


def test_batches_do_not_matter(make_scan):
    volume, mask = make_scan(dtype=numpy.float32)
    one, all_at_once = (SSLMARLib.reduce_metal_artifacts(volume, SPACING_MM, mask, "nmar", batch_size=n).volume_hu for n in (1, 3))
    numpy.testing.assert_allclose(one, all_at_once, atol=0.02)


def test_a_slow_method_says_how_many_slices_it_takes_at_once(make_scan, monkeypatch):
    from SSLMARLib.methods.linear_interpolation import LinearInterpolation

    volume, mask = make_scan()
    monkeypatch.setattr(LinearInterpolation, "slices_per_batch", {"cpu": 1}, raising=False)
    seen = []
    result = SSLMARLib.reduce_metal_artifacts(volume, SPACING_MM, mask, "li", "cpu", lambda *step: seen.append(step))
    assert result.report.batch_size == 1 and sum("with metal" in message for _, message in seen) == 3
    assert SSLMARLib.reduce_metal_artifacts(volume, SPACING_MM, mask, "li", "cpu", batch_size=2).report.batch_size == 2


def test_integers_are_rounded_and_do_not_wrap(make_scan):
    volume, mask = make_scan(dtype=numpy.int16)
    as_float = SSLMARLib.reduce_metal_artifacts(volume.astype(numpy.float32), SPACING_MM, mask, "li").volume_hu
    as_integer = SSLMARLib.reduce_metal_artifacts(volume, SPACING_MM, mask, "li").volume_hu
    assert numpy.abs(as_float - as_integer).max() <= 0.51
    shifted = (volume + 1024).clip(0).astype(numpy.uint16)  # stored values of a scanner: nothing may wrap below 0
    result = SSLMARLib.reduce_metal_artifacts(shifted, SPACING_MM, mask, "li")
    assert result.volume_hu.max() < 5000 and result.report.warnings


def test_metal_is_replaced_when_asked(make_scan):
    volume, mask = make_scan()
    result = SSLMARLib.reduce_metal_artifacts(volume, SPACING_MM, mask, "li", restore_metal=False)
    assert abs(float(result.volume_hu[mask].mean()) - 40) < 150


def test_report(make_scan):
    volume, mask = make_scan()
    report = SSLMARLib.reduce_metal_artifacts(volume, SPACING_MM, method="nmar", device="cpu").report
    data = json.loads(report.to_json())
    assert data["method"] == "nmar" and data["device"] == "cpu" and data["version"] == SSLMARLib.__version__
    assert data["slices"] == 5 and data["slices_corrected"] == 3
    assert data["metal_voxels"] == int(mask.sum())
    assert data["metal_volume_ml"] == pytest.approx(mask.sum() * 0.027)
    assert data["seconds"] > 0 and data["mean_absolute_change_hu"] > 0


def test_progress_goes_from_0_to_1_and_names_the_slice(make_scan):
    volume, mask = make_scan()
    seen = []
    SSLMARLib.reduce_metal_artifacts(volume, SPACING_MM, mask, "li", progress=lambda *step: seen.append(step), batch_size=1)
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions) and fractions[0] == 0 and fractions[-1] == 1
    assert any("slice 3 (2 of 3 with metal)" in message for _, message in seen)


@pytest.mark.parametrize("calls_before", [0, 1, 3, 5])
def test_cancelling(make_scan, calls_before):
    volume, mask = make_scan()
    calls = iter([False] * calls_before)
    with pytest.raises(Cancelled, match="nothing was changed"):
        SSLMARLib.reduce_metal_artifacts(volume, SPACING_MM, mask, "li", is_cancelled=lambda: next(calls, True), batch_size=1)


def test_out_of_memory_halves_the_batch(make_scan, monkeypatch):
    volume, mask = make_scan(dtype=numpy.float32)
    expected = SSLMARLib.reduce_metal_artifacts(volume, SPACING_MM, mask, "li").volume_hu
    original = correction._SliceRun.correct_slices

    def scarce(self, indices, corrected):
        if len(indices) > 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return original(self, indices, corrected)

    monkeypatch.setattr(correction._SliceRun, "correct_slices", scarce)
    result = SSLMARLib.reduce_metal_artifacts(volume, SPACING_MM, mask, "li", batch_size=4)
    numpy.testing.assert_allclose(result.volume_hu, expected, atol=0.02)
    assert result.report.batch_size == 1

    def none_left(self, indices, corrected):
        raise MemoryError

    monkeypatch.setattr(correction._SliceRun, "correct_slices", none_left)
    with pytest.raises(InputError, match="not enough memory"):
        SSLMARLib.reduce_metal_artifacts(volume, SPACING_MM, mask, "li")


def test_other_errors_are_not_swallowed(make_scan, monkeypatch):
    volume, mask = make_scan()

    def broken(self, indices, corrected):
        raise RuntimeError("a bug")

    monkeypatch.setattr(correction._SliceRun, "correct_slices", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        SSLMARLib.reduce_metal_artifacts(volume, SPACING_MM, mask, "li")


def _with(volume, value):
    volume = volume.astype(numpy.float32)
    volume[0, 0, 0] = value
    return volume


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda volume, mask: {"volume_hu": volume[0]}, r"\(1, rows, columns\)"),
        (lambda volume, mask: {"volume_hu": volume[..., None]}, "4D"),
        (lambda volume, mask: {"volume_hu": volume[:0], "metal": None}, "shape"),
        (lambda volume, mask: {"volume_hu": volume > 0}, "bool"),
        (lambda volume, mask: {"volume_hu": _with(volume, numpy.nan)}, "1 NaN or infinite"),
        (lambda volume, mask: {"volume_hu": _with(volume, numpy.inf)}, "1 NaN or infinite"),
        (lambda volume, mask: {"spacing_mm": (1.0, 1.0)}, "three positive"),
        (lambda volume, mask: {"spacing_mm": (1.0, 0.0, 1.0)}, "three positive"),
        (lambda volume, mask: {"metal": mask[:2]}, "volume's shape"),
        (lambda volume, mask: {"metal": numpy.zeros_like(mask)}, "empty"),
        (lambda volume, mask: {"metal": numpy.ones_like(mask)}, "covers 100 % of slice 1"),
        (lambda volume, mask: {"metal": SSLMARLib.MetalSearch(threshold_hu=3050.0)}, "3050 HU.*3000 HU"),
        (lambda volume, mask: {"method": "magic"}, "choose one of li, nmar"),
        (lambda volume, mask: {"device": "tpu"}, "choose one of auto, cpu, cuda"),
        (lambda volume, mask: {"batch_size": 0}, "batch_size is 0"),
        (lambda volume, mask: {"trace_dilation_bins": -1}, "-1 bins"),
    ],
)
def test_what_cannot_be_used_is_refused(make_scan, change, sentence):
    volume, mask = make_scan()
    arguments = {"volume_hu": volume, "spacing_mm": SPACING_MM, "metal": mask, "method": "li"}
    with pytest.raises(InputError, match=f"(?s){sentence}") as error:
        SSLMARLib.reduce_metal_artifacts(**(arguments | change(volume, mask)))
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


def test_a_gpu_that_is_not_there_is_refused(make_scan):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    volume, mask = make_scan()
    with pytest.raises(InputError, match="GPU was asked for"):
        SSLMARLib.reduce_metal_artifacts(volume, SPACING_MM, mask, "li", device="cuda")


def test_the_dental_scan(shared):
    volume = SSLMARLib.read_volume(shared / "data/realmetal/realmetal_tcga_thca_e3_a3e5_dental.nii.gz")
    results = {method: SSLMARLib.reduce_metal_artifacts(volume.voxels_hu, volume.spacing_mm, method=method) for method in ("li", "nmar")}
    mask = results["nmar"].metal_mask
    with_metal = mask.any(axis=(1, 2))
    slice_ = 14  # the strongest streaks
    spacing_mm = volume.spacing_mm[1:]
    near = measuring_regions(volume.voxels_hu[slice_], mask[slice_], spacing_mm).near
    amplitude = {name: streak_amplitude_hu(result.volume_hu[slice_], near, spacing_mm) for name, result in results.items()}
    before = streak_amplitude_hu(volume.voxels_hu[slice_], near, spacing_mm)
    assert amplitude["nmar"] < 0.75 * before and amplitude["nmar"] < amplitude["li"] < before
    for result in results.values():
        assert (result.volume_hu[~with_metal] == volume.voxels_hu[~with_metal]).all()
        assert (result.volume_hu[mask] == volume.voxels_hu[mask]).all()


def test_no_rim_of_metal_stays_around_it(make_scan, monkeypatch):
    import torch
    from scipy.ndimage import binary_dilation

    options = {"dtype": numpy.float32, "shape": (1, 512, 512), "spacing_mm": (3.0, 0.75, 0.75)}
    (volume, mask), (truth, _) = make_scan(**options), make_scan(**options, metal=(9.0, 9.0))
    rim = binary_dilation(mask[0], iterations=2) & ~mask[0]

    def error_of_the_rim_hu():
        result = SSLMARLib.reduce_metal_artifacts(volume, options["spacing_mm"], mask, "nmar").volume_hu
        return float(numpy.sqrt(((result - truth)[0][rim] ** 2).mean()))

    blended = error_of_the_rim_hu()
    monkeypatch.setattr(filters, "metal_edge_weight", lambda metal_mask: torch.zeros(metal_mask.shape))
    assert blended < 0.5 * error_of_the_rim_hu()


def test_the_reconstruction_counts_alone_on_metal_and_fades():
    import torch

    mask = torch.zeros(1, 40, 40, dtype=torch.bool)
    mask[0, 18:22, 18:22] = True
    weight = filters.metal_edge_weight(mask)[0]
    assert (weight[mask[0]] == 1).all() and weight[20, 23] > 0.6 and 0 < weight[20, 24] < 1 and weight[20, 26] == 0


def test_faint_changes_are_left_away_and_strong_ones_stay():
    import torch

    generator = torch.Generator().manual_seed(0)
    water = WATER_ATTENUATION_PER_CM
    noise = torch.randn(1, 200, 200, generator=generator)
    for size_hu, least, most in ((1.0, 0.0, 0.03), (8.0, 0.4, 0.6), (200.0, 0.99, 1.0)):
        change = noise * size_hu / 1000 * water
        kept = filters.without_small_changes(change, 8.0, 10.0)
        share = (kept / change)[0, 40:-40, 40:-40]
        assert least <= float(share.min()) and float(share.max()) <= most


def test_body_far_from_metal_changes_less_and_comes_nearer_to_the_truth(make_scan, monkeypatch):
    options = {"dtype": numpy.float32, "shape": (1, 512, 512), "spacing_mm": (3.0, 0.75, 0.75)}
    (volume, mask), (truth, _) = make_scan(**options), make_scan(**options, metal=(9.0, 9.0))
    far = measuring_regions(volume[0], mask[0], options["spacing_mm"][1:]).far

    def change_and_error_hu():
        result = SSLMARLib.reduce_metal_artifacts(volume, options["spacing_mm"], mask, "nmar").volume_hu
        return float(numpy.abs(result - volume)[0][far].mean()), float(numpy.sqrt(((result - truth)[0][far] ** 2).mean()))

    change, error = change_and_error_hu()
    monkeypatch.setattr(filters, "without_small_changes", lambda difference, *_: difference)
    whole_change, whole_error = change_and_error_hu()
    assert far.sum() > 1000 and change < 0.9 * whole_change and error <= whole_error


@pytest.mark.parametrize(
    "given, expected",
    [(">i2", "int16"), (">f4", "float32"), (">f8", "float64"), ("float16", "float32"), ("longdouble", "float64"), (">i4", "int32")],
)
def test_unusual_number_types_are_converted_before_the_work(make_scan, given, expected):
    """Other byte orders, and types that torch or a file cannot hold: the same result as in the type that they are converted to."""
    volume, mask = make_scan(shape=(3, 64, 64))
    unusual = volume.astype(given)
    result = SSLMARLib.reduce_metal_artifacts(unusual, SPACING_MM, mask, "li").volume_hu
    assert result.dtype == numpy.dtype(expected) and result.dtype.isnative
    same = SSLMARLib.reduce_metal_artifacts(unusual.astype(expected), SPACING_MM, mask, "li").volume_hu
    assert numpy.array_equal(result, same) and (result != volume).any()
    assert unusual.dtype == numpy.dtype(given)


def test_a_long_double_beyond_all_floats_is_refused(make_scan):
    volume, mask = make_scan(shape=(3, 64, 64), dtype=numpy.longdouble)
    volume[0, 0, 0] = numpy.finfo(numpy.longdouble).max
    with pytest.raises(InputError, match="infinite|no Hounsfield units"):
        SSLMARLib.reduce_metal_artifacts(volume, SPACING_MM, mask, "li")


def test_a_mask_reports_no_search_and_a_search_reports_its_four_values(make_scan):
    volume, mask = make_scan()
    search = SSLMARLib.MetalSearch(2100, smallest_component_mm3=0.5, peak_hu=0, dilation_mm=1)
    found = SSLMARLib.reduce_metal_artifacts(volume, SPACING_MM, search, "li").report
    assert {name: found.parameters[name] for name in search.to_dict()} == search.to_dict() and found.threshold_hu == 2100
    given = SSLMARLib.reduce_metal_artifacts(volume, SPACING_MM, mask, "li").report
    assert given.threshold_hu is None and not set(search.to_dict()) & set(given.parameters)


def test_nan_in_a_mask_is_no_metal(make_scan):
    volume, mask = make_scan()
    doubtful = mask.astype(numpy.float32)
    doubtful[0, 0, 0] = numpy.nan
    with pytest.raises(InputError, match="mask has voxels that are NaN"):
        SSLMARLib.reduce_metal_artifacts(volume, SPACING_MM, doubtful, "li")


def test_the_projector_is_whole_before_the_first_slice(make_scan):
    """What is built once is no part of the time of a slice, by which the time of a run is judged."""
    from SSLMARLib.tomography import get_projector

    get_projector.cache_clear()
    built = []

    def progress(fraction, message):
        if message.startswith("LI: slice"):
            built.append(get_projector("cpu").buffer_bytes())

    volume, mask = make_scan()
    SSLMARLib.reduce_metal_artifacts(volume, SPACING_MM, mask, "li", "cpu", progress)
    assert built[0] == get_projector("cpu").buffer_bytes()
