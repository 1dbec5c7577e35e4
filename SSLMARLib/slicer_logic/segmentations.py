"""Metal as a segmentation node: made by a threshold, and turned into a mask on the voxel grid of a volume."""

from collections.abc import Sequence

import numpy
import slicer
import vtk

from ..ct.metal_search import MetalSearch
from ..errors import InputError, NoMetalError
from .i18n import _
from .job import checksumOf
from .nodes import ATTRIBUTE_PREFIX, arrayFromImage, ijkToRas, metalBox, newNode, placeBeside, transformBetween
from .volumes import checkInputVolume

METAL_SEGMENT_NAME = "Metal"
METAL_CHECKSUM = f"{ATTRIBUTE_PREFIX}MetalChecksum"  # the attribute of segmentations: of what `segmentMetal` last put there
METAL_SEGMENT_COLOR = (0.95, 0.72, 0.25)


def metalSearch(thresholdHu=None, smallestComponentMm3=None, peakHu=None, dilationMm=None, learnedOutline=None):
    """The `SSLMARLib.MetalSearch` of these values in Slicer's spelling; None leaves the library's default.

    :raises InputError: a value is no number, or below 0.
    """
    values = {
        "threshold_hu": thresholdHu, "smallest_component_mm3": smallestComponentMm3, "peak_hu": peakHu, "dilation_mm": dilationMm,
        "learned_outline": learnedOutline,
    }  # fmt: skip
    return MetalSearch(**{name: value for name, value in values.items() if value is not None})


def segmentMetal(inputVolume, thresholdHu: float | None = None, *, segmentation=None, **search):
    """Put the metal of a CT volume node into a segmentation node as its segment 'Metal', and return the node.

    Without `segmentation` a new node is made, with the volume's geometry, parent transform and place in subject
    hierarchy. With one its segment 'Metal' is replaced, or added; its other segments stay as they are.

    :param thresholdHu, smallestComponentMm3, peakHu, dilationMm, learnedOutline: how metal is found, see `metalSearch`.
    :raises InputError: the volume or the segmentation is unfit, or there is no metal; nothing has changed then.
    """
    from ..learned_metal import find_metal

    search = metalSearch(thresholdHu=thresholdHu, **search)
    checkInputVolume(inputVolume)
    if segmentation is not None:
        checkSegmentation(segmentation)
    voxelsHu = arrayFromImage(inputVolume.GetImageData())
    mask = find_metal(voxelsHu, tuple(reversed(inputVolume.GetSpacing())), search)
    labelmap = labelmapOfMask(mask, ijkToRas(inputVolume))
    if segmentation is not None:
        _replaceMetalSegment(segmentation, labelmap, inputVolume)
    else:
        segmentation = _newMetalSegmentation(inputVolume, labelmap)
    segmentation.SetAttribute(f"{ATTRIBUTE_PREFIX}ThresholdHu", f"{search.threshold_hu:g}")
    segmentation.SetAttribute(METAL_CHECKSUM, _metalChecksum(segmentation))
    return segmentation


def metalWasEdited(segmentation) -> bool:
    """Whether a segmentation node has a segment 'Metal' that is not, to the voxel, what `segmentMetal` last put there: edited or drawn
    by hand, or loaded. `segmentMetal` would replace it."""
    checksum = _metalChecksum(segmentation)
    return bool(checksum) and checksum != segmentation.GetAttribute(METAL_CHECKSUM)


def _metalChecksum(segmentation) -> str:
    """Of the voxels of the segment 'Metal' and their place in the segmentation's own frame; "" where there are none."""
    segmentId = segmentation.GetSegmentation().GetSegmentIdBySegmentName(METAL_SEGMENT_NAME)
    labelmap = _labelmapOfSegment(segmentation, segmentId) if segmentId else None
    if labelmap is None:
        return ""
    voxels = arrayFromImage(labelmap) != 0
    if not voxels.any():
        return ""
    matrix = vtk.vtkMatrix4x4()
    labelmap.GetImageToWorldMatrix(matrix)
    indices = numpy.argwhere(voxels)[:, ::-1] + labelmap.GetExtent()[::2]
    places = indices @ slicer.util.arrayFromVTKMatrix(matrix)[:3, :3].T + slicer.util.arrayFromVTKMatrix(matrix)[:3, 3]
    return checksumOf(numpy.round(places, 3)[None] + 0.0)


