"""Make the shipped spectra and attenuation tables: `python Testing/Benchmarks/make_tables.py [FILE.npz]`.

Needs the extra `physics` (spekpy, xraylib); the simulation itself needs neither. Spectra: a tungsten anode of 7
degrees behind 7 mm of aluminum, as a CT tube with its flat filter has it (half-value layer 7.1 mm of aluminum at 120
kV), photons per keV on the axis, from SpekPy (Poludniowski et al. 2021, Med. Phys. 48, 3630). Attenuation: xraylib's
total cross sections, with coherent scattering (Schoonjans et al. 2011, Spectrochim. Acta B 66, 776).
"""

import sys
from importlib.metadata import version
from pathlib import Path

import numpy
import spekpy
import xraylib

from SSLMARLib.simulation import physics
from SSLMARLib.simulation.materials import MATERIALS
from SSLMARLib.simulation.physics import LOWEST_ENERGY_KEV, TABLES

TUBE_VOLTAGES_KV = range(80, 145, 5)
ANODE_ANGLE_DEGREES = 7.0
ALUMINUM_MM = 7.0
HIGHEST_ENERGY_KEV = 140


def make_tables(path: Path) -> None:
    """Compute all tables and write them to a NumPy archive without pickles."""
    energies_kev = numpy.arange(LOWEST_ENERGY_KEV, HIGHEST_ENERGY_KEV + 1)
    spectra = numpy.zeros((len(TUBE_VOLTAGES_KV), len(energies_kev)))
    for row, tube_voltage_kv in zip(spectra, TUBE_VOLTAGES_KV, strict=True):
        # the shift of half a bin puts the bins' centers on whole energies
        model = spekpy.Spek(kvp=tube_voltage_kv, th=ANODE_ANGLE_DEGREES, dk=1.0, shift=0.5).filter("Al", ALUMINUM_MM)
        centers_kev, photons = model.get_spectrum(edges=False)
        found = dict(zip(numpy.rint(centers_kev).astype(int).tolist(), photons.tolist(), strict=True))
        row[:] = [found.get(int(energy), 0.0) for energy in energies_kev]
        row /= row.sum()
    attenuation = [
        [
            sum(
                share * xraylib.CS_Total(xraylib.SymbolToAtomicNumber(element), float(energy_kev))
                for element, share in material.mass_fractions.items()
            )
            for energy_kev in energies_kev
        ]
        for material in MATERIALS.values()
    ]
    numpy.savez_compressed(
        path,
        energies_kev=energies_kev,
        tube_voltages_kv=numpy.array(TUBE_VOLTAGES_KV),
        spectra=spectra.astype(numpy.float32),
        materials=numpy.array(list(MATERIALS)),
        mass_attenuation_cm2_per_g=numpy.array(attenuation),
        source=numpy.array(
            f"the shipped tables (SpekPy {version('spekpy')}, tungsten, {ANODE_ANGLE_DEGREES:g} degrees, "
            f"{ALUMINUM_MM:g} mm Al; "
            f"xraylib {version('xraylib')})"
        ),
    )


def main(arguments: list[str]) -> int:
    path = Path(arguments[0]) if arguments else Path(physics.__file__).with_name("data") / TABLES
    make_tables(path)
    sys.stdout.write(f"{path}: {path.stat().st_size / 1000:.0f} kB\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
