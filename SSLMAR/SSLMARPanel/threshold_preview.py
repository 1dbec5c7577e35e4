"""What Apply would take as metal, outlined in the slice views while the user looks for the threshold."""

import numpy
import slicer

NODE_NAME = "SSLMAR threshold preview"
COLOR = (0.1, 0.9, 0.9)


class ThresholdPreview:
    """A label map in the label layer of all slice views, in no list and no scene file; made when shown and removed when hidden.

    No hidden segmentation: Slicer looks for the subject hierarchy item of each one, which nodes hidden from editors do not have, and
    reports an error each time.
    """

    def __init__(self):
        self.node = None
        self._shown = None
        self._colors = None
        self._layers = {}  # composite node: the ID of the label map that it showed before
        self._outlines = {}  # slice node: whether it drew label maps as outlines

    def show(self, volume, mask):
        """Outline a mask (slices, rows, columns) on the grid of a volume, nothing for None; nothing is done where it is shown already."""
        shown = (volume.GetID(), volume.GetMTime(), mask)
        if self.node is not None and self.node.GetScene() is not None and self._shown is not None:
            if shown[:2] == self._shown[:2] and mask is self._shown[2]:
                return
        self._makeNode(volume.GetScene())
        self._fill(volume, mask if mask is not None else numpy.zeros((1, 1, 1), dtype=bool))
        self._putIntoViews(volume.GetScene())
        self._shown = shown

    def hide(self):
        """Remove the node from its scene and give the views back the label maps that they showed."""
        node, self.node, self._shown = self.node, None, None
        if node is None:
            return
        from SSLMARLib.slicer_logic.nodes import removeWithDisplay

        for composite, labelID in self._layers.items():
            scene = composite.GetScene()
            if scene is not None and composite.GetLabelVolumeID() in (node.GetID(), None):
                composite.SetLabelVolumeID(labelID if labelID and scene.GetNodeByID(labelID) is not None else None)
        for sliceNode, wasOutline in self._outlines.items():
            sliceNode.SetUseLabelOutline(wasOutline)
        self._layers, self._outlines = {}, {}
        removeWithDisplay(node)
        removeWithDisplay(self._colors)

    def _makeNode(self, scene):
        if self.node is not None and self.node.GetScene() is not None:
            return
        self.hide()
        self._colors = _addColors(scene)
        node = slicer.vtkMRMLLabelMapVolumeNode()
        node.SetName(NODE_NAME)
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        self.node = scene.AddNode(node)
        self.node.CreateDefaultDisplayNodes()
        display = self.node.GetDisplayNode()
        display.SetSaveWithScene(False)
        display.SetAndObserveColorNodeID(self._colors.GetID())

    def _fill(self, volume, mask):
        """Put the part of a mask that holds metal into the node, in its place in space."""
        import vtk

        from SSLMARLib.slicer_logic.nodes import ijkToRas, imageFromArray, metalBox, moveOrigin

        box, matrix = metalBox(mask), ijkToRas(volume)
        moveOrigin(matrix, [part.start for part in reversed(box)])
        self.node.SetIJKToRASMatrix(matrix)
        self.node.SetAndObserveImageData(imageFromArray(mask[box], vtk.VTK_UNSIGNED_CHAR))
        self.node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())

    def _putIntoViews(self, scene):
        from SSLMARLib.slicer_logic.nodes import nodesOfClass

        for composite in nodesOfClass(scene, "vtkMRMLSliceCompositeNode"):
            if composite.GetLabelVolumeID() != self.node.GetID():
                self._layers[composite] = composite.GetLabelVolumeID()
                composite.SetLabelVolumeID(self.node.GetID())
        for sliceNode in nodesOfClass(scene, "vtkMRMLSliceNode"):
            if sliceNode not in self._outlines:
                self._outlines[sliceNode] = sliceNode.GetUseLabelOutline()
                sliceNode.SetUseLabelOutline(True)


def _addColors(scene):
    from SSLMARLib.slicer_logic.nodes import setHiddenColors

    colors = slicer.vtkMRMLColorTableNode()
    colors.SetName(f"{NODE_NAME} color")
    setHiddenColors(colors, [(0.0, 0.0, 0.0, 0.0), (*COLOR, 1.0)])
    return scene.AddNode(colors)
