"""What a correction did to a whole volume, in few numbers: the measures of `no_reference` on some of its metal slices."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy

from .no_reference import change_hu, measuring_regions, streak_amplitude_hu

MOST_SLICES = 5  # finding the body of a slice takes half a second
# Streaks are called stronger where their amplitude grew by more than both; in the simulated dental scan, where the error grew.
WORSE_BY_FACTOR, WORSE_BY_HU = 1.05, 3.0


@dataclass(frozen=True, eq=False)
class SliceRegions:
    """One slice that is measured: its index and the regions of `measuring_regions`, bool (rows, columns)."""

    index: int
    near: numpy.ndarray
    far: numpy.ndarray


@dataclass(frozen=True)
class VolumeMeasures:
    """Means over the slices that were measured, in HU; None where no slice has enough of the region.

    Streak amplitudes are standard deviations, 2 to 30 mm from metal; changes are root mean squares of after - before,
    near as above, far more than 60 mm from metal. slices_with_stronger_streaks: indices of those measured slices whose
    streak amplitude grew by more than 5 % and 3 HU.
    """

    slices_measured: int
    streak_amplitude_before_hu: float | None
    streak_amplitude_after_hu: float | None
    change_near_hu: float | None
    change_far_hu: float | None
    slices_with_stronger_streaks: tuple[int, ...] = ()

    def to_dict(self) -> dict:
        return asdict(self)


def slices_to_measure(metal_mask: numpy.ndarray, most: int = MOST_SLICES) -> list[int]:
    """At most so many slices with metal of a mask (slices, rows, columns), spread evenly over all that have some."""
    with_metal = numpy.flatnonzero(metal_mask.any(axis=(1, 2)))
    if len(with_metal) > most:
        positions = (numpy.arange(most) + 0.5) * len(with_metal) / most
        with_metal = with_metal[positions.astype(int)]
    return [int(index) for index in with_metal]


def regions_of_slices(
    volume_hu: numpy.ndarray, metal_mask: numpy.ndarray, spacing_mm: Sequence[float], begins: Callable[[int, int], None] = lambda *_: None
) -> list[SliceRegions]:
    """The regions of the slices to measure. Arrays are (slices, rows, columns), the spacing in the same order.

    begins: called as begins(how many are done, how many there are) before each slice; may raise.
    """
    regions, indices = [], slices_to_measure(metal_mask)
    for index in indices:
        begins(len(regions), len(indices))
        found = measuring_regions(volume_hu[index], metal_mask[index], tuple(spacing_mm[1:]))
        regions.append(SliceRegions(index, found.near, found.far))
    return regions


def measure_volume(
    before_hu: numpy.ndarray, after_hu: numpy.ndarray, regions: Sequence[SliceRegions], spacing_mm: Sequence[float]
) -> VolumeMeasures:
    """Measure two volumes (slices, rows, columns) on the regions that were found before the correction."""
    in_plane_mm = tuple(spacing_mm[1:])
    streaks_before, streaks_after, near, far, stronger = [], [], [], [], []
    for region in regions:
        before, after = before_hu[region.index], after_hu[region.index]
        streaks_before.append(streak_amplitude_hu(before, region.near, in_plane_mm))
        streaks_after.append(streak_amplitude_hu(after, region.near, in_plane_mm))
        near.append(change_hu(before, after, region.near))
        far.append(change_hu(before, after, region.far))
        if _is_stronger(streaks_before[-1], streaks_after[-1]):
            stronger.append(region.index)
    return VolumeMeasures(
        slices_measured=len(regions),
        streak_amplitude_before_hu=_mean(streaks_before),
        streak_amplitude_after_hu=_mean(streaks_after),
        change_near_hu=_root_mean_square(near),
        change_far_hu=_root_mean_square(far),
        slices_with_stronger_streaks=tuple(stronger),
    )


def _is_stronger(before_hu: float | None, after_hu: float | None) -> bool:
    """Whether the streak amplitude of a slice grew clearly."""
    if before_hu is None or after_hu is None:
        return False
    return after_hu > max(WORSE_BY_FACTOR * before_hu, before_hu + WORSE_BY_HU)


def _mean(values) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _root_mean_square(values) -> float | None:
    known = [value for value in values if value is not None]
    return math.sqrt(sum(value**2 for value in known) / len(known)) if known else None
