"""Corrections of sequences of volumes (4D), frame by frame, on real sequence nodes and browsers."""

from __future__ import annotations

import numpy
import pytest

from SSLMARLib import Cancelled, InputError
from SSLMARLib.errors import NoMetalError


@pytest.fixture
def make_sequence(make_volume):
    """make_sequence(frames, browsed) -> (sequence node, browser node or None); frame n is the volume plus n, at 20 n ms."""
    import slicer

    def make(frames=3, browsed=True, dtype=numpy.int16):
        volume = make_volume(dtype=dtype)
        sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "Heart")
        sequence.SetIndexName("time")
        sequence.SetIndexUnit("ms")
        for frame in range(frames):
            slicer.util.arrayFromVolume(volume)[:] += 1 if frame else 0
            volume.SetAttribute("Phase", str(frame))
            sequence.SetDataNodeAtValue(volume, str(20 * frame))
        slicer.mrmlScene.RemoveNode(volume)
        if not browsed:
            return sequence, None
        browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Heart browser")
        browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
        return sequence, browser

    return make


@pytest.fixture
def no_metal_in_the_second(library):
    """The library finds metal in all frames but the second."""
    calls = []

    def work(progress, is_cancelled):
        calls.append(1)
        if len(calls) == 2:
            raise NoMetalError("No metal found.")

    library.work = work


@pytest.fixture
def node_ids(rig):
    import slicer

    return lambda: sorted(slicer.mrmlScene.GetNthNode(i).GetID() for i in range(slicer.mrmlScene.GetNumberOfNodes()))


def frames_of(sequence):
    import slicer

    count = sequence.GetNumberOfDataNodes()
    return [slicer.util.arrayFromVolume(sequence.GetNthDataNode(index)).copy() for index in range(count)]


def matrix_of(volume):
    import slicer
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("browsed", [True, False])
def test_each_frame_is_corrected_and_browsed_beside_the_input(make_sequence, slicer_logic, library, frames, browsed):
    import slicer

    sequence, browser = make_sequence(frames, browsed)
    before = frames_of(sequence)
    corrected = slicer_logic.processSequence(sequence, method="li", thresholdHu=2500)
    assert corrected.GetName() == "Heart (MAR: LI)"
    assert corrected.GetNumberOfDataNodes() == frames == len(library.calls)
    assert (corrected.GetIndexName(), corrected.GetIndexUnit()) == ("time", "ms")
    for index in range(frames):
        one, other = sequence.GetNthDataNode(index), corrected.GetNthDataNode(index)
        assert corrected.GetNthIndexValue(index) == sequence.GetNthIndexValue(index)
        assert numpy.array_equal(matrix_of(one), matrix_of(other))
        assert other.GetImageData().GetScalarType() == one.GetImageData().GetScalarType()
        assert other.GetAttribute("Phase") == str(index)
        assert other.GetAttribute("SSLMAR.Method") == "li"
        assert one.GetAttribute("SSLMAR.Method") is None
    for frame, other in zip(before, frames_of(corrected), strict=True):
        assert numpy.array_equal(other, frame - 1)
    for frame, other in zip(before, frames_of(sequence), strict=True):
        assert numpy.array_equal(other, frame)
    assert corrected.GetNodeReference("SSLMAR.InputVolume") is sequence

    browsers = slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")
    assert len(browsers) == 1
    if browsed:
        assert browsers[0] is browser
    assert browsers[0].GetMasterSequenceNode() is sequence
    for frame in reversed(range(frames)):
        browsers[0].SetSelectedItemNumber(frame)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browsers[0])
        shown, result = browsers[0].GetProxyNode(sequence), browsers[0].GetProxyNode(corrected)
        assert numpy.array_equal(slicer.util.arrayFromVolume(shown), before[frame])
        assert numpy.array_equal(slicer.util.arrayFromVolume(result), before[frame] - 1)


def test_the_result_is_shown_as_the_input(make_sequence, slicer_logic, library):
    import slicer

    sequence, browser = make_sequence()
    proxy = browser.GetProxyNode(sequence)
    proxy.CreateDefaultDisplayNodes()
    proxy.GetDisplayNode().SetAutoWindowLevel(False)
    proxy.GetDisplayNode().SetWindowLevel(3333, 444)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    proxy.SetAndObserveTransformNodeID(transform.GetID())
    result = browser.GetProxyNode(slicer_logic.processSequence(sequence))
    display = result.GetDisplayNode()
    assert (display.GetWindow(), display.GetLevel(), display.GetAutoWindowLevel()) == (3333, 444, 0)
    assert result.GetParentTransformNode() is transform
    assert slicer_logic.sequenceOf(proxy) is sequence
    assert slicer_logic.sequenceOf(result) is not sequence
    assert slicer_logic.sequenceOf(None) is None
    assert result.GetNodeReference("SSLMAR.InputVolume") is proxy


