"""MRML nodes in, a new node out: the one file of this library that imports slicer and vtk.

`process` does everything in one blocking call. A panel that must stay alive takes the three steps apart:

    correction = prepareCorrection(inputVolume, method="nmar")     # main thread: checks, copies the voxels out of MRML
    result = correction.compute(progress, isCancelled)             # any thread: touches no MRML
    correctedVolume = correction.addToScene(result)                # main thread: the new node

Names are in Slicer's camelCase here. Nothing in this file changes a node that the caller passes in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy
import slicer
import vtk
from vtk.util import numpy_support

from ._version import __version__
from .errors import Cancelled, InputError

ATTRIBUTE_PREFIX = "SSLMAR."
DEFAULT_METHOD = "nmar"
DEFAULT_THRESHOLD_HU = 2000.0
METAL_SEGMENT_NAME = "Metal"
METAL_SEGMENT_COLOR = (0.95, 0.72, 0.25)

Progress = Callable[[float, str], None]
IsCancelled = Callable[[], bool]


def process(
    inputVolume,
    metalSegmentation=None,
    segmentIDs: Sequence[str] | None = None,
    method: str = DEFAULT_METHOD,
    thresholdHu: float = DEFAULT_THRESHOLD_HU,
    *,
    progress: Progress | None = None,
    isCancelled: IsCancelled | None = None,
    **options,
):
    """Correct a CT volume node and return the new scalar volume node; the input is never touched.

    :param inputVolume: scalar volume node in Hounsfield units.
    :param metalSegmentation: segmentation node of the metal, of any geometry and under any transform; without one,
      metal is every voxel above `thresholdHu`.
    :param segmentIDs: IDs or names of the segments that are metal; all segments by default.
    :param method: one of `SSLMARLib.available_methods()`.
    :param thresholdHu: metal threshold (HU), used only without a segmentation.
    :param progress: called as progress(fraction, message) with a fraction of 0 to 1.
    :param isCancelled: called often; when it returns True, the run ends with `Cancelled`.
    :param options: see `prepareCorrection`.
    :raises MARError: with a sentence for the user; the scene is then as it was before the call.
    """
    correction = prepareCorrection(inputVolume, metalSegmentation, segmentIDs, method, thresholdHu, **options)
    result = correction.compute(progress, isCancelled)
    if isCancelled is not None and isCancelled():
        raise Cancelled("The correction was cancelled; no volume was made.")
    return correction.addToScene(result)


def prepareCorrection(
    inputVolume,
    metalSegmentation=None,
    segmentIDs: Sequence[str] | None = None,
    method: str = DEFAULT_METHOD,
    thresholdHu: float = DEFAULT_THRESHOLD_HU,
    *,
    device: str = "auto",
    smallestComponentMm3: float | None = None,
    maskDilationMm: float | None = None,
    traceDilationBins: int | None = None,
    restoreMetal: bool | None = None,
) -> Correction:
    """Check the nodes and copy what a correction needs out of them; main thread only.

    The first five parameters are those of `process`. The others are keywords of `SSLMARLib.reduce_metal_artifacts`
    in Slicer's spelling; None leaves the library's default.

    :raises InputError: a node is missing or unfit, or the segments hold no voxel inside the volume.
    """
    checkInputVolume(inputVolume)
    options = {
        "smallest_component_mm3": smallestComponentMm3,
        "mask_dilation_mm": maskDilationMm,
        "trace_dilation_bins": traceDilationBins,
        "restore_metal": restoreMetal,
    }
    options = {name: value for name, value in options.items() if value is not None}
    metalMask, segmentNames = None, ()
    if metalSegmentation is None:
        options["threshold_hu"] = float(thresholdHu)
    else:
        segmentIDs = findSegments(metalSegmentation, segmentIDs)
        metalMask = metalMaskFromSegmentation(metalSegmentation, inputVolume, segmentIDs)
        segmentNames = tuple(_segmentName(metalSegmentation, segmentID) for segmentID in segmentIDs)
    return Correction(
        inputVolume=inputVolume,
        metalSegmentation=metalSegmentation,
        segmentNames=segmentNames,
        ijkToRas=_ijkToRas(inputVolume),
        scalarType=inputVolume.GetImageData().GetScalarType(),
        voxelsHu=slicer.util.arrayFromVolume(inputVolume).copy(),
        spacingMm=tuple(reversed(inputVolume.GetSpacing())),
        metalMask=metalMask,
        method=method,
        device=device,
        options=options,
    )


@dataclass(frozen=True, eq=False)
class Correction:
    """One correction on its way from the input node to the new node.

    voxelsHu and metalMask have the axes (slices, rows, columns), spacingMm the same order; both are copies.
    """

    inputVolume: object
    metalSegmentation: object
    segmentNames: tuple[str, ...]
    ijkToRas: object
    scalarType: int
    voxelsHu: numpy.ndarray
    spacingMm: tuple[float, float, float]
    metalMask: numpy.ndarray | None
    method: str
    device: str
    options: dict

    def compute(self, progress: Progress | None = None, isCancelled: IsCancelled | None = None):
        """Run `SSLMARLib.reduce_metal_artifacts` and return its result. Any thread: no node is read or written.

        :raises MARError: as that function does; `Cancelled` when isCancelled() returned True.
        """
        from .correction import reduce_metal_artifacts

        return reduce_metal_artifacts(
            self.voxelsHu,
            self.spacingMm,
            metal_mask=self.metalMask,
            method=self.method,
            device=self.device,
            progress=progress,
            is_cancelled=isCancelled,
            **self.options,
        )

    def addToScene(self, result):
        """Add the corrected volume to the input's scene and return its node; main thread only.

        The node has the input's IJK-to-RAS matrix, scalar type, parent transform, window and color, stands beside
        the input in subject hierarchy, and carries the parameters as attributes "SSLMAR.*".

        :raises InputError: the input volume left the scene meanwhile. No node is left behind then.
        """
        scene = self.inputVolume.GetScene()
        if scene is None:
            raise InputError("The input volume was removed from the scene during the run, so no result was made.")
        name = f"{self.inputVolume.GetName()} (MAR: {methodTitle(self.method)})"
        corrected = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", _uniqueName(scene, name))
        try:
            corrected.SetIJKToRASMatrix(self.ijkToRas)
            corrected.SetAndObserveImageData(_imageFromArray(result.volume_hu, self.scalarType))
            corrected.SetVoxelValueQuantity(self.inputVolume.GetVoxelValueQuantity())
            corrected.SetVoxelValueUnits(self.inputVolume.GetVoxelValueUnits())
            corrected.SetAndObserveTransformNodeID(self.inputVolume.GetTransformNodeID())
            _copyDisplay(self.inputVolume, corrected)
            self._describe(corrected, result)
            _placeBeside(self.inputVolume, corrected)
        except BaseException:
            _removeWithDisplay(corrected)
            raise
        return corrected

    def _describe(self, corrected, result) -> None:
        """Store where the volume comes from: node attributes and references, saved with the scene."""
        attributes = {
            "Version": __version__,
            "Method": self.method,
            "InputVolume": self.inputVolume.GetName(),
            "Report": result.report.to_json(),
        }
        for name, value in self.options.items():
            attributes["".join(word.capitalize() for word in name.split("_"))] = value
        corrected.SetNodeReferenceID(f"{ATTRIBUTE_PREFIX}InputVolume", self.inputVolume.GetID())
        if self.metalSegmentation is not None:
            attributes["MetalSegmentation"] = self.metalSegmentation.GetName()
            attributes["MetalSegments"] = json.dumps(self.segmentNames)
            corrected.SetNodeReferenceID(f"{ATTRIBUTE_PREFIX}MetalSegmentation", self.metalSegmentation.GetID())
        for name, value in attributes.items():
            corrected.SetAttribute(ATTRIBUTE_PREFIX + name, str(value))


def segmentMetal(
    inputVolume,
    thresholdHu: float = DEFAULT_THRESHOLD_HU,
    *,
    smallestComponentMm3: float | None = None,
    dilationMm: float | None = None,
):
    """Return a new segmentation node with the metal of a CT volume node as its segment 'Metal', ready to be edited.

    Its reference geometry is the volume's, its parent transform and place in subject hierarchy too.

    :raises InputError: the volume is unfit, or holds no metal above the threshold (HU).
    """
    from .ct.segmentation import segment_metal

    checkInputVolume(inputVolume)
    options = {"smallest_component_mm3": smallestComponentMm3, "dilation_mm": dilationMm}
    mask = segment_metal(
        slicer.util.arrayFromVolume(inputVolume),
        tuple(reversed(inputVolume.GetSpacing())),
        threshold_hu=float(thresholdHu),
        **{name: value for name, value in options.items() if value is not None},
    )
    scene = inputVolume.GetScene()
    name = _uniqueName(scene, f"{inputVolume.GetName()} metal")
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    try:
        segmentation.SetAndObserveTransformNodeID(inputVolume.GetTransformNodeID())
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(inputVolume)
        labelmap = _labelmapOfMask(mask, _ijkToRas(inputVolume))
        if not segmentation.AddSegmentFromBinaryLabelmapRepresentation(
            labelmap, METAL_SEGMENT_NAME, METAL_SEGMENT_COLOR
        ):
            raise InputError(f"Slicer could not store the metal of '{inputVolume.GetName()}' as a segment.")
        segmentation.CreateDefaultDisplayNodes()
        segmentation.SetAttribute(f"{ATTRIBUTE_PREFIX}ThresholdHu", f"{thresholdHu:g}")
        _placeBeside(inputVolume, segmentation)
    except BaseException:
        _removeWithDisplay(segmentation)
        raise
    return segmentation


def methodTitle(method: str) -> str:
    """Return the name of a method as people write it ("NMAR"), without importing the method itself."""
    return method.upper()


def checkInputVolume(inputVolume) -> None:
    """Raise InputError unless a volume node can be corrected. Reads no voxels, so it is quick enough for a panel."""
    if inputVolume is None:
        raise InputError("No input volume is chosen: choose the CT volume to correct.")
    if not hasattr(inputVolume, "IsA"):
        raise InputError(f"The input volume must be a volume node, but it is {inputVolume!r}.")
    name, kind = inputVolume.GetName(), inputVolume.GetNodeTagName()
    if inputVolume.IsA("vtkMRMLSequenceNode"):
        raise InputError(f"'{name}' is a sequence: choose the volume of one of its frames in the Sequences module.")
    if inputVolume.IsA("vtkMRMLLabelMapVolumeNode"):
        raise InputError(f"'{name}' is a label map, not a CT volume: choose the volume that it was drawn on.")
    if not inputVolume.IsA("vtkMRMLScalarVolumeNode"):
        raise InputError(f"'{name}' is a {kind} node: choose a scalar volume in Hounsfield units.")
    if inputVolume.GetScene() is None:
        raise InputError(f"'{name}' is not in a scene: add it to the scene first.")
    image = inputVolume.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0 or image.GetPointData().GetScalars() is None:
        raise InputError(f"'{name}' holds no voxels: load a CT volume.")
    components = image.GetNumberOfScalarComponents()
    if components != 1:
        raise InputError(
            f"'{name}' has {components} values in each voxel (a color or vector volume): choose a scalar volume in "
            "Hounsfield units."
        )
    if image.GetScalarType() == vtk.VTK_BIT:
        raise InputError(f"'{name}' holds single bits, not Hounsfield units: choose the CT volume.")


def findSegments(metalSegmentation, segmentIDs: Sequence[str] | None = None) -> list[str]:
    """Return the IDs of the segments that are metal: those named (by ID or by name), or all.

    :raises InputError: not a segmentation, no segments, or a segment that is not there.
    """
    if not hasattr(metalSegmentation, "IsA") or not metalSegmentation.IsA("vtkMRMLSegmentationNode"):
        raise InputError("The metal must be a segmentation node: choose one, or none to use the threshold.")
    if metalSegmentation.GetScene() is None:
        raise InputError(f"The segmentation '{metalSegmentation.GetName()}' is not in a scene: add it first.")
    segmentation = metalSegmentation.GetSegmentation()
    known = list(segmentation.GetSegmentIDs()) if segmentation is not None else []
    if not known:
        raise InputError(
            f"The segmentation '{metalSegmentation.GetName()}' has no segments: draw the metal in it, or choose no "
            "segmentation to use the threshold."
        )
    if segmentIDs is None:
        return known
    if isinstance(segmentIDs, str):
        segmentIDs = [segmentIDs]
    found = []
    for wanted in segmentIDs:
        segmentID = wanted if wanted in known else segmentation.GetSegmentIdBySegmentName(wanted)
        if not segmentID:
            names = ", ".join(f"'{_segmentName(metalSegmentation, segmentID)}'" for segmentID in known)
            raise InputError(
                f"The segmentation '{metalSegmentation.GetName()}' has no segment '{wanted}': its segments are {names}."
            )
        found.append(segmentID)
    if not found:
        raise InputError(f"No segment of '{metalSegmentation.GetName()}' is chosen: name at least one that is metal.")
    return found


def metalMaskFromSegmentation(metalSegmentation, volume, segmentIDs: Sequence[str] | None = None) -> numpy.ndarray:
    """Return the union of segments as a bool array (slices, rows, columns) on the voxel grid of a volume node.

    Slicer resamples each segment (nearest neighbor) through all transforms between the two nodes, linear or not.
    The segmentation itself is not changed: a representation that is missing is made in a copy.

    :raises InputError: as `findSegments`, or no voxel of the segments lies inside the volume.
    """
    segmentIDs = findSegments(metalSegmentation, segmentIDs)
    columns, rows, slices = volume.GetImageData().GetDimensions()
    grid = slicer.vtkOrientedImageData()
    grid.SetExtent(0, columns - 1, 0, rows - 1, 0, slices - 1)
    grid.SetImageToWorldMatrix(_ijkToRas(volume))
    grid.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    transform = None
    if metalSegmentation.GetParentTransformNode() is not volume.GetParentTransformNode():
        transform = vtk.vtkGeneralTransform()
        slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(
            metalSegmentation.GetParentTransformNode(), volume.GetParentTransformNode(), transform
        )
    mask = numpy.zeros((slices, rows, columns), dtype=bool)
    for segmentID in segmentIDs:
        labelmap = _labelmapOfSegment(metalSegmentation, segmentID)
        if labelmap is None:
            continue
        resampled = slicer.vtkOrientedImageData()
        if not slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
            labelmap, grid, resampled, False, False, transform
        ):
            name = _segmentName(metalSegmentation, segmentID)
            raise InputError(f"Slicer could not resample the segment '{name}' to the volume '{volume.GetName()}'.")
        mask |= _arrayFromImage(resampled) != 0
    if not mask.any():
        names = ", ".join(f"'{_segmentName(metalSegmentation, segmentID)}'" for segmentID in segmentIDs)
        raise InputError(
            f"No voxel of {names} in '{metalSegmentation.GetName()}' lies inside the volume '{volume.GetName()}': draw "
            "the metal, choose other segments, or choose no segmentation to use the threshold."
        )
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
        name = _segmentName(metalSegmentation, segmentID)
        raise InputError(f"Slicer could not make a label map of the segment '{name}': convert it in Segmentations.")
    return labelmap if labelmap.GetNumberOfPoints() > 0 and labelmap.GetPointData().GetScalars() else None


def _labelmapOfMask(mask: numpy.ndarray, ijkToRas):
    """Return a bool mask (slices, rows, columns) as an oriented image that covers the metal's bounding box only."""
    extent = []
    for axis in (2, 1, 0):
        occupied = numpy.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        extent += [int(occupied[0]), int(occupied[-1])]
    labelmap = slicer.vtkOrientedImageData()
    labelmap.SetExtent(*extent)
    labelmap.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    labelmap.SetImageToWorldMatrix(ijkToRas)
    columns, rows, slices = (slice(extent[i], extent[i + 1] + 1) for i in (0, 2, 4))
    _arrayFromImage(labelmap)[:] = mask[slices, rows, columns]
    return labelmap


