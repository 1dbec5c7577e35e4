"""Padding: what a scanner writes outside its round field of view (-1024, -2000, -3024 ...), which is no measurement."""

import numpy

from .scale import AIR_HU, LOWEST_12_BIT_HU


def padding_mask(slices_hu: numpy.ndarray) -> numpy.ndarray:
    """True where a voxel is padding; both (slices, rows, columns).

    Padding is what lies below -1024 HU, the lowest value of 12-bit CT, and what holds exactly the value of a slice's corner, at -1000 HU
    or below, and is connected with that corner within the slice. (A dark streak that was cut off at -1024 HU
    inside the body is no padding.)
    """
    from scipy import ndimage

    padding = slices_hu < LOWEST_12_BIT_HU
    for one_slice, one_padding in zip(slices_hu, padding, strict=True):
        corners = ((0, 0), (0, -1), (-1, 0), (-1, -1))
        for value in {one_slice[corner].item() for corner in corners}:
            if value > AIR_HU:
                continue
            regions, _ = ndimage.label(one_slice == value)
            touched = [regions[corner] for corner in corners if regions[corner]]
            one_padding |= numpy.isin(regions, touched)
    return padding
