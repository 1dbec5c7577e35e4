"""The map of trust of a result in the scene: a volume of percentages beside it, red where little was measured."""

import vtk

from .i18n import _
from .nodes import AID, ATTRIBUTE_PREFIX, ijkToRas, imageFromArray, newNode, placeBeside

TRUST_ROLE = f"{ATTRIBUTE_PREFIX}Trust"  # the node reference from a result to its map
COLORS = "vtkMRMLColorTableNodeRed"  # Slicer's own table, black to red; shown the other way round
LARGEST_SHOWN_PERCENT = 99  # what was measured alone is not covered


def addTrust(corrected, trust_percent):
    """Add the map (slices, rows, columns), 0 to 100, uint8, of a corrected volume node in its place, and return its node; it is saved
    with the scene."""
    name = _("Trust (%) of {name}").format(name=corrected.GetName())
    with newNode(corrected.GetScene(), "vtkMRMLScalarVolumeNode", name) as node:
        node.SetAttribute(AID, "trust")
        node.SetIJKToRASMatrix(ijkToRas(corrected))
        node.SetAndObserveImageData(imageFromArray(trust_percent, vtk.VTK_UNSIGNED_CHAR))
        node.SetAndObserveTransformNodeID(corrected.GetTransformNodeID())
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(100.0, 50.0)
        display.SetInvertDisplayScalarRange(True)
        display.SetAndObserveColorNodeID(COLORS)
        display.SetAutoThreshold(False)
        display.SetThreshold(0, LARGEST_SHOWN_PERCENT)
        display.SetApplyThreshold(True)
        corrected.SetNodeReferenceID(TRUST_ROLE, node.GetID())
        placeBeside(corrected, node)
    return node


def trustOf(corrected):
    """Return the map of trust of a corrected volume node, or None where there is no node, none was made, or it left the scene."""
    return corrected.GetNodeReference(TRUST_ROLE) if corrected is not None else None
