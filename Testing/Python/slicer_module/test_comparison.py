"""Input and result in the slice views: real layout, slice and composite nodes, whose state must return."""

from __future__ import annotations

import numpy
import pytest

from SSLMARLib import InputError


@pytest.fixture
def pair(views, make_volume, slicer_logic, library):
    """An input and its result; the comparison ends with the test."""
    volume = make_volume()
    yield volume, slicer_logic.process(volume)
    slicer_logic.endComparison()


@pytest.fixture
def state_of(views):
    """state_of() lists all that must return: the layout, and of each view its layers, links and plane."""
    import slicer

    def state():
        seen = {"layout": views.layoutLogic().GetLayoutNode().GetViewArrangement()}
        for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            seen[node.GetID()] = (
                node.GetBackgroundVolumeID(),
                node.GetForegroundVolumeID(),
                node.GetLabelVolumeID(),
                node.GetForegroundOpacity(),
                node.GetLinkedControl(),
                node.GetHotLinkedControl(),
            )
        for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
            matrix = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())
            seen[node.GetID()] = (matrix.tolist(), node.GetFieldOfView(), node.GetXYZOrigin(), node.GetOrientation())
        return seen

    return state


@pytest.fixture
def node_ids(rig):
    import slicer

    return lambda: sorted(slicer.mrmlScene.GetNthNode(i).GetID() for i in range(slicer.mrmlScene.GetNumberOfNodes()))


def composite(name):
    import slicer

    return slicer.mrmlScene.GetNodeByID(f"vtkMRMLSliceCompositeNode{name}")


def slice_view(name):
    import slicer

    return slicer.mrmlScene.GetNodeByID(f"vtkMRMLSliceNode{name}")


def voxels_of(node):
    import slicer

    return slicer.util.arrayFromVolume(node)


@pytest.fixture
def arranged_views(pair):
    """The views as a user left them: other layers in each, an offset, a zoom."""
    import slicer

    volume, corrected = pair
    other = slicer.util.addVolumeFromArray(numpy.zeros((3, 4, 5), numpy.int16), name="Other")
    composite("Red").SetBackgroundVolumeID(other.GetID())
    composite("Red").SetForegroundVolumeID(volume.GetID())
    composite("Red").SetForegroundOpacity(0.4)
    composite("Green").SetBackgroundVolumeID(corrected.GetID())
    composite("Green").SetLinkedControl(True)
    slice_view("Red").SetSliceOffset(33.0)
    slice_view("Red").SetFieldOfView(120, 90, 1)
    slice_view("Red").SetXYZOrigin(11, -5, 0)
    slice_view("Yellow").SetSliceOffset(-7.0)
    return other


def compare_side_by_side(logic, pair):
    logic.compareSideBySide(*pair)


def show_difference(logic, pair):
    logic.showDifference(*pair)


def show_swipe(logic, pair):
    logic.showSwipe(*pair, 0.3)


WAYS = (compare_side_by_side, show_difference, show_swipe)


@pytest.mark.parametrize("way", WAYS)
def test_all_returns(arranged_views, pair, slicer_logic, state_of, node_ids, way):
    before, nodes = state_of(), node_ids()
    way(slicer_logic, pair)
    assert state_of() != before
    composite("Red").SetForegroundOpacity(0.9)  # by the user, while comparing
    slicer_logic.endComparison()
    assert state_of() == before
    assert node_ids() == nodes
    slicer_logic.endComparison()
    assert state_of() == before


def test_one_after_another_all_returns(arranged_views, pair, slicer_logic, state_of, node_ids):
    before, nodes = state_of(), node_ids()
    for way in (*WAYS, *reversed(WAYS)):
        way(slicer_logic, pair)
    slicer_logic.endComparison()
    assert state_of() == before
    assert node_ids() == nodes


def test_side_by_side_shows_one_plane_in_linked_views(arranged_views, pair, slicer_logic, views):
    import slicer

    volume, corrected = pair
    slicer_logic.compareSideBySide(volume, corrected)
    layout = slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView
    assert views.layoutLogic().GetLayoutNode().GetViewArrangement() == layout
    assert [slice_view(name).IsMappedInLayout() for name in ("Red", "Yellow", "Green")] == [True, True, False]
    assert composite("Red").GetBackgroundVolumeID() == volume.GetID()
    assert composite("Yellow").GetBackgroundVolumeID() == corrected.GetID()
    for name in ("Red", "Yellow"):
        assert composite(name).GetForegroundVolumeID() is None
        assert composite(name).GetLinkedControl() and composite(name).GetHotLinkedControl()
        assert slice_view(name).GetOrientation() == "Axial"
        assert slice_view(name).GetSliceOffset() == 33.0
        assert slice_view(name).GetFieldOfView() == (120, 90, 1)
        assert slice_view(name).GetXYZOrigin() == (11, -5, 0)
    assert slicer_logic.comparisonShown() == "side by side"