def _newMetalSegmentation(inputVolume, labelmap):
    name = _("{name} metal").format(name=inputVolume.GetName())
    with newNode(inputVolume.GetScene(), "vtkMRMLSegmentationNode", name) as segmentation:
        segmentation.SetAndObserveTransformNodeID(inputVolume.GetTransformNodeID())
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(inputVolume)
        _addMetalSegment(segmentation, labelmap)
        segmentation.CreateDefaultDisplayNodes()
        placeBeside(inputVolume, segmentation)
    return segmentation


def _addMetalSegment(segmentation, labelmap) -> str:
    """Add a label map as the segment 'Metal' and return its ID."""
    segmentId = segmentation.AddSegmentFromBinaryLabelmapRepresentation(labelmap, METAL_SEGMENT_NAME, METAL_SEGMENT_COLOR)
    if not segmentId:
        text = _("Slicer could not store the metal in '{name}' as a segment: choose another segmentation.")
        raise InputError(text.format(name=segmentation.GetName()))
    return segmentId


def _replaceMetalSegment(segmentation, labelmap, inputVolume) -> None:
    """Put a label map on the grid of a volume in the place of a node's segment 'Metal'; the other segments stay."""
    role = segmentation.GetReferenceImageGeometryReferenceRole()
    if segmentation.GetNodeReference(role) is None:
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(inputVolume)
    transform = transformBetween(inputVolume, segmentation)
    if transform is not None:
        slicer.vtkOrientedImageDataResample.TransformOrientedImage(labelmap, transform)
    segments = segmentation.GetSegmentation()
    segmentId = segments.GetSegmentIdBySegmentName(METAL_SEGMENT_NAME)
    labelmapName = slicer.vtkSegmentationConverter.GetBinaryLabelmapRepresentationName()
    if not segmentId:
        _addMetalSegment(segmentation, labelmap)
    elif segments.GetSourceRepresentationName() != labelmapName:
        text = _(
            "The segment '{segment}' of '{name}' is a surface, not a label map: rename or remove it, or let the metal go "
            "into a new segmentation."
        )
        raise InputError(text.format(segment=METAL_SEGMENT_NAME, name=segmentation.GetName()))
    else:
        representations = []
        segments.GetContainedRepresentationNames(representations)
        segments.ClearSegment(segmentId)  # out of a label map that it may share with other segments
        segment = segments.GetSegment(segmentId)
        segment.SetLabelValue(1)
        segment.AddRepresentation(labelmapName, labelmap)
        for representation in representations:  # such as the surfaces in 3D views, which have become invalid
            segments.CreateRepresentation(representation)


def checkSegmentation(metalSegmentation) -> None:
    """Raise InputError unless a node is a segmentation node in a scene."""
    if not hasattr(metalSegmentation, "IsA") or not metalSegmentation.IsA("vtkMRMLSegmentationNode"):
        raise InputError(_("The metal must be a segmentation node: choose one, or none to use the threshold."))
    if metalSegmentation.GetScene() is None:
        text = _("The segmentation '{name}' is not in a scene: add it first.")
        raise InputError(text.format(name=metalSegmentation.GetName()))


def findSegments(metalSegmentation, segmentIDs: Sequence[str] | None = None) -> list[str]:
    """Return the IDs of the segments that are metal: those named (by ID or by name), or all.

    :raises InputError: not a segmentation, no segments, or a segment that is not there.
    """
    checkSegmentation(metalSegmentation)
    segmentation = metalSegmentation.GetSegmentation()
    known = list(segmentation.GetSegmentIDs()) if segmentation is not None else []
    if not known:
        text = _("The segmentation '{name}' has no segments: draw the metal in it, or choose no segmentation to use the threshold.")
        raise InputError(text.format(name=metalSegmentation.GetName()))
    if segmentIDs is None:
        return known
    if isinstance(segmentIDs, str):
        segmentIDs = [segmentIDs]
    found = []
    for wanted in segmentIDs:
        segmentID = wanted if wanted in known else segmentation.GetSegmentIdBySegmentName(wanted)
        if not segmentID:
            names = ", ".join(f"'{segmentName(metalSegmentation, segmentID)}'" for segmentID in known)
            text = _("The segmentation '{name}' has no segment '{wanted}': its segments are {names}.")
            raise InputError(text.format(name=metalSegmentation.GetName(), wanted=wanted, names=names))
        found.append(segmentID)
    if not found:
        text = _("No segment of '{name}' is chosen: name at least one that is metal.")
        raise InputError(text.format(name=metalSegmentation.GetName()))
    return found


