"""SSLMARLib.slicer_logic on real MRML nodes."""

from __future__ import annotations

import json

import numpy
import pytest

from SSLMARLib import Cancelled, InputError, MARError

SHAPE = (6, 20, 24)  # of make_volume: slices, rows, columns
GEOMETRIES = ("RAS", "LPS", "left-handed", "oblique", "tilted gantry")


def make_segmentation(name="Implants"):
    import slicer

    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)


def matrix_of(volume):
    import slicer
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def node_ids():
    import slicer

    return sorted(slicer.mrmlScene.GetNthNode(i).GetID() for i in range(slicer.mrmlScene.GetNumberOfNodes()))


def block(slices, rows, columns):
    mask = numpy.zeros(SHAPE, bool)
    mask[slices, rows, columns] = True
    return mask


def add_linear_transform(matrix):
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(numpy.array(matrix, float)))
    return node


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_the_result_has_the_geometry_of_the_input(make_volume, ijk_to_ras, slicer_logic, library, geometry):
    import slicer

    volume = make_volume(geometry)
    before = slicer.util.arrayFromVolume(volume).copy()
    corrected = slicer_logic.process(volume)
    assert numpy.array_equal(matrix_of(corrected), matrix_of(volume))
    assert numpy.allclose(matrix_of(volume), ijk_to_ras[geometry], atol=1e-9)
    assert numpy.array_equal(slicer.util.arrayFromVolume(corrected), before - 1)
    assert numpy.array_equal(slicer.util.arrayFromVolume(volume), before)
    _, spacing_mm, _ = library.calls[0]
    lengths = numpy.linalg.norm(numpy.array(ijk_to_ras[geometry])[:3, :3], axis=0)
    assert numpy.allclose(spacing_mm, lengths[::-1])


@pytest.mark.parametrize("dtype", ["int16", "uint16", "int32", "float32", "float64"])
def test_the_scalar_type_is_kept(make_volume, slicer_logic, library, dtype):
    import slicer

    volume = make_volume(dtype=dtype)
    corrected = slicer_logic.process(volume)
    assert corrected.GetImageData().GetScalarType() == volume.GetImageData().GetScalarType()
    assert slicer.util.arrayFromVolume(corrected).dtype == dtype


def test_the_library_gets_copies(make_volume, slicer_logic, library):
    import slicer

    volume = make_volume()
    slicer_logic.process(volume)
    assert not numpy.shares_memory(library.calls[0][0], slicer.util.arrayFromVolume(volume))


def test_window_color_and_units_are_those_of_the_input(make_volume, slicer_logic, library):
    import slicer

    volume = make_volume()
    color = slicer.mrmlScene.GetNthNodeByClass(3, "vtkMRMLColorTableNode")
    display = volume.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(4000, 700)
    assert color.GetID() != display.GetColorNodeID()
    display.SetAndObserveColorNodeID(color.GetID())
    display.SetThreshold(-500, 1000)
    display.SetApplyThreshold(True)
    unit = slicer.vtkCodedEntry()
    unit.SetValueSchemeMeaning("[hnsf'U]", "UCUM", "Hounsfield unit")
    volume.SetVoxelValueUnits(unit)

    corrected = slicer_logic.process(volume)
    result = corrected.GetDisplayNode()
    assert result is not display
    assert (result.GetWindow(), result.GetLevel(), result.GetAutoWindowLevel()) == (4000, 700, 0)
    assert result.GetColorNodeID() == color.GetID()
    assert (result.GetLowerThreshold(), result.GetUpperThreshold(), result.GetApplyThreshold()) == (-500, 1000, 1)
    assert corrected.GetVoxelValueUnits().GetCodeMeaning() == "Hounsfield unit"


def test_a_volume_without_display_gets_a_default_one(make_volume, slicer_logic, library):
    import slicer

    volume = make_volume()
    slicer.mrmlScene.RemoveNode(volume.GetDisplayNode())
    assert slicer_logic.process(volume).GetDisplayNode() is not None


