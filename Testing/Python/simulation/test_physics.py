"""Spectra and attenuation tables against published values."""

from __future__ import annotations

import numpy
import pytest

from SSLMARLib.errors import InputError
from SSLMARLib.simulation.materials import MATERIALS, METALS
from SSLMARLib.simulation.physics import BENCHMARK_FILES, XRayPhysics, fit_water_correction, load_benchmark_physics, load_physics

# NIST, Tables of X-Ray Mass Attenuation Coefficients (NISTIR 5632): mu / rho in cm^2/g at these energies
NIST_VALUES = {
    ("water", 60): 0.2059,
    ("water", 80): 0.1837,
    ("water", 100): 0.1707,
    ("cortical_bone", 60): 0.3148,
    ("cortical_bone", 100): 0.1855,
    ("muscle", 60): 0.2048,
    ("fat", 60): 0.1974,
    ("titanium", 60): 0.7661,
    ("titanium", 100): 0.2721,
    ("iron", 60): 1.205,
    ("iron", 100): 0.3717,
    ("copper", 60): 1.593,
    ("gold", 60): 4.528,
    ("gold", 100): 5.158,
    ("aluminum", 60): 0.2778,
    ("tungsten", 60): 3.713,
    ("platinum", 100): 4.993,
}


@pytest.mark.parametrize(("material", "energy_kev"), NIST_VALUES)
def test_attenuation_as_nist_has_it(material, energy_kev):
    expected = NIST_VALUES[material, energy_kev]
    assert load_physics(120).mass_attenuation_at(material, energy_kev) == pytest.approx(expected, rel=0.01)


def test_water_near_70_kev_is_the_scale_of_all_images():
    assert load_physics().metal_attenuation_per_cm("water") == pytest.approx(0.192, rel=0.006)


def test_titanium_is_the_benchmarks():
    assert load_physics().metal_attenuation_per_cm("titanium") == pytest.approx(2.41245, rel=5e-4)


def test_gold_and_platinum_have_their_k_edges():
    physics = load_physics(120)
    for material, edge_kev in (("gold", 80.72), ("platinum", 78.39), ("tungsten", 69.53)):
        table = physics.mass_attenuation_cm2_per_g[material]
        steps = numpy.diff(table)
        assert physics.energies_kev[steps.argmax()] == numpy.floor(edge_kev)
        assert steps.max() > 5 and (numpy.delete(steps, steps.argmax()) < 0).all()


def test_xraylib_agrees():
    xraylib = pytest.importorskip("xraylib")
    physics = load_physics(140)
    for name, formula in (("water", "H2O"), ("zirconia", "ZrO2")):
        for energy_kev in (20, 77, 140):
            expected = xraylib.CS_Total_CP(formula, float(energy_kev))
            assert physics.mass_attenuation_at(name, energy_kev) == pytest.approx(expected, rel=2e-3)
    for name in ("titanium", "iron", "copper", "gold", "platinum", "aluminum", "tungsten"):
        (element,) = MATERIALS[name].mass_fractions
        density = xraylib.ElementDensity(xraylib.SymbolToAtomicNumber(element))
        assert MATERIALS[name].density_g_per_cm3 == pytest.approx(density, rel=0.01)


def test_compositions_are_complete():
    for material in MATERIALS.values():
        assert sum(material.mass_fractions.values()) == pytest.approx(1.0, abs=1.1e-3), material.name
        assert material.source
    assert {"titanium", "iron", "stainless_steel", "copper", "gold", "amalgam", "cobalt_chromium"} <= set(METALS)


def test_the_amalgam_has_the_density_of_its_parts():
    densities = {"Hg": 13.53, "Ag": 10.49, "Sn": 7.29, "Cu": 8.96}
    amalgam = MATERIALS["amalgam"]
    volume = sum(share / densities[element] for element, share in amalgam.mass_fractions.items())
    assert amalgam.density_g_per_cm3 == pytest.approx(1 / volume, rel=0.01)


