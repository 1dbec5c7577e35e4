"""A small body to try things on: slices of a pelvis with both hips, or of a jaw with its teeth, in HU. No patient's data.

Everything is an ellipsoid or a rod in millimeters, painted one over the other with soft edges; texture and noise are
added. Positions are (z, y, x) in mm from the middle: x along the columns, y to posterior, z along the slices.
"""

import math
from dataclasses import dataclass

import numpy

from ..ct.scale import HIGHEST_12_BIT_HU, LOWEST_12_BIT_HU
from ..ct.volume import CTVolume
from ..errors import InputError
from .implants import Implant
from .shapes import Body, Rod

PIXEL_MM = {"pelvis": 1.0, "jaw": 0.5}
WIDTH_MM = {"pelvis": 356.0, "jaw": 150.0}
SLICE_MM = {"pelvis": 4.0, "jaw": 2.0}
PHANTOM_KINDS = tuple(PIXEL_MM)

AIR, FAT, MUSCLE, ORGAN, WATER, SPONGY, CORTICAL = -1000.0, -100.0, 55.0, 38.0, 6.0, 280.0, 1050.0


@dataclass(frozen=True)
class _Part:
    """An ellipsoid of one HU value. power above 2 makes it squarer; angle in degrees, in the plane of the slice."""

    hu: float
    center_mm: tuple[float, float, float]
    half_axes_mm: tuple[float, float, float]
    angle_degrees: float = 0.0
    power: float = 2.0


def body_phantom(kind: str = "pelvis", slices: int = 9, size: int = 400, seed: int = 0) -> CTVolume:
    """A phantom as an int16 CT volume of `slices` x `size` x `size` voxels.

    kind: "pelvis" (pixels of 1 mm, slices of 4 mm) or "jaw" (0.5 mm, 2 mm). seed: of texture and noise. Low-contrast
    lesions of 15 to 40 HU lie in the soft tissue. Raises InputError for an unknown kind, or a size that cuts the body
    off.
    """
    if kind not in PHANTOM_KINDS:
        raise InputError(f"There is no phantom {kind!r}: choose one of {', '.join(PHANTOM_KINDS)}.")
    if slices < 1 or size * PIXEL_MM[kind] < WIDTH_MM[kind] + 10:
        needed = math.ceil((WIDTH_MM[kind] + 10) / PIXEL_MM[kind])
        raise InputError(f"A {kind} of {slices} slices of {size} pixels is too small: give 1 slice and {needed} pixels or more.")
    pixel_mm, slice_mm = PIXEL_MM[kind], SLICE_MM[kind]
    generator = numpy.random.default_rng(seed)
    parts = _pelvis() if kind == "pelvis" else _jaw()
    axis_mm = (numpy.arange(size) - (size - 1) / 2) * pixel_mm
    heights_mm = (numpy.arange(slices) - (slices - 1) / 2) * slice_mm
    voxels = numpy.stack([_paint(parts, z, axis_mm, pixel_mm) for z in heights_mm])
    voxels += _texture(voxels, generator)
    voxels = numpy.rint(voxels.clip(LOWEST_12_BIT_HU, HIGHEST_12_BIT_HU)).astype(numpy.int16)
    half_mm = axis_mm[-1]
    origin_mm = (-half_mm, -half_mm, float(heights_mm[0]))
    return CTVolume(voxels, (slice_mm, pixel_mm, pixel_mm), origin_mm=origin_mm)


