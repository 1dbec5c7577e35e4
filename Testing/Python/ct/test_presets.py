"""Presets for finding metal, on real scans where there are some, and the Hounsfield units of metals."""

from __future__ import annotations

import numpy
import pytest
import scipy.ndimage

from SSLMARLib import read_volume, segment_metal
from SSLMARLib.ct.presets import METAL_MATERIALS_HU, PRESETS
from SSLMARLib.ct.scale import HIGHEST_12_BIT_HU, WATER_ATTENUATION_PER_CM


def test_the_names_are_those_that_were_agreed():
    assert tuple(PRESETS) == ("dental", "hip", "spine", "clips", "pacemaker")
    assert [preset.name for preset in PRESETS.values()] == list(PRESETS)
    assert PRESETS["clips"].title == "Clips and coils"
    with pytest.raises(TypeError):
        PRESETS["own"] = PRESETS["hip"]


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_each_preset_can_find_metal_in_a_twelve_bit_scan(preset):
    assert 1500 < preset.search.threshold_hu <= 3000 < HIGHEST_12_BIT_HU
    assert preset.description.endswith(".")
    voxels = numpy.full((12, 40, 40), 40, numpy.int16)
    voxels[4:8, 10:20, 10:20] = HIGHEST_12_BIT_HU  # 400 mm3
    found = segment_metal(voxels, (1.0, 1.0, 1.0), preset.search)
    assert numpy.array_equal(found, voxels > 40)


@pytest.fixture
def parts(shared):
    """parts(scan, preset) -> [(first slice, number of slices)] of each metal part that a preset finds in a real scan."""

    def parts(scan, name):
        volume = read_volume(shared / "data" / "realmetal" / f"realmetal_{scan}.nii.gz")
        preset = PRESETS[name]
        mask = segment_metal(volume.voxels_hu, volume.spacing_mm, preset.search)
        boxes = scipy.ndimage.find_objects(scipy.ndimage.label(mask, numpy.ones((3, 3, 3)))[0])
        return sorted((box[0].start, box[0].stop - box[0].start) for box in boxes)

    return parts


def test_dental_finds_the_fillings_and_not_the_unerupted_tooth(parts):
    assert parts("tcga_thca_e3_a3e5_dental", "dental") == [(7, 2), (12, 5)]


def test_clips_finds_the_ends_of_thin_wires(parts):
    found = parts("lungfcp_01_0001_sternalwires", "clips")
    assert len(found) == 8
    covered = {index for first, count in found for index in range(first, first + count)}
    assert len(covered) == 13


@pytest.mark.parametrize("name", METAL_MATERIALS_HU)
def test_materials_have_the_value_of_the_physics_tables(name):
    from SSLMARLib.simulation.materials import MATERIALS
    from SSLMARLib.simulation.physics import REFERENCE_ENERGY_KEV, load_physics

    material = MATERIALS[name.replace(" ", "_").replace("-", "_")]
    physics = load_physics()
    cm2_per_g = numpy.interp(REFERENCE_ENERGY_KEV, physics.energies_kev, physics.mass_attenuation_cm2_per_g[material.name])
    expected_hu = (cm2_per_g * material.density_g_per_cm3 / WATER_ATTENUATION_PER_CM - 1) * 1000
    assert METAL_MATERIALS_HU[name] == pytest.approx(expected_hu, rel=1e-3)