def test_side_by_side_has_one_window_until_it_ends(pair, slicer_logic):
    volume, corrected = pair
    displays = volume.GetDisplayNode(), corrected.GetDisplayNode()
    displays[0].SetAutoWindowLevel(False)
    displays[0].SetWindowLevel(900, 90)
    slicer_logic.compareSideBySide(volume, corrected)
    assert (displays[1].GetWindow(), displays[1].GetLevel()) == (900, 90)
    for changed, follower in (displays, reversed(displays)):
        changed.SetWindowLevel(changed.GetWindow() + 100, 40)
        assert (follower.GetWindow(), follower.GetLevel()) == (changed.GetWindow(), 40)
    slicer_logic.endComparison()
    displays[0].SetWindowLevel(300, 30)
    assert (displays[1].GetWindow(), displays[1].GetLevel()) == (1100, 40)


def test_volumes_without_display_can_be_compared(pair, slicer_logic):
    import slicer

    volume, corrected = pair
    slicer.mrmlScene.RemoveNode(corrected.GetDisplayNode())
    slicer_logic.compareSideBySide(volume, corrected)
    assert composite("Yellow").GetBackgroundVolumeID() == corrected.GetID()


def test_the_difference_has_a_fixed_window_and_is_signed(pair, slicer_logic):
    volume, corrected = pair
    node = slicer_logic.showDifference(volume, corrected)
    assert (voxels_of(node) == -1).all()  # what the library's stand-in subtracts
    display = node.GetDisplayNode()
    assert (display.GetWindow(), display.GetLevel(), display.GetAutoWindowLevel()) == (400, 0, 0)
    color = [0.0] * 4
    colors = display.GetColorNode()
    red_minus_blue = []
    for index in (0, colors.GetNumberOfColors() // 2, colors.GetNumberOfColors() - 1):
        colors.GetColor(index, color)
        red_minus_blue.append(color[0] - color[2])
    assert red_minus_blue[0] < 0 == red_minus_blue[1] < red_minus_blue[2]
    for name in ("Red", "Green", "Yellow"):
        assert composite(name).GetBackgroundVolumeID() == node.GetID()
    assert not node.GetSaveWithScene()
    slicer_logic.setStrength(corrected, 0.0)
    assert slicer_logic.showDifference(volume, corrected) is node
    assert (voxels_of(node) == 0).all()


@pytest.mark.parametrize("dtype", ["int16", "uint16", "int32", "float32", "float64"])
def test_no_difference_overflows(views, make_volume, slicer_logic, library, dtype):
    volume = make_volume(dtype=dtype)
    corrected = slicer_logic.process(volume)
    before, after = voxels_of(volume), voxels_of(corrected)
    limits = numpy.iinfo(dtype) if numpy.dtype(dtype).kind in "iu" else numpy.finfo(numpy.float32)
    before[0], after[0] = limits.min / 2, limits.max / 2
    node = slicer_logic.showDifference(volume, corrected)
    expected = after.astype(float) - before.astype(float)
    assert numpy.allclose(voxels_of(node), expected, rtol=1e-6)
    slicer_logic.endComparison()


@pytest.mark.parametrize("geometry", ["RAS", "LPS", "left-handed", "oblique"])
def test_the_swipe_starts_at_the_patients_right(views, make_volume, ijk_to_ras, slicer_logic, library, geometry):
    """Which voxels show the result is decided by their place in space, whatever the order of the columns."""
    volume = make_volume(geometry)
    corrected = slicer_logic.process(volume)
    for fraction in (0.25, 0.75, 0.5, 0.0, 1.0):
        node = slicer_logic.showSwipe(volume, corrected, fraction)
        shows_result = voxels_of(node) == voxels_of(corrected)
        assert numpy.array_equal(voxels_of(node)[~shows_result], voxels_of(volume)[~shows_result])
        columns = shows_result.all(axis=(0, 1))
        assert columns.sum() == round(fraction * 24) == shows_result.any(axis=(0, 1)).sum()
        if 0 < fraction < 1:
            right = ijk_to_ras[geometry][0][0] * numpy.arange(24)
            assert right[columns].min() > right[~columns].max()
    slicer_logic.endComparison()


def test_a_sagittal_series_swipes_along_its_slices(views, slicer_logic, library, random_generator):
    import slicer

    voxels = random_generator.integers(-1000, 1000, (10, 6, 5)).astype(numpy.int16)
    matrix = [[0, 0, 1.0, 0], [0, -1, 0, 0], [-1.0, 0, 0, 0], [0, 0, 0, 1]]  # slices run to the right, columns to the feet
    volume = slicer.util.addVolumeFromArray(voxels, numpy.array(matrix), "Sagittal")
    corrected = slicer_logic.process(volume)
    node = slicer_logic.showSwipe(volume, corrected, 0.3)
    assert numpy.array_equal(voxels_of(node)[7:], (voxels - 1)[7:])
    assert numpy.array_equal(voxels_of(node)[:7], voxels[:7])
    slicer_logic.endComparison()


def test_the_swipe_follows_the_strength(pair, slicer_logic):
    volume, corrected = pair
    node = slicer_logic.showSwipe(volume, corrected, 1.0)
    assert numpy.array_equal(voxels_of(node), voxels_of(corrected))
    slicer_logic.setStrength(corrected, 0.0)
    assert slicer_logic.showSwipe(volume, corrected, 1.0) is node
    assert numpy.array_equal(voxels_of(node), voxels_of(volume))
    assert not numpy.shares_memory(voxels_of(node), voxels_of(volume))


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_a_swipe_beyond_the_volume_is_refused(pair, slicer_logic, state_of, fraction):
    before = state_of()
    with pytest.raises(InputError, match="fraction from 0"):
        slicer_logic.showSwipe(*pair, fraction)
    assert state_of() == before


@pytest.mark.parametrize("way", WAYS)
def test_what_does_not_belong_together_is_refused(pair, slicer_logic, state_of, way):
    import slicer

    volume, corrected = pair
    other = slicer.util.addVolumeFromArray(numpy.zeros((3, 4, 5), numpy.int16), name="Other")
    before = state_of()
    with pytest.raises(InputError, match="'Other' and .* have different voxels"):
        way(slicer_logic, (other, corrected))
    for broken in ((None, corrected), (volume, None)):
        with pytest.raises(InputError, match="is no longer in the scene"):
            way(slicer_logic, broken)
    slicer.mrmlScene.RemoveNode(volume)
    with pytest.raises(InputError, match="is no longer in the scene"):
        way(slicer_logic, pair)
    assert state_of() == before
    assert slicer_logic.comparisonShown() == ""


@pytest.mark.parametrize("way", WAYS)
def test_without_a_window_a_sentence_comes(make_volume, slicer_logic, library, node_ids, way):
    volume = make_volume()
    corrected = slicer_logic.process(volume)
    nodes = node_ids()
    with pytest.raises(InputError, match="without a window"):
        way(slicer_logic, (volume, corrected))
    assert node_ids() == nodes
    slicer_logic.endComparison()


@pytest.mark.parametrize("way", WAYS)
def test_a_failure_on_the_way_gives_all_back(arranged_views, pair, slicer_logic, state_of, node_ids, monkeypatch, way):
    from SSLMARLib.slicer_logic import comparison

    def fail(*arguments):
        raise RuntimeError("no room")

    before, nodes = state_of(), node_ids()
    monkeypatch.setattr(comparison, "_showOnly", fail)
    with pytest.raises(RuntimeError, match="no room"):
        way(slicer_logic, pair)
    assert state_of() == before
    assert node_ids() == nodes


@pytest.mark.parametrize("way", WAYS)
def test_volumes_that_leave_the_scene_are_no_obstacle(arranged_views, pair, slicer_logic, state_of, way):
    import slicer

    layout = state_of()["layout"]
    way(slicer_logic, pair)
    for node in (*pair, arranged_views):
        slicer.mrmlScene.RemoveNode(node)
    slicer_logic.endComparison()
    assert state_of()["layout"] == layout
    assert composite("Red").GetBackgroundVolumeID() is None
    assert composite("Red").GetForegroundVolumeID() is None


@pytest.mark.parametrize("way", WAYS)
def test_a_closed_scene_is_no_obstacle(pair, slicer_logic, way):
    import slicer

    way(slicer_logic, pair)
    slicer.mrmlScene.Clear(False)
    slicer_logic.endComparison()
    assert slicer_logic.comparisonShown() == ""
    assert not slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")


def test_a_removed_difference_comes_again(pair, slicer_logic):
    import slicer

    slicer.mrmlScene.RemoveNode(slicer_logic.showDifference(*pair))
    node = slicer_logic.showDifference(*pair)
    assert node.GetScene() is not None
    assert composite("Red").GetBackgroundVolumeID() == node.GetID()
