"""Questions that the panel asks the scene: which volume shows a result, which slice is shown, where segments lie."""

import itertools

import numpy
import slicer
import vtk

STEPS_OF_A_JUMP = 3  # through a transform that is not linear, the first one ends nearby


def volumeOf(node):
    """Return the volume that shows a result: the node itself, or the current frame of a sequence, or None."""
    if not node.IsA("vtkMRMLSequenceNode"):
        return node
    browser = slicer.modules.sequences.logic().GetFirstBrowserNodeForSequenceNode(node)
    return browser.GetProxyNode(node) if browser is not None else None


def shownSlice(volume):
    """Return the index along K (from 0) of the slice of a volume that the views show, or None.

    That is the slice view most parallel to the volume's slices; of those in the layout, where there are any.
    """
    views = viewsAlongSlices(volume)
    if not views:
        return None
    index = _worldToIjk(volume)(_centerAndNormal(views[0])[0])[2]
    slices = volume.GetImageData().GetDimensions()[2]
    return round(index) if -0.5 <= index < slices - 0.5 else None


def viewsAlongSlices(volume):
    """Return the slice nodes that lie most parallel to a volume's slices, as good as equally so; of those in the layout, where there
    are any."""
    sliceNodes = slicer.util.getNodesByClass("vtkMRMLSliceNode")
    sliceNodes = [node for node in sliceNodes if node.IsMappedInLayout()] or sliceNodes
    worldToIjk, spacingMm = _worldToIjk(volume), numpy.array(volume.GetSpacing())

    def alignment(sliceNode):
        center, normal = _centerAndNormal(sliceNode)
        step = (worldToIjk(center + normal) - worldToIjk(center)) * spacingMm
        return abs(step[2]) / max(numpy.linalg.norm(step), 1e-9)

    alignments = [alignment(node) for node in sliceNodes]
    return [node for node, one in zip(sliceNodes, alignments, strict=True) if one > max(alignments) - 1e-3]


def jumpToSlice(volume, index):
    """Let the slice views that lie along a volume's slices show the one with that index along K (from 0); others stay."""
    worldToIjk = _worldToIjk(volume)
    for sliceNode in viewsAlongSlices(volume):
        for _ in range(STEPS_OF_A_JUMP):
            center, normal = _centerAndNormal(sliceNode)
            here, next_ = worldToIjk(center)[2], worldToIjk(center + normal)[2]
            if next_ != here:
                sliceNode.JumpSliceByOffsetting(*(center + normal * (index - here) / (next_ - here)))


def _centerAndNormal(sliceNode):
    """The center (RAS, mm) of what a slice view shows, and the unit vector along which it scrolls."""
    sliceToRas = slicer.util.arrayFromVTKMatrix(sliceNode.GetSliceToRAS())
    return sliceToRas[:3, 3], sliceToRas[:3, 2]


def slicesWithMetal(volume, segmentation, segmentIDs):
    """Return the indices of the slices of a volume that hold voxels of segments. Where a segment's label map lies across the volume's
    slices, or there is a surface alone, all slices that it reaches from the first to the last count."""
    worldToIjk = _worldToIjk(volume)
    toWorld = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(segmentation.GetParentTransformNode(), None, toWorld)
    holds = numpy.zeros(volume.GetImageData().GetDimensions()[2], dtype=bool)
    for corners in _cornersOfLayers(segmentation.GetSegmentation(), segmentIDs):
        heights = [worldToIjk(toWorld.TransformPoint(corner))[2] for corner in corners]
        first, last = max(0, round(min(heights) + 0.5)), min(len(holds) - 1, round(max(heights) - 0.5))
        holds[first : last + 1] = True
    return tuple(numpy.flatnonzero(holds).tolist())


def _cornersOfLayers(segments, segmentIDs):
    """Yield the corners (mm) of boxes around each layer of voxels of each segment, in the segmentation's own frame; of a segment
    without label map those of the whole."""
    labelmapName = slicer.vtkSegmentationConverter.GetBinaryLabelmapRepresentationName()
    for segmentID in segmentIDs:
        segment = segments.GetSegment(segmentID)
        image, bounds = segment.GetRepresentation(labelmapName), [0.0] * 6
        if image is None:
            segment.GetBounds(bounds)
            if bounds[0] <= bounds[1]:
                yield list(itertools.product(bounds[0:2], bounds[2:4], bounds[4:6]))
        elif image.GetNumberOfPoints() and image.GetPointData().GetScalars():
            yield from _layersOf(image, segment.GetLabelValue())


def _layersOf(image, labelValue):
    from SSLMARLib.slicer_logic.nodes import arrayFromImage

    toWorld = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(toWorld)
    first = image.GetExtent()[::2]
    for number, layer in enumerate(arrayFromImage(image)):  # segments may share one label map
        rows, columns = numpy.nonzero(layer == labelValue)
        if rows.size:
            edges = [
                (first[axis] + indices.min() - 0.5, first[axis] + indices.max() + 0.5)
                for axis, indices in enumerate((columns, rows, numpy.array([number])))
            ]
            yield [toWorld.MultiplyPoint((*corner, 1.0))[:3] for corner in itertools.product(*edges)]


def _worldToIjk(volume):
    """Return the function from a world point (RAS, mm) to indices (columns, rows, slices) of a volume's array, as floats."""
    from SSLMARLib.slicer_logic.nodes import ijkToRas

    toLocal = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, volume.GetParentTransformNode(), toLocal)
    rasToIjk = ijkToRas(volume)
    rasToIjk.Invert()

    def convert(point):
        local = toLocal.TransformPoint(point)
        return numpy.array(rasToIjk.MultiplyPoint((*local, 1.0))[:3])

    return convert
