"""Images to one stack: which belong together, in which order, and on which grid, with a tolerance over all of them.

Everything is compared in the patient, in parts of a pixel: what moves no pixel by more than half of one is rounding, whatever the digits of
its elements; what moves pixels farther is named, and refused where a grid would put slices at wrong places.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy

from ..errors import InputError
from .dicom_header import DicomFrame, DicomHeader
from .dicom_pixels import read_hu

logger = logging.getLogger(__name__)

SAID_PIXELS = 0.1  # a slice that lies farther than this beside the line of all is named
REFUSED_PIXELS = 0.5  # and one that lies farther than this is refused; so much may orientation and spacing move a corner, too
STEEPEST_TILT_DEGREES = 45  # gantries tilt by 30 degrees at most
SAME_POSITION_MM, SAME_POSITION_PART = 1e-3, 0.03  # images nearer than this, or than this part of a distance or pixel, are at one position
UNEVEN_MM, UNEVEN_PART = 0.01, 0.02  # positions that differ less from a regular grid, or by less of the distance, are rounded
LARGEST_REST = 0.2  # so much of a series may be of another kind (a scout, a reformat) and is left out with a word; more is a mixture
NOT_PERPENDICULAR = 0.02
NAMES_LISTED = 5


@dataclass(frozen=True)
class Stack:
    """Images in ascending order along the normal, and their grid as `CTVolume` has it."""

    images: tuple[DicomImage, ...]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]
    direction: numpy.ndarray


@dataclass(frozen=True, eq=False)
class DicomImage:
    """One frame of one file."""

    header: DicomHeader
    frame: DicomFrame

    @property
    def name(self) -> str:
        """How a user finds it."""
        name = Path(self.header.path).name
        return f"frame {self.frame.index + 1} of {name}" if self.header.is_multi_frame else name

    def axes(self) -> numpy.ndarray:
        """(3, 3): columns are the unit vectors of columns, rows and normal."""
        along_columns, along_rows = (vector / numpy.linalg.norm(vector) for vector in self.frame.orientation)
        along_rows = along_rows - (along_rows @ along_columns) * along_columns
        along_rows /= numpy.linalg.norm(along_rows)
        return numpy.stack([along_columns, along_rows, numpy.cross(along_columns, along_rows)], axis=1)

    def corner_mm(self) -> numpy.ndarray:
        """(3, 2): from the first pixel to the ends of the first row and of the first column."""
        row_mm, column_mm = self.frame.pixel_spacing_mm
        return self.axes()[:, :2] * [column_mm * (self.header.columns - 1), row_mm * (self.header.rows - 1)]


def stack_images(path: Path, images: Sequence[DicomImage]) -> Stack:
    """The stack of a series' images. path: for messages. Raises InputError, which names the images, for what is no stack."""
    images = _with_spacing(path, images)
    if len(images) == 1:
        return _single(path, images[0])
    _refuse_without_place(path, images)
    images = _one_kind(path, images)
    if len(images) == 1:
        return _single(path, images[0])
    normal = _mean_axes(images)[:, 2]
    images = sorted(images, key=lambda image: float(image.frame.position_mm @ normal))
    images = _one_at_each_position(path, images, normal)
    if len(images) == 1:
        return _single(path, images[0])
    _say_unlike_orders(path, images)
    axes = _mean_axes(images)
    positions_mm = numpy.array([image.frame.position_mm for image in images])
    direction = axes.copy()
    direction[:, 2] = _line(path, images, positions_mm, axes[:, 2])
    distance_mm = _distance(path, images, positions_mm @ axes[:, 2]) / float(axes[:, 2] @ direction[:, 2])
    row_mm, column_mm = numpy.mean([image.frame.pixel_spacing_mm for image in images], axis=0)
    return Stack(tuple(images), (distance_mm, float(row_mm), float(column_mm)), tuple(positions_mm[0]), direction)


def _with_spacing(path: Path, images: Sequence[DicomImage]) -> list[DicomImage]:
    without = [image for image in images if image.frame.pixel_spacing_mm is None]
    if without:
        raise InputError(
            f"{path} states no pixel spacing ({_listed(without)}), so nothing in it can be measured: add Pixel Spacing, in mm, to its "
            "header."
        )
    others = sorted({image.frame.spacing_keyword for image in images} - {"PixelSpacing"})
    if others:
        spacing = " x ".join(f"{value:.5g}" for value in images[0].frame.pixel_spacing_mm)
        logger.warning("%s states no Pixel Spacing: its %s, %s mm, is taken in its place.", path, " and ".join(others), spacing)
    return list(images)


