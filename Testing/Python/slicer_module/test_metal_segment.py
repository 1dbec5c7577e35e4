"""The segment 'Metal': put into a new segmentation node or in the place of an older one."""

from __future__ import annotations

import numpy
import pytest

from SSLMARLib import InputError
from SSLMARLib.errors import NoMetalError

MOVE = [[0, -1, 0, 100], [1, 0, 0, -50], [0, 0, 1, 25], [0, 0, 0, 1]]


@pytest.fixture
def set_up(make_volume, add_segment, slicer_logic):
    """(volume, segmentation) with the segments Bone, Metal (drawn by hand) and Air, in one label map."""
    import slicer

    volume = make_volume()
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Implants")
    for row, name in ((0, "Bone"), (4, "Metal"), (16, "Air")):
        mask = numpy.zeros((6, 20, 24), bool)
        mask[1:4, row : row + 3, 2:8] = True
        add_segment(segmentation, name, mask, volume)
    segmentation.GetSegmentation().CollapseBinaryLabelmaps(False)
    assert segmentation.GetSegmentation().GetNumberOfLayers() == 1
    return volume, segmentation


@pytest.fixture
def mask_of(slicer_logic):
    return lambda segmentation, volume, name: slicer_logic.metalMaskFromSegmentation(segmentation, volume, [name])


def surface_of(segmentation, name):
    import slicer

    segments = segmentation.GetSegmentation()
    representation = slicer.vtkSegmentationConverter.GetClosedSurfaceRepresentationName()
    return segments.GetSegment(segments.GetSegmentIdBySegmentName(name)).GetRepresentation(representation)


def names_of(segmentation):
    segments = segmentation.GetSegmentation()
    return [segments.GetSegment(segment_id).GetName() for segment_id in segments.GetSegmentIDs()]


def voxels_of(volume):
    import slicer

    return slicer.util.arrayFromVolume(volume)


def test_the_segment_is_replaced_and_the_others_stay(set_up, slicer_logic, mask_of):
    volume, segmentation = set_up
    others = {name: mask_of(segmentation, volume, name) for name in ("Bone", "Air")}
    segment_id = segmentation.GetSegmentation().GetSegmentIdBySegmentName("Metal")
    segmentation.GetSegmentation().GetSegment(segment_id).SetColor(0.1, 0.2, 0.3)
    for row in (1, 16):
        voxels_of(volume)[5, row : row + 2, :3] = 3000
        assert slicer_logic.segmentMetal(volume, 2900, segmentation=segmentation) is segmentation
        assert numpy.array_equal(mask_of(segmentation, volume, "Metal"), voxels_of(volume) >= 2900)
        for name, mask in others.items():
            assert numpy.array_equal(mask_of(segmentation, volume, name), mask)
    assert names_of(segmentation) == ["Bone", "Metal", "Air"]
    assert segmentation.GetSegmentation().GetSegmentIdBySegmentName("Metal") == segment_id
    assert segmentation.GetSegmentation().GetSegment(segment_id).GetColor() == (0.1, 0.2, 0.3)
    assert segmentation.GetAttribute("SSLMAR.ThresholdHu") == "2900"


def test_the_segment_is_added_where_there_is_none(set_up, slicer_logic, mask_of):
    volume, segmentation = set_up
    segments = segmentation.GetSegmentation()
    segments.RemoveSegment(segments.GetSegmentIdBySegmentName("Metal"))
    slicer_logic.segmentMetal(volume, 2900, segmentation=segmentation)
    assert names_of(segmentation) == ["Bone", "Air", "Metal"]
    assert numpy.array_equal(mask_of(segmentation, volume, "Metal"), voxels_of(volume) >= 2900)


def test_the_surface_in_3d_views_follows(set_up, slicer_logic):
    volume, segmentation = set_up
    assert segmentation.CreateClosedSurfaceRepresentation()
    bone, before = (surface_of(segmentation, name).GetBounds() for name in ("Bone", "Metal"))
    slicer_logic.segmentMetal(volume, 2900, segmentation=segmentation)
    after = surface_of(segmentation, "Metal")
    assert after is not None and after.GetNumberOfPoints() > 0 and after.GetBounds() != before
    assert surface_of(segmentation, "Bone").GetBounds() == bone


