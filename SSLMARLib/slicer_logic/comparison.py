"""Input and result in the slice views, side by side, as a difference or with a swipe; `endComparison` puts all back.

One comparison at a time: showing another ends the one before. The nodes that a comparison adds are not saved with the
scene. After a change of strength call the function again: it brings what it shows up to date.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

import numpy
import slicer
import vtk

from ..errors import InputError
from .i18n import _
from .job import changedSlices
from .nodes import (
    AID,
    INPUT_ROLE,
    arrayFromImage,
    copyDisplay,
    ijkToRas,
    imageFromArray,
    newNode,
    placeBeside,
    removeWithDisplay,
    setHiddenColors,
)
from .views import LEFT_VIEW, RIGHT_VIEW, Layers, Plane, compositeNode, compositeNodes, layoutNode, sliceNode

SIDE_BY_SIDE, DIFFERENCE, SWIPE = "side by side", "difference", "swipe"
DIFFERENCE_WINDOW_HU = 400.0
COLORS = 255  # odd, so that one color is 0 HU
BLUE, RED = (0.35, 0.65, 1.0), (1.0, 0.45, 0.25)


@dataclass(eq=False)
class Comparison:
    """The comparison that is shown. undo: what puts all back, in the opposite order. node: the volume that was added, if any."""

    kind: str
    inputVolume: object
    correctedVolume: object
    undo: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    node: object = None
    swipe: Swipe | None = None

    def shows(self, kind: str, inputVolume, correctedVolume) -> bool:
        """Whether this is the comparison asked for, with its node still there and of the input's size."""
        if (self.kind, self.inputVolume, self.correctedVolume) != (kind, inputVolume, correctedVolume):
            return False
        size = inputVolume.GetImageData().GetDimensions()
        return self.node is None or (self.node.GetScene() is not None and self.node.GetImageData().GetDimensions() == size)


_current: Comparison | None = None


def compareSideBySide(inputVolume, correctedVolume) -> None:
    """Show the input on the left and the result on the right, in linked slice views of one plane and zoom and with one
    window and level, which follow each other until `endComparison`.

    :raises InputError: the nodes do not belong together, or Slicer has no window.
    """
    if _shown(SIDE_BY_SIDE, inputVolume, correctedVolume) is not None:
        return
    with _begun(SIDE_BY_SIDE, inputVolume, correctedVolume) as comparison:
        scene = correctedVolume.GetScene()
        left, right = sliceNode(scene, LEFT_VIEW), sliceNode(scene, RIGHT_VIEW)
        comparison.undo.callback(Plane.of(right).giveBack, scene)
        layoutNode().SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView)
        Plane.of(left).giveTo(right)
        for viewName, volume in ((LEFT_VIEW, inputVolume), (RIGHT_VIEW, correctedVolume)):
            composite = compositeNode(scene, viewName)
            wasModifying = composite.StartModify()
            composite.SetLinkedControl(True)
            composite.SetHotLinkedControl(True)
            _showOnly(composite, volume)
            composite.EndModify(wasModifying)
        _linkWindows(comparison)


def showDifference(inputVolume, correctedVolume):
    """Show result minus input (HU) in all slice views, blue below 0 and red above, and return its volume node.

    The window is always the same, -200 to 200 HU, so that differences can be compared.

    :raises InputError: the nodes do not belong together, or Slicer has no window.
    """
    comparison = _shown(DIFFERENCE, inputVolume, correctedVolume)
    if comparison is not None:
        comparison.node.SetAndObserveImageData(_differenceImage(inputVolume, correctedVolume))
        return comparison.node
    with _begun(DIFFERENCE, inputVolume, correctedVolume) as comparison:
        name = _("{name} minus input").format(name=correctedVolume.GetName())
        node = _addVolume(comparison, name, _differenceImage(inputVolume, correctedVolume))
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(DIFFERENCE_WINDOW_HU, 0.0)
        display.SetAndObserveColorNodeID(_addDifferenceColors(comparison).GetID())
        for composite in compositeNodes(node.GetScene()):
            _showOnly(composite, node)
    return node