def _single(path: Path, image: DicomImage) -> Stack:
    frame = image.frame
    if frame.orientation is not None:
        _refuse_skew(path, [image])
    if frame.position_mm is None or frame.orientation is None:
        logger.warning("%s states no place in the patient: its first pixel is put at 0 mm, its rows along x and y.", path)
    if not frame.thickness_mm:
        logger.warning("%s states no slice thickness: 1 mm is assumed.", path)
    row_mm, column_mm = frame.pixel_spacing_mm
    origin_mm = (0.0, 0.0, 0.0) if frame.position_mm is None else tuple(frame.position_mm)
    axes = numpy.eye(3) if frame.orientation is None else image.axes()
    return Stack((image,), (frame.thickness_mm or 1.0, row_mm, column_mm), origin_mm, axes)


def _refuse_without_place(path: Path, images: list[DicomImage]) -> None:
    for element, values in (
        ("Image Position (Patient)", [image.frame.position_mm for image in images]),
        ("Image Orientation (Patient)", [image.frame.orientation for image in images]),
    ):
        without = [image for image, value in zip(images, values, strict=True) if value is None]
        if without:
            raise InputError(f"{path} holds slices without {element}, so they cannot be put in order: {_listed(without)}.")
    _refuse_skew(path, images)


def _refuse_skew(path: Path, images: list[DicomImage]) -> None:
    skew = []
    for image in images:
        along_columns, along_rows = image.frame.orientation
        lengths = numpy.linalg.norm(image.frame.orientation, axis=1)
        if max(abs(lengths - 1)) > NOT_PERPENDICULAR or abs(along_columns @ along_rows) > NOT_PERPENDICULAR:
            skew.append(image)
    if skew:
        raise InputError(
            f"{path}: Image Orientation (Patient) is no pair of perpendicular unit vectors in {_listed(skew)}, so the header is damaged; "
            "load the series again."
        )


def _one_kind(path: Path, images: list[DicomImage]) -> list[DicomImage]:
    """The images of one size, orientation, spacing and frame of reference. A few others are left out by name; a mixture is refused."""
    parts: list[list[DicomImage]] = []
    for image in images:
        part = next((part for part in parts if _difference(part[0], image) is None), None)
        if part is None:
            parts.append([image])
        else:
            part.append(image)
    parts.sort(key=len, reverse=True)
    largest, rest = parts[0], [image for part in parts[1:] for image in part]
    if not rest:
        return largest
    differences = ", ".join(sorted({_difference(largest[0], part[0]) for part in parts[1:]}))
    if len(rest) > LARGEST_REST * len(images):
        sizes = "; ".join(f"{len(part)} of {_kind(part[0])} ({_listed(part[:1])})" for part in parts[:NAMES_LISTED])
        raise InputError(
            f"{path} mixes images that differ in {differences}: {sizes}; give a folder that holds the images of one kind only."
        )
    logger.warning(
        "%s: %d of %d images differ in %s from the others and are left out: %s.",
        path, len(rest), len(images), differences, _listed(rest),
    )  # fmt: skip
    return largest


def _difference(one: DicomImage, other: DicomImage) -> str | None:
    """In what two images are of different kinds, or None. Orientation and spacing may move a corner by half a pixel."""
    if (one.header.rows, one.header.columns) != (other.header.rows, other.header.columns):
        return "size"
    frames = {one.header.frame_of_reference_uid, other.header.frame_of_reference_uid} - {""}
    if len(frames) > 1:
        return "frame of reference"
    allowed_mm = REFUSED_PIXELS * min(one.frame.pixel_spacing_mm)
    sides = numpy.array([other.header.columns - 1, other.header.rows - 1])
    spacing_mm = numpy.abs(numpy.subtract(one.frame.pixel_spacing_mm, other.frame.pixel_spacing_mm))[::-1]
    if (spacing_mm * sides > allowed_mm).any():
        return "pixel spacing"
    if numpy.linalg.norm(one.corner_mm() - other.corner_mm(), axis=0).max() > allowed_mm or one.axes()[:, 2] @ other.axes()[:, 2] < 0:
        return "orientation"
    return None


