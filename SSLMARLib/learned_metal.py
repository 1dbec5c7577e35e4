"""Metal found by a network that knows what artifacts look like: `metal="learned"`, `--metal learned`.

A threshold takes bright streaks and the blur around metal for metal; the network was trained to outline what made them.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy

from .ct.metal_search import MetalSearch
from .device import to_array, to_tensor
from .errors import Cancelled, NoMetalError

LEARNED = "learned"
WEIGHTS = "metalnet"
SHIPPED_SHA256 = "2775bc1f724cd3e57a4121f9c9589f2df18ae2bf864955a523f3e8adb5a4324d"


def find_metal(
    volume_hu: numpy.ndarray, spacing_mm: tuple[float, float, float], device: str = "cpu", is_cancelled: Callable[[], bool] | None = None
) -> numpy.ndarray:
    """The metal mask of a scan, bool (slices, rows, columns), as MetalNet outlines it.

    volume_hu: (slices, rows, columns), HU; slices are the axial planes. spacing_mm: the same order. Slices that nowhere reach the
    peak of `MetalSearch` are not looked at; components (26 neighbors) that nowhere reach it, as enamel does not, single voxels, and those
    of less than its smallest component are dropped. Raises NoMetalError where nothing is left; Cancelled.
    """
    import torch
    from scipy import ndimage

    search, network = MetalSearch(), _network(device)
    mask = numpy.zeros(volume_hu.shape, dtype=bool)
    with torch.inference_mode():
        for index, one_slice in enumerate(volume_hu):
            if is_cancelled is not None and is_cancelled():
                raise Cancelled("Cancelled; nothing was changed.")
            if one_slice.max() >= search.peak_hu:
                mask[index] = to_array(network(to_tensor(one_slice[None], device, torch.float32))[0] > 0)
    labels, count = ndimage.label(mask, structure=numpy.ones((3, 3, 3), dtype=bool))
    if count:
        numbers = numpy.arange(count + 1)
        voxels = numpy.bincount(labels.ravel(), minlength=count + 1)
        kept = numpy.asarray(ndimage.maximum(volume_hu, labels, numbers)) >= search.peak_hu
        kept &= (voxels > 1) & (voxels * math.prod(spacing_mm) >= search.smallest_component_mm3)
        kept[0] = False
        mask = kept[labels]
    if not mask.any():
        raise NoMetalError("No metal found: the network sees none in this scan; find it by threshold, or give a mask that marks it.")
    return mask


@lru_cache(maxsize=2)
def _network(device: str):
    from .networks.metal_network import MetalNet
    from .networks.weights import load_network

    return load_network(MetalNet, WEIGHTS, SHIPPED_SHA256)[0].to(device)
