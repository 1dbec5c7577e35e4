"""The computation knows arrays, the scene knows nodes: threads hold no node, voxels are copied, images may begin anywhere."""

from __future__ import annotations

import ast
import threading

import numpy
import pytest

from SSLMARLib import InputError

EXTENT_START = (10, -4, 3)  # columns, rows, slices


class Gate:
    """Work for the library's stand-in: each call waits until it is let through."""

    def __init__(self, library):
        self.calls, self.passes = threading.Semaphore(0), threading.Semaphore(0)
        library.work = self

    def __call__(self, progress, is_cancelled):
        self.calls.release()
        assert self.passes.acquire(timeout=10)

    def await_call(self, run=None):
        """Wait until the library is called; with a run, as its owner."""
        for _ in range(200):
            if run is not None:
                run.wait(0.005)
            if self.calls.acquire(timeout=0.05):
                return
        raise AssertionError("the library was not called")


def voxels_of(volume):
    import slicer

    return slicer.util.arrayFromVolume(volume)


@pytest.fixture
def make_sequence(make_volume):
    """A function that makes a sequence of frames whose voxels differ by 1 HU."""
    import slicer

    def make(frames):
        volume = make_volume()
        sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "Heart")
        for frame in range(frames):
            voxels_of(volume)[:] += 1
            sequence.SetDataNodeAtValue(volume, str(frame))
        slicer.mrmlScene.RemoveNode(volume)
        return sequence

    return make


def begin_elsewhere(volume):
    """Let the extent of a volume's image begin at EXTENT_START, as an image that was cut out of a larger one does."""
    import vtk

    image = vtk.vtkImageData()
    image.DeepCopy(volume.GetImageData())
    first_and_last = [(start, start + size - 1) for start, size in zip(EXTENT_START, image.GetDimensions(), strict=True)]
    image.SetExtent([edge for edges in first_and_last for edge in edges])
    volume.SetAndObserveImageData(image)
    return volume


def shown_metal(volume, slice_mm):
    """RAS (mm) of the pixels that Slicer shows as metal in an axial slice view at a height, as a set of rounded points."""
    import slicer
    from vtk.util.numpy_support import vtk_to_numpy

    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLScene(slicer.mrmlScene)
    node = logic.AddSliceNode("Test")
    try:
        node.SetDimensions(128, 128, 1)
        node.SetFieldOfView(128, 128, 1)
        node.SetOrientationToAxial()
        node.GetSliceToRAS().SetElement(2, 3, slice_mm)
        node.UpdateMatrices()
        logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
        logic.UpdatePipeline()
        reslice = logic.GetBackgroundLayer().GetReslice()
        reslice.Update()
        pixels = vtk_to_numpy(reslice.GetOutput().GetPointData().GetScalars()).reshape(128, 128)
        points = [node.GetXYToRAS().MultiplyPoint((x, y, 0, 1))[:3] for y, x in numpy.argwhere(pixels > 2500)]
        return {tuple(numpy.round(point, 3)) for point in points}
    finally:
        composite = logic.GetSliceCompositeNode()
        logic.SetSliceNode(None)
        logic.SetMRMLScene(None)
        for leftover in (composite, node):
            slicer.mrmlScene.RemoveNode(leftover)


