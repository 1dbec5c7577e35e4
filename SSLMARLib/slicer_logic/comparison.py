"""Input and result in the slice views, side by side, as a difference or with a swipe; `endComparison` puts all back.

One comparison at a time: showing another ends the one before. The nodes that a comparison adds are not saved with the
scene. After a change of strength call the function again: it brings what it shows up to date.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

import slicer

from ..errors import InputError
from .difference import differenceColors, differenceImage, showDifferenceColors
from .i18n import _
from .nodes import AID, arrayFromImage, copyDisplay, ijkToRas, imageFromArray, newNode, placeBeside, removeWithDisplay
from .swipe import Swipe
from .views import LEFT_VIEW, RIGHT_VIEW, Layers, Plane, compositeNode, compositeNodes, layoutNode, sliceNode
from .window_link import WindowLink, linkWindows

SIDE_BY_SIDE, DIFFERENCE, SWIPE = "side by side", "difference", "swipe"


@dataclass(eq=False)
class Comparison:
    """The comparison that is shown: what to put back afterwards, and the nodes that were added (the volume first)."""

    kind: str
    scene: object
    inputVolume: object
    correctedVolume: object
    arrangement: int
    layers: list[Layers]
    planes: list[Plane] = field(default_factory=list)
    nodes: list = field(default_factory=list)
    swipe: Swipe | None = None
    windowLink: WindowLink | None = None

    def shows(self, kind: str, inputVolume, correctedVolume) -> bool:
        """Whether this is the comparison asked for, with its nodes still there and of the input's size."""
        if (self.kind, self.inputVolume, self.correctedVolume) != (kind, inputVolume, correctedVolume):
            return False
        size = inputVolume.GetImageData().GetDimensions()
        return all(node.GetScene() is not None for node in self.nodes) and all(
            node.GetImageData().GetDimensions() == size for node in self.nodes[:1]
        )


_current: Comparison | None = None


def compareSideBySide(inputVolume, correctedVolume) -> None:
    """Show the input on the left and the result on the right, in linked slice views of one plane and zoom and with one
    window and level, which follow each other until `endComparison`.

    :raises InputError: the nodes do not belong together, or Slicer has no window.
    """
    if _shown(SIDE_BY_SIDE, inputVolume, correctedVolume) is not None:
        return
    with _begun(SIDE_BY_SIDE, inputVolume, correctedVolume) as comparison:
        left, right = sliceNode(comparison.scene, LEFT_VIEW), sliceNode(comparison.scene, RIGHT_VIEW)
        comparison.planes.append(Plane.of(right))
        layoutNode().SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView)
        Plane.of(left).giveTo(right)
        for viewName, volume in ((LEFT_VIEW, inputVolume), (RIGHT_VIEW, correctedVolume)):
            composite = compositeNode(comparison.scene, viewName)
            wasModifying = composite.StartModify()
            composite.SetLinkedControl(True)
            composite.SetHotLinkedControl(True)
            _showOnly(composite, volume)
            composite.EndModify(wasModifying)
        comparison.windowLink = linkWindows(inputVolume, correctedVolume)


def showDifference(inputVolume, correctedVolume):
    """Show result minus input (HU) in all slice views, blue below 0 and red above, and return its volume node.

    The window is always the same, -200 to 200 HU, so that differences can be compared.

    :raises InputError: the nodes do not belong together, or Slicer has no window.
    """
    comparison = _shown(DIFFERENCE, inputVolume, correctedVolume)
    if comparison is not None:
        comparison.nodes[0].SetAndObserveImageData(differenceImage(inputVolume, correctedVolume))
        return comparison.nodes[0]
    with _begun(DIFFERENCE, inputVolume, correctedVolume) as comparison:
        name = _("{name} minus input").format(name=correctedVolume.GetName())
        node = _addVolume(comparison, name, differenceImage(inputVolume, correctedVolume))
        colors = differenceColors(comparison.scene)
        comparison.nodes.append(colors)
        showDifferenceColors(node, colors)
        for composite in compositeNodes(comparison.scene):
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
        return comparison.nodes[0]
    with _begun(SWIPE, inputVolume, correctedVolume) as comparison:
        inputImage = inputVolume.GetImageData()
        image = imageFromArray(arrayFromImage(inputImage), inputImage.GetScalarType())
        node = _addVolume(comparison, _("{name} swipe").format(name=correctedVolume.GetName()), image)
        copyDisplay(inputVolume, node)
        comparison.swipe = Swipe(inputVolume, correctedVolume, node)
        comparison.swipe.moveTo(fraction)
        for composite in compositeNodes(comparison.scene):
            _showOnly(composite, node)
    return node


