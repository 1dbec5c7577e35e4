"""Starting values for finding metal in common scans, and the Hounsfield units of metals that a result may show."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from .metal_search import MetalSearch


@dataclass(frozen=True)
class MetalPreset:
    """How metal is found in one kind of scan."""

    name: str
    title: str
    search: MetalSearch
    description: str


_ALL = (
    MetalPreset(
        "dental",
        "Dental",
        MetalSearch(threshold_hu=2200.0, smallest_component_mm3=1.0),
        description="Fillings, crowns and implants. Above most enamel, so that sound teeth stay out.",
    ),
    MetalPreset(
        "hip",
        "Hip",
        MetalSearch(threshold_hu=2500.0, smallest_component_mm3=50.0),
        description="Endoprostheses and nails of hip, knee and shoulder. High, as bright streaks beside large metal reach 2000 HU.",
    ),
    MetalPreset(
        "spine",
        "Spine",
        MetalSearch(threshold_hu=2000.0, smallest_component_mm3=5.0),
        description="Pedicle screws, rods and cages. Above dense bone and bone cement.",
    ),
    MetalPreset(
        "clips",
        "Clips and coils",
        MetalSearch(threshold_hu=1800.0, smallest_component_mm3=0.5),
        description="Surgical clips, embolization coils, sternal wires. Low, as thin metal is blurred and looks darker.",
    ),
    MetalPreset(
        "pacemaker",
        "Pacemaker",
        MetalSearch(threshold_hu=2000.0, smallest_component_mm3=2.0),
        description="Pacemakers, defibrillators and their leads. Contrast medium may be as bright: untick its segment.",
    ),
)
"""How the values were found. A scan blurs metal, and its edge lies where the blurred value has fallen to half of the metal's own: 5800 HU
for titanium. Scanners that stop at 3071 HU never show that, so every threshold here takes in a rim beside the metal, and no dilation is
needed; for parts thinner than the blur (wires, clips) half of the little that is left lies lower. In real scans the unerupted tooth beside
a filling counts as metal from 2300 HU on (its bright core alone exceeds that) and the jaw below 1700 HU; of thin sternal wires 1800 HU
finds the ends in 13 slices, 2000 HU in 12 and 2500 HU in 10. Hip, spine and pacemaker rest on the physics and on what is usual (2000 to
3000 HU); no such scan was at hand."""

PRESETS: Mapping[str, MetalPreset] = MappingProxyType({preset.name: preset for preset in _ALL})

METAL_MATERIALS_HU: Mapping[str, float] = MappingProxyType(
    {
        "titanium": 11570.0,
        "stainless steel": 34820.0,
        "cobalt-chromium": 39200.0,
        "zirconia": 57870.0,
        "amalgam": 188400.0,
        "gold": 306300.0,
        "platinum": 326000.0,
    }
)
"""Material -> its Hounsfield units at 70 keV, the energy of the benchmark's reference images: (mu / mu_water - 1) * 1000 with
the attenuation of SSLMARLib.simulation's tables. Most are beyond what 16-bit volumes hold, where they are capped."""