def test_a_slicer_without_the_module_of_sequences_has_none(make_volume, slicer_logic, monkeypatch):
    import slicer

    monkeypatch.delattr(slicer.modules, "sequences")
    assert slicer_logic.sequenceOf(make_volume()) is None
    assert slicer_logic.sequenceOf(slicer.vtkMRMLScalarVolumeNode()) is None


def test_the_strength_of_a_sequence_is_that_of_all_its_frames(make_sequence, slicer_logic, library):
    """Blended in place, and back; the volume that shows the frames follows, and so does the report."""
    import slicer

    sequence, browser = make_sequence()
    before = frames_of(sequence)
    corrected = slicer_logic.processSequence(sequence)
    result = browser.GetProxyNode(corrected)
    full = frames_of(corrected)
    assert slicer_logic.canChangeStrength(result) == "" and slicer_logic.strengthOf(result) == 1.0
    slicer_logic.setStrength(result, 0.0)
    assert all((one == other).all() for one, other in zip(frames_of(corrected), before, strict=True))
    for number in (0, 2):
        browser.SetSelectedItemNumber(number)
        assert (slicer.util.arrayFromVolume(result) == before[number]).all() and slicer_logic.strengthOf(result) == 0.0
    table = slicer_logic.reportTable(result)
    rows = {table.GetCellText(row, 0): table.GetCellText(row, 1) for row in range(table.GetNumberOfRows())}
    assert rows["Strength"] == "0" and table.GetNumberOfRows() > 10
    slicer_logic.setStrength(result, 1.0)
    assert all((one == other).all() for one, other in zip(frames_of(corrected), full, strict=True))
    assert (slicer.util.arrayFromVolume(result) == full[2]).all()


def test_a_sequence_whose_frames_were_edited_is_not_blended(make_sequence, slicer_logic, library):
    import slicer

    sequence, browser = make_sequence()
    corrected = slicer_logic.processSequence(sequence)
    result = browser.GetProxyNode(corrected)
    slicer.util.arrayFromVolume(corrected.GetNthDataNode(1))[0] += 7
    slicer.util.arrayFromVolumeModified(corrected.GetNthDataNode(1))
    changed = frames_of(corrected)
    assert "have changed since the correction" in slicer_logic.canChangeStrength(result)
    with pytest.raises(InputError, match="have changed"):
        slicer_logic.setStrength(result, 0.5)
    assert all((one == other).all() for one, other in zip(frames_of(corrected), changed, strict=True))
    slicer.mrmlScene.RemoveNode(sequence)
    assert "no longer in the scene" in slicer_logic.canChangeStrength(result)


def test_what_a_removed_sequence_kept_in_memory_is_given_back(make_sequence, slicer_logic, library):
    import slicer

    from SSLMARLib.slicer_logic import strength

    sequence, _ = make_sequence()
    kept = len(strength._fullResults)
    corrected = slicer_logic.processSequence(sequence)
    assert len(strength._fullResults) == kept + 3
    slicer.mrmlScene.RemoveNode(corrected)
    assert len(strength._fullResults) == kept


def test_a_frame_without_metal_has_no_report_and_the_others_have(make_sequence, slicer_logic, no_metal_in_the_second):
    sequence, browser = make_sequence()
    result = browser.GetProxyNode(slicer_logic.processSequence(sequence))
    assert slicer_logic.reportTable(result).GetNumberOfRows() > 10
    browser.SetSelectedItemNumber(1)
    with pytest.raises(NoMetalError, match="No metal was found in this frame"):
        slicer_logic.reportTable(result)
    slicer_logic.setStrength(result, 0.5)  # the others can be blended


def test_a_frame_without_metal_is_taken_over(make_sequence, slicer_logic, no_metal_in_the_second):
    sequence, _ = make_sequence()
    before = frames_of(sequence)
    after = frames_of(slicer_logic.processSequence(sequence))
    assert [int((one - other).max()) for one, other in zip(before, after, strict=True)] == [1, 0, 1]


def test_no_metal_in_any_frame_is_told_and_leaves_nothing(make_sequence, slicer_logic, node_ids):
    sequence, _ = make_sequence()
    before = node_ids()
    with pytest.raises(NoMetalError, match="No metal found: no voxel reaches 3060 HU"):
        slicer_logic.processSequence(sequence, thresholdHu=3060)
    assert node_ids() == before


def test_progress_counts_the_frames(make_sequence, slicer_logic, library):
    sequence, _ = make_sequence(4)
    library.work = lambda progress, is_cancelled: progress(0.5, "slice 3")
    seen = []
    slicer_logic.processSequence(sequence, progress=lambda fraction, message: seen.append((fraction, message)))
    assert seen[:2] == [(0.475 / 4, "Frame 1 of 4: slice 3"), (1.475 / 4, "Frame 2 of 4: slice 3")]
    assert seen[-1][0] == 1.0
    assert [fraction for fraction, _ in seen] == sorted(fraction for fraction, _ in seen)


@pytest.mark.parametrize("frame", [0, 1, 2])
def test_a_cancel_leaves_nothing(make_sequence, slicer_logic, library, node_ids, frame):
    sequence, browser = make_sequence()
    before = node_ids()
    with pytest.raises(Cancelled):
        slicer_logic.processSequence(sequence, isCancelled=lambda: len(library.calls) > frame)
    assert len(library.calls) == frame + 1
    assert node_ids() == before
    assert browser.GetNumberOfSynchronizedSequenceNodes() == 0