def test_the_file_of_the_job_knows_no_node(repository):
    tree = ast.parse((repository / "SSLMARLib" / "slicer_logic" / "job.py").read_text(encoding="utf-8"))
    imported = {(node.level, node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {(0, alias.name) for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert {module for level, module in imported if level == 0} <= {"__future__", "zlib", "collections.abc", "dataclasses", "numpy"}
    assert not {module for level, module in imported if level == 1}, "job.py imports what knows Slicer"


@pytest.mark.parametrize("frames", [0, 2])
@pytest.mark.parametrize("is_closed", [False, True])
def test_a_node_is_destroyed_while_its_run_still_computes(make_volume, make_sequence, slicer_logic, library, frames, is_closed):
    """The last reference is the main thread's, so no node is destroyed on another thread. frames: 0 for a volume."""
    import slicer
    import vtk

    gate = Gate(library)
    node = make_sequence(frames) if frames else make_volume()
    correction = (slicer_logic.prepareSequenceCorrection if frames else slicer_logic.prepareCorrection)(node)
    run = correction.start()
    gate.await_call()
    reference = vtk.vtkWeakReference()
    reference.Set(node)
    if is_closed:
        slicer.mrmlScene.Clear(False)
    else:
        slicer.mrmlScene.RemoveNode(node)
    run.cancel()
    del node, correction, run
    assert reference.Get() is None
    gate.passes.release()


def test_a_frame_is_copied_just_before_its_turn(make_sequence, slicer_logic, library):
    """What happens to a frame before its turn counts, what happens from then on does not."""
    gate, sequence = Gate(library), make_sequence(3)
    nodes = [sequence.GetNthDataNode(index) for index in range(3)]
    run = slicer_logic.prepareSequenceCorrection(sequence).start()
    for index in range(3):
        gate.await_call(run)
        voxels = library.calls[index][0]
        assert not any(numpy.shares_memory(voxels, voxels_of(node)) for node in nodes)
        assert (voxels[0, 0, 0] - library.calls[0][0][0, 0, 0]) == 101 * index
        for node in nodes:
            voxels_of(node)[:] += 100
        gate.passes.release()
    while not run.wait(0.05):
        pass
    assert [result.volume_hu[0, 0, 0] - library.calls[0][0][0, 0, 0] for result in run.result()] == [-1, 100, 201]


def test_frames_are_copied_on_the_main_thread(make_sequence, slicer_logic, library, monkeypatch):
    from SSLMARLib.slicer_logic import correction

    threads = {"copied": [], "computed": []}
    array_of, library.work = correction.arrayFromImage, lambda *_: threads["computed"].append(threading.get_ident())

    def array_and_thread(image):
        threads["copied"].append(threading.get_ident())
        return array_of(image)

    monkeypatch.setattr(correction, "arrayFromImage", array_and_thread)
    run = slicer_logic.prepareSequenceCorrection(make_sequence(3)).start()
    while not run.wait(0.05):
        pass
    assert threads["copied"] == [threading.get_ident()] * 3
    assert len(threads["computed"]) == 3 and threading.get_ident() not in threads["computed"]


def test_a_frame_that_got_another_grid_meanwhile_is_told(make_sequence, slicer_logic, library):
    import slicer

    gate, sequence = Gate(library), make_sequence(2)
    run = slicer_logic.prepareSequenceCorrection(sequence).start()
    gate.await_call()
    slicer.util.updateVolumeFromArray(sequence.GetNthDataNode(1), numpy.zeros((2, 3, 4), numpy.int16))
    gate.passes.release()
    while not run.wait(0.05):
        pass
    with pytest.raises(InputError, match="Frame 2 of 'Heart': 'CT' got other voxels or another place in space meanwhile: correct it"):
        run.result()


@pytest.fixture
def ending_views(views, slicer_logic):
    """Slice views; the comparison ends with the test."""
    yield views
    slicer_logic.endComparison()


@pytest.mark.parametrize("what", ["result", "preview", "difference", "swipe", "frame"])
def test_an_image_that_does_not_begin_at_0_is_corrected_in_its_place(ending_views, make_volume, slicer_logic, library, what):
    """Where the slice views show the metal of the input, they show that of what is made of it."""
    import slicer

    volume = begin_elsewhere(make_volume("RAS"))
    height_mm = 30 + 2.5 * (EXTENT_START[2] + 2)
    expected = shown_metal(volume, height_mm)
    assert expected and not shown_metal(volume, height_mm - 2.5)
    if what == "frame":
        sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "Heart")
        sequence.SetDataNodeAtValue(volume, "0")
        corrected = slicer_logic.processSequence(sequence).GetNthDataNode(0)
        node = slicer.mrmlScene.AddNode(corrected)
    else:
        node = slicer_logic.process(volume, sliceIndex=2 if what == "preview" else None)
    if what == "difference":
        voxels_of(node)[:] = numpy.where(voxels_of(node) > 2500, 6000, voxels_of(node))
        node = slicer_logic.showDifference(volume, node)
    elif what == "swipe":
        node = slicer_logic.showSwipe(volume, node)
    assert shown_metal(node, height_mm) == expected
    assert not shown_metal(node, height_mm - 2.5)


def test_metal_of_an_image_that_does_not_begin_at_0_is_found_in_its_place(make_volume, slicer_logic, library):
    """As a segment, and from the segment back onto the grid: the segment is not moved where the volume is."""
    volume = begin_elsewhere(make_volume("oblique"))
    metal = voxels_of(volume) >= 2900
    segmentation = slicer_logic.segmentMetal(volume, 2900, smallestComponentMm3=0.0)
    assert numpy.array_equal(slicer_logic.metalMaskFromSegmentation(segmentation, volume), metal)
    plain = make_volume("oblique")
    plain.SetIJKToRASMatrix(_moved_matrix(volume))
    assert numpy.array_equal(slicer_logic.metalMaskFromSegmentation(segmentation, plain), metal)


def _moved_matrix(volume):
    """IJK to RAS for the same voxels with indices that begin at 0."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    origin = matrix.MultiplyPoint((*EXTENT_START, 1))
    for axis in range(3):
        matrix.SetElement(axis, 3, origin[axis])
    return matrix
