"""The materials of a simulated scan: what they consist of and how dense they are. Tissues and metals, with sources."""

from collections.abc import Mapping
from dataclasses import dataclass

ICRU_44 = "ICRU Report 44 (1989), as tabulated by NIST"
NIST = "NIST, X-Ray Mass Attenuation Coefficients (Hubbell and Seltzer), table 1"


@dataclass(frozen=True)
class Material:
    """One material. mass_fractions: share of each element's mass, they sum to 1; density at room temperature."""

    name: str
    title: str
    density_g_per_cm3: float
    mass_fractions: Mapping[str, float]
    source: str
    is_metal: bool


def _tissue(name, title, density_g_per_cm3, source=ICRU_44, **mass_fractions) -> Material:
    return Material(name, title, density_g_per_cm3, mass_fractions, source, is_metal=False)


def _metal(name, title, density_g_per_cm3, source=NIST, **mass_fractions) -> Material:
    return Material(name, title, density_g_per_cm3, mass_fractions, source, is_metal=True)


_ALL = (
    _tissue("water", "water", 1.0, source=NIST, H=0.111894, O=0.888106),
    _tissue(
        "muscle", "skeletal muscle", 1.05,
        H=0.102, C=0.143, N=0.034, O=0.710, Na=0.001, P=0.002, S=0.003, Cl=0.001, K=0.004,
    ),
    _tissue("fat", "adipose tissue", 0.95, H=0.114, C=0.598, N=0.007, O=0.278, Na=0.001, S=0.001, Cl=0.001),
    _tissue(
        "cortical_bone", "cortical bone", 1.92,
        H=0.034, C=0.155, N=0.042, O=0.435, Na=0.001, Mg=0.002, P=0.103, S=0.003, Ca=0.225,
    ),
    _metal("titanium", "titanium", 4.5, source="the benchmark's density; NIST has 4.54", Ti=1.0),
    _metal("iron", "iron", 7.874, Fe=1.0),
    _metal(
        "stainless_steel", "stainless steel (implant grade 316L)", 7.95,
        source="ASTM F138, middle of its ranges", Fe=0.645, Cr=0.18, Ni=0.14, Mo=0.025, Mn=0.01,
    ),
    _metal(
        "cobalt_chromium", "cobalt-chromium-molybdenum alloy", 8.3,
        source="ASTM F75, middle of its ranges", Co=0.64, Cr=0.285, Mo=0.06, Si=0.01, Mn=0.005,
    ),
    _metal("copper", "copper", 8.96, Cu=1.0),
    _metal("gold", "gold", 19.32, Au=1.0),
    _metal("platinum", "platinum (embolization coils)", 21.45, Pt=1.0),
    _metal("aluminum", "aluminum", 2.699, Al=1.0),
    _metal("tungsten", "tungsten", 19.3, W=1.0),
    _metal(
        "amalgam", "dental amalgam (high copper)", 10.7,
        source="a usual composition; density from the volumes of its elements", Hg=0.45, Ag=0.33, Sn=0.15, Cu=0.07,
    ),
    _metal(
        "zirconia", "zirconium dioxide (crowns)", 6.05, source="stoichiometric; density of sintered dental zirconia",
        Zr=0.7403, O=0.2597,
    ),
)  # fmt: skip

MATERIALS: Mapping[str, Material] = {material.name: material for material in _ALL}
METALS = tuple(name for name, material in MATERIALS.items() if material.is_metal)
