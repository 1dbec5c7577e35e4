"""Simulated CT scans with metal: spectra and materials, the polychromatic scan, implants, phantoms."""

from .._lazy import lazy_attributes

_LAZY_NAMES = {
    "XRayPhysics": "physics",
    "load_physics": "physics",
    "load_benchmark_physics": "physics",
    "MATERIALS": "materials",
    "METALS": "materials",
    "ScanProtocol": "scan",
    "SimulatedScan": "scan",
    "simulate_scan": "scan",
    "IMPLANT_KINDS": "implants",
    "Implant": "implants",
    "draw_implant": "implants",
    "random_metal_mask": "metal_masks",
    "body_mask": "metal_masks",
    "implant_in_volume": "metal_masks",
    "place_shape": "metal_masks",
    "read_metal_shapes": "metal_masks",
    "body_phantom": "phantom",
    "phantom_implant": "phantom",
    "simulate_metal": "volume",
}

__all__ = list(_LAZY_NAMES)
__getattr__ = lazy_attributes(__name__, _LAZY_NAMES)