def endComparison() -> None:
    """Give the slice views back their layout, layers, links and planes, and remove what the comparison added.

    Does nothing where nothing is compared; volumes that have left the scene meanwhile are no obstacle.
    """
    global _current
    comparison, _current = _current, None
    if comparison is None:
        return
    if comparison.windowLink is not None:
        comparison.windowLink.release()
    for node in comparison.nodes:
        removeWithDisplay(node)
    for former in (*comparison.layers, *comparison.planes):
        former.giveBack(comparison.scene)
    with contextlib.suppress(InputError):  # the window is gone, and its layout with it
        layoutNode().SetViewArrangement(comparison.arrangement)


def comparisonShown() -> str:
    """Return what is compared now: "side by side", "difference", "swipe", or "" for nothing."""
    return _current.kind if _current is not None else ""


def _shown(kind: str, inputVolume, correctedVolume) -> Comparison | None:
    """The comparison that is shown where it is the one asked for, else None."""
    _checkPair(inputVolume, correctedVolume)
    return _current if _current is not None and _current.shows(kind, inputVolume, correctedVolume) else None


@contextlib.contextmanager
def _begun(kind: str, inputVolume, correctedVolume):
    """End the comparison before, remember how the views are, and give all back where the block fails."""
    global _current
    layoutNode()  # refuses before anything is changed
    endComparison()
    scene = correctedVolume.GetScene()
    layers = [Layers.of(composite) for composite in compositeNodes(scene)]
    _current = Comparison(kind, scene, inputVolume, correctedVolume, layoutNode().GetViewArrangement(), layers)
    try:
        yield _current
    except BaseException:
        endComparison()
        raise


def _addVolume(comparison: Comparison, name: str, image):
    """Add a volume node in the place of the result, beside it in subject hierarchy, that is not saved with the scene."""
    corrected = comparison.correctedVolume
    with newNode(comparison.scene, "vtkMRMLScalarVolumeNode", name) as node:
        node.SetSaveWithScene(False)
        node.SetAttribute(AID, comparison.kind)
        node.SetIJKToRASMatrix(ijkToRas(corrected))
        node.SetAndObserveImageData(image)
        node.SetAndObserveTransformNodeID(corrected.GetTransformNodeID())
        placeBeside(corrected, node)
    comparison.nodes.append(node)
    return node


def _showOnly(composite, volume) -> None:
    composite.SetBackgroundVolumeID(volume.GetID())
    composite.SetForegroundVolumeID(None)


def _checkPair(inputVolume, correctedVolume) -> None:
    """:raises InputError: the two cannot be compared voxel by voxel."""
    for volume in (inputVolume, correctedVolume):
        if volume is None or volume.GetScene() is None or volume.GetImageData() is None:
            raise InputError(_("The input or the result is no longer in the scene, so there is nothing to compare."))
    image, other = inputVolume.GetImageData(), correctedVolume.GetImageData()
    if image.GetDimensions() != other.GetDimensions() or image.GetScalarType() != other.GetScalarType():
        text = _("'{input}' and '{name}' have different voxels: choose a result and its own input to compare them.")
        raise InputError(text.format(input=inputVolume.GetName(), name=correctedVolume.GetName()))
