"""Masks of other programs: which label of several is metal, and where its voxels lie on the grid of a volume."""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy

from ..errors import InputError
from .volume import GEOMETRY_TOLERANCE_MM, CTVolume, describe_size

logger = logging.getLogger(__name__)

LABELS_LISTED = 12


@dataclass(frozen=True)
class Label:
    """One label of a mask file: its value, and its name where the file has one. layer: index into the last axis of the voxels."""

    value: float
    name: str = ""
    layer: int = 0

    def describe(self) -> str:
        """Value and name in one phrase for messages."""
        return f'{self.value:g} "{self.name}"' if self.name else f"{self.value:g}"


@dataclass(frozen=True)
class LabeledVoxels:
    """What a mask file holds.

    voxels: (slices, rows, columns, layers), in which labels that overlap are in layers of their own. grid: where the voxels lie.
    labels: those that the file names; empty where it names none, and then every value but 0 is a label. may_be_cropped: whether such
    files hold only the part of a volume that is not empty.
    """

    voxels: numpy.ndarray
    grid: CTVolume
    labels: tuple[Label, ...] = ()
    may_be_cropped: bool = False


def labels_of_header(metadata) -> tuple[Label, ...]:
    """The segments that Slicer names in the header of a `.seg.nrrd` file (Segment0_Name, Segment0_LabelValue, Segment0_Layer)."""
    labels = []
    while (prefix := f"Segment{len(labels)}_") + "Name" in metadata:
        try:
            value, layer = (int(metadata.get(prefix + key, default)) for key, default in (("LabelValue", "1"), ("Layer", "0")))
        except ValueError:
            break
        labels.append(Label(value, metadata[prefix + "Name"].strip(), layer))
    return tuple(labels)


def mask_of_label(path: str | os.PathLike, content: LabeledVoxels, like: CTVolume, wanted: str | Sequence[str] | None) -> numpy.ndarray:
    """The labels that are wanted as bool (slices, rows, columns) on the grid of `like`.

    wanted: names or values; None where the file holds one label only. Raises InputError for a label that is not there, several labels
    without a choice, and voxels that are not those of `like`.
    """
    voxels = _finite(path, content.voxels)
    labels = content.labels or _labels_of_values(path, voxels)
    if any(label.layer >= voxels.shape[3] for label in labels):
        raise InputError(f"The mask {path} names layers that it does not hold: save it again in the program that made it.")

    def voxels_of(label: Label) -> numpy.ndarray:
        return voxels[..., label.layer] == label.value

    mask = numpy.zeros(voxels.shape[:3], bool)
    for label in chosen_labels(path, labels, lambda label: voxels_of(label).any(), wanted):
        mask |= voxels_of(label)
    return on_grid(path, mask, content.grid, like, content.may_be_cropped)


def chosen_labels(path, labels: Sequence[Label], has_voxels: Callable[[Label], bool], wanted: str | Sequence[str] | None) -> list[Label]:
    """The labels of names or values; without any that are wanted, the one that has voxels. Raises InputError."""
    if wanted is not None:
        return [_find(path, labels, one) for one in ([wanted] if isinstance(wanted, (str, int, float)) else wanted)]
    with_voxels = [label for label in labels if has_voxels(label)]
    if len(with_voxels) > 1:
        raise InputError(
            f"The mask {path} holds {len(with_voxels)} labels ({_listed(with_voxels)}); choose with --mask-label NAME or VALUE (label=)."
        )
    return with_voxels


def _finite(path, voxels: numpy.ndarray) -> numpy.ndarray:
    """NaN is how some programs write what is outside a mask; infinity is no label."""
    if voxels.dtype.kind != "f":
        return voxels
    if numpy.isinf(voxels).any():
        raise InputError(f"The mask {path} has {numpy.isinf(voxels).sum()} infinite voxels; set them to 0, or to 1 where there is metal.")
    missing = numpy.isnan(voxels)
    if missing.any():
        logger.warning("The mask %s has %d voxels that are NaN: they are taken as no metal.", path, missing.sum())
        return numpy.where(missing, voxels.dtype.type(0), voxels)
    return voxels


def _labels_of_values(path, voxels: numpy.ndarray) -> list[Label]:
    values = numpy.unique(voxels)
    values = values[values != 0]
    if not (values == numpy.round(values)).all() and len(values) > 1:
        raise InputError(
            f"The mask {path} holds {len(values)} values between {values[0]:g} and {values[-1]:g} that are no whole numbers, as a map of "
            "probabilities does; give one with 1 where there is metal and 0 elsewhere."
        )
    return [Label(float(value)) for value in values]


