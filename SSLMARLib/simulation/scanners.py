"""CT scanners that are not the product's own: a small table of invented ones, and a random one. What a scanner does to a slice before
anyone sees it: geometry, tube voltage, photons behind a bow-tie filter, adaptive filtering of starved rays, kernel, cut-off.

The figures span what manufacturers publish of their scanners; none of them is a certain model.
"""

import math
from dataclasses import dataclass, replace

import numpy

from ..ct.scale import HIGHEST_12_BIT_HU
from ..errors import InputError

FIELD_CM = 36.0  # side of the image that the geometry is made for; slices of other sizes are scaled to it
DETECTOR_FIELDS = 1.5  # width of the detector at the axis, so that it sees the corners of the image


@dataclass(frozen=True, kw_only=True)
class Scanner:
    """One scanner and its protocol. Raises InputError for values that no scanner has.

    grid_pixels: along a side of the grid that the scan is computed on. views: of a full turn. cell_cm: width of a detector cell at the
    axis. source_cm, detector_cm: distance from the axis. photons: on each ray in the middle of the fan, without an object; bow_tie:
    the share of them that is left at the edge of the fan. kernel_fwhm_mm: blur of the reconstruction.
    smoothed_from: line integral (without unit) above which the scanner begins to smooth starved rays, None for never;
    smoothed_bins: standard deviation of that smoothing. highest_hu: where values are cut off, None for an extended scale.
    """

    grid_pixels: int
    views: int
    cell_cm: float
    source_cm: float
    detector_cm: float
    tube_voltage_kv: float = 120.0
    photons: float = 5e6
    bow_tie: float = 0.5
    kernel_fwhm_mm: float = 1.2
    smoothed_from: float | None = None
    smoothed_bins: float = 1.5
    highest_hu: float | None = HIGHEST_12_BIT_HU

    def __post_init__(self):
        for name in ("grid_pixels", "views", "cell_cm", "source_cm", "detector_cm", "photons", "smoothed_bins"):
            if not getattr(self, name) > 0:
                raise InputError(f"A scanner's {name} is {getattr(self, name)}: give a number above 0.")
        if not 0 < self.bow_tie <= 1 or not 0 <= self.kernel_fwhm_mm < 20:
            raise InputError(f"A scanner's bow_tie is {self.bow_tie} (0 to 1), its kernel_fwhm_mm {self.kernel_fwhm_mm} (below 20).")

    def geometry(self):
        """Its `FanBeamGeometry`, a flat detector of the width that sees the whole field."""
        from ..tomography.geometry import FanBeamGeometry

        magnification = (self.source_cm + self.detector_cm) / self.source_cm
        width_cm = DETECTOR_FIELDS * FIELD_CM
        return FanBeamGeometry(
            image_shape=(self.grid_pixels, self.grid_pixels),
            pixel_size_cm=FIELD_CM / self.grid_pixels,
            views=self.views,
            bins=int(width_cm / self.cell_cm) | 1,
            detector_width_cm=width_cm * magnification,
            source_radius_cm=self.source_cm,
            detector_radius_cm=self.detector_cm,
        )

    def protocol(self, protocol):
        """The ScanProtocol with this scanner's tube voltage and photons."""
        from .physics import load_physics

        return replace(protocol, physics=load_physics(self.tube_voltage_kv), photons=self.photons, bow_tie=self.bow_tie)


SCANNERS = {
    "soft": Scanner(grid_pixels=560, views=1152, cell_cm=0.06, source_cm=59.5, detector_cm=49.0, photons=2e7, kernel_fwhm_mm=1.6),
    "sharp": Scanner(grid_pixels=576, views=984, cell_cm=0.055, source_cm=54.1, detector_cm=40.8, photons=1e7, kernel_fwhm_mm=0.6),
    "low-dose": Scanner(
        grid_pixels=500, views=984, cell_cm=0.061, source_cm=54.1, detector_cm=40.8, tube_voltage_kv=100.0, photons=1e6, smoothed_from=5.0
    ),
    "old": Scanner(grid_pixels=448, views=720, cell_cm=0.11, source_cm=50.0, detector_cm=38.0, photons=4e6, kernel_fwhm_mm=1.8),
    "extended": Scanner(
        grid_pixels=560, views=1160, cell_cm=0.07, source_cm=62.0, detector_cm=52.0, tube_voltage_kv=140.0, photons=2e7, highest_hu=None
    ),
}


def random_scanner(seed: int | numpy.random.Generator) -> Scanner:
    """A scanner drawn whole from a seed, whatever it is used for afterwards."""
    generator = numpy.random.default_rng(seed)
    is_smoothing = generator.random() < 0.4
    return Scanner(
        grid_pixels=int(generator.choice((448, 480, 544, 576))),
        views=8 * int(generator.integers(90, 146)),
        cell_cm=generator.uniform(0.055, 0.11),
        source_cm=generator.uniform(50, 62),
        detector_cm=generator.uniform(38, 52),
        tube_voltage_kv=float(generator.choice((100, 120, 120, 120, 140))),
        photons=10 ** generator.uniform(5.8, 7.4),
        bow_tie=generator.uniform(0.2, 1.0),
        kernel_fwhm_mm=generator.uniform(0.5, 1.8),
        smoothed_from=generator.uniform(4.5, 7.0) if is_smoothing else None,
        smoothed_bins=generator.uniform(0.8, 2.5),
        highest_hu=HIGHEST_12_BIT_HU if generator.random() < 0.8 else None,
    )


def get_scanner(name: str, seed: int = 0) -> Scanner:
    """One of SCANNERS, or with "random" a random one; InputError for another name."""
    if name == "random":
        return random_scanner(seed)
    if name not in SCANNERS:
        raise InputError(f"There is no scanner {name!r}: choose one of {', '.join(SCANNERS)}, random.")
    return SCANNERS[name]


def smoothed_starved_rays(sinogram, smoothed_from: float, smoothed_bins: float):
    """Adaptive filtering: rays whose line integral exceeds `smoothed_from` give way to a local mean, wholly from 1 above it on.

    sinogram: (slices, views, bins) tensor, line integrals. smoothed_bins: standard deviation along the detector; half of it along the
    views. Kachelriess et al. 2001, Med. Phys. 28, 475, describe the kind.
    """
    import torch

    smooth = _gaussian(_gaussian(sinogram, smoothed_bins, 2), smoothed_bins / 2, 1)
    return torch.lerp(sinogram, smooth, (sinogram - smoothed_from).clamp(0, 1))


def _gaussian(sinogram, sigma: float, axis: int):
    """Along the bins (axis 2, ends replicated) or the views (axis 1, a full turn)."""
    import torch

    reach = math.ceil(3.5 * sigma)
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=sinogram.device) / sigma) ** 2).to(sinogram.dtype)
    weights = (weights / weights.sum()).view((1, 1, 1, -1) if axis == 2 else (1, 1, -1, 1))
    padding, mode = ((reach, reach, 0, 0), "replicate") if axis == 2 else ((0, 0, reach, reach), "circular")
    return torch.nn.functional.conv2d(torch.nn.functional.pad(sinogram[:, None], padding, mode=mode), weights)[:, 0]