def _kind(image: DicomImage) -> str:
    row_mm, column_mm = image.frame.pixel_spacing_mm
    orientation = "\\".join(f"{value:.4g}" for value in image.frame.orientation.ravel())
    return f"{image.header.columns} x {image.header.rows} pixels of {column_mm:.5g} x {row_mm:.5g} mm, orientation {orientation}"


def _mean_axes(images: list[DicomImage]) -> numpy.ndarray:
    """(3, 3): the mean of the images' axes, at right angles: rounding of single headers does not decide."""
    axes = numpy.mean([image.axes() for image in images], axis=0)
    left, _, right = numpy.linalg.svd(axes)
    return left @ right


def _one_at_each_position(path: Path, images: list[DicomImage], normal: numpy.ndarray) -> list[DicomImage]:
    """Copies of an image are dropped; two images at one position are refused."""
    heights_mm = numpy.array([image.frame.position_mm @ normal for image in images])
    usual_mm = max(float(numpy.median(numpy.diff(heights_mm))), min(images[0].frame.pixel_spacing_mm))
    same_mm = max(SAME_POSITION_MM, SAME_POSITION_PART * usual_mm)
    kept = [images[0]]
    for image, previous_mm, height_mm in zip(images[1:], heights_mm, heights_mm[1:], strict=False):
        if height_mm - previous_mm > same_mm:
            kept.append(image)
        elif _is_copy(kept[-1], image):
            logger.warning("%s is a copy of %s and is left out.", image.name, kept[-1].name)
        else:
            raise InputError(
                f"{path} holds two images at one position ({kept[-1].name} and {image.name}), as a scan of several phases does"
                f"{_phases(images)}; give a folder that holds one phase."
            )
    return kept


def _is_copy(one: DicomImage, other: DicomImage) -> bool:
    """One instance twice: its UID says so (or was emptied), and so do its values, which alone would be no proof."""
    if one.header.instance_uid != other.header.instance_uid or one.frame.index != other.frame.index:
        return False
    if numpy.linalg.norm(one.frame.position_mm - other.frame.position_mm) > SAME_POSITION_MM:
        return False
    (values,), (others,) = (list(read_hu(image.header, [image.frame])) for image in (one, other))
    return numpy.array_equal(values, others)


def _phases(images: list[DicomImage]) -> str:
    phases = {image.frame.phase for image in images}
    acquisitions = {image.frame.acquisition for image in images}
    count = len(phases) if len(phases) > 1 else len(acquisitions)
    return f" ({count} by its headers)" if count > 1 else ""


def _say_unlike_orders(path: Path, images: list[DicomImage]) -> None:
    """Refuse passes of the table that overlap: unevenly spaced images that take turns in their acquisition."""
    acquisitions = [image.frame.acquisition for image in images]
    turns = sum(one != other for one, other in zip(acquisitions, acquisitions[1:], strict=False))
    if turns < len(set(acquisitions)):
        return
    heights_mm = numpy.array([image.frame.position_mm @ images[0].axes()[:, 2] for image in images])
    if _unevenness(heights_mm) > 1:
        raise InputError(
            f"{path} holds acquisitions that overlap ({', '.join(sorted(set(acquisitions)))}): the patient may have moved between them; "
            "give a folder that holds one of them."
        )


def _line(path: Path, images: list[DicomImage], positions_mm: numpy.ndarray, normal: numpy.ndarray) -> numpy.ndarray:
    """The unit vector of the line on which the slices lie: the normal, or a leaning one where the gantry was tilted.

    Each slice's distance from the line is looked at; one that lies beside it is named, or refused.
    """
    pixel_mm = min(images[0].frame.pixel_spacing_mm)
    heights_mm = positions_mm @ normal
    heights_mm -= heights_mm.mean()
    lateral_mm = positions_mm - numpy.outer(positions_mm @ normal, normal)
    lean = heights_mm @ (lateral_mm - lateral_mm.mean(axis=0)) / (heights_mm @ heights_mm)  # least squares
    if numpy.linalg.norm(lean) * numpy.ptp(heights_mm) <= SAID_PIXELS * pixel_mm:
        lean = numpy.zeros(3)
    off_mm = lateral_mm - lateral_mm.mean(axis=0) - numpy.outer(heights_mm, lean)
    beside_pixels = numpy.linalg.norm(off_mm, axis=1) / pixel_mm
    if beside_pixels.max() > SAID_PIXELS:
        _say_beside(path, images, heights_mm, lateral_mm, beside_pixels.max() > REFUSED_PIXELS)
    tilt_degrees = float(numpy.degrees(numpy.arctan(numpy.linalg.norm(lean))))
    if tilt_degrees > STEEPEST_TILT_DEGREES:
        raise InputError(
            f"{path}: the positions of its slices run at {tilt_degrees:.0f} degrees to their planes' normal, more than a gantry tilts, so "
            "they are no stack; load the series again, or give the part of it that is one."
        )
    if tilt_degrees:
        logger.info("%s: tilted gantry, %.1f degrees; the slices stay as they are.", path, tilt_degrees)
    line = normal + lean
    return line / numpy.linalg.norm(line)


