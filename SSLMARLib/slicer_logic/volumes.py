"""What a CT volume node must be to be corrected, and how much of it lies above a metal threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy
import vtk

from ..errors import InputError
from .i18n import _
from .nodes import arrayFromImage


@dataclass(frozen=True)
class MetalCount:
    """What lies at or above a threshold: voxels, their volume in ml, and the slices that hold any."""

    voxels: int
    milliliters: float
    slices: int


def countMetal(volume, thresholdHu: float) -> MetalCount:
    """Count what reaches a threshold (HU) in a volume node: no components, no dilation, so quick enough for a slider.

    :raises InputError: the volume is unfit.
    """
    checkInputVolume(volume)
    voxels = arrayFromImage(volume.GetImageData())
    threshold = math.ceil(thresholdHu) if voxels.dtype.kind in "iu" else thresholdHu
    counts = [int(numpy.count_nonzero(plane >= threshold)) for plane in voxels]
    voxelMm3 = math.prod(volume.GetSpacing())
    return MetalCount(sum(counts), sum(counts) * voxelMm3 / 1000.0, sum(count > 0 for count in counts))


def checkInputVolume(inputVolume) -> None:
    """Raise InputError unless a volume node can be corrected. Reads no voxels, so it is quick enough for a panel."""
    if inputVolume is None:
        raise InputError(_("No input volume is chosen: choose the CT volume to correct."))
    if not hasattr(inputVolume, "IsA"):
        raise InputError(_("The input volume must be a volume node, but it is {value!r}.").format(value=inputVolume))
    name, kind = inputVolume.GetName(), inputVolume.GetNodeTagName()
    if inputVolume.IsA("vtkMRMLSequenceNode"):
        text = _("'{name}' is a sequence, not a volume: choose the volume that shows its frames.")
        raise InputError(text.format(name=name))
    if inputVolume.IsA("vtkMRMLLabelMapVolumeNode"):
        text = _("'{name}' is a label map, not a CT volume: choose the volume that it was drawn on.")
        raise InputError(text.format(name=name))
    if not inputVolume.IsA("vtkMRMLScalarVolumeNode"):
        text = _("'{name}' is a {kind} node: choose a scalar volume in Hounsfield units.")
        raise InputError(text.format(name=name, kind=kind))
    if inputVolume.GetScene() is None:
        raise InputError(_("'{name}' is not in a scene: add it to the scene first.").format(name=name))
    image = inputVolume.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0 or image.GetPointData().GetScalars() is None:
        raise InputError(_("'{name}' holds no voxels: load a CT volume.").format(name=name))
    components = image.GetNumberOfScalarComponents()
    if components != 1:
        text = _(
            "'{name}' has {components} values in each voxel (a color or vector volume): choose a scalar volume in "
            "Hounsfield units."
        )
        raise InputError(text.format(name=name, components=components))
    if image.GetScalarType() == vtk.VTK_BIT:
        text = _("'{name}' holds single bits, not Hounsfield units: choose the CT volume.")
        raise InputError(text.format(name=name))
