"""Starting values for finding metal in common scans, and the Hounsfield units of metals that a result may show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class MetalPreset:
    """Parameters of `segment_metal` for one kind of scan: a threshold in HU, a size in mm3, a distance in mm."""

    name: str
    title: str
    threshold_hu: float
    smallest_component_mm3: float
    dilation_mm: float
    description: str


_ALL = (
    MetalPreset("dental", "Dental", 2500.0, 1.0, 0.0, "Fillings, crowns and implants."),
    MetalPreset("hip", "Hip", 2000.0, 10.0, 0.0, "Hip and knee endoprostheses, nails."),
    MetalPreset("spine", "Spine", 2000.0, 3.0, 0.0, "Pedicle screws, rods and cages."),
    MetalPreset("clips", "Clips and coils", 2000.0, 0.5, 0.0, "Surgical clips and embolization coils."),
    MetalPreset("pacemaker", "Pacemaker", 2000.0, 1.0, 0.0, "Pacemakers, defibrillators and their leads."),
)

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
