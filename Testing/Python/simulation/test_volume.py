"""Metal in a volume: phantoms, the simulated volume, and the verb `simulate`."""

from __future__ import annotations

import numpy
import pytest
from scipy import ndimage

from SSLMARLib import cli
from SSLMARLib.ct.reading_writing import read_mask, read_volume, write_volume
from SSLMARLib.errors import Cancelled, InputError
from SSLMARLib.simulation.metal_masks import body_mask
from SSLMARLib.simulation.phantom import PHANTOM_KINDS, WIDTH_MM, body_phantom, phantom_implant
from SSLMARLib.simulation.scan import ScanProtocol
from SSLMARLib.simulation.shapes import BodyFrame
from SSLMARLib.simulation.volume import simulate_metal


@pytest.fixture(scope="module")
def phantom_case():
    """A pelvis of 5 slices with its hip in the middle three: (volume, mask, with metal)."""
    volume = body_phantom("pelvis", slices=5)
    body = body_mask(volume.voxels_hu)
    mask = phantom_implant("pelvis").mask(BodyFrame.of_body(body, volume.spacing_mm), volume.shape) & body
    mask[[0, -1]] = False
    return volume, mask, simulate_metal(volume.voxels_hu, volume.spacing_mm, mask, seed=1)


@pytest.mark.parametrize("kind", PHANTOM_KINDS)
def test_a_phantom_has_a_body(kind):
    volume = body_phantom(kind, slices=5)
    voxels = volume.voxels_hu
    assert voxels.dtype == numpy.int16 and voxels.shape == (5, 400, 400)
    assert voxels.max() < 2000, "nothing in it may be taken for metal"
    body = body_mask(voxels)
    frame = BodyFrame.of_body(body, volume.spacing_mm)
    assert frame.voxels_per_width[2] * volume.spacing_mm[2] == pytest.approx(WIDTH_MM[kind], rel=0.03)
    assert frame.center[1:] == pytest.approx((199.5, 199.5), abs=6)
    share = {
        "fat": ((voxels > -150) & (voxels < -50) & body).sum() / body.sum(),
        "muscle": ((voxels > 0) & (voxels < 110) & body).sum() / body.sum(),
        "bone": ((voxels > 200) & body).sum() / body.sum(),
        "air": ((voxels < -700) & body).sum() / body.sum(),
    }
    assert share["fat"] > 0.1 and share["muscle"] > 0.3 and 0.03 < share["bone"] < 0.3 and 0.0003 < share["air"] < 0.1
    assert abs(voxels[:, :8].mean() + 1000) < 5
    inner = ndimage.binary_erosion(body, numpy.ones((1, 13, 13)))
    noise = (voxels - ndimage.median_filter(voxels, (1, 5, 5)))[inner]
    assert 3 < numpy.median(abs(noise)) < 15


def test_phantoms_repeat_and_refuse():
    assert numpy.array_equal(body_phantom("jaw", 2, seed=4).voxels_hu, body_phantom("jaw", 2, seed=4).voxels_hu)
    assert not numpy.array_equal(body_phantom("jaw", 2, seed=4).voxels_hu, body_phantom("jaw", 2, seed=5).voxels_hu)
    with pytest.raises(InputError, match="pelvis, jaw"):
        body_phantom("foot")
    with pytest.raises(InputError, match="366 pixels or more"):
        body_phantom("pelvis", size=200)


def test_the_phantoms_implants_lie_on_bone_and_teeth():
    for kind in PHANTOM_KINDS:
        volume = body_phantom(kind)
        body = body_mask(volume.voxels_hu)
        mask = phantom_implant(kind).mask(BodyFrame.of_body(body, volume.spacing_mm), volume.shape)
        assert mask[4].sum() > 50 and not (mask & ~body).any()
        assert numpy.median(volume.voxels_hu[4][mask[4]]) > 200


def test_only_slices_with_metal_change(phantom_case):
    volume, mask, with_metal = phantom_case
    before = volume.voxels_hu
    assert with_metal.dtype == before.dtype and with_metal.shape == before.shape
    changed = (with_metal != before).any(axis=(1, 2))
    assert changed.tolist() == [False, True, True, True, False]
    assert with_metal.max() == 3071 and with_metal.min() >= -1024
    assert numpy.median(with_metal[mask]) == 3071


def test_artifacts_are_near_the_metal_and_of_both_signs(phantom_case):
    volume, mask, with_metal = phantom_case
    change = (with_metal.astype(float) - volume.voxels_hu)[2]
    body = body_mask(volume.voxels_hu[2])
    distance_mm = ndimage.distance_transform_edt(~mask[2])
    near, far = body & (distance_mm > 3) & (distance_mm < 30), body & (distance_mm > 120)
    assert change[near].std() > 100 and change[near].min() < -200 and change[near].max() > 200
    assert change[far].std() < 0.5 * change[near].std()
    assert abs(numpy.median(change[far])) < 15


def test_seed_and_material(phantom_case):
    volume, mask, with_metal = phantom_case
    one = slice(2, 3)
    voxels, metal = volume.voxels_hu[one], mask[one]
    first, again, other = (simulate_metal(voxels, volume.spacing_mm, metal, seed=s) for s in (5, 5, 6))
    assert numpy.array_equal(first, again) and not numpy.array_equal(first, other)
    iron = simulate_metal(voxels, volume.spacing_mm, metal, "iron", seed=5)
    assert abs(iron - voxels.astype(float))[~metal].mean() > 1.5 * abs(first - voxels.astype(float))[~metal].mean()