def phantom_implant(kind: str = "pelvis") -> Implant:
    """The implant that belongs to a phantom: a hip endoprosthesis on one side, or fillings and a crown on its teeth."""
    if kind not in PHANTOM_KINDS:
        raise InputError(f"There is no phantom {kind!r}: choose one of {', '.join(PHANTOM_KINDS)}.")
    width_mm = WIDTH_MM[kind]
    if kind == "pelvis":
        z, y, x = HIP_MM[0], HIP_MM[1], HIP_MM[2]
        shapes = (
            Body((z, y, x), (15.0,) * 3),
            Body((z, y, x), (26.0,) * 3, wall=4.0, opening=(-0.6, -0.1, 0.75)),
            Rod((z, y, x), (z - 26.0, y + 6.0, x + 34.0), 7.0, 9.0),
            Rod((z - 26.0, y + 6.0, x + 34.0), (z - 150.0, y + 4.0, x + 28.0), 10.0, 5.0),
        )
        name = "hip"
    else:
        teeth = _teeth()
        shapes = tuple(
            Body((0.0, y, x), axes, -angle, power=3.0)
            for (y, x, angle, _), axes in ((teeth[1], (2.6, 2.2, 2.8)), (teeth[2], (4.5, 4.2, 4.0)), (teeth[11], (2.6, 2.6, 2.0)))
        )
        name = "dental"
    return Implant(name, shapes).moved((0.0, 0.0, 0.0), scale=1 / width_mm)


HIP_MM = (0.0, 2.0, 84.0)


def _pelvis() -> list[_Part]:
    parts = [
        _Part(FAT, (0, 0, 0), (900, 118, 178), power=2.6),
        _Part(MUSCLE, (0, 6, 0), (900, 96, 160), power=2.5),
        _Part(FAT, (0, -98, 0), (900, 30, 90)),  # the belly's fat in front
        _Part(FAT, (0, 92, 0), (900, 25, 9)),  # between the buttocks
    ]
    for side in (-1, 1):
        parts += [
            _Part(FAT, (0, 46, side * 118), (900, 4, 48), side * 35),  # planes of fat between the muscles
            _Part(FAT, (0, -44, side * 112), (900, 3, 42), side * -40),
            _Part(FAT, (0, 66, side * 62), (900, 5, 40), side * 18),
            _Part(FAT, (0, -72, side * 70), (900, 22, 34), side * 25),  # groin
            _Part(45.0, (0, -66, side * 62), (900, 6, 6)),  # femoral vein and artery
            _Part(52.0, (0, -70, side * 76), (900, 5, 5)),
            _Part(60.0, (0, -42, side * 84), (900, 17, 23), side * -20),  # iliopsoas
        ]
    parts += [
        _Part(FAT, (0, 10, 0), (900, 66, 62), power=2.4),
        _Part(ORGAN, (0, 16, 0), (900, 20, 34)),  # uterus or prostate
        _Part(WATER + 18, (0, -20, 0), (45, 33, 46), power=2.3),  # bladder: wall, urine
        _Part(WATER, (0, -20, 0), (42, 30, 43), power=2.3),
        _Part(ORGAN, (0, 56, 3), (900, 17, 19)),  # rectum and its gas
        _Part(AIR + 20, (0, 52, 2), (60, 7, 9)),
        _Part(ORGAN, (4, -52, 34), (60, 12, 18), 20),  # bowel
        _Part(AIR + 20, (6, -54, 36), (30, 5, 9), 20),
        _Part(ORGAN, (-2, -50, -36), (60, 13, 19), -15),
    ]
    hip_z, hip_y, hip_x = HIP_MM
    for side in (-1, 1):
        x = side * hip_x
        parts += [
            _Part(CORTICAL, (0, hip_y - 4, x - side * 22), (60, 36, 15), side * 14, power=2.4),  # acetabulum
            _Part(SPONGY + 60, (0, hip_y - 4, x - side * 22), (60, 32, 11), side * 14, power=2.4),
            _Part(CORTICAL - 150, (0, hip_y - 42, x - side * 38), (30, 7, 30), side * -22),  # pubis
            _Part(SPONGY, (0, hip_y - 42, x - side * 38), (30, 4, 26), side * -22),
            _Part(CORTICAL - 100, (-4, hip_y + 36, x - side * 18), (40, 15, 11), side * 24),  # ischium
            _Part(SPONGY, (-4, hip_y + 36, x - side * 18), (40, 11, 7), side * 24),
            _Part(MUSCLE, (hip_z, hip_y, x), (29, 29, 29)),  # joint space
            _Part(CORTICAL, (hip_z - 24, hip_y + 6, x + side * 30), (42, 17, 17)),  # greater trochanter
            _Part(SPONGY - 130, (hip_z - 24, hip_y + 6, x + side * 30), (40, 14, 14)),
            _Part(CORTICAL, (hip_z - 8, hip_y + 3, x + side * 18), (15, 14, 22), side * -8),  # neck
            _Part(SPONGY, (hip_z - 8, hip_y + 3, x + side * 18), (12, 11, 21), side * -8),
            _Part(CORTICAL, (hip_z, hip_y, x), (25, 25, 25)),  # head
            _Part(SPONGY + 80, (hip_z, hip_y, x), (23, 23, 23)),
        ]
    parts += [
        _Part(CORTICAL - 250, (0, 86, 0), (40, 9, 24), power=2.4),  # sacrum and coccyx
        _Part(SPONGY - 60, (0, 86, 0), (38, 6, 20), power=2.4),
        _Part(MUSCLE + 25, (0, 44, 112), (9, 9, 9)),  # lesions
        _Part(MUSCLE - 20, (2, 52, -118), (8, 7, 7)),
        _Part(WATER + 40, (-4, -8, 24), (7, 6, 6)),
        _Part(MUSCLE - 35, (0, -44, -86), (6, 5, 5)),
        _Part(FAT + 40, (0, 100, 90), (8, 7, 7)),
    ]
    return parts