def _arrayFromImage(image) -> numpy.ndarray:
    """Return the voxels of a vtkImageData as an array (slices, rows, columns) on the same memory."""
    shape = tuple(reversed(image.GetDimensions()))
    return numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape)


def _imageFromArray(voxels: numpy.ndarray, scalarType: int):
    """Return a new vtkImageData of a VTK scalar type with the voxels (slices, rows, columns) of an array."""
    image = vtk.vtkImageData()
    image.SetDimensions(*reversed(voxels.shape))
    image.AllocateScalars(scalarType, 1)
    _arrayFromImage(image)[:] = voxels
    return image


def _ijkToRas(volume):
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return matrix


def _segmentName(metalSegmentation, segmentID: str) -> str:
    return metalSegmentation.GetSegmentation().GetSegment(segmentID).GetName()


def _uniqueName(scene, name: str) -> str:
    """Return the name, or where a node has it already, the name with the first free number."""
    taken = {scene.GetNthNode(index).GetName() for index in range(scene.GetNumberOfNodes())}
    unique, number = name, 1
    while unique in taken:
        unique, number = f"{name} {number + 1}", number + 1
    return unique


def _copyDisplay(inputVolume, corrected) -> None:
    """Show the new volume as the input is shown: same window, level, color and display threshold."""
    corrected.CreateDefaultDisplayNodes()
    source, display = inputVolume.GetDisplayNode(), corrected.GetDisplayNode()
    if source is None or display is None or not source.IsA("vtkMRMLScalarVolumeDisplayNode"):
        return
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(source.GetWindow(), source.GetLevel())
    if source.GetColorNodeID():
        display.SetAndObserveColorNodeID(source.GetColorNodeID())
    display.SetInterpolate(source.GetInterpolate())
    display.SetAutoThreshold(False)
    display.SetThreshold(source.GetLowerThreshold(), source.GetUpperThreshold())
    display.SetApplyThreshold(source.GetApplyThreshold())


def _placeBeside(inputVolume, node) -> None:
    """Make the node a sibling of the input in subject hierarchy, in the same study, where the input has an item."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(inputVolume.GetScene())
    if hierarchy is None:
        return
    inputItem = hierarchy.GetItemByDataNode(inputVolume)
    if not inputItem:
        return
    parentItem = hierarchy.GetItemParent(inputItem)
    item = hierarchy.GetItemByDataNode(node)
    if item:
        hierarchy.SetItemParent(item, parentItem)
    else:
        hierarchy.CreateItem(parentItem, node)


def _removeWithDisplay(node) -> None:
    scene = node.GetScene()
    for index in reversed(range(node.GetNumberOfDisplayNodes())):
        display = node.GetNthDisplayNode(index)
        if display is not None:
            scene.RemoveNode(display)
    scene.RemoveNode(node)
