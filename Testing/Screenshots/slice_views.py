"""Slice views without a window: the genuine MRML pipeline (reslicing, window and level, colors, layers) into an array.

Needs slicer-core and a running Testing/Python/slicer_rig; no OpenGL.
"""

from __future__ import annotations

import numpy
import slicer
import vtk
from vtk.util import numpy_support

VIEW_NAME = "Screenshot"


def slice_image(
    volume,
    position_mm: float,
    size: tuple[int, int] = (400, 400),
    *,
    orientation: str = "Axial",
    field_of_view_mm: float | None = None,
    center_mm: tuple[float, float] = (0.0, 0.0),
    metal=None,
    foreground=None,
    foreground_opacity: float = 0.0,
) -> numpy.ndarray:
    """One slice as Slicer shows it: (rows, columns, 3), uint8.

    position_mm: of the slice along its normal, in RAS. size: (width, height) in pixels. field_of_view_mm: width of the
    view; None fits the volume. center_mm: of the view, (right to left, anterior to posterior), as an axial view has it.
    metal: segmentation node whose segments are drawn as outlines in the label layer. foreground: a volume laid over.
    """
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
    logic.SetMRMLScene(slicer.mrmlScene)
    slice_node = logic.AddSliceNode(VIEW_NAME)
    labelmap = _labelmap_of(metal, volume) if metal is not None else None
    try:
        slice_node.SetOrientation(orientation)
        slice_node.SetDimensions(*size, 1)
        composite = logic.GetSliceCompositeNode()
        composite.SetBackgroundVolumeID(volume.GetID())
        composite.SetForegroundVolumeID(foreground.GetID() if foreground is not None else None)
        composite.SetForegroundOpacity(foreground_opacity)
        if labelmap is not None:
            composite.SetLabelVolumeID(labelmap.GetID())
            composite.SetLabelOpacity(1.0)
            slice_node.SetUseLabelOutline(True)
        logic.FitSliceToVolume(volume, *size)
        if field_of_view_mm is not None:
            slice_node.SetFieldOfView(field_of_view_mm, field_of_view_mm * size[1] / size[0], 1.0)
            slice_node.SetXYZOrigin(0, 0, 0)
            slice_node.JumpSliceByCentering(-center_mm[0], -center_mm[1], position_mm)
        logic.SetSliceOffset(position_mm)
        logic.UpdatePipeline()
        colors = vtk.vtkImageExtractComponents()
        colors.SetInputConnection(logic.GetImageDataConnection())
        colors.SetComponents(0, 1, 2)
        colors.Update()
        return _array(colors.GetOutput())
    finally:
        for node in (labelmap, logic.GetSliceCompositeNode(), slice_node):
            if node is not None and node.GetScene() is not None:
                slicer.mrmlScene.RemoveNode(node)


def _labelmap_of(segmentation, volume):
    """The segments as a temporary label map on the volume's grid: the slice pipeline draws label maps by itself."""
    labelmap = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    segment_ids = vtk.vtkStringArray()
    segmentation.GetSegmentation().GetSegmentIDs(segment_ids)
    slicer.vtkSlicerSegmentationsModuleLogic.ExportSegmentsToLabelmapNode(segmentation, segment_ids, labelmap, volume)
    labelmap.CreateDefaultDisplayNodes()
    return labelmap


def _array(image) -> numpy.ndarray:
    """A vtkImageData of colors as (rows, columns, 3), the first row at the top."""
    width, height, _ = image.GetDimensions()
    colors = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, 3)
    return colors[::-1].copy()