def showSwipe(inputVolume, correctedVolume, fraction: float = 0.5):
    """Show the result on the patient's right of a line (the left of an axial view) and the input on the other side.

    The line lies at a fraction (0 to 1) of the volume's width. Returns the volume node that all slice views show.

    :raises InputError: the nodes do not belong together, the fraction is not from 0 to 1, or Slicer has no window.
    """
    if not 0.0 <= fraction <= 1.0:
        raise InputError(_("The swipe must be at a fraction from 0 (input only) to 1 (result only)."))
    comparison = _shown(SWIPE, inputVolume, correctedVolume)
    if comparison is not None:
        comparison.swipe.moveTo(fraction)
        return comparison.node
    with _begun(SWIPE, inputVolume, correctedVolume) as comparison:
        image = inputVolume.GetImageData()
        name = _("{name} swipe").format(name=correctedVolume.GetName())
        node = _addVolume(comparison, name, imageFromArray(arrayFromImage(image), image.GetScalarType()))
        copyDisplay(inputVolume, node)
        node.SetNodeReferenceID(INPUT_ROLE, inputVolume.GetID())
        comparison.swipe = Swipe(inputVolume, correctedVolume, node)
        comparison.swipe.moveTo(fraction)
        for composite in compositeNodes(node.GetScene()):
            _showOnly(composite, node)
    return node


def endComparison() -> None:
    """Give the slice views back their layout, layers, links and planes, and remove what the comparison added.

    Does nothing where nothing is compared; volumes that have left the scene meanwhile are no obstacle.
    """
    global _current
    comparison, _current = _current, None
    if comparison is not None:
        comparison.undo.close()


def comparisonShown() -> str:
    """Return what is compared now: "side by side", "difference", "swipe", or "" for nothing."""
    return _current.kind if _current is not None else ""


def _shown(kind: str, inputVolume, correctedVolume) -> Comparison | None:
    """The comparison that is shown where it is the one asked for, else None.

    :raises InputError: the two cannot be compared voxel by voxel.
    """
    for volume in (inputVolume, correctedVolume):
        if volume is None or volume.GetScene() is None or volume.GetImageData() is None:
            raise InputError(_("The input or the result is no longer in the scene, so there is nothing to compare."))
    image, other = inputVolume.GetImageData(), correctedVolume.GetImageData()
    if image.GetDimensions() != other.GetDimensions() or image.GetScalarType() != other.GetScalarType():
        text = _("'{input}' and '{name}' have different voxels: choose a result and its own input to compare them.")
        raise InputError(text.format(input=inputVolume.GetName(), name=correctedVolume.GetName()))
    return _current if _current is not None and _current.shows(kind, inputVolume, correctedVolume) else None


@contextlib.contextmanager
def _begun(kind: str, inputVolume, correctedVolume):
    """End the comparison before, remember how the views are, and give all back where the block fails."""
    global _current
    layoutNode()  # refuses before anything is changed
    endComparison()
    scene = correctedVolume.GetScene()
    _current = Comparison(kind, inputVolume, correctedVolume)
    _current.undo.callback(_giveLayoutBack, layoutNode().GetViewArrangement())
    for composite in compositeNodes(scene):
        _current.undo.callback(Layers.of(composite).giveBack, scene, inputVolume)
    try:
        yield _current
    except BaseException:
        endComparison()
        raise


def _giveLayoutBack(arrangement: int) -> None:
    with contextlib.suppress(InputError):  # the window is gone, and its layout with it
        layoutNode().SetViewArrangement(arrangement)


def _showOnly(composite, volume) -> None:
    composite.SetBackgroundVolumeID(volume.GetID())
    composite.SetForegroundVolumeID(None)