def test_a_display_without_color_is_no_obstacle(make_volume, slicer_logic, library):
    import slicer

    volume = make_volume()
    bare = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeDisplayNode")
    bare.SetAutoWindowLevel(False)
    bare.SetWindowLevel(300, 30)
    volume.SetAndObserveDisplayNodeID(bare.GetID())
    display = slicer_logic.process(volume).GetDisplayNode()
    assert (display.GetWindow(), display.GetLevel()) == (300, 30)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_the_map_of_trust_stands_beside_the_result_in_its_place(make_volume, slicer_logic, library, geometry):
    import slicer

    volume = make_volume(geometry)
    transform = add_linear_transform([[0, 1, 0, 5], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    volume.SetAndObserveTransformNodeID(transform.GetID())
    assert slicer_logic.trustOf(slicer_logic.process(volume, thresholdHu=1000)) is None
    corrected = slicer_logic.process(volume, thresholdHu=1000, trust=True)
    trust = slicer_logic.trustOf(corrected)
    assert library.calls[-1][2]["trust"] is True and "trust" not in library.calls[0][2]
    assert trust.GetName() == f"Trust (%) of {corrected.GetName()}" and slicer_logic.isMadeHere(trust)
    assert (slicer.util.arrayFromVolume(trust) == 60).all()
    numpy.testing.assert_allclose(matrix_of(trust), matrix_of(volume))
    assert trust.GetTransformNodeID() == transform.GetID()
    display = trust.GetDisplayNode()  # what was measured alone, 100 %, is not covered
    assert display.GetApplyThreshold() and display.GetLowerThreshold() == 0 and display.GetUpperThreshold() == 99


def test_there_is_one_default_method(slicer_logic):
    import inspect

    from SSLMARLib import available_methods, correction, methods

    names = ("process", "prepareCorrection", "processSequence", "prepareSequenceCorrection")
    functions = [correction.reduce_metal_artifacts, *(getattr(slicer_logic, name) for name in names)]
    defaults = {inspect.signature(function).parameters["method"].default for function in functions}
    assert defaults == {methods.DEFAULT_METHOD} == {correction.DEFAULT_METHOD, slicer_logic.DEFAULT_METHOD}
    assert methods.DEFAULT_METHOD in available_methods()


def test_weights_that_were_trained_are_a_method(make_volume, slicer_logic, own_weights):
    def rows_of(corrected):
        table = slicer_logic.reportTable(corrected).GetTable()
        return {table.GetValue(row, 0).ToString(): table.GetValue(row, 1).ToString() for row in range(table.GetNumberOfRows())}

    volume = make_volume()
    corrected = slicer_logic.process(volume, method=str(own_weights), device="cpu")
    assert corrected.GetName() == "CT (MAR: SSLMAR (hospital))" and corrected.GetAttribute("SSLMAR.Method") == "sslmar"
    rows = rows_of(corrected)
    assert (rows["Method"], rows["Weights"]) == ("SSLMAR", "hospital.safetensors")
    shipped = slicer_logic.process(volume, device="cpu")
    assert "Weights" not in rows_of(shipped)
    with pytest.raises(InputError, match="There are no weights"):
        slicer_logic.process(volume, method="gone.safetensors")
    assert slicer_logic.methodTitle("of another version") == "OF ANOTHER VERSION"


def test_names_and_attributes(make_volume, slicer_logic, library):
    import SSLMARLib

    volume = make_volume()
    names = [slicer_logic.process(volume, method=method).GetName() for method in ("nmar", "nmar", "li", "nmar")]
    assert names == ["CT (MAR: NMAR)", "CT (MAR: NMAR) 2", "CT (MAR: LI)", "CT (MAR: NMAR) 3"]

    options = {"smallestComponentMm3": 4.0, "restoreMetal": False, "device": "cpu"}
    corrected = slicer_logic.process(volume, method="nmar", thresholdHu=2500, **options)
    attributes = {name: corrected.GetAttribute(name) for name in corrected.GetAttributeNames()}
    report = json.loads(attributes.pop("SSLMAR.Report"))
    assert len(attributes.pop("SSLMAR.InputChecksum")) == 8
    assert (attributes.pop("SSLMAR.Name"), attributes.pop("SSLMAR.NameGiven")) == ("CT (MAR: NMAR)", corrected.GetName())
    assert attributes == {
        "SSLMAR.Version": SSLMARLib.__version__,
        "SSLMAR.Method": "nmar",
        "SSLMAR.Device": "cpu",
        "SSLMAR.InputVolume": "CT",
        "SSLMAR.ThresholdHu": "2500.0",
        "SSLMAR.SmallestComponentMm3": "4.0",
        "SSLMAR.PeakHu": "2750.0",
        "SSLMAR.DilationMm": "0.0",
        "SSLMAR.LearnedOutline": "False",
        "SSLMAR.RestoreMetal": "False",
        "SSLMAR.Strength": "1",
    }
    assert report["metal_voxels"] == 7
    assert corrected.GetNodeReference("SSLMAR.InputVolume") is volume
    keywords = library.calls[-1][2]
    assert keywords == {
        "metal": SSLMARLib.MetalSearch(threshold_hu=2500.0, smallest_component_mm3=4.0),
        "method": "nmar",
        "device": "cpu",
        "restore_metal": False,
    }


def test_attributes_survive_saving_and_loading(make_volume, slicer_logic, library, tmp_path):
    import slicer

    corrected = slicer_logic.process(make_volume(), method="nmar")
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    assert slicer.mrmlScene.Commit()
    loaded = slicer.vtkMRMLScene()
    loaded.SetURL(str(tmp_path / "scene.mrml"))
    assert loaded.Import()
    node = loaded.GetFirstNodeByName("CT (MAR: NMAR)")
    for name in corrected.GetAttributeNames():
        assert node.GetAttribute(name) == corrected.GetAttribute(name)
    assert node.GetNodeReference("SSLMAR.InputVolume").GetName() == "CT"


def test_the_result_stands_beside_the_input_in_its_study(make_volume, slicer_logic, library):
    import slicer

    volume = make_volume()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Patient")
    study = hierarchy.CreateStudyItem(patient, "Study")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(volume), study)
    for node in (slicer_logic.process(volume), slicer_logic.segmentMetal(volume)):
        item = hierarchy.GetItemByDataNode(node)
        assert hierarchy.GetItemParent(item) == study


def test_no_subject_hierarchy_item_is_counted_on(rig, make_volume, slicer_logic, library):
    import slicer

    rig.subject_hierarchy_plugins.enabled = False
    volume = make_volume()
    corrected = slicer_logic.process(volume)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    assert not hierarchy.GetItemByDataNode(volume)
    assert not hierarchy.GetItemByDataNode(corrected)


def test_an_item_of_the_input_alone_gives_the_result_one(rig, make_volume, slicer_logic, library):
    import slicer

    rig.subject_hierarchy_plugins.enabled = False
    volume = make_volume()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "Folder")
    hierarchy.CreateItem(folder, volume)
    corrected = slicer_logic.process(volume)
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(corrected)) == folder


