"""X-ray physics of a simulated scan: the tube's spectrum, mass attenuation tables, and the water correction.

The shipped tables (`data/xray_tables.npz`, made by `Testing/Benchmarks/make_tables.py`) hold energies in 1 keV steps from 20 to 140 keV,
tungsten spectra of 80 to 140 kV, and mass attenuation coefficients of the materials in `materials.py`. The
benchmark's own tables are read from a folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path

import numpy

from ..errors import InputError
from .materials import MATERIALS

REFERENCE_ENERGY_KEV = 70.0
DEFAULT_TUBE_VOLTAGE_KV = 120.0
LOWEST_ENERGY_KEV = 20
TABLES = "xray_tables.npz"

BENCHMARK_WATER_CORRECTION = (0.80370341, 0.02301414, -0.0008444)
BENCHMARK_SPECTRUM_FILE = "GE14Spectrum120KVP.mat"
BENCHMARK_TUBE_VOLTAGE_KV = 120
BENCHMARK_FILES = {
    "water": {"MiuofH2O.mat": 1.0},
    "cortical_bone": {"MiuofBONE_Cortical_ICRU44.mat": 1.0},
    "titanium": {"MiuofTi.mat": 1.0},
    "iron": {"MiuofFe.mat": 1.0},
    "copper": {"MiuofCu.mat": 1.0},
    "gold": {"MiuofAu.mat": 1.0},
    "aluminum": {"MiuofAl.mat": 1.0},
    "tungsten": {"MiuofW.mat": 1.0},
    "cobalt_chromium": {"MiuofCo.mat": 0.69, "MiuofCr.mat": 0.31},
}
"""Material -> its files and their mass fractions (the alloy without its small parts, of which there are no tables)."""
_TOTAL_WITH_COHERENT = 6  # the seventh column


@dataclass(frozen=True, eq=False)
class XRayPhysics:
    """Spectrum and attenuation on one grid of energies. Raises InputError where the tables contradict each other.

    energies_kev: (energies,), 1 keV steps. spectrum: (energies,) relative numbers of photons, made to sum to 1.
    mass_attenuation_cm2_per_g: material -> (energies,), total with coherent scattering.
    tube_voltage_kv, source: for reports and messages.
    water_correction: coefficients of p, p^2, p^3 ...; fitted to the spectrum (`fit_water_correction`) unless given.
    """

    energies_kev: numpy.ndarray
    spectrum: numpy.ndarray
    mass_attenuation_cm2_per_g: Mapping[str, numpy.ndarray]
    tube_voltage_kv: float
    source: str
    water_correction: tuple[float, ...] = ()

    def __post_init__(self):
        energies_kev = _read_only(self.energies_kev)
        spectrum = numpy.asarray(self.spectrum, dtype=float)
        if energies_kev.ndim != 1 or spectrum.shape != energies_kev.shape or not numpy.all(numpy.diff(energies_kev) > 0):
            raise InputError(
                f"The spectrum has shape {spectrum.shape} for energies of shape {energies_kev.shape}: give one number "
                "of photons for each of the increasing energies."
            )
        if not (numpy.isfinite(spectrum).all() and spectrum.min() >= 0 and spectrum.sum() > 0):
            raise InputError("The spectrum has negative, infinite or no photons at all: give relative numbers of photons.")
        tables = {name: _read_only(table) for name, table in self.mass_attenuation_cm2_per_g.items()}
        for name, table in tables.items():
            if table.shape != energies_kev.shape or not (numpy.isfinite(table).all() and table.min() > 0):
                raise InputError(f"The mass attenuation of {name} is not one positive number for each energy.")
        for needed in ("water", "cortical_bone"):
            if needed not in tables:
                raise InputError(f"There is no mass attenuation of {needed}: the tissues of every scan need it.")
        object.__setattr__(self, "energies_kev", energies_kev)
        object.__setattr__(self, "spectrum", _read_only(spectrum / spectrum.sum()))
        object.__setattr__(self, "mass_attenuation_cm2_per_g", tables)
        if not self.water_correction:
            fitted = fit_water_correction(self.spectrum, self.relative_attenuation("water"))
            object.__setattr__(self, "water_correction", fitted)

    def mass_attenuation_at(self, material: str, energy_kev: float) -> float:
        """Mass attenuation coefficient in cm^2/g, linear between the table's energies. InputError outside of them."""
        if not self.energies_kev[0] <= energy_kev <= self.energies_kev[-1]:
            raise InputError(
                f"{energy_kev:g} keV is outside the tables: they go from {self.energies_kev[0]:g} to {self.energies_kev[-1]:g} keV."
            )
        return float(numpy.interp(energy_kev, self.energies_kev, self._table(material)))

    def relative_attenuation(self, material: str, reference_energy_kev: float = REFERENCE_ENERGY_KEV) -> numpy.ndarray:
        """(energies,): attenuation over its value at the reference energy. The density cancels."""
        return self._table(material) / self.mass_attenuation_at(material, reference_energy_kev)

    def metal_attenuation_per_cm(
        self, material: str, density_g_per_cm3: float | None = None, energy_kev: float = REFERENCE_ENERGY_KEV
    ) -> float:
        """Linear attenuation (1/cm) at one energy; the density is the material's own unless given."""
        mass_attenuation_cm2_per_g = self.mass_attenuation_at(material, energy_kev)
        if density_g_per_cm3 is None:
            density_g_per_cm3 = MATERIALS[material].density_g_per_cm3 if material in MATERIALS else None
        if density_g_per_cm3 is None or not 0 < density_g_per_cm3 < 30:
            raise InputError(f"The density of {material} is {density_g_per_cm3}: give g/cm^3, above 0 and below 30.")
        return density_g_per_cm3 * mass_attenuation_cm2_per_g

    def monochromatic(self, energy_kev: float = REFERENCE_ENERGY_KEV) -> XRayPhysics:
        """The same tables with one energy only (the nearest one): no beam hardening, so no water correction."""
        spectrum = numpy.zeros(len(self.energies_kev))
        spectrum[numpy.abs(self.energies_kev - energy_kev).argmin()] = 1.0
        return replace(self, spectrum=spectrum, water_correction=(1.0,), source=f"{self.source}, {energy_kev:g} keV alone")

    def _table(self, material: str) -> numpy.ndarray:
        if material not in self.mass_attenuation_cm2_per_g:
            raise InputError(
                f"There is no attenuation table of {material!r} in {self.source}: choose one of "
                f"{', '.join(self.mass_attenuation_cm2_per_g)}."
            )
        return self.mass_attenuation_cm2_per_g[material]


