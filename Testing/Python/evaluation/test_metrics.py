"""The measures against scikit-image and against sums by hand."""

from __future__ import annotations

import math

import numpy
import pytest

from SSLMARLib.errors import InputError, MissingPackageError
from SSLMARLib.evaluation.metrics import bias_hu, compare, distance_to_metal, psnr_db, rmse_hu, ssim


@pytest.fixture
def pair(phantom_hu, phantom_metals, random_generator):
    """(image, reference, metal): noise of 20 HU everywhere, and nonsense in the metal."""
    image = phantom_hu + random_generator.normal(0, 20, phantom_hu.shape)
    image[phantom_metals[0]] = 12345.0
    return image, phantom_hu, phantom_metals[0]


def test_rmse_leaves_metal_out():
    image = numpy.array([[3.0, 5.0], [9999.0, 1.0]])
    reference = numpy.array([[0.0, 1.0], [0.0, 1.0]])
    metal = numpy.array([[False, False], [True, False]])
    assert rmse_hu(image, reference, metal) == pytest.approx(math.sqrt((9 + 16 + 0) / 3))
    assert rmse_hu(image, reference) > 1000


def test_ssim_is_scikit_images_in_attenuation_with_metal_as_zero(affected_hu, phantom_hu, phantom_metals):
    from skimage.metrics import structural_similarity

    image, reference, metal = affected_hu[0], phantom_hu, phantom_metals[0]
    attenuation, truth = (numpy.where(metal, 0, 0.192 * (1 + values / 1000)) for values in (image, reference))
    expected = structural_similarity(truth, attenuation, data_range=truth.max() - truth.min())
    assert ssim(image, reference, metal) == pytest.approx(expected, abs=1e-9)
    # zero is air, not water: in HU the same protocol gives another figure
    hu, hu_truth = numpy.where(metal, 0, image), numpy.where(metal, 0, reference)
    assert abs(structural_similarity(hu_truth, hu, data_range=numpy.ptp(hu_truth)) - expected) > 0.01


def test_psnr_is_scikit_images_without_metal(pair):
    from skimage.metrics import peak_signal_noise_ratio

    image, reference, metal = pair
    expected = peak_signal_noise_ratio(reference[~metal], image[~metal], data_range=1700)
    assert psnr_db(image, reference, metal) == pytest.approx(expected, abs=1e-9)


def test_equal_images(phantom_hu):
    assert rmse_hu(phantom_hu, phantom_hu) == 0
    assert ssim(phantom_hu, phantom_hu) == pytest.approx(1)
    assert psnr_db(phantom_hu, phantom_hu) == math.inf


def test_bias_is_measured_in_the_regions_of_the_reference(phantom_hu, phantom_metals):
    image = phantom_hu + numpy.select([phantom_hu > 300, phantom_hu < -500], [30.0, -7.0], 2.0)
    found = bias_hu(image, phantom_hu, phantom_metals[0])
    expected = {"near_metal": 2.0, "soft_tissue": 2.0, "bone": 30.0, "lung_or_air": -7.0}
    assert found == {name: pytest.approx(value) for name, value in expected.items()}
    assert bias_hu(numpy.zeros((20, 20)), numpy.zeros((20, 20)))["bone"] is None


def test_near_metal_sees_only_what_is_near(phantom_hu, phantom_metals):
    image = phantom_hu + numpy.where(distance_to_metal(phantom_metals[1]) > 20, 100.0, 1.0)
    assert compare(image, phantom_hu, phantom_metals[1])["rmse_near_metal_hu"] == pytest.approx(1.0)


def test_distance_is_in_mm_where_a_spacing_is_given():
    metal = numpy.zeros((5, 5), dtype=bool)
    metal[0, 0] = True
    assert distance_to_metal(metal, (2.0, 0.5))[3, 4] == pytest.approx(math.hypot(6, 2))
    assert numpy.isinf(distance_to_metal(~metal & False)).all()


def test_what_cannot_be_compared_is_refused(phantom_hu):
    with pytest.raises(InputError, match="same shape|one and the same"):
        rmse_hu(phantom_hu, phantom_hu[:-1])
    with pytest.raises(InputError, match="Every pixel is marked as metal"):
        rmse_hu(phantom_hu, phantom_hu, numpy.ones_like(phantom_hu, dtype=bool))
    broken = phantom_hu.copy()
    broken[3, 3] = numpy.nan
    with pytest.raises(InputError, match="not finite"):
        rmse_hu(broken, phantom_hu)
    with pytest.raises(InputError, match="same value everywhere"):
        ssim(phantom_hu, numpy.full_like(phantom_hu, -1000.0))


def test_missing_scikit_image_is_a_sentence(phantom_hu, without_package):
    without_package("skimage")
    with pytest.raises(MissingPackageError, match="scikit-image is not installed"):
        ssim(phantom_hu, phantom_hu)