def test_an_error_in_a_frame_leaves_nothing(make_sequence, slicer_logic, library, node_ids):
    sequence, _ = make_sequence()
    before = node_ids()

    def fail_in_the_third(progress, is_cancelled):
        if len(library.calls) == 3:
            raise InputError("The volume has NaN voxels.")

    library.work = fail_in_the_third
    with pytest.raises(InputError, match="NaN"):
        slicer_logic.processSequence(sequence)
    assert node_ids() == before


def test_a_failure_while_the_nodes_are_made_leaves_nothing(make_sequence, slicer_logic, library, node_ids, monkeypatch):
    from SSLMARLib.slicer_logic import sequences

    def fail(*arguments):
        raise RuntimeError("no room")

    monkeypatch.setattr(sequences, "placeBeside", fail)
    for browsed in (True, False):
        sequence, browser = make_sequence(browsed=browsed)
        before = node_ids()
        with pytest.raises(RuntimeError, match="no room"):
            slicer_logic.processSequence(sequence)
        assert node_ids() == before
        if browser is not None:
            assert browser.GetNumberOfSynchronizedSequenceNodes() == 0


def test_a_sequence_that_leaves_the_scene_meanwhile_is_told(make_sequence, slicer_logic, library, node_ids):
    import slicer

    sequence, _ = make_sequence(browsed=False)
    correction = slicer_logic.prepareSequenceCorrection(sequence)
    result = correction.compute()
    slicer.mrmlScene.RemoveNode(sequence)
    before = node_ids()
    with pytest.raises(InputError, match="was removed from the scene during the run"):
        correction.addToScene(result)
    assert node_ids() == before


def test_one_segmentation_serves_all_frames(make_sequence, add_segment, slicer_logic, library):
    import slicer

    sequence, browser = make_sequence()
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Implants")
    mask = numpy.zeros((6, 20, 24), bool)
    mask[2, 4:9, 2:8] = True
    add_segment(segmentation, "Screw", mask, browser.GetProxyNode(sequence))
    slicer_logic.processSequence(sequence, segmentation)
    masks = [keywords["metal"] for _, _, keywords in library.calls]
    assert all(numpy.array_equal(one, mask) for one in masks)
    assert all(one is masks[0] for one in masks)


def test_a_segmentation_of_each_frame_is_taken(make_sequence, add_segment, slicer_logic, library):
    import slicer

    sequence, browser = make_sequence()
    segments = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "Implants")
    expected = []
    for frame in range(3):
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Implants")
        mask = numpy.zeros((6, 20, 24), bool)
        mask[frame, 4:9, 2:8] = True
        add_segment(segmentation, "Screw", mask, browser.GetProxyNode(sequence))
        segments.SetDataNodeAtValue(segmentation, str(20 * frame))
        slicer.mrmlScene.RemoveNode(segmentation)
        expected.append(mask)
    browser.AddSynchronizedSequenceNodeID(segments.GetID())
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    slicer_logic.processSequence(sequence, browser.GetProxyNode(segments))
    for (_, _, keywords), mask in zip(library.calls, expected, strict=True):
        assert numpy.array_equal(keywords["metal"], mask)


def test_options_reach_every_frame(make_sequence, slicer_logic, library):
    sequence, _ = make_sequence(2)
    slicer_logic.processSequence(sequence, device="cpu", dilationMm=1.5)
    for _, _, keywords in library.calls:
        assert (keywords["device"], keywords["metal"].dilation_mm) == ("cpu", 1.5)


def test_unfit_sequences_are_refused_with_a_sentence(rig, make_volume, slicer_logic, library):
    import slicer

    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "Nothing")
    models = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "Models")
    models.SetDataNodeAtValue(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", "Skin"), "0")
    loose = slicer.vtkMRMLSequenceNode()
    loose.SetName("Loose")
    for node, sentence in (
        (None, "No sequence is chosen"),
        (make_volume(), "No sequence is chosen"),
        (empty, "'Nothing' has no frames"),
        (models, "Frame 1 of 'Models': 'Skin' is a Model node"),
        (loose, "'Loose' is not in a scene"),
    ):
        with pytest.raises(InputError, match=sentence):
            slicer_logic.processSequence(node)
    assert not library.calls


def test_the_real_job_on_a_sequence(metal_phantom, slicer_logic):
    import slicer

    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "Breathing")
    for frame in range(2):
        sequence.SetDataNodeAtValue(metal_phantom, str(frame))
    corrected = slicer_logic.processSequence(sequence, method="li", device="cpu", metalHu=5000)
    for before, after in zip(frames_of(sequence), frames_of(corrected), strict=True):
        assert numpy.array_equal(before[[0, 2]], after[[0, 2]])
        assert (after[before == 3000] == 5000).all()
        assert not numpy.array_equal(before[1], after[1])