def _say_beside(path: Path, images: list[DicomImage], heights_mm: numpy.ndarray, lateral_mm: numpy.ndarray, refuse: bool) -> None:
    """Name the slices beside the line that most of them are on (median slope), and raise InputError if `refuse`."""
    steps = numpy.diff(lateral_mm, axis=0) / numpy.diff(heights_mm)[:, None]
    straight = lateral_mm - numpy.outer(heights_mm, numpy.median(steps, axis=0))
    beside_mm = numpy.linalg.norm(straight - numpy.median(straight, axis=0), axis=1)
    jumps_mm = numpy.linalg.norm(numpy.diff(straight, axis=0), axis=1)
    allowed_mm = SAID_PIXELS * min(images[0].frame.pixel_spacing_mm)
    jumps = [index for index in range(len(jumps_mm)) if jumps_mm[index] > allowed_mm]
    if jumps:
        places = ", ".join(f"{index + 1} and {index + 2} ({jumps_mm[index]:.2g} mm)" for index in jumps[:NAMES_LISTED])
        what = f"the positions jump sideways between slices {places}{' and more' if len(jumps) > NAMES_LISTED else ''}"
    else:
        worst = int(numpy.argmax(beside_mm))
        what = f"slice {worst + 1} ({images[worst].name}) lies {beside_mm[worst]:.2g} mm beside the straight line of the others"
    if refuse:
        raise InputError(f"{path}: {what}, so they are no stack of slices; give a folder that holds a straight part of them.")
    logger.warning("%s: %s; each slice is corrected as it is.", path, what)


def _unevenness(heights_mm: numpy.ndarray) -> float:
    """How far the heights are from a regular grid, in units of what is still rounding: above 1, they are uneven."""
    grid_mm = numpy.linspace(heights_mm[0], heights_mm[-1], len(heights_mm))
    distance_mm = (heights_mm[-1] - heights_mm[0]) / (len(heights_mm) - 1)
    return float(numpy.abs(heights_mm - grid_mm).max() / max(UNEVEN_MM, UNEVEN_PART * distance_mm))


def _distance(path: Path, images: list[DicomImage], heights_mm: numpy.ndarray) -> float:
    """The distance of the slices along their normal; uneven ones are named."""
    distances_mm = numpy.diff(heights_mm)
    if _unevenness(heights_mm) <= 1:
        return float(distances_mm.mean())
    usual_mm = float(numpy.median(distances_mm))
    odd = [index for index in range(len(distances_mm)) if abs(distances_mm[index] - usual_mm) > max(UNEVEN_MM, UNEVEN_PART * usual_mm)]
    places = ", ".join(f"{index + 1} and {index + 2}" for index in odd[:NAMES_LISTED])
    logger.warning(
        "%s: slices are missing or unevenly spaced (%.4g to %.4g mm apart)%s. Each slice is corrected as it is; "
        "%.4g mm is taken as their distance, and only a DICOM output keeps every position.",
        path, distances_mm.min(), distances_mm.max(),
        f", between slices {places}{' and more' if len(odd) > NAMES_LISTED else ''}" if odd else "", usual_mm,
    )  # fmt: skip
    return usual_mm


def _listed(images: Sequence[DicomImage]) -> str:
    names = ", ".join(image.name for image in images[:NAMES_LISTED])
    return names if len(images) <= NAMES_LISTED else f"{names} and {len(images) - NAMES_LISTED} more"
