"""Result minus input as an image, and the colors that it is shown in: blue below 0 HU, black at 0, red above."""

from __future__ import annotations

import numpy
import vtk

from .i18n import _
from .job import changedSlices
from .nodes import arrayFromImage, imageFromArray, newNode

WINDOW_HU = 400.0
COLORS = 255  # odd, so that one color is 0 HU
BLUE, RED = (0.35, 0.65, 1.0), (1.0, 0.45, 0.25)


def differenceImage(inputVolume, correctedVolume):
    """Return result minus input (HU) of two volume nodes with one grid as a vtkImageData; no type of voxels overflows."""
    before, after = (arrayFromImage(volume.GetImageData()) for volume in (inputVolume, correctedVolume))
    if before.dtype.kind == "f":
        return imageFromArray(after - before, vtk.VTK_FLOAT)
    wider = numpy.int32 if before.dtype.itemsize <= 2 else numpy.float64
    small = numpy.iinfo(numpy.int16)
    difference = numpy.zeros(before.shape, numpy.int16)
    for index in changedSlices(before, after):
        plane = after[index].astype(wider) - before[index]
        if plane.min() < small.min or plane.max() > small.max:
            return imageFromArray(after.astype(numpy.float32) - before, vtk.VTK_FLOAT)
        difference[index] = plane
    return imageFromArray(difference, vtk.VTK_SHORT)


def differenceColors(scene):
    """Add the color table to a scene and return its node, hidden from users and not saved."""
    with newNode(scene, "vtkMRMLColorTableNode", _("MAR difference")) as colors:
        colors.SetSaveWithScene(False)
        colors.SetHideFromEditors(True)
        colors.SetTypeToUser()
        colors.SetNumberOfColors(COLORS)
        middle = COLORS // 2
        for index in range(COLORS):
            strength = abs(index - middle) / middle
            color = BLUE if index < middle else RED
            colors.SetColor(index, f"{index}", *(strength * part for part in color), 1.0)
    return colors


def showDifferenceColors(node, colors) -> None:
    """Show a volume of differences in these colors, -200 to 200 HU."""
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(WINDOW_HU, 0.0)
    display.SetAndObserveColorNodeID(colors.GetID())