def fit_water_correction(
    spectrum: numpy.ndarray, relative_attenuation: numpy.ndarray, degree: int = 3, longest_line_integral: float = 8.0
) -> tuple[float, ...]:
    """(c1 .. c_degree) such that c1 p + c2 p^2 + ... of water's polychromatic p is its line integral at 70 keV.

    Least squares of the relative error over water of 0 to `longest_line_integral` / 0.192 cm, without constant
    (Herman 1979, Phys. Med. Biol. 24, 81: water linearization).
    """
    exact = numpy.linspace(0, longest_line_integral, 401)[1:]
    polychromatic = -numpy.log(numpy.exp(-exact[:, None] * relative_attenuation) @ spectrum)
    powers = polychromatic[:, None] ** numpy.arange(1, degree + 1)
    coefficients, *_ = numpy.linalg.lstsq(powers / exact[:, None], numpy.ones_like(exact), rcond=None)
    return tuple(float(c) for c in coefficients)


@lru_cache(maxsize=16)
def load_physics(tube_voltage_kv: float = DEFAULT_TUBE_VOLTAGE_KV) -> XRayPhysics:
    """Spectrum of a tube voltage and all materials, from the shipped tables. InputError lists the voltages."""
    tables = _shipped_tables()
    voltages = tables["tube_voltages_kv"]
    if tube_voltage_kv not in voltages:
        raise InputError(f"There is no spectrum of {tube_voltage_kv:g} kV: choose one of {', '.join(f'{v:g}' for v in voltages)} kV.")
    keep = tables["energies_kev"] <= tube_voltage_kv
    return XRayPhysics(
        energies_kev=tables["energies_kev"][keep],
        spectrum=tables["spectra"][list(voltages).index(tube_voltage_kv)][keep],
        mass_attenuation_cm2_per_g={
            str(name): table[keep] for name, table in zip(tables["materials"], tables["mass_attenuation_cm2_per_g"], strict=True)
        },
        tube_voltage_kv=float(tube_voltage_kv),
        source=str(tables["source"]),
    )