@pytest.mark.parametrize("kind", ["vtkMRMLLinearTransformNode", "vtkMRMLGridTransformNode"])
def test_the_parent_transform_is_the_input_s(make_volume, slicer_logic, library, kind):
    import slicer

    volume = make_volume()
    transform = slicer.mrmlScene.AddNewNodeByClass(kind)
    volume.SetAndObserveTransformNodeID(transform.GetID())
    corrected = slicer_logic.process(volume)
    assert corrected.GetParentTransformNode() is transform
    assert volume.GetParentTransformNode() is transform
    assert numpy.array_equal(matrix_of(corrected), matrix_of(volume))


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("shared_labelmap", [False, True])
def test_segments_on_the_grid_of_the_volume_come_back_exactly(make_volume, add_segment, slicer_logic, geometry, shared_labelmap):
    volume, segmentation = make_volume(geometry), make_segmentation()
    screw, plate = block(slice(1, 3), slice(4, 9), slice(2, 8)), block(slice(0, 6), slice(12, 15), slice(10, 20))
    add_segment(segmentation, "Screw", screw, volume)
    add_segment(segmentation, "Plate", plate, volume)
    if shared_labelmap:
        segmentation.GetSegmentation().CollapseBinaryLabelmaps(False)
        assert segmentation.GetSegmentation().GetNumberOfLayers() == 1

    def mask_of(segment_ids):
        return slicer_logic.metalMaskFromSegmentation(segmentation, volume, segment_ids)

    assert numpy.array_equal(mask_of(None), screw | plate)
    assert numpy.array_equal(mask_of(["Screw"]), screw)
    plate_id = segmentation.GetSegmentation().GetSegmentIdBySegmentName("Plate")
    assert numpy.array_equal(mask_of([plate_id]), plate)