def test_spectra_of_80_to_140_kv():
    means = []
    for voltage in (80, 85, 100, 120, 140):
        physics = load_physics(voltage)
        assert physics.energies_kev[0] == 20 and physics.energies_kev[-1] == voltage
        assert physics.spectrum.sum() == pytest.approx(1)
        assert physics.spectrum[:-1].min() >= 0
        means.append(physics.spectrum @ physics.energies_kev)
    assert numpy.all(numpy.diff(means) > 0)
    # tungsten's characteristic lines stand out of the bremsstrahlung
    physics = load_physics(120)
    at = dict(zip(physics.energies_kev.tolist(), physics.spectrum, strict=True))
    assert at[59] > 1.4 * at[55] and at[67] > 1.15 * at[64]


def test_half_value_layer_of_a_ct_tube():
    """Clinical CT has 6 to 9 mm of aluminum at 120 kV (air kerma: weighted with energy and absorption in air)."""
    xraylib = pytest.importorskip("xraylib")
    physics = load_physics(120)
    air = [xraylib.CS_Energy_CP("N0.755O0.232Ar0.013", float(energy_kev)) for energy_kev in physics.energies_kev]
    kerma = physics.spectrum * physics.energies_kev * air
    thickness_cm = numpy.linspace(0.1, 2, 2000)
    aluminum_per_cm = physics.mass_attenuation_cm2_per_g["aluminum"] * 2.699
    transmitted = numpy.exp(-thickness_cm[:, None] * aluminum_per_cm) @ kerma / kerma.sum()
    assert 0.6 < numpy.interp(-0.5, -transmitted, thickness_cm) < 0.9


@pytest.mark.parametrize("voltage", [80, 120, 140])
def test_water_correction_makes_water_linear(voltage):
    physics = load_physics(voltage)
    exact = numpy.linspace(0.2, 8, 50)
    relative = physics.relative_attenuation("water")
    measured = numpy.array([-numpy.log(sum(physics.spectrum * numpy.exp(-length * relative))) for length in exact])
    corrected = sum(c * measured ** (k + 1) for k, c in enumerate(physics.water_correction))
    assert abs(measured / exact - 1).max() > 0.03
    assert abs(corrected / exact - 1).max() < 0.01


def test_one_energy_needs_no_water_correction():
    physics = load_physics()
    spectrum = numpy.zeros(len(physics.energies_kev))
    spectrum[50] = 1
    coefficients = fit_water_correction(spectrum, physics.relative_attenuation("water"))
    assert coefficients == pytest.approx((1, 0, 0), abs=1e-8)


def test_the_benchmarks_tables(shared):
    physics = load_benchmark_physics(shared / "data" / "physics")
    assert physics.metal_attenuation_per_cm("titanium") == pytest.approx(2.41245, abs=1e-12)
    assert physics.energies_kev[[0, -1]].tolist() == [20, 120]
    shipped = load_physics(120)
    for name in set(BENCHMARK_FILES) - {"cobalt_chromium"}:
        ratio = physics.mass_attenuation_cm2_per_g[name] / shipped.mass_attenuation_cm2_per_g[name]
        assert abs(ratio - 1).max() < 1e-3, name
    ratio = physics.mass_attenuation_cm2_per_g["cobalt_chromium"] / shipped.mass_attenuation_cm2_per_g["cobalt_chromium"]
    assert abs(ratio - 1).max() < 0.16  # without the alloy's molybdenum


def test_what_cannot_be(tmp_path):
    physics = load_physics()
    with pytest.raises(InputError, match="80, 85.*140 kV"):
        load_physics(72)
    with pytest.raises(InputError, match="GE14Spectrum120KVP"):
        load_benchmark_physics(tmp_path)
    with pytest.raises(InputError, match="choose one of water"):
        physics.metal_attenuation_per_cm("kryptonite")
    with pytest.raises(InputError, match="density"):
        physics.metal_attenuation_per_cm("iron", -1.0)
    with pytest.raises(InputError, match="outside the tables"):
        physics.mass_attenuation_at("iron", 200)
    with pytest.raises(InputError, match="no photons"):
        XRayPhysics(physics.energies_kev, physics.spectrum * 0, physics.mass_attenuation_cm2_per_g, 120, "test")
