"""What is above the metal threshold, outlined in the slice views while the user looks for the threshold."""

import math

import slicer

NODE_NAME = "SSLMAR threshold preview"
COLOR = (0.1, 0.9, 0.9)


class ThresholdPreview:
    """A segmentation node that no list shows and no scene file holds; it is made when shown and removed when hidden."""

    def __init__(self):
        self.node = None
        self._shown = None

    def show(self, volume, thresholdHu):
        """Outline the voxels of a volume at or above a threshold (HU); nothing is done where that is shown already."""
        shown = (volume.GetID(), volume.GetImageData().GetMTime(), volume.GetMTime(), thresholdHu)
        if self.node is not None and self.node.GetScene() is not None and shown == self._shown:
            return
        labelmap = _labelmapAboveThreshold(volume, thresholdHu)
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


def _labelmapAboveThreshold(volume, thresholdHu):
    """Return a volume's voxels at or above a threshold (HU) as an oriented image of their bounding box, or None."""
    from SSLMARLib.slicer_logic.nodes import arrayFromImage, ijkToRas
    from SSLMARLib.slicer_logic.segmentations import labelmapOfMask

    voxelsHu = arrayFromImage(volume.GetImageData())
    threshold = math.ceil(thresholdHu) if voxelsHu.dtype.kind in "iu" else thresholdHu
    mask = voxelsHu >= threshold
    return labelmapOfMask(mask, ijkToRas(volume)) if mask.any() else None
