"""Corrections of a sequence of volumes (4D), frame by frame: each frame has its own metal, as metal moves with the patient."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import slicer

from .._version import __version__
from ..errors import InputError, NoMetalError
from ..expected_time import remember_run
from ..methods import DEFAULT_METHOD, get_method
from . import strength
from .correction import Computable, Correction, computeAndAdd, methodTitle
from .dicom import describeForExport
from .i18n import _
from .job import FrameJob, IsCancelled, Progress
from .nodes import ATTRIBUTE_PREFIX, INPUT_ROLE, METHOD, allNodesOrNone, browserOf, copyDisplay, placeBeside, uniqueName
from .preparation import prepareFrame


def processSequence(
    sequenceNode,
    metalSegmentation=None,
    segmentIDs: Sequence[str] | None = None,
    method: str = DEFAULT_METHOD,
    thresholdHu: float | None = None,
    *,
    progress: Progress | None = None,
    isCancelled: IsCancelled | None = None,
    **options,
):
    """Correct all frames of a sequence node of CT volumes and return the new sequence node; the input is never touched.

    The result is browsed together with the input: by the same sequence browser, or by a new one where there is none.

    :param metalSegmentation: one segmentation for all frames, or one that a sequence browser shows frame by frame with the
      volumes; without one the threshold finds the metal of each frame. Frames without metal are taken over as they are.
    :param options: device, smallestComponentMm3, peakHu, dilationMm, traceDilationBins, restoreMetal, metalHu: see `prepareCorrection`.
    :raises MARError: with a sentence for the user; the scene is then as it was before the call.
    """
    correction = prepareSequenceCorrection(sequenceNode, metalSegmentation, segmentIDs, method, thresholdHu, **options)
    text = _("The correction was cancelled; no sequence was made.")
    return computeAndAdd(correction, correction.addToScene, progress, isCancelled, text)


def prepareSequenceCorrection(
    sequenceNode,
    metalSegmentation=None,
    segmentIDs: Sequence[str] | None = None,
    method: str = DEFAULT_METHOD,
    thresholdHu: float | None = None,
    **options,
) -> SequenceCorrection:
    """As `prepareCorrection`, for all frames of a sequence node; the parameters are those of `processSequence`.

    As 4D scans are large, the voxels of each frame are copied just before its turn, on the main thread; the masks are made now.

    :raises InputError: the sequence has no frames or one that is unfit (its number is named), or see `prepareCorrection`.
    """
    checkSequence(sequenceNode)
    browser = browserOf(sequenceNode)
    proxy = browser.GetProxyNode(sequenceNode) if browser is not None else None
    frames, masks = [], {}
    for index in range(sequenceNode.GetNumberOfDataNodes()):
        volume = sequenceNode.GetNthDataNode(index)
        segmentation = _segmentationOfFrame(metalSegmentation, browser, sequenceNode.GetNthIndexValue(index))
        with _saysFrame(sequenceNode, index):
            frames.append(prepareFrame(volume, segmentation, segmentIDs, method, thresholdHu, proxy=proxy, masks=masks, **options))
    return SequenceCorrection(sequenceNode, proxy, tuple(frames))


@contextlib.contextmanager
def _saysFrame(sequenceNode, index: int):
    """An InputError inside the block says which frame it is about."""
    try:
        yield
    except InputError as error:
        text = _("Frame {number} of '{name}': {error}").format(number=index + 1, name=sequenceNode.GetName(), error=error)
        raise type(error)(text) from error


@dataclass(frozen=True, eq=False)
class SequenceCorrection(Computable):
    """A correction of all frames on its way to the new sequence node; used as `Correction` is.

    proxy: the volume node that shows the current frame, None where the sequence is not browsed. frames: without voxels.
    """

    sequenceNode: object
    proxy: object
    frames: tuple[Correction, ...]

    @property
    def inputVolume(self):
        """The node whose removal ends the run."""
        return self.sequenceNode

    @property
    def method(self):
        return self.frames[0].job.method

    def jobs(self):
        for index, frame in enumerate(self.frames):
            with _saysFrame(self.sequenceNode, index):
                job = frame.withVoxels().job
            yield FrameJob(job, index, len(self.frames))

    def resultOf(self, results: list) -> tuple:
        """Return a `ComputedCorrection` each, None for frames without metal.

        :raises NoMetalError: no frame has metal.
        """
        withMetal = [not isinstance(result, NoMetalError) for result in results]
        if not any(withMetal):
            raise results[-1]
        return tuple(result if hasMetal else None for result, hasMetal in zip(results, withMetal, strict=True))

    def addToScene(self, results):
        """Add the new sequence node beside the input's and return it; main thread only.

        Frames keep their index values, geometry, type and attributes; what changed is said by attributes "SSLMAR.*".

        :raises InputError: the sequence left the scene meanwhile. No node is left behind then.
        """
        scene = self.sequenceNode.GetScene()
        if scene is None:
            raise InputError(_("The input sequence was removed from the scene during the run, so no result was made."))
        name = f"{self.sequenceNode.GetName()} (MAR: {methodTitle(self.method)})"
        for frame, result in zip(self.frames, results, strict=True):
            if result is not None:
                remember_run(result.report, result.seconds_per_slice, frame.job.device)
        with allNodesOrNone(scene):
            corrected = scene.AddNewNodeByClass("vtkMRMLSequenceNode", uniqueName(scene, name))
            corrected.SetIndexName(self.sequenceNode.GetIndexName())
            corrected.SetIndexUnit(self.sequenceNode.GetIndexUnit())
            corrected.SetIndexType(self.sequenceNode.GetIndexType())
            corrected.SetNumericIndexValueTolerance(self.sequenceNode.GetNumericIndexValueTolerance())
            for index, (frame, result) in enumerate(zip(self.frames, results, strict=True)):
                self._addFrame(corrected, self.sequenceNode.GetNthIndexValue(index), frame, result)
            corrected.SetAttribute(f"{ATTRIBUTE_PREFIX}Version", __version__)
            corrected.SetAttribute(METHOD, get_method(self.method).name)
            corrected.SetAttribute(f"{ATTRIBUTE_PREFIX}FramesCorrected", str(sum(result is not None for result in results)))
            corrected.SetNodeReferenceID(INPUT_ROLE, self.sequenceNode.GetID())
            strength.observe(scene)
            self._browse(scene, corrected)
        return corrected

    def _addFrame(self, corrected, indexValue: str, frame: Correction, result) -> None:
        """Copy one frame's node with its attributes and put the result's voxels into the copy."""
        node = slicer.vtkMRMLScalarVolumeNode()
        node.CopyContent(frame.inputVolume, False)  # shallow: the voxels are replaced, or stay those of the input
        node.SetName(frame.inputVolume.GetName())
        attributes = {"Version": __version__, "Method": get_method(self.method).name}
        if result is not None:
            frame.fill(node, result)
            attributes = frame.attributes(result)
        for name, value in attributes.items():
            node.SetAttribute(ATTRIBUTE_PREFIX + name, str(value))
        corrected.SetDataNodeAtValue(node, indexValue)  # a deep copy
        if result is not None:
            strength.remember(corrected.GetDataNodeAtValue(indexValue), result)

    def _browse(self, scene, corrected) -> None:
        """Show the new sequence with the input's, frame by frame; a browser is made where there is none."""
        browser = browserOf(self.sequenceNode)
        if browser is None:
            name = uniqueName(scene, _("{name} browser").format(name=corrected.GetName()))
            browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", name)
            browser.SetAndObserveMasterSequenceNodeID(self.sequenceNode.GetID())
        browser.AddSynchronizedSequenceNodeID(corrected.GetID())
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
        proxy, shown = browser.GetProxyNode(corrected), browser.GetProxyNode(self.sequenceNode)
        if proxy is not None and shown is not None:
            proxy.SetNodeReferenceID(INPUT_ROLE, shown.GetID())
            proxy.SetAndObserveTransformNodeID(shown.GetTransformNodeID())
            copyDisplay(shown, proxy)
            placeBeside(shown, proxy)
            describeForExport(shown, proxy, methodTitle(self.method))


def checkSequence(sequenceNode) -> None:
    """Raise InputError unless a node is a sequence node of scalar volumes in a scene."""
    if sequenceNode is None or not hasattr(sequenceNode, "IsA") or not sequenceNode.IsA("vtkMRMLSequenceNode"):
        raise InputError(_("No sequence is chosen: choose a sequence of CT volumes."))
    name = sequenceNode.GetName()
    if sequenceNode.GetScene() is None:
        raise InputError(_("'{name}' is not in a scene: add it to the scene first.").format(name=name))
    if sequenceNode.GetNumberOfDataNodes() == 0:
        raise InputError(_("The sequence '{name}' has no frames: load a sequence of CT volumes.").format(name=name))


def _segmentationOfFrame(metalSegmentation, browser, indexValue: str):
    """The segmentation itself, or where the browser shows it frame by frame, the one of a frame."""
    sequence = browser.GetSequenceNode(metalSegmentation) if browser is not None and metalSegmentation is not None else None
    if sequence is None:
        return metalSegmentation
    segmentation = sequence.GetDataNodeAtValue(indexValue)
    if segmentation is None:
        raise InputError(_("The sequence of '{name}' has no segmentation for this frame.").format(name=metalSegmentation.GetName()))
    return segmentation