def _teeth() -> list[tuple[float, float, float, float]]:
    """(y, x, angle in radians, size) in mm of the 14 teeth of the jaw, from one side to the other."""
    teeth = []
    for place in range(14):
        angle = math.radians((place - 6.5) * 13.0)
        size = 3.4 + 1.7 * abs(place - 6.5) / 6.5
        teeth.append((-76.0 + 46.0 * (1 - math.cos(angle)), 27.0 * math.sin(angle), angle, size))
    return teeth


def _jaw() -> list[_Part]:
    parts = [
        _Part(FAT, (0, 0, 0), (400, 94, 74), power=2.3),
        _Part(MUSCLE, (0, 4, 0), (400, 87, 68), power=2.3),
        _Part(FAT, (0, 66, 0), (400, 24, 14)),
        _Part(FAT, (0, -34, 0), (400, 48, 52)),
        _Part(MUSCLE - 5, (0, -46, 0), (400, 40, 37)),  # lips, cheeks and the floor of the mouth
        _Part(62.0, (-2, -40, 0), (60, 28, 20), power=2.3),  # tongue
        _Part(AIR, (6, -60, 2), (6.5, 7, 11)),  # air over the tongue
        _Part(AIR, (0, -2, 0), (400, 6, 13)),  # pharynx
        _Part(MUSCLE, (0, 8, 0), (400, 4, 22)),
    ]
    for side in (-1, 1):
        parts += [
            _Part(64.0, (0, -22, side * 53), (60, 20, 8), side * -12),  # masseter
            _Part(60.0, (0, -14, side * 33), (60, 14, 6), side * -10),  # medial pterygoid
            _Part(-10.0, (0, 6, side * 54), (60, 14, 11), side * 15),  # parotid gland
            _Part(FAT, (0, 14, side * 34), (400, 9, 11)),
            _Part(50.0, (0, 12, side * 31), (400, 4, 4)),  # carotid artery, jugular vein
            _Part(46.0, (0, 17, side * 38), (400, 5, 6)),
            _Part(60.0, (0, 34, side * 51), (400, 17, 7), side * 25),  # sternocleidomastoid
            _Part(58.0, (0, 56, side * 24), (400, 20, 17)),  # neck muscles
            _Part(CORTICAL + 250, (0, -12, side * 43), (60, 16, 4.5), side * -12),  # ramus of the mandible
            _Part(SPONGY, (0, -12, side * 43), (60, 12.5, 1.8), side * -12),
        ]
    parts += [
        _Part(CORTICAL, (0, 24, 0), (60, 10, 13), power=2.5),  # vertebra, its canal and arch
        _Part(SPONGY, (0, 24, 0), (60, 8, 11), power=2.5),
        _Part(CORTICAL - 200, (0, 42, 0), (60, 12, 19)),
        _Part(38.0, (0, 41, 0), (60, 8, 12)),
        _Part(CORTICAL - 150, (0, 57, 0), (60, 9, 3.5)),
    ]
    teeth = _teeth()
    for hu, reach in ((CORTICAL + 150, 2.4), (SPONGY + 120, 0.2)):  # the jaw's bone below the crowns
        parts += [_Part(hu, (-14, y, x), (13.0, size + reach, size + reach)) for y, x, _, size in teeth]
    for y, x, angle, size in teeth:
        axes = (9.0, 1.05 * size, 0.85 * size)
        parts.append(_Part(1750.0, (1, y, x), axes, -math.degrees(angle), power=2.6))  # enamel
        parts.append(_Part(1350.0, (0, y, x), (8.0, 0.7 * size, 0.5 * size), -math.degrees(angle), power=2.6))  # dentin
        parts.append(_Part(150.0, (-2, y, x), (7.0, 0.16 * size, 0.16 * size)))  # pulp
    parts += [
        _Part(62.0 + 30, (0, -34, 8), (4, 4, 4)),  # lesions
        _Part(30.0, (0, 6, -54), (4, 4, 4)),
        _Part(58.0 - 25, (0, 54, 24), (5, 5, 5)),
    ]
    return parts