def test_the_panel_and_the_views_are_told(set_up, slicer_logic):
    import slicer

    volume, segmentation = set_up
    seen = []
    segments = segmentation.GetSegmentation()
    segments.AddObserver(slicer.vtkSegmentation.SourceRepresentationModified, lambda *arguments: seen.append(1))
    slicer_logic.segmentMetal(volume, 2900, segmentation=segmentation)
    assert seen


def test_an_editor_can_go_on_with_the_segment(set_up, slicer_logic, mask_of):
    """What Slicer's own effects call after each stroke, on the segment that was replaced and on its neighbor."""
    import slicer

    from SSLMARLib.slicer_logic.nodes import ijkToRas
    from SSLMARLib.slicer_logic.segmentations import labelmapOfMask

    volume, segmentation = set_up
    slicer_logic.segmentMetal(volume, 2900, segmentation=segmentation)
    metal = mask_of(segmentation, volume, "Metal")
    stroke = numpy.zeros((6, 20, 24), bool)
    stroke[4, 10:12, 10:12] = True
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    for name in ("Metal", "Bone"):
        before = mask_of(segmentation, volume, name)
        assert logic.SetBinaryLabelmapToSegment(
            labelmapOfMask(stroke, ijkToRas(volume)),
            segmentation,
            segmentation.GetSegmentation().GetSegmentIdBySegmentName(name),
            logic.MODE_MERGE_MAX,
        )
        assert numpy.array_equal(mask_of(segmentation, volume, name), before | stroke)
    assert numpy.array_equal(mask_of(segmentation, volume, "Metal"), metal | stroke)


def test_transforms_between_volume_and_segmentation_are_honored(set_up, slicer_logic, mask_of):
    import slicer

    volume, segmentation = set_up
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(numpy.array(MOVE, float)))
    for moved, still in ((volume, segmentation), (segmentation, volume)):
        moved.SetAndObserveTransformNodeID(transform.GetID())
        still.SetAndObserveTransformNodeID(None)
        for _ in range(2):
            slicer_logic.segmentMetal(volume, 2900, segmentation=segmentation)
            assert numpy.array_equal(mask_of(segmentation, volume, "Metal"), voxels_of(volume) >= 2900)
        segments = segmentation.GetSegmentation()
        segments.RemoveSegment(segments.GetSegmentIdBySegmentName("Metal"))


def test_without_metal_nothing_changes(set_up, slicer_logic, mask_of):
    volume, segmentation = set_up
    before = mask_of(segmentation, volume, "Metal")
    with pytest.raises(NoMetalError):
        slicer_logic.segmentMetal(volume, 3050, segmentation=segmentation)
    assert numpy.array_equal(mask_of(segmentation, volume, "Metal"), before)
    assert segmentation.GetAttribute("SSLMAR.ThresholdHu") is None


def test_a_surface_is_not_overwritten(make_volume, slicer_logic):
    import slicer
    import vtk

    volume = make_volume()
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Drawn")
    segmentation.GetSegmentation().SetSourceRepresentationName(slicer.vtkSegmentationConverter.GetClosedSurfaceRepresentationName())
    source = vtk.vtkSphereSource()
    source.Update()
    segmentation.AddSegmentFromClosedSurfaceRepresentation(source.GetOutput(), "Metal", (1.0, 0.0, 0.0))
    with pytest.raises(InputError, match="'Metal' of 'Drawn' is a surface"):
        slicer_logic.segmentMetal(volume, 2900, segmentation=segmentation)


def test_what_is_no_segmentation_is_refused(make_volume, slicer_logic):
    import slicer

    volume = make_volume()
    for node in (volume, "Metal", slicer.vtkMRMLSegmentationNode()):
        with pytest.raises(InputError, match="must be a segmentation node|is not in a scene"):
            slicer_logic.segmentMetal(volume, 2900, segmentation=node)
