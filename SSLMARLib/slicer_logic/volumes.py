"""What a CT volume node must be to be corrected, and how much of it lies above a metal threshold."""

import math
from dataclasses import dataclass

import numpy
import vtk

from ..ct.metal_search import MetalSearch
from ..errors import InputError, NoMetalError
from .i18n import _
from .nodes import arrayFromImage


@dataclass(frozen=True, eq=False)
class MetalCount:
    """What a search finds: voxels, their volume in ml, the indices of the slices that hold any, and the mask (slices, rows, columns);
    where it finds nothing, mask is None and whyNone the sentence that says why."""

    voxels: int
    milliliters: float
    metalSlices: tuple[int, ...]
    mask: numpy.ndarray | None
    whyNone: str = ""

    @property
    def slices(self) -> int:
        """How many slices hold metal."""
        return len(self.metalSlices)


def countMetal(volume, search: MetalSearch) -> MetalCount:
    """Count what a correction of a volume node would take as metal, to the voxel.

    :raises InputError: the volume is unfit.
    """
    from ..ct.segmentation import segment_metal

    checkInputVolume(volume)
    try:
        mask = segment_metal(arrayFromImage(volume.GetImageData()), tuple(reversed(volume.GetSpacing())), search)
    except NoMetalError as error:
        return MetalCount(0, 0.0, (), None, str(error))
    voxels = int(numpy.count_nonzero(mask))
    metalSlices = tuple(numpy.flatnonzero(mask.any(axis=(1, 2))).tolist())
    return MetalCount(voxels, voxels * math.prod(volume.GetSpacing()) / 1000.0, metalSlices, mask)


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
        text = _("'{name}' has {components} values in each voxel (a color or vector volume): choose a scalar volume in Hounsfield units.")
        raise InputError(text.format(name=name, components=components))
    if image.GetScalarType() == vtk.VTK_BIT:
        text = _("'{name}' holds single bits, not Hounsfield units: choose the CT volume.")
        raise InputError(text.format(name=name))