def _paint(parts: list[_Part], z_mm: float, axis_mm: numpy.ndarray, pixel_mm: float) -> numpy.ndarray:
    """One slice (rows, columns) in HU. An edge is one pixel wide, as partial volume makes it."""
    image = numpy.full((axis_mm.size, axis_mm.size), AIR)
    for part in parts:
        dz = (z_mm - part.center_mm[0]) / part.half_axes_mm[0]
        if abs(dz) >= 1:
            continue
        reach = max(part.half_axes_mm[1:]) + 2 * pixel_mm
        rows, columns = (slice(*numpy.searchsorted(axis_mm, (center - reach, center + reach))) for center in part.center_mm[1:])
        y, x = axis_mm[rows, None] - part.center_mm[1], axis_mm[None, columns] - part.center_mm[2]
        cosine, sine = math.cos(math.radians(part.angle_degrees)), math.sin(math.radians(part.angle_degrees))
        y, x = cosine * y - sine * x, sine * y + cosine * x
        rest = (1 - abs(dz) ** part.power) ** (1 / part.power)
        half_y, half_x = (half * rest for half in part.half_axes_mm[1:])
        level = ((abs(y) / half_y) ** part.power + (abs(x) / half_x) ** part.power) ** (1 / part.power)
        cover = ((1 - level) * min(half_y, half_x) / pixel_mm + 0.5).clip(0, 1)
        image[rows, columns] += cover * (part.hu - image[rows, columns])
    return image


def _texture(voxels: numpy.ndarray, generator: numpy.random.Generator) -> numpy.ndarray:
    """Fine noise as a soft kernel leaves it, coarse texture in fat and muscle, trabeculae in spongy bone."""
    from scipy import ndimage

    def smooth_noise(sigma, deviation_hu):
        noise = ndimage.gaussian_filter(generator.normal(size=voxels.shape), (0, sigma, sigma))
        return noise * (deviation_hu / noise.std())

    inside = voxels > -900
    bone = (voxels > 150) & (voxels < 600)
    return smooth_noise(0.8, 9.0) * numpy.where(inside, 1.0, 0.4) + inside * smooth_noise(3.0, 6.0) + bone * smooth_noise(1.2, 45.0)