def _addVolume(comparison: Comparison, name: str, image):
    """Add a volume node in the place of the result, beside it in subject hierarchy, that is not saved with the scene."""
    corrected = comparison.correctedVolume
    with newNode(corrected.GetScene(), "vtkMRMLScalarVolumeNode", name) as node:
        node.SetSaveWithScene(False)
        node.SetAttribute(AID, comparison.kind)
        node.SetIJKToRASMatrix(ijkToRas(corrected))
        node.SetAndObserveImageData(image)
        node.SetAndObserveTransformNodeID(corrected.GetTransformNodeID())
        placeBeside(corrected, node)
    comparison.node = node
    comparison.undo.callback(removeWithDisplay, node)
    return node


def _differenceImage(inputVolume, correctedVolume):
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


def _addDifferenceColors(comparison: Comparison):
    """Add the color table, blue below 0 HU, black at 0, red above, and return its node, hidden from users and not saved."""
    with newNode(comparison.correctedVolume.GetScene(), "vtkMRMLColorTableNode", _("MAR difference")) as colors:
        middle = COLORS // 2
        strengths = [abs(index - middle) / middle for index in range(COLORS)]
        colored = [(BLUE if index < middle else RED, strength) for index, strength in enumerate(strengths)]
        setHiddenColors(colors, [(*(strength * part for part in color), 1.0) for color, strength in colored])
    comparison.undo.callback(removeWithDisplay, colors)
    return colors


class Swipe:
    """Keeps a volume node, which starts as a copy of the input, up to date with the line's place; a move copies a strip.

    The line stands across the index axis that runs most from the patient's right to the left.
    """

    def __init__(self, inputVolume, correctedVolume, node):
        self._volumes = inputVolume, correctedVolume, node
        towardRight = slicer.util.arrayFromVTKMatrix(ijkToRas(node))[0, :3]
        column = int(abs(towardRight).argmax())
        self._axis = 2 - column  # of arrays (slices, rows, columns)
        self._rightIsLast = towardRight[column] > 0
        self._shownPlanes = 0  # along the axis: how many show the result
        self._times, self._changed = None, ()

    def moveTo(self, fraction: float) -> None:
        """Show the result in a fraction of the volume, from the patient's right on."""
        before, after, shown = (arrayFromImage(volume.GetImageData()) for volume in self._volumes)
        times = tuple(volume.GetImageData().GetMTime() for volume in self._volumes[:2])
        if times != self._times:
            if self._times is not None:
                shown[:] = before
            self._changed, self._shownPlanes, self._times = changedSlices(before, after), 0, times
        length = shown.shape[self._axis]
        wanted = round(fraction * length)
        source = after if wanted > self._shownPlanes else before
        first, last = sorted((wanted, self._shownPlanes))
        strip = [slice(None)] * 3
        strip[self._axis] = slice(length - last, length - first) if self._rightIsLast else slice(first, last)
        for index in self._changed:  # nothing to copy in the other slices
            if self._axis or strip[0].start <= index < strip[0].stop:
                shown[index][tuple(strip[1:])] = source[index][tuple(strip[1:])]
        self._shownPlanes = wanted
        slicer.util.arrayFromVolumeModified(self._volumes[2])


def _linkWindows(comparison: Comparison) -> None:
    """Let input and result have one window and level, the input's at first: a change of either is taken over by the other."""
    displays = [node.GetDisplayNode() for node in (comparison.inputVolume, comparison.correctedVolume)]
    if not all(display is not None and display.IsA("vtkMRMLScalarVolumeDisplayNode") for display in displays):
        return

    def copy(source, event=None):
        for display in displays:
            if (display.GetWindow(), display.GetLevel()) != (source.GetWindow(), source.GetLevel()):
                wasModifying = display.StartModify()
                display.SetAutoWindowLevel(False)
                display.SetWindowLevel(source.GetWindow(), source.GetLevel())
                display.EndModify(wasModifying)

    copy(displays[0])
    for display in displays:
        comparison.undo.callback(display.RemoveObserver, display.AddObserver(vtk.vtkCommand.ModifiedEvent, copy))
