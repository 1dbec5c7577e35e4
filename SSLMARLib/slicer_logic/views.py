"""The slice views and their layout: the one place that reaches the application's window; all else is MRML nodes."""

from __future__ import annotations

from dataclasses import dataclass

import slicer

from ..errors import InputError
from .i18n import _
from .nodes import nodesOfClass

LEFT_VIEW, RIGHT_VIEW = "Red", "Yellow"  # of Slicer's layout "side by side"


def layoutNode():
    """Return the node that holds the layout of the application's window.

    :raises InputError: there is no window, as in a Slicer started without one.
    """
    manager = slicer.app.layoutManager()
    node = manager.layoutLogic().GetLayoutNode() if manager is not None else None
    if node is None:
        raise InputError(_("Slicer runs without a window, so there are no views to show volumes in."))
    return node


def compositeNodes(scene) -> list:
    """Return the nodes that hold the layers of each slice view, shown or not."""
    return nodesOfClass(scene, "vtkMRMLSliceCompositeNode")


def compositeNode(scene, viewName: str):
    """Return the node that holds the layers of a slice view.

    :raises InputError: the window has no such view.
    """
    return _ofView(compositeNodes(scene), viewName)


def sliceNode(scene, viewName: str):
    """Return the node that holds the plane of a slice view.

    :raises InputError: the window has no such view.
    """
    return _ofView(nodesOfClass(scene, "vtkMRMLSliceNode"), viewName)


def _ofView(nodes: list, viewName: str):
    for node in nodes:
        if node.GetLayoutName() == viewName:
            return node
    raise InputError(_("Slicer's window has no slice view '{view}', so nothing can be compared there.").format(view=viewName))


@dataclass(frozen=True, eq=False)
class Layers:
    """The layers and the link of one slice view, as they were."""

    compositeId: str
    volumeIds: tuple[str | None, str | None, str | None]
    opacities: tuple[float, float]
    compositing: int
    links: tuple[int, int]

    @classmethod
    def of(cls, node) -> Layers:
        return cls(
            node.GetID(),
            (node.GetBackgroundVolumeID(), node.GetForegroundVolumeID(), node.GetLabelVolumeID()),
            (node.GetForegroundOpacity(), node.GetLabelOpacity()),
            node.GetCompositing(),
            (node.GetLinkedControl(), node.GetHotLinkedControl()),
        )

    def giveBack(self, scene, instead=None) -> None:
        """Put them back; for a background that has left the scene meanwhile a volume `instead`, other layers stay empty then."""
        node = scene.GetNodeByID(self.compositeId)
        if node is None:
            return
        background, foreground, label = (
            volumeId if volumeId and scene.GetNodeByID(volumeId) is not None else None for volumeId in self.volumeIds
        )
        if background is None and self.volumeIds[0] and instead is not None and instead.GetScene() is scene:
            background = instead.GetID()
        wasModifying = node.StartModify()
        node.SetBackgroundVolumeID(background)
        node.SetForegroundVolumeID(foreground)
        node.SetLabelVolumeID(label)
        node.SetForegroundOpacity(self.opacities[0])
        node.SetLabelOpacity(self.opacities[1])
        node.SetCompositing(self.compositing)
        node.SetLinkedControl(self.links[0])
        node.SetHotLinkedControl(self.links[1])
        node.EndModify(wasModifying)


@dataclass(frozen=True, eq=False)
class Plane:
    """The plane and zoom of one slice view, as they were."""

    sliceId: str
    sliceToRas: object
    fieldOfViewMm: tuple[float, float, float]
    originXyzMm: tuple[float, float, float]

    @classmethod
    def of(cls, node) -> Plane:
        return cls(node.GetID(), slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS()), node.GetFieldOfView(), node.GetXYZOrigin())

    def giveTo(self, node) -> None:
        """Let a slice view show this plane at this zoom."""
        wasModifying = node.StartModify()
        slicer.util.updateVTKMatrixFromArray(node.GetSliceToRAS(), self.sliceToRas)
        node.SetFieldOfView(*self.fieldOfViewMm)
        node.SetXYZOrigin(*self.originXyzMm)
        node.UpdateMatrices()
        node.EndModify(wasModifying)

    def giveBack(self, scene) -> None:
        node = scene.GetNodeByID(self.sliceId)
        if node is not None:
            self.giveTo(node)