def test_the_library_gets_the_mask_of_the_named_segments(make_volume, add_segment, slicer_logic, library):
    volume, segmentation = make_volume(), make_segmentation()
    screw, bone = block(2, slice(4, 9), slice(2, 8)), block(4, slice(12, 15), slice(10, 20))
    add_segment(segmentation, "Screw", screw, volume)
    add_segment(segmentation, "Bone", bone, volume)
    corrected = slicer_logic.process(volume, segmentation, ["Screw"], "li")
    keywords = library.calls[0][2]
    assert numpy.array_equal(keywords["metal"], screw)
    assert corrected.GetAttribute("SSLMAR.MetalSegmentation") == "Implants"
    assert json.loads(corrected.GetAttribute("SSLMAR.MetalSegments")) == ["Screw"]
    assert not any(corrected.GetAttribute(f"SSLMAR.{name}") for name in ("ThresholdHu", "SmallestComponentMm3", "PeakHu", "DilationMm"))
    with pytest.raises(InputError, match="A segmentation says where the metal is, and thresholdHu, peakHu how it is found"):
        slicer_logic.process(volume, segmentation, ["Screw"], "li", thresholdHu=123, peakHu=0)
    assert corrected.GetNodeReference("SSLMAR.MetalSegmentation") is segmentation


def ball_mask(volume, center_ras, radius_mm, to_world=None):
    """Voxels whose centers lie within a ball, by plain arithmetic; to_world: the volume's parent transform (4 x 4)."""
    slices, rows, columns = numpy.indices(SHAPE)
    ijk = numpy.stack([columns, rows, slices, numpy.ones(SHAPE)], axis=-1)
    ras = ijk @ matrix_of(volume).T
    if to_world is not None:
        ras = ras @ numpy.array(to_world, float).T
    return numpy.linalg.norm(ras[..., :3] - center_ras, axis=-1) <= radius_mm


def add_fine_ball(center_ras, radius_mm):
    """A segmentation of a ball on a fine grid with an origin, spacing and orientation of its own."""
    import slicer
    import vtk

    spacing, count = 0.25, int(2 * radius_mm / 0.25) + 7
    axes = numpy.array([[0, -1, 0], [0, 0, 1], [1, 0, 0]], float)
    ijk_to_ras = numpy.eye(4)
    ijk_to_ras[:3, :3] = axes * spacing
    ijk_to_ras[:3, 3] = center_ras - axes @ numpy.full(3, spacing * (count - 1) / 2)
    offsets = (numpy.indices((count, count, count)) - (count - 1) / 2) * spacing
    labelmap = slicer.vtkOrientedImageData()
    labelmap.SetExtent(0, count - 1, 0, count - 1, 0, count - 1)
    labelmap.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    labelmap.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(ijk_to_ras))
    voxels = vtk.util.numpy_support.vtk_to_numpy(labelmap.GetPointData().GetScalars())
    voxels[:] = (numpy.linalg.norm(offsets, axis=0) <= radius_mm).ravel()
    segmentation = make_segmentation()
    segmentation.AddSegmentFromBinaryLabelmapRepresentation(labelmap, "Ball", (1.0, 0.0, 0.0))
    return segmentation


def assert_nearly_the_same(mask, expected):
    """The two masks differ in a rim of the ball at most."""
    assert expected.sum() > 50
    assert (mask ^ expected).sum() <= 0.06 * expected.sum()


def center_of(volume):
    return (matrix_of(volume) @ [12, 10, 3, 1])[:3]


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_a_segmentation_of_another_geometry_is_resampled(make_volume, slicer_logic, geometry):
    volume = make_volume(geometry)
    center = center_of(volume)
    mask = slicer_logic.metalMaskFromSegmentation(add_fine_ball(center, 5.0), volume)
    assert_nearly_the_same(mask, ball_mask(volume, center, 5.0))


MOVE = [[0, -1, 0, 100], [1, 0, 0, -50], [0, 0, 1, 25], [0, 0, 0, 1]]


def test_transforms_between_the_nodes_are_honored(make_volume, slicer_logic):
    """The volume is moved in the world; the ball is where the moved volume is, in world coordinates or moved too."""
    volume = make_volume("oblique")
    center = center_of(volume)
    moved_center = (numpy.array(MOVE) @ [*center, 1])[:3]
    transform = add_linear_transform(MOVE)
    volume.SetAndObserveTransformNodeID(transform.GetID())
    expected = ball_mask(volume, moved_center, 5.0, MOVE)

    in_world = add_fine_ball(moved_center, 5.0)
    assert_nearly_the_same(slicer_logic.metalMaskFromSegmentation(in_world, volume), expected)

    moved_too = add_fine_ball(center, 5.0)
    moved_too.SetAndObserveTransformNodeID(transform.GetID())
    assert_nearly_the_same(slicer_logic.metalMaskFromSegmentation(moved_too, volume), expected)

    left_behind = add_fine_ball(center, 5.0)
    with pytest.raises(InputError, match="No voxel of 'Ball' in 'Implants'.* lies inside the volume 'CT'"):
        slicer_logic.metalMaskFromSegmentation(left_behind, volume)


