"""Hounsfield units (HU) <-> linear attenuation coefficient (1/cm).

HU = (mu / mu_water - 1) * 1000, with mu_water = 0.192 /cm (water near 70 keV, the benchmark's reference energy).
The functions take floats, numpy arrays and torch tensors alike, of any shape.
"""

from .scale import AIR_HU, WATER_ATTENUATION_PER_CM


def hu_to_attenuation(values_hu):
    """Hounsfield units to 1/cm. Values below air (padding such as -2000) count as air: attenuation is never negative."""
    return (values_hu.clip(min=AIR_HU) if hasattr(values_hu, "clip") else max(values_hu, AIR_HU)) * (
        WATER_ATTENUATION_PER_CM / 1000.0
    ) + WATER_ATTENUATION_PER_CM


def attenuation_to_hu(attenuation_per_cm):
    """1/cm to Hounsfield units; an offset-free difference of attenuations is scaled by `attenuation_difference_to_hu`."""
    return attenuation_per_cm * (1000.0 / WATER_ATTENUATION_PER_CM) - 1000.0


def attenuation_difference_to_hu(difference_per_cm):
    """A difference of attenuations (1/cm) to a difference of Hounsfield units."""
    return difference_per_cm * (1000.0 / WATER_ATTENUATION_PER_CM)
