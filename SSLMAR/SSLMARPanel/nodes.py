"""Questions that the panel asks the scene: which volume shows a result, which slice is shown, where segments lie."""

import itertools

import numpy
import slicer
import vtk


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
    sliceNodes = slicer.util.getNodesByClass("vtkMRMLSliceNode")
    sliceNodes = [node for node in sliceNodes if node.IsMappedInLayout()] or sliceNodes
    worldToIjk = _worldToIjk(volume)

    def centerAndAlignment(sliceNode):
        sliceToRas = slicer.util.arrayFromVTKMatrix(sliceNode.GetSliceToRAS())
        center, normal = sliceToRas[:3, 3], sliceToRas[:3, 2]
        spacingMm = numpy.array(volume.GetSpacing())
        step = (worldToIjk(center + normal) - worldToIjk(center)) * spacingMm
        return abs(step[2]) / max(numpy.linalg.norm(step), 1e-9), worldToIjk(center)[2]

    alignments = [centerAndAlignment(node) for node in sliceNodes]
    if not alignments:
        return None
    _, index = max(alignments, key=lambda alignment: alignment[0])
    slices = volume.GetImageData().GetDimensions()[2]
    return round(index) if -0.5 <= index < slices - 0.5 else None


def slicesReached(volume, segmentation, segmentIDs):
    """Return how many slices of a volume segments reach, from the first to the last: at least those with metal."""
    worldToIjk = _worldToIjk(volume)
    toWorld = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(segmentation.GetParentTransformNode(), None, toWorld)
    indices = []
    for corners in _cornersOfSegments(segmentation.GetSegmentation(), segmentIDs):
        indices += [worldToIjk(toWorld.TransformPoint(corner))[2] for corner in corners]
    if not indices:
        return 0
    slices = volume.GetImageData().GetDimensions()[2]
    first, last = max(0, round(min(indices) + 0.5)), min(slices - 1, round(max(indices) - 0.5))
    return max(0, last - first + 1)


def _cornersOfSegments(segments, segmentIDs):
    """Yield for each segment that holds anything the corners (mm) of its box in the segmentation's own frame."""
    labelmapName = slicer.vtkSegmentationConverter.GetBinaryLabelmapRepresentationName()
    for segmentID in segmentIDs:
        segment = segments.GetSegment(segmentID)
        image = segment.GetRepresentation(labelmapName)
        extent, bounds = [0] * 6, [0.0] * 6
        if image is None:
            segment.GetBounds(bounds)
            if bounds[0] <= bounds[1]:
                yield list(itertools.product(bounds[0:2], bounds[2:4], bounds[4:6]))
        elif slicer.vtkOrientedImageDataResample.CalculateEffectiveExtent(image, extent):  # not the whole image's
            toWorld = vtk.vtkMatrix4x4()
            image.GetImageToWorldMatrix(toWorld)
            edges = [(extent[axis] - 0.5, extent[axis + 1] + 0.5) for axis in (0, 2, 4)]
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