def _listed(labels: Sequence[Label]) -> str:
    more = f", and {len(labels) - LABELS_LISTED} more" if len(labels) > LABELS_LISTED else ""
    return ", ".join(label.describe() for label in labels[:LABELS_LISTED]) + more


def _find(path, labels: Sequence[Label], wanted: str) -> Label:
    """The label of that name, in capitals or not; else of that value."""
    text = str(wanted).strip()
    found = [label for label in labels if label.name == text] or [label for label in labels if label.name.lower() == text.lower()]
    if not found or not text:
        try:
            found = [label for label in labels if label.value == float(text)]
        except ValueError:
            found = []
    if len(found) == 1:
        return found[0]
    number = "no label" if not found else f"{len(found)} labels"
    raise InputError(f'The mask {path} holds {number} "{text}" (there are: {_listed(labels) or "none"}); give the name or value of one.')


def on_grid(path, mask: numpy.ndarray, grid: CTVolume, like: CTVolume, may_be_cropped: bool = False) -> numpy.ndarray:
    """A mask on `grid` with the axes of `like` in their order and direction: both grids must have their voxels at the same places.

    may_be_cropped: whether the mask may hold a part of the volume. Raises InputError.
    """
    to_like = numpy.linalg.solve(like.index_to_position_mm(), grid.index_to_position_mm())
    whole = numpy.round(to_like)
    last = numpy.array(mask.shape[::-1]) - 1
    corners = numpy.array([[*(last * corner), 1] for corner in numpy.ndindex(2, 2, 2)], float).T
    off_mm = numpy.linalg.norm((like.index_to_position_mm() @ (to_like - whole) @ corners)[:3], axis=0).max()
    steps = numpy.abs(whole[:3, :3])
    is_permutation = (steps.sum(axis=0) == 1).all() and (steps.sum(axis=1) == 1).all()
    order = steps.argmax(axis=0) if is_permutation else numpy.arange(3)  # of mask axis i (column first): the axis of `like`
    inverse = numpy.argsort(order)
    turned = mask.transpose([2 - axis for axis in inverse[::-1]])
    if turned.shape != like.shape and not may_be_cropped:
        raise InputError(
            f"The mask {path} has {describe_size(mask.shape)} voxels and the volume {describe_size(like.shape)}; "
            "draw or resample the mask on the volume's grid."
        )
    ends = (whole @ corners)[:3] if is_permutation else numpy.zeros((3, 1))
    is_whole = turned.shape != like.shape or (ends.min(axis=1) == 0).all()
    if not is_permutation or off_mm > GEOMETRY_TOLERANCE_MM or not (is_whole or may_be_cropped):
        raise InputError(
            f"The mask {path} lies elsewhere than the volume (corners more than {GEOMETRY_TOLERANCE_MM} mm apart): "
            f"mask {grid.describe_geometry()}; volume {like.describe_geometry()}; resample the mask on its grid."
        )
    backward = [axis for axis in range(3) if whole[axis, :3].sum() < 0]
    turned = numpy.flip(turned, axis=[2 - axis for axis in backward])
    return _pasted(path, turned, ends.min(axis=1).astype(int)[::-1], like.shape)


def _pasted(path, part: numpy.ndarray, first: numpy.ndarray, shape: tuple[int, int, int]) -> numpy.ndarray:
    """A part (slices, rows, columns) whose first voxel has the indices `first` in a mask of `shape`; what lies outside is named."""
    if part.shape == shape and not first.any():
        return numpy.ascontiguousarray(part)
    whole = numpy.zeros(shape, bool)
    inside = [(max(0, -start), min(length, size - start)) for start, length, size in zip(first, part.shape, shape, strict=True)]
    if all(stop > start for start, stop in inside):
        target = tuple(slice(start + place, stop + place) for (start, stop), place in zip(inside, first, strict=True))
        whole[target] = part[tuple(slice(start, stop) for start, stop in inside)]
    outside = int(part.sum() - whole.sum())
    if outside and not whole.any():
        raise InputError(f"The mask {path} lies outside the volume: give the mask of this scan.")
    if outside:
        logger.warning("The mask %s lies partly outside the volume: %d of its voxels are left out.", path, outside)
    return whole
