"""What Apply would take as metal, outlined in the slice views while the user looks for the threshold."""

import slicer

NODE_NAME = "SSLMAR threshold preview"
COLOR = (0.1, 0.9, 0.9)


class ThresholdPreview:
    """A segmentation node that no list shows and no scene file holds; it is made when shown and removed when hidden."""

    def __init__(self):
        self.node = None
        self._shown = None

    def show(self, volume, mask):
        """Outline a mask (slices, rows, columns) on the grid of a volume, nothing for None; nothing is done where it is shown already."""
        shown = (volume.GetID(), volume.GetMTime(), mask)
        if self.node is not None and self.node.GetScene() is not None and self._shown is not None:
            if shown[:2] == self._shown[:2] and mask is self._shown[2]:
                return
        from SSLMARLib.slicer_logic.nodes import ijkToRas
        from SSLMARLib.slicer_logic.segmentations import labelmapOfMask

        labelmap = labelmapOfMask(mask, ijkToRas(volume)) if mask is not None else None
        self._makeNode(volume.GetScene())
        self.node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
        segmentation = self.node.GetSegmentation()
        segmentation.RemoveAllSegments()
        if labelmap is not None:
            self.node.AddSegmentFromBinaryLabelmapRepresentation(labelmap, NODE_NAME, COLOR)
        self._shown = shown

    def hide(self):
        """Remove the node from its scene."""
        node, self.node, self._shown = self.node, None, None
        if node is not None:
            from SSLMARLib.slicer_logic.nodes import removeWithDisplay

            removeWithDisplay(node)

    def _makeNode(self, scene):
        if self.node is not None and self.node.GetScene() is not None:
            return
        node = slicer.vtkMRMLSegmentationNode()
        node.SetName(NODE_NAME)
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        self.node = scene.AddNode(node)
        self.node.CreateDefaultDisplayNodes()
        display = self.node.GetDisplayNode()
        display.SetSaveWithScene(False)
        display.SetVisibility3D(False)
        display.SetVisibility2DFill(False)
        display.SetVisibility2DOutline(True)