def test_a_nonlinear_transform_between_the_nodes_is_honored(make_volume, slicer_logic):
    """A grid transform whose displacement is the same 4 mm everywhere must act as a translation by 4 mm."""
    import slicer
    import vtk

    volume = make_volume("RAS")
    center = center_of(volume)
    displacement = vtk.vtkImageData()
    displacement.SetDimensions(5, 5, 5)
    displacement.SetOrigin(-100, -100, -100)
    displacement.SetSpacing(60, 60, 60)
    displacement.AllocateScalars(vtk.VTK_DOUBLE, 3)
    values = vtk.util.numpy_support.vtk_to_numpy(displacement.GetPointData().GetScalars())
    values[:] = (4.0, 0.0, 0.0)
    grid = slicer.vtkOrientedGridTransform()
    grid.SetDisplacementGridData(displacement)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode")
    transform.SetAndObserveTransformToParent(grid)
    segmentation = add_fine_ball(center - [4.0, 0.0, 0.0], 5.0)
    segmentation.SetAndObserveTransformNodeID(transform.GetID())
    mask = slicer_logic.metalMaskFromSegmentation(segmentation, volume)
    assert_nearly_the_same(mask, ball_mask(volume, center, 5.0))


def test_a_closed_surface_is_converted_in_a_copy(make_volume, slicer_logic):
    import slicer
    import vtk

    volume = make_volume("LPS")
    center = center_of(volume)
    source = vtk.vtkSphereSource()
    source.SetCenter(*center)
    source.SetRadius(5.0)
    source.SetThetaResolution(40)
    source.SetPhiResolution(40)
    source.Update()
    segmentation = make_segmentation()
    segmentation.GetSegmentation().SetSourceRepresentationName(slicer.vtkSegmentationConverter.GetClosedSurfaceRepresentationName())
    segmentation.AddSegmentFromClosedSurfaceRepresentation(source.GetOutput(), "Ball", (1.0, 0.0, 0.0))
    mask = slicer_logic.metalMaskFromSegmentation(segmentation, volume)
    assert_nearly_the_same(mask, ball_mask(volume, center, 5.0))
    segment = segmentation.GetSegmentation().GetNthSegment(0)
    labelmap_name = slicer.vtkSegmentationConverter.GetBinaryLabelmapRepresentationName()
    assert segment.GetRepresentation(labelmap_name) is None, "the user's segmentation was changed"


def refused_inputs():
    import slicer

    scene = slicer.mrmlScene
    empty = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Nothing")
    labels = slicer.util.addVolumeFromArray(numpy.zeros(SHAPE, numpy.uint8), name="Labels", nodeClassName="vtkMRMLLabelMapVolumeNode")
    color = slicer.util.addVolumeFromArray(numpy.zeros((*SHAPE, 3), numpy.uint8), name="Color", nodeClassName="vtkMRMLVectorVolumeNode")
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "Heart")
    model = scene.AddNewNodeByClass("vtkMRMLModelNode", "Skin")
    loose = slicer.vtkMRMLScalarVolumeNode()
    loose.SetName("Loose")
    return [
        (None, "No input volume is chosen"),
        ("CT", "must be a volume node, but it is 'CT'"),
        (empty, "'Nothing' holds no voxels"),
        (labels, "'Labels' is a label map"),
        (color, "'Color' .*3 values in each voxel|'Color' is a VectorVolume"),
        (sequence, "'Heart' is a sequence"),
        (model, "'Skin' is a Model node"),
        (loose, "'Loose' is not in a scene"),
    ]


def test_unfit_inputs_are_refused_with_a_sentence(rig, slicer_logic, library):
    for node, sentence in refused_inputs():
        before = node_ids()
        for call in (slicer_logic.process, slicer_logic.segmentMetal):
            with pytest.raises(MARError, match=sentence) as caught:
                call(node)
            assert str(caught.value).endswith(".")
        assert node_ids() == before
    assert not library.calls


