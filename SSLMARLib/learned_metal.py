"""Metal as a `MetalSearch` says: found by the threshold, and outlined by a network that knows what artifacts look like.

A threshold takes bright streaks and the blur around metal for metal; the network was trained to outline what made them. What the
threshold finds and the network does not see at all is no metal but enamel, dense bone or contrast medium. Where it sees hardly anything
of a part, the threshold's outline stays, so that nothing that a scan shows is lost.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy
from scipy import ndimage

from .ct.checks import looks_like_hu
from .ct.metal_search import MetalSearch
from .ct.segmentation import NEIGHBORS_26, dilated_metal, segment_metal
from .device import to_array, to_tensor
from .errors import Cancelled, NoMetalError
from .optional_imports import import_optional

LEARNED = "learned"
WEIGHTS = "metalnet"
SHIPPED_SHA256 = "d582fbe0252f63e7ce029d19473c0542d28bfd4815938a699d631db3bc02a674"
SURROUNDINGS_PIXELS, SMALLEST_VIEW_PIXELS = 96, 224  # around the threshold's metal: what the network sees of a slice
METAL_FROM = 0.35  # of what the network takes for the probability of metal
LEAST_SEEN = 0.25  # of a part in one slice; of less the threshold's outline is taken, unless the network is certain of some metal there
CERTAIN_FROM = 0.8  # so it is with amalgam, whose streaks reach the threshold too and are many times as large as what made them
SHARP_BELOW_HU = 900.0  # the brightest neighbor of a part in its slice; a scan's blur makes some brighter
NEIGHBORS_IN_SLICE = numpy.ones((3, 3), dtype=bool)


def find_metal(
    volume_hu: numpy.ndarray,
    spacing_mm: tuple[float, float, float],
    search: MetalSearch | None = None,
    device: str = "cpu",
    is_cancelled: Callable[[], bool] | None = None,
) -> numpy.ndarray:
    """The metal mask of a scan, bool (slices, rows, columns).

    volume_hu: (slices, rows, columns), HU; slices are the axial planes. spacing_mm: the same order. search: None for the defaults. This is
    `segment_metal` without its `learned_outline`, where the values are no Hounsfield units, and for parts (connected in their slice) with
    edges as sharp as no scanner shows them: the network knows scans alone.

    Raises as `segment_metal` does, NoMetalError also where the network sees metal in nothing that the threshold finds; Cancelled.
    """
    search = MetalSearch() if search is None else search
    if not (search.learned_outline and looks_like_hu(volume_hu)):
        return segment_metal(volume_hu, spacing_mm, search)
    import_optional("torch")
    mask = segment_metal(volume_hu, spacing_mm, replace(search, dilation_mm=0.0))
    box = _box_around(mask)
    outlined = _outlined(mask[box], volume_hu[box], spacing_mm, search, device, is_cancelled)
    mask[:] = False
    mask[box] = outlined
    return dilated_metal(mask, volume_hu, spacing_mm, search.dilation_mm)


def _outlined(by_threshold, volume_hu, spacing_mm, search, device, is_cancelled) -> numpy.ndarray:
    """The threshold's mask as the network outlines it, both (slices, rows, columns)."""
    seen, is_certain = _seen_by_network(by_threshold, volume_hu, device, is_cancelled)
    seen = _components_of_metal(seen, by_threshold, volume_hu, spacing_mm, search)
    is_sharp = _sharp_parts(by_threshold, volume_hu)
    voxels = int(by_threshold.sum())
    parts, count = ndimage.label(by_threshold, structure=NEIGHBORS_26)
    by_threshold = (_of_parts(ndimage.maximum, seen | is_sharp, parts, count) > 0)[parts]
    del parts
    if not by_threshold.any():
        raise NoMetalError(
            f"No metal found: the network sees none in the {voxels} voxels that reach {search.threshold_hu:g} HU, so they "
            "count as dense bone, enamel or contrast medium; if they are metal all the same, let the threshold alone decide or give a mask."
        )
    return seen & ~is_sharp | by_threshold & is_sharp | _hardly_seen_parts(by_threshold, seen, is_certain & seen)


