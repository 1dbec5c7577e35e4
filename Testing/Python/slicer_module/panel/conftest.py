"""The open panel, offscreen, on real MRML nodes; the library behind it is a quick stand-in."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import numpy
import pytest

from SSLMARLib import Cancelled

pytest.importorskip("PySide6.QtWidgets", reason="PySide6 cannot be imported, so the tests of the panel did NOT run", exc_type=ImportError)


@pytest.fixture
def module(rig, repository, request, monkeypatch):
    """SSLMAR/SSLMAR.py, loaded as Slicer loads it. The test and this file write PythonQt's way.

    The default method is NMAR here, whatever it is otherwise.
    """
    from SSLMARLib import slicer_logic

    monkeypatch.setattr(slicer_logic, "DEFAULT_METHOD", "nmar")
    for name in (__name__, request.module.__name__):
        rig.use_pythonqt_properties(name)
    return rig.load_module(repository / "SSLMAR" / "SSLMAR.py")


@pytest.fixture
def panel(rig, module, library):
    """The open panel on an empty scene, over the quick stand-in of the library."""
    widget = rig.open_panel(module)
    for delayed in delayed_calls(widget):
        delayed._timer.interval = 1
    yield widget
    widget.cleanup()


def delayed_calls(panel):
    return [
        panel.metalSection._delayedCount,
        panel.segmentationSection._delayedCount,
        panel.correctionSection._delayedStrength,
        panel.resultSection._delayedReport,
        panel.resultSection._delayedSwipe,
    ]


@pytest.fixture
def volume(panel, tools):
    """A CT volume, chosen as the input: 3 slices of water; slice 2 (of 1 to 3) holds 4 voxels of metal, 3000 HU."""
    volume = tools.add_volume("CT")
    panel.parameterNode.inputVolume = volume
    return volume


class Gate:
    """Work for the library's stand-in that reports progress, then waits to be released or cancelled."""

    def __init__(self, library):
        self.entered, self.released, self.left = threading.Event(), threading.Event(), threading.Event()
        library.work = self

    def __call__(self, progress, is_cancelled):
        progress(0.25, "Slice 3 of 12")
        self.entered.set()
        try:
            while not self.released.wait(0.005):
                if is_cancelled():
                    raise Cancelled("The library was cancelled.")
        finally:
            self.left.set()


def add_volume(name, voxels=None):
    import slicer

    if voxels is None:
        voxels = numpy.full((3, 8, 9), 40, numpy.int16)
        voxels[1, 3:5, 4:6] = 3000
    return slicer.util.addVolumeFromArray(voxels, name=name)


def add_segmentation(name, *segments):
    """A segmentation with segments of these names: one voxel (column 4 + position, row 3, slice 1) each."""
    import slicer
    import vtk

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    for position, segment in enumerate(segments):
        labelmap = slicer.vtkOrientedImageData()
        labelmap.SetExtent(4 + position, 4 + position, 3, 3, 1, 1)
        labelmap.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
        labelmap.GetPointData().GetScalars().Fill(1)
        node.AddSegmentFromBinaryLabelmapRepresentation(labelmap, segment)
    return node


def add_slice_view(volume=None, slice_index=1):
    """A slice view of the scene that shows one slice of a volume; returns its slice node."""
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceNode", "Red")
    composite = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode", "Red")
    composite.SetLayoutName("Red")
    if volume is not None:
        node.GetSliceToRAS().SetElement(2, 3, slice_index * volume.GetSpacing()[2])
        node.UpdateMatrices()
    return node


def volume_names():
    import slicer

    volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    return sorted(node.GetName() for node in volumes if not node.GetHideFromEditors())


@pytest.fixture
def tools(rig, library):
    """Helpers: nodes for the scene, and waiting for the panel."""

    def finish(panel):
        """Let the event loop run until the run has ended."""
        rig.spin(lambda: not panel.isRunning)

    def settle(panel):
        """Let the event loop run until nothing delayed is waiting any more."""
        rig.spin(lambda: not any(call.waiting for call in delayed_calls(panel)))

    def apply(panel):
        panel.ui.applyButton.click()
        finish(panel)
        settle(panel)

    def assert_idle(panel):
        """The panel is as it was before a run."""
        ui = panel.ui
        assert not panel.isRunning and panel.runSection.correction is None
        assert not panel.runSection.timer.active
        assert (ui.applyButton.text, ui.progressBar.visible) == ("Apply", False)
        assert ui.inputCollapsibleButton.enabled
        assert ui.metalCollapsibleButton.enabled
        assert ui.correctionCollapsibleButton.enabled

    def wait(seconds):
        end = time.monotonic() + seconds
        rig.spin(lambda: time.monotonic() > end)

    return SimpleNamespace(
        Gate=lambda: Gate(library),
        add_volume=add_volume,
        add_segmentation=add_segmentation,
        add_slice_view=add_slice_view,
        volume_names=volume_names,
        finish=finish,
        settle=settle,
        apply=apply,
        wait=wait,
        assert_idle=assert_idle,
    )