def test_unfit_segmentations_are_refused_with_a_sentence(make_volume, add_segment, slicer_logic, library):
    volume, segmentation = make_volume(), make_segmentation()
    with pytest.raises(InputError, match="'Implants' has no segments"):
        slicer_logic.process(volume, segmentation)
    segmentation.GetSegmentation().AddEmptySegment("", "Nothing drawn")
    with pytest.raises(InputError, match="No voxel of 'Nothing drawn' in 'Implants'"):
        slicer_logic.process(volume, segmentation)
    add_segment(segmentation, "Screw", block(2, slice(4, 9), slice(2, 8)), volume)
    with pytest.raises(InputError, match="has no segment 'Nail': its segments are 'Nothing drawn', 'Screw'"):
        slicer_logic.process(volume, segmentation, ["Nail"])
    with pytest.raises(InputError, match="No segment of 'Implants' is chosen"):
        slicer_logic.process(volume, segmentation, [])
    with pytest.raises(InputError, match="must be a segmentation node"):
        slicer_logic.process(volume, volume)
    assert not library.calls


def test_an_error_or_a_cancel_leaves_nothing_behind(make_volume, slicer_logic, library):
    volume = make_volume()
    before = node_ids()

    def fail(progress, is_cancelled):
        raise InputError("No metal above 2000 HU.")

    library.work = fail
    with pytest.raises(InputError, match="No metal"):
        slicer_logic.process(volume)
    assert node_ids() == before

    def cancelled(progress, is_cancelled):
        if is_cancelled():
            raise Cancelled("Cancelled.")

    library.work = cancelled
    with pytest.raises(Cancelled):
        slicer_logic.process(volume, isCancelled=lambda: True)
    library.work = None  # the library finishes although a cancel has come
    with pytest.raises(Cancelled):
        slicer_logic.process(volume, isCancelled=lambda: True)
    assert node_ids() == before


def test_a_failure_while_the_node_is_made_leaves_nothing_behind(make_volume, slicer_logic, library, monkeypatch):
    volume = make_volume()
    before = node_ids()

    def fail(*nodes):
        raise RuntimeError("no room")

    from SSLMARLib.slicer_logic import correction, segmentations

    for file in (correction, segmentations):
        monkeypatch.setattr(file, "placeBeside", fail)
    for call in (slicer_logic.process, slicer_logic.segmentMetal):
        with pytest.raises(RuntimeError, match="no room"):
            call(volume)
        assert node_ids() == before


@pytest.mark.parametrize("is_closed", [False, True])
def test_an_input_that_leaves_the_scene_meanwhile_is_told(make_volume, slicer_logic, library, is_closed):
    """It is removed, or the scene is closed."""
    import slicer

    volume = make_volume()
    correction = slicer_logic.prepareCorrection(volume)
    result = correction.compute()
    if is_closed:
        slicer.mrmlScene.Clear(False)
    else:
        slicer.mrmlScene.RemoveNode(volume)
    before = node_ids()
    with pytest.raises(InputError, match="was removed from the scene during the run"):
        correction.addToScene(result)
    assert node_ids() == before


def test_an_input_that_is_moved_meanwhile_takes_its_result_along(make_volume, slicer_logic, library):
    import slicer

    volume = make_volume("oblique")
    first, second = add_linear_transform(MOVE), add_linear_transform(MOVE)
    volume.SetAndObserveTransformNodeID(first.GetID())
    correction = slicer_logic.prepareCorrection(volume)
    volume.SetAndObserveTransformNodeID(second.GetID())
    assert correction.addToScene(correction.compute()).GetParentTransformNode() is second
    volume.HardenTransform()
    corrected = correction.addToScene(correction.compute())
    assert corrected.GetParentTransformNode() is None
    assert numpy.array_equal(matrix_of(corrected), matrix_of(volume))
    volume.SetAndObserveTransformNodeID(second.GetID())
    before = matrix_of(volume)
    correction = slicer_logic.prepareCorrection(volume)
    slicer.util.updateVolumeFromArray(volume, numpy.zeros((2, 3, 4), numpy.int16))  # as after hardening a nonlinear one
    volume.SetSpacing(9, 9, 9)
    volume.SetAndObserveTransformNodeID(None)
    corrected = correction.addToScene(correction.compute())
    assert corrected.GetParentTransformNode() is second
    assert numpy.array_equal(matrix_of(corrected), before)
    assert slicer.util.arrayFromVolume(corrected).shape == SHAPE