def metalMaskFromSegmentation(
    metalSegmentation,
    volume,
    segmentIDs: Sequence[str] | None = None,
    *,
    sliceIndex: int | None = None,
    placedLike=None,
    masks: dict | None = None,
) -> numpy.ndarray:
    """Return the union of segments as a bool array (slices, rows, columns) on the voxel grid of a volume node.

    Slicer resamples each segment (nearest neighbor) through all transforms between the two nodes, linear or not.
    The segmentation itself is not changed: a representation that is missing is made in a copy.

    :param sliceIndex: give this slice only, (1, rows, columns).
    :param placedLike: the node whose parent transform counts instead of the volume's (a frame of a sequence has none).
    :param masks: keeps masks between calls for the volumes of one grid.
    :raises InputError: as `findSegments`, or no voxel of the segments lies inside the volume or the slice.
    """
    segmentIDs = findSegments(metalSegmentation, segmentIDs)
    columns, rows, slices = volume.GetImageData().GetDimensions()
    first, last = (0, slices - 1) if sliceIndex is None else (sliceIndex, sliceIndex)
    matrix = ijkToRas(volume)
    geometry = slicer.util.arrayFromVTKMatrix(matrix).tobytes()
    key = (metalSegmentation.GetAddressAsString(""), columns, rows, first, last, geometry)
    if masks is not None and key in masks:
        return masks[key]
    grid = slicer.vtkOrientedImageData()
    grid.SetExtent(0, columns - 1, 0, rows - 1, first, last)
    grid.SetImageToWorldMatrix(matrix)
    grid.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    transform = transformBetween(metalSegmentation, placedLike or volume)
    mask = numpy.zeros((last - first + 1, rows, columns), dtype=bool)
    for segmentID in segmentIDs:
        labelmap = _labelmapOfSegment(metalSegmentation, segmentID)
        if labelmap is None:
            continue
        resampled = slicer.vtkOrientedImageData()
        if not slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
            labelmap, grid, resampled, False, False, transform
        ):
            text = _("Slicer could not resample the segment '{segment}' to the volume '{name}': check their transforms.")
            raise InputError(text.format(segment=segmentName(metalSegmentation, segmentID), name=volume.GetName()))
        mask |= arrayFromImage(resampled) != 0
    if not mask.any():
        names = ", ".join(f"'{segmentName(metalSegmentation, segmentID)}'" for segmentID in segmentIDs)
        where = _("the volume '{name}'") if sliceIndex is None else _("slice {number} of '{name}'")
        where = where.format(name=volume.GetName(), number=first + 1)
        text = _(
            "No voxel of {names} in '{segmentation}' lies inside {where}: draw the metal, choose other segments, or choose "
            "no segmentation to use the threshold."
        )
        raise NoMetalError(text.format(names=names, segmentation=metalSegmentation.GetName(), where=where))
    if masks is not None:
        masks[key] = mask
    return mask


def _labelmapOfSegment(metalSegmentation, segmentID: str):
    """Return one segment as an oriented image, 0 outside, in the segmentation's own frame; None where it is empty."""
    labelmap = slicer.vtkOrientedImageData()
    representation = slicer.vtkSegmentationConverter.GetBinaryLabelmapRepresentationName()
    if metalSegmentation.GetSegmentation().GetSegment(segmentID).GetRepresentation(representation) is not None:
        # Segments may share one label map; this takes the one segment out of it.
        found = metalSegmentation.GetBinaryLabelmapRepresentation(segmentID, labelmap)
    else:
        found = slicer.vtkSlicerSegmentationsModuleLogic.GetSegmentBinaryLabelmapRepresentation(
            metalSegmentation, segmentID, labelmap, False
        )
    if not found:
        text = _("Slicer could not make a label map of the segment '{segment}': convert it in Segmentations.")
        raise InputError(text.format(segment=segmentName(metalSegmentation, segmentID)))
    return labelmap if labelmap.GetNumberOfPoints() > 0 and labelmap.GetPointData().GetScalars() else None


def labelmapOfMask(mask: numpy.ndarray, matrix):
    """Return a bool mask (slices, rows, columns) as an oriented image that covers the metal's bounding box only."""
    box = metalBox(mask)
    extent = [edge for part in reversed(box) for edge in (part.start, part.stop - 1)]
    labelmap = slicer.vtkOrientedImageData()
    labelmap.SetExtent(*extent)
    labelmap.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    labelmap.SetImageToWorldMatrix(matrix)
    arrayFromImage(labelmap)[:] = mask[box]
    return labelmap


def segmentName(metalSegmentation, segmentID: str) -> str:
    return metalSegmentation.GetSegmentation().GetSegment(segmentID).GetName()