def test_metal_has_its_attenuation_where_nothing_hardens():
    """A rod in water, one energy, no noise: its voxels get what titanium has on top of water."""
    from SSLMARLib.simulation.physics import load_physics

    rows, columns = numpy.mgrid[:300, :300] - 149.5
    volume_hu = numpy.where(rows**2 + columns**2 < 120**2, 0.0, -1000.0)[None].astype(numpy.float32)
    metal = (rows**2 + (columns - 40) ** 2 < 12**2)[None]
    protocol = ScanProtocol(physics=load_physics().monochromatic(), noise="none", photons=1e11, scatter_photons=0, partial_volume_divisor=1)
    result = simulate_metal(volume_hu, (1.0, 0.7, 0.7), metal, protocol=protocol, highest_hu=None)
    inner = ndimage.binary_erosion(metal, numpy.ones((1, 9, 9)))
    assert result.dtype == numpy.float32
    assert result[inner].mean() == pytest.approx(2.4124 / 0.192 * 1000, rel=0.01)
    assert abs(result[0][(rows**2 + columns**2 < 100**2) & ((rows**2 + (columns - 40) ** 2) > 40**2)].mean()) < 5


def test_padding_stays(phantom_case):
    volume, mask, _ = phantom_case
    voxels = volume.voxels_hu[2:3].copy()
    rows, columns = numpy.mgrid[:400, :400] - 199.5
    outside = rows**2 + columns**2 > 199**2
    voxels[0][outside] = -2000
    result = simulate_metal(voxels, volume.spacing_mm, mask[2:3])
    assert (result[0][outside] == -2000).all() and result[0][~outside].min() >= -1024


@pytest.mark.parametrize("given, expected", [(">i2", "int16"), ("float16", "float32"), ("longdouble", "float64")])
def test_unusual_number_types_are_converted_before_the_scan(phantom_case, given, expected):
    volume, mask, _ = phantom_case
    unusual = volume.voxels_hu[2:3].astype(given)
    result = simulate_metal(unusual, volume.spacing_mm, mask[2:3], seed=1)
    assert result.dtype == numpy.dtype(expected) and result.dtype.isnative
    assert numpy.array_equal(result, simulate_metal(unusual.astype(expected), volume.spacing_mm, mask[2:3], seed=1))


def test_what_cannot_be_simulated(phantom_case):
    volume, mask, _ = phantom_case
    for options in (
        {"metal_mask": mask[:2]},
        {"metal_mask": mask & False},
        {"material": "wood"},
        {"highest_hu": -5},
        {"kernel_fwhm_mm": -1},
        {"spacing_mm": (1, 1)},
    ):
        arguments = {"volume_hu": volume.voxels_hu, "spacing_mm": volume.spacing_mm, "metal_mask": mask, **options}
        with pytest.raises(InputError):
            simulate_metal(**arguments)
    with pytest.raises(Cancelled):
        simulate_metal(volume.voxels_hu, volume.spacing_mm, mask, is_cancelled=lambda: True)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with a jaw of 2 slices and a mask of its teeth."""
    folder = tmp_path_factory.mktemp("simulate")
    volume = body_phantom("jaw", slices=2)
    write_volume(volume, folder / "jaw.nrrd")
    frame = BodyFrame.of_body(body_mask(volume.voxels_hu), volume.spacing_mm)
    mask = phantom_implant("jaw").mask(frame, volume.shape)
    write_volume(volume.with_voxels(mask.astype(numpy.uint8)), folder / "teeth.nrrd")
    return folder


def test_the_verb_writes_result_truth_and_mask(files, capsys):
    output = files / "metal.nii.gz"
    command = ["simulate", str(files / "jaw.nrrd"), str(output), "--mask", str(files / "teeth.nrrd"), "--material", "gold"]
    assert cli.main(command) == 0
    assert "gold in 2 of 2 slices" in capsys.readouterr().out
    before, result, truth = (read_volume(files / name) for name in ("jaw.nrrd", "metal.nii.gz", "metal_truth.nii.gz"))
    mask = read_mask(files / "metal_mask.nii.gz", result)
    assert numpy.array_equal(mask, read_mask(files / "teeth.nrrd", before))
    assert numpy.array_equal(truth.voxels_hu, before.voxels_hu)
    assert result.same_geometry(before) and (result.voxels_hu != before.voxels_hu).any(axis=(1, 2)).all()
    assert cli.main(command) == 2
    assert "exists" in capsys.readouterr().err
    assert cli.main([*command, "--overwrite", "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_the_verb_draws_an_implant_again_from_its_seed(files):
    for name in ("first", "second"):
        command = ["simulate", str(files / "jaw.nrrd"), str(files / f"{name}.nrrd"), "--implant", "dental"]
        assert cli.main([*command, "--seed", "3", "--kvp", "140", "--slice", "1", "--quiet"]) == 0
    first, second = (read_volume(files / f"{name}.nrrd").voxels_hu for name in ("first", "second"))
    assert numpy.array_equal(first, second) and first.max() == 3071
    assert read_volume(files / "first_mask.nrrd").voxels_hu.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--implant", "dental", "--kvp", "77"], "choose one of 80"),
        (["--implant", "dental", "--slice", "9"], "--slice is 9"),
        (["--implant", "dental", "--seed", "-1"], "seed"),
        (["--implant", "dental", "--seed", "9" * 30], "seed"),
        (["--implant", "dental", "--slice", "0"], "the slices 1 to"),
        (["--implant", "dental", "--slice", "1000"], "--slice is 1000"),
        (["--mask", "teeth.nrrd", "--slice", "1"], "--implant"),
        (["--implant", "dental", "--physics", "nowhere"], "nowhere"),
    ],
)
def test_the_verb_refuses_in_one_sentence(files, capsys, monkeypatch, options, message):
    monkeypatch.chdir(files)
    assert cli.main(["simulate", "jaw.nrrd", "refused.nrrd", *options]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and "Traceback" not in error
    assert not (files / "refused.nrrd").exists()
