"""One corrected slice as a preview, and metal that the result shows with a value of its own."""

from __future__ import annotations

import time

import numpy
import pytest

from SSLMARLib import Cancelled, InputError
from SSLMARLib.errors import NoMetalError


def voxels_of(node):
    import slicer

    return slicer.util.arrayFromVolume(node)


def position_of(node, i, j, k):
    """RAS of a voxel, without transforms."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return matrix.MultiplyPoint((i, j, k, 1))


@pytest.fixture
def preview(slicer_logic):
    """preview(volume, sliceIndex, **options) computes and shows the preview of a slice."""

    def preview(volume, slice_index, **options):
        correction = slicer_logic.prepareCorrection(volume, sliceIndex=slice_index, **options)
        return correction.addPreviewToScene(correction.compute())

    return preview


@pytest.mark.parametrize("geometry", ["RAS", "LPS", "left-handed", "oblique", "tilted gantry"])
def test_a_preview_lies_where_its_slice_lies(make_volume, slicer_logic, preview, library, geometry):
    volume = make_volume(geometry)
    node = preview(volume, 3)
    assert node.GetName() == "CT preview"
    assert node.GetImageData().GetDimensions() == (24, 20, 1)
    for i, j in ((0, 0), (23, 19), (5, 7)):
        assert numpy.allclose(position_of(node, i, j, 0), position_of(volume, i, j, 3))
    assert numpy.array_equal(voxels_of(node)[0], voxels_of(volume)[3] - 1)
    ((voxels, _, keywords),) = library.calls
    assert len(voxels) == 1, "only that slice is computed"
    assert numpy.array_equal(keywords["metal"], voxels_of(volume)[3:4] >= 2000)
    assert slicer_logic.previewOf(volume) is node


def test_the_next_preview_takes_the_node_over(make_volume, slicer_logic, preview, library):
    import slicer

    volume, other = make_volume(), make_volume()
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node = preview(volume, 2)
    volume.SetAndObserveTransformNodeID(transform.GetID())
    assert preview(volume, 3, method="li") is node
    assert numpy.array_equal(voxels_of(node)[0], voxels_of(volume)[3] - 1)
    assert node.GetParentTransformNode() is transform
    elsewhere = preview(other, 3)
    assert elsewhere is not node
    slicer.mrmlScene.RemoveNode(node)
    assert slicer_logic.previewOf(volume) is None
    assert preview(volume, 2) is not node
    assert slicer_logic.previewOf(other) is elsewhere


def test_a_preview_is_shown_as_the_input_and_not_saved(make_volume, preview, library):
    volume = make_volume()
    volume.GetDisplayNode().SetAutoWindowLevel(False)
    volume.GetDisplayNode().SetWindowLevel(1234, 56)
    node = preview(volume, 2)
    assert (node.GetDisplayNode().GetWindow(), node.GetDisplayNode().GetLevel()) == (1234, 56)
    assert not node.GetSaveWithScene()


def test_a_preview_is_what_the_whole_run_makes_of_the_slice(metal_phantom, slicer_logic, preview):
    before = voxels_of(metal_phantom).copy()
    whole = slicer_logic.process(metal_phantom, method="li", device="cpu", dilationMm=2.0)
    node = preview(metal_phantom, 1, method="li", device="cpu", dilationMm=2.0)
    assert numpy.array_equal(voxels_of(node)[0], voxels_of(whole)[1])
    assert not numpy.array_equal(voxels_of(node)[0], before[1])
    assert numpy.array_equal(voxels_of(metal_phantom), before)


def test_the_progress_of_a_preview_names_its_slice(metal_phantom, slicer_logic):
    said = []
    correction = slicer_logic.prepareCorrection(metal_phantom, method="li", device="cpu", sliceIndex=1)
    correction.compute(lambda fraction, message: said.append((fraction, message)))
    assert {message for _, message in said} == {"Slice 2: LI"} and said[-1][0] == 1.0


def test_a_preview_of_segments(make_volume, add_segment, preview, library):
    import slicer

    volume = make_volume()
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Implants")
    mask = numpy.zeros((6, 20, 24), bool)
    mask[4, 3:6, 3:6] = True
    add_segment(segmentation, "Screw", mask, volume)
    preview(volume, 4, metalSegmentation=segmentation)
    ((voxels, _, keywords),) = library.calls
    assert voxels.shape == (1, 20, 24)
    assert numpy.array_equal(keywords["metal"], mask[4:5])
    with pytest.raises(NoMetalError, match="No voxel of 'Screw' in 'Implants' lies inside slice 1 of 'CT'"):
        preview(volume, 0, metalSegmentation=segmentation)


def test_a_slice_without_metal_is_told(make_volume, slicer_logic, preview, library):
    with pytest.raises(NoMetalError, match="Slice 1 holds no metal above 2500 HU"):
        preview(make_volume(), 0, thresholdHu=2500)
    assert not library.calls


@pytest.mark.parametrize("index", [-1, 6, 2.5])
def test_a_slice_that_is_not_there_is_told(make_volume, slicer_logic, index):
    with pytest.raises(InputError, match=f"no slice with the index {index}: give a whole number from 0 to 5"):
        slicer_logic.prepareCorrection(make_volume(), sliceIndex=index)


def test_process_with_a_slice_gives_the_preview(make_volume, slicer_logic, library):
    volume = make_volume()
    assert slicer_logic.process(volume, sliceIndex=2) is slicer_logic.previewOf(volume)


def test_a_preview_needs_its_input_and_a_slice(make_volume, slicer_logic, library):
    import slicer

    volume = make_volume()
    whole = slicer_logic.prepareCorrection(volume)
    with pytest.raises(InputError, match="one of the whole volume"):
        whole.addPreviewToScene(whole.compute())
    correction = slicer_logic.prepareCorrection(volume, sliceIndex=2)
    result = correction.compute()
    slicer.mrmlScene.RemoveNode(volume)
    with pytest.raises(InputError, match="was removed from the scene during the run"):
        correction.addPreviewToScene(result)


@pytest.mark.parametrize(
    ("dtype", "asked", "shown"),
    [
        ("int16", 11570.4, 11570),
        ("int16", 306300.0, 32767),
        ("uint16", -1000.0, 0),
        ("int32", 306300.0, 306300),
        ("float32", 11570.5, 11570.5),
    ],
)
def test_metal_is_set_to_a_value_that_the_voxels_can_hold(metal_phantom, slicer_logic, dtype, asked, shown):
    import slicer

    voxels = voxels_of(metal_phantom).copy()
    if dtype == "uint16":
        voxels = voxels + 1000
    volume = slicer.util.addVolumeFromArray(voxels.astype(dtype), numpy.diag([-2.0, -2.0, 3.0, 1.0]), dtype)
    metal = voxels >= 2900
    plain = slicer_logic.process(volume, method="li", device="cpu", thresholdHu=2900)
    node = slicer_logic.process(volume, method="li", device="cpu", thresholdHu=2900, metalHu=asked)
    assert (voxels_of(node)[metal] == shown).all()
    assert numpy.array_equal(voxels_of(node)[~metal], voxels_of(plain)[~metal])
    assert float(node.GetAttribute("SSLMAR.MetalHu")) == shown
    assert plain.GetAttribute("SSLMAR.MetalHu") is None


def test_a_dilated_mask_does_not_thicken_the_metal(metal_phantom, slicer_logic):
    metal = voxels_of(metal_phantom) == 3000
    node = slicer_logic.process(metal_phantom, method="li", device="cpu", dilationMm=4.0, metalHu=5000)
    assert numpy.array_equal(voxels_of(node) == 5000, metal)


def test_the_metal_of_segments_is_set_whole(metal_phantom, add_segment, slicer_logic):
    import slicer

    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Implants")
    mask = numpy.zeros((3, 96, 96), bool)
    mask[1, 45:51, 60:66] = True
    add_segment(segmentation, "Screw", mask, metal_phantom)
    node = slicer_logic.process(metal_phantom, segmentation, method="li", device="cpu", metalHu=5000)
    assert numpy.array_equal(voxels_of(node) == 5000, mask)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_none_is_refused(make_volume, slicer_logic, value):
    with pytest.raises(InputError, match="give a number of Hounsfield units"):
        slicer_logic.prepareCorrection(make_volume(), metalHu=value)


def test_unknown_options_are_refused(make_volume, slicer_logic):
    with pytest.raises(TypeError, match="dilation"):
        slicer_logic.process(make_volume(), dilation=3)


def test_a_cancel_while_measuring_ends_the_run(metal_phantom, slicer_logic):
    """The library has finished; what comes after it can be cancelled too."""
    correction = slicer_logic.prepareCorrection(metal_phantom, method="li", device="cpu")
    seen = []

    def progress(fraction, message):
        seen.append(message)

    with pytest.raises(Cancelled):
        correction.compute(progress, lambda: "Done" in seen)
    assert "Done" in seen


def test_the_expected_time_is_learnt_from_a_run(metal_phantom, slicer_logic):
    slicer_logic.useTimingStore(None)
    assert slicer_logic.expectedSeconds("li", 10) is None
    begin = time.perf_counter()
    slicer_logic.process(metal_phantom, method="li")
    spent = time.perf_counter() - begin
    expected = slicer_logic.expectedSeconds("li", 1)
    assert 0 < expected <= spent
    assert slicer_logic.expectedSeconds("li", 10) == pytest.approx(10 * expected)
    assert slicer_logic.expectedSeconds("nmar", 10) > 10 * expected
