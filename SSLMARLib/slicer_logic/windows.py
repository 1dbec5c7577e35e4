"""The soft-tissue window, in which streaks are judged, for a scan and all that was made of it; and the window before it."""

import json

from .nodes import ATTRIBUTE_PREFIX, INPUT_ROLE, PREVIEW_ROLE, nodesOfClass

SOFT_TISSUE_WINDOW_LEVEL_HU = (400.0, 40.0)
FORMER_WINDOW = f"{ATTRIBUTE_PREFIX}FormerWindow"  # the attribute of display nodes: automatic, window, level


def isSoftTissueShown(inputVolume) -> bool:
    """Whether `showSoftTissue` is on for a volume node, and nobody has chosen another window since."""
    display = inputVolume.GetDisplayNode() if inputVolume is not None else None
    return display is not None and display.GetAttribute(FORMER_WINDOW) is not None and _windowOf(display) == SOFT_TISSUE_WINDOW_LEVEL_HU


def showSoftTissue(inputVolume) -> None:
    """Show a volume node, its results, its preview and the swipe between them from -160 to 240 HU, wherever they are shown."""
    for display in _displaysOf(inputVolume):
        former = json.dumps([bool(display.GetAutoWindowLevel()), *_windowOf(display)])
        if display.GetAttribute(FORMER_WINDOW) is None or _windowOf(display) != SOFT_TISSUE_WINDOW_LEVEL_HU:
            display.SetAttribute(FORMER_WINDOW, former)
        _setWindow(display, False, *SOFT_TISSUE_WINDOW_LEVEL_HU)


def endSoftTissue(inputVolume) -> None:
    """Give each of them back its window from before; what was made meanwhile gets the input's."""
    displays = _displaysOf(inputVolume)
    formers = [display.GetAttribute(FORMER_WINDOW) for display in displays]
    inputs = next((former for former in formers if former is not None), None)  # the input comes first
    for display, former in zip(displays, formers, strict=True):
        if (former or inputs) and _windowOf(display) == SOFT_TISSUE_WINDOW_LEVEL_HU:
            _setWindow(display, *json.loads(former or inputs))
        display.RemoveAttribute(FORMER_WINDOW)


def _displaysOf(inputVolume) -> list:
    """The display nodes of a volume, first, and of what was made of it."""
    volumes = [inputVolume]
    for node in nodesOfClass(inputVolume.GetScene(), "vtkMRMLScalarVolumeNode"):
        if inputVolume in (node.GetNodeReference(INPUT_ROLE), node.GetNodeReference(PREVIEW_ROLE)):
            volumes.append(node)
    displays = [volume.GetDisplayNode() for volume in volumes]
    return [display for display in displays if display is not None and display.IsA("vtkMRMLScalarVolumeDisplayNode")]


def _windowOf(display) -> tuple[float, float]:
    return display.GetWindow(), display.GetLevel()


def _setWindow(display, isAutomatic: bool, window: float, level: float) -> None:
    wasModifying = display.StartModify()
    display.SetAutoWindowLevel(isAutomatic)
    if not isAutomatic:
        display.SetWindowLevel(window, level)
    display.EndModify(wasModifying)