def _box_around(mask) -> tuple[slice, slice, slice]:
    """The slices with metal; along rows and columns metal, its surroundings, and no less than the network was trained with."""
    box = []
    for axis, size in enumerate(mask.shape):
        first, last = numpy.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))[[0, -1]]
        more = max(SURROUNDINGS_PIXELS, (SMALLEST_VIEW_PIXELS - (last - first)) // 2) if axis else 0
        box.append(slice(max(int(first - more), 0), min(int(last) + 1 + int(more), size)))
    return tuple(box)


def _seen_by_network(by_threshold, volume_hu, device, is_cancelled) -> tuple[numpy.ndarray, numpy.ndarray]:
    """What the network takes for metal, and what for certain, bool (slices, rows, columns), in slices with the threshold's metal."""
    import torch

    seen, network = numpy.zeros(by_threshold.shape, dtype=bool), _network(device)
    is_certain = numpy.zeros_like(seen)
    with torch.inference_mode():
        for index in numpy.flatnonzero(by_threshold.any(axis=(1, 2))):
            if is_cancelled is not None and is_cancelled():
                raise Cancelled("Cancelled; nothing was changed.")
            logits = network(to_tensor(volume_hu[index : index + 1], device, torch.float32))
            seen[index], is_certain[index] = (to_array(logits[0] > math.log(one / (1 - one))) for one in (METAL_FROM, CERTAIN_FROM))
    return seen, is_certain


def _components_of_metal(seen, by_threshold, volume_hu, spacing_mm, search) -> numpy.ndarray:
    """Those components (26 neighbors) that the threshold found a part of, that are no specks, and that reach the metal peak."""
    labels, count = ndimage.label(seen, structure=NEIGHBORS_26)
    voxels = numpy.bincount(labels[seen], minlength=count + 1)
    kept = _of_parts(ndimage.maximum, by_threshold, labels, count) > 0
    kept &= _of_parts(ndimage.maximum, volume_hu, labels, count) >= search.peak_hu
    if search.smallest_component_mm3 > 0:
        kept &= (voxels > 1) & (voxels * math.prod(spacing_mm) >= search.smallest_component_mm3)
    kept[0] = False
    return kept[labels]


def _hardly_seen_parts(by_threshold, seen, is_certain) -> numpy.ndarray:
    """The parts of the threshold's mask in each slice of which less than LEAST_SEEN is seen, and nothing for certain, bool of its shape."""

    def is_hardly_seen(index, parts, count):
        is_certain_somewhere = _of_parts(ndimage.maximum, is_certain[index], parts, count) > 0
        return (_of_parts(ndimage.mean, seen[index], parts, count) < LEAST_SEEN) & ~is_certain_somewhere

    return _parts_in_slices(by_threshold, is_hardly_seen)


def _sharp_parts(by_threshold, volume_hu) -> numpy.ndarray:
    """The parts of the threshold's mask in each slice whose neighbors there are all dark, bool of the same shape."""

    def is_sharp(index, parts, count):
        around = numpy.where(parts > 0, 0, ndimage.grey_dilation(parts, footprint=NEIGHBORS_IN_SLICE))
        return _of_parts(ndimage.maximum, volume_hu[index], around, count) < SHARP_BELOW_HU

    return _parts_in_slices(by_threshold, is_sharp)


def _parts_in_slices(mask, is_chosen: Callable) -> numpy.ndarray:
    """The parts of a mask in each slice that is_chosen(index, labels, count) says, (count + 1,) booleans; bool of the mask's shape."""
    result = numpy.zeros_like(mask)
    for index in numpy.flatnonzero(mask.any(axis=(1, 2))):
        parts, count = ndimage.label(mask[index], structure=NEIGHBORS_IN_SLICE)
        chosen = is_chosen(index, parts, count)
        chosen[0] = False
        result[index] = chosen[parts]
    return result


def _of_parts(function, values, labels, count: int) -> numpy.ndarray:
    """What a function of scipy.ndimage gives for the labels 1 to count, and 0 for label 0: (count + 1,)"""
    if not count:
        return numpy.zeros(1)
    inside = labels > 0  # few of all voxels, so that little memory is needed
    return numpy.append(0, function(values[inside], labels[inside], numpy.arange(1, count + 1)))


def _network(device: str):
    from .networks.metal_network import MetalNet
    from .networks.weights import shipped_network

    return shipped_network(MetalNet, WEIGHTS, SHIPPED_SHA256, device)[0]
