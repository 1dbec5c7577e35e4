"""Two volumes that are compared have one window and level: a change of either is taken over by the other."""

from __future__ import annotations

import vtk


class WindowLink:
    """Keeps the window and level of two volume display nodes equal until it is released; the first decides at the start."""

    def __init__(self, displayNode, otherDisplayNode):
        self._nodes = [displayNode, otherDisplayNode]
        self._copying = False
        self._copy(displayNode, otherDisplayNode)
        self._tags = [node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onModified) for node in self._nodes]

    def release(self) -> None:
        """Let go of both; each keeps what it shows."""
        for node, tag in zip(self._nodes, self._tags, strict=True):
            node.RemoveObserver(tag)
        self._nodes, self._tags = [], []

    def _onModified(self, changed, event) -> None:
        for node in self._nodes:
            if node is not changed:
                self._copy(changed, node)

    def _copy(self, source, target) -> None:
        shown = (source.GetWindow(), source.GetLevel())
        if self._copying or shown == (target.GetWindow(), target.GetLevel()):
            return
        self._copying = True
        try:
            wasModifying = target.StartModify()
            target.SetAutoWindowLevel(False)
            target.SetWindowLevel(*shown)
            target.EndModify(wasModifying)
        finally:
            self._copying = False


def linkWindows(volume, otherVolume) -> WindowLink | None:
    """Link the windows of two volume nodes; None where one has no display."""
    displays = [node.GetDisplayNode() for node in (volume, otherVolume)]
    if not all(display is not None and display.IsA("vtkMRMLScalarVolumeDisplayNode") for display in displays):
        return None
    return WindowLink(*displays)