def test_a_segmentation_that_leaves_the_scene_meanwhile_is_no_obstacle(make_volume, add_segment, slicer_logic, library):
    import slicer

    volume, segmentation = make_volume(), make_segmentation()
    add_segment(segmentation, "Screw", block(2, slice(4, 9), slice(2, 8)), volume)
    correction = slicer_logic.prepareCorrection(volume, segmentation)
    slicer.mrmlScene.RemoveNode(segmentation)
    corrected = correction.addToScene(correction.compute())
    assert corrected.GetAttribute("SSLMAR.MetalSegmentation") == "Implants"
    assert corrected.GetNodeReference("SSLMAR.MetalSegmentation") is None


def test_progress_reaches_the_caller(make_volume, slicer_logic, library):
    seen = []
    library.work = lambda progress, is_cancelled: progress(0.5, "Half of it")
    slicer_logic.process(make_volume(), progress=lambda fraction, message: seen.append((fraction, message)))
    assert seen == [(0.475, "Half of it")]  # the rest is measuring


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_metal_is_segmented_by_the_threshold(make_volume, slicer_logic, geometry):
    import slicer

    volume = make_volume(geometry)
    volume.SetAndObserveTransformNodeID(add_linear_transform(MOVE).GetID())
    before = slicer.util.arrayFromVolume(volume).copy()
    segmentation = slicer_logic.segmentMetal(volume, 2900, smallestComponentMm3=0.0)
    assert segmentation.GetName() == "CT metal"
    segments = segmentation.GetSegmentation()
    assert [segments.GetSegment(i).GetName() for i in segments.GetSegmentIDs()] == ["Metal"]
    assert segmentation.GetParentTransformNode() is volume.GetParentTransformNode()
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    assert segmentation.GetNodeReference(role) is volume
    assert numpy.array_equal(slicer_logic.metalMaskFromSegmentation(segmentation, volume), before >= 2900)
    assert numpy.array_equal(slicer.util.arrayFromVolume(volume), before)
    assert segmentation.GetDisplayNode() is not None


def test_no_metal_leaves_no_segmentation(make_volume, slicer_logic):
    volume = make_volume()
    before = node_ids()
    with pytest.raises(InputError, match="3000"):
        slicer_logic.segmentMetal(volume, 3050)
    assert node_ids() == before


def test_nan_is_refused_by_the_library_itself(make_volume, slicer_logic):
    import slicer

    volume = make_volume(dtype=numpy.float32)
    slicer.util.arrayFromVolume(volume)[0, 0, 0] = numpy.nan
    before = node_ids()
    with pytest.raises(InputError, match="NaN"):
        slicer_logic.process(volume)
    with pytest.raises(InputError, match="no method 'magic'"):
        slicer_logic.process(make_volume(), method="magic")
    assert len(node_ids()) == len(before) + 2  # the second volume and its display


def test_the_real_job_on_nodes(rig, slicer_logic):
    """LI on a phantom: only the slice with metal changes, and the metal itself comes back to the bit."""
    pytest.importorskip("torch", reason="torch is not installed, so the real job on MRML nodes did NOT run")
    import slicer

    rows, columns = numpy.mgrid[:96, :96] - 47.5
    voxels = numpy.full((3, 96, 96), -1000, numpy.int16)
    voxels[:, numpy.hypot(rows, columns) < 40] = 0
    metal = numpy.hypot(rows, numpy.abs(columns) - 16) < 3
    voxels[1, metal] = 3000
    voxels[1, 40:56, 25:70] -= 300  # a dark band between the two metals
    voxels[1, metal] = 3000
    volume = slicer.util.addVolumeFromArray(voxels, numpy.diag([-2.0, -2.0, 3.0, 1.0]), "Phantom")
    corrected = slicer.util.arrayFromVolume(slicer_logic.process(volume, method="li", device="cpu"))
    assert numpy.array_equal(slicer.util.arrayFromVolume(volume), voxels)
    assert numpy.array_equal(corrected[[0, 2]], voxels[[0, 2]])
    assert numpy.array_equal(corrected[1][metal], voxels[1][metal])
    assert not numpy.array_equal(corrected[1], voxels[1])