def load_benchmark_physics(folder: str | os.PathLike) -> XRayPhysics:
    """The benchmark's 120 kV spectrum, attenuation tables and water correction, from its folder of MATLAB files.

    Tables have the columns of NIST XCOM: energy in MeV, ..., the seventh the total with coherent scattering in cm^2/g.
    Raises InputError for a missing or damaged file.
    """
    folder = Path(folder)
    energies_kev = numpy.arange(LOWEST_ENERGY_KEV, BENCHMARK_TUBE_VOLTAGE_KV + 1)
    spectrum = _read_matlab_table(folder / BENCHMARK_SPECTRUM_FILE, columns=2)
    tables = {}
    for name, parts in BENCHMARK_FILES.items():
        if all((folder / file).is_file() for file in parts) or name in ("water", "cortical_bone", "titanium"):
            columns = [(share, _read_matlab_table(folder / file, columns=8)) for file, share in parts.items()]
            tables[name] = sum(
                share * _rows_at(table[:, 0] * 1000, table[:, _TOTAL_WITH_COHERENT], energies_kev) for share, table in columns
            )
    return XRayPhysics(
        energies_kev=energies_kev,
        spectrum=_rows_at(spectrum[:, 0], spectrum[:, 1], energies_kev),
        mass_attenuation_cm2_per_g=tables,
        tube_voltage_kv=float(BENCHMARK_TUBE_VOLTAGE_KV),
        source="the benchmark's tables",
        water_correction=BENCHMARK_WATER_CORRECTION,
    )


@lru_cache(maxsize=1)
def _shipped_tables() -> dict[str, numpy.ndarray]:
    with as_file(files(__package__) / "data" / TABLES) as path, numpy.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _read_matlab_table(path: Path, columns: int) -> numpy.ndarray:
    from scipy.io import loadmat

    try:
        content = loadmat(path)
    except (OSError, ValueError, NotImplementedError) as error:
        raise InputError(f"The physics table {path} is missing or damaged ({error}): give the benchmark's physics folder.") from error
    arrays = [value for name, value in content.items() if not name.startswith("__")]
    if len(arrays) != 1 or arrays[0].ndim != 2 or arrays[0].shape[1] != columns:
        raise InputError(f"The physics table {path} is not one array of {columns} columns: give the benchmark's physics folder.")
    return numpy.asarray(arrays[0], dtype=float)


def _rows_at(table_energies_kev, values, energies_kev) -> numpy.ndarray:
    """The table's values at whole energies; every one must be in it (K edges forbid interpolation)."""
    found = {round(energy): value for energy, value in zip(table_energies_kev, values, strict=True)}
    missing = [energy for energy in energies_kev if energy not in found]
    if missing:
        raise InputError(f"A physics table has no entry at {missing[0]} keV: tables of 1 keV steps from 20 to 120 keV are needed.")
    return numpy.array([found[energy] for energy in energies_kev])


def _read_only(array) -> numpy.ndarray:
    array = numpy.array(array, dtype=float)
    array.flags.writeable = False
    return array
