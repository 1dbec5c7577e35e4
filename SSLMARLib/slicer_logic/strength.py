"""The strength of a correction, changed afterwards: input + strength * (full result - input), at once and in place.

Of a sequence all frames have one strength; the volume that shows its frames stands for it.

Of a full result only the slices that changed stay in memory, for as long as the corrected node is in the scene. A scene that was
saved with the full result (strength 1) can be blended after it is loaded again, any other strength cannot.
"""

import json
import math
from dataclasses import dataclass

import numpy
import slicer
import vtk

from ..errors import InputError
from .i18n import _
from .job import changedSlices, checksumOf
from .nodes import ATTRIBUTE_PREFIX, INPUT_ROLE, METHOD, arrayFromImage, browserOf, sequenceOf, uniqueName

STRENGTH = f"{ATTRIBUTE_PREFIX}Strength"
CHECKSUM = f"{ATTRIBUTE_PREFIX}InputChecksum"
MEASURES = f"{ATTRIBUTE_PREFIX}Measures"
MEASURED_STRENGTH = f"{ATTRIBUTE_PREFIX}MeasuredStrength"
METAL_HU = f"{ATTRIBUTE_PREFIX}MetalHu"
NAME, NAME_GIVEN = f"{ATTRIBUTE_PREFIX}Name", f"{ATTRIBUTE_PREFIX}NameGiven"  # at full strength, "... (MAR: NMAR)"; and the last one


@dataclass(eq=False)
class FullResult:
    """What blending needs of one corrected node.

    node: a weak reference to the node. slices: indices of the slices that the correction changed. voxelsHu: these slices
    of the full result. metal: where they show metal with a value of its own, None where metal stayed as it was. regions:
    where `measure_volume` measures. inputTime, resultTime: when the voxels of input and result were seen last as they
    should be (VTK's modification times).
    """

    node: object
    slices: numpy.ndarray
    voxelsHu: numpy.ndarray
    metal: numpy.ndarray | None
    regions: tuple
    inputTime: int
    resultTime: int


_fullResults: dict[str, FullResult] = {}  # by the address of the corrected node
_observedScenes: dict[str, object] = {}  # by address: weak references, as an address is used again


def remember(correctedVolume, result) -> None:
    """Keep what blending needs of a new node with a full result, or of a frame of one, for as long as it is in the scene."""
    correctedVolume.SetAttribute(STRENGTH, "1")
    correctedVolume.SetAttribute(CHECKSUM, result.input_checksum)
    metal = result.metal_shown[result.changed_slices] if result.metal_shown is not None else None
    # Time 0: the input may have changed during the run, so it is compared once.
    _keep(correctedVolume, result.changed_slices, result.volume_hu[result.changed_slices], metal, result.regions, 0)


def _keep(correctedVolume, slices, voxelsHu, metal, regions, inputTime) -> FullResult:
    observe(correctedVolume.GetScene())
    full = FullResult(
        node=_weakReference(correctedVolume),
        slices=slices,
        voxelsHu=voxelsHu,
        metal=metal,
        regions=tuple(regions),
        inputTime=inputTime,
        resultTime=correctedVolume.GetImageData().GetMTime(),
    )
    _fullResults[correctedVolume.GetAddressAsString("")] = full
    return full


def _inMemory(correctedVolume) -> FullResult | None:
    full = _fullResults.get(correctedVolume.GetAddressAsString(""))
    return full if full is not None and full.node.Get() is correctedVolume else None


def observe(scene) -> None:
    """Forget what belongs to nodes that leave the scene. (An observer of a node's own deletion would run while Python
    collects garbage, which crashes.)"""
    key = scene.GetAddressAsString("")
    if key not in _observedScenes or _observedScenes[key].Get() is not scene:
        _observedScenes[key] = _weakReference(scene)
        scene.AddObserver(slicer.vtkMRMLScene.NodeRemovedEvent, _onNodeRemoved)


@vtk.calldata_type(vtk.VTK_OBJECT)
def _onNodeRemoved(scene, event, node) -> None:
    frames = [node.GetNthDataNode(index) for index in range(node.GetNumberOfDataNodes())] if node.IsA("vtkMRMLSequenceNode") else []
    for one in (node, *frames):
        _fullResults.pop(one.GetAddressAsString(""), None)


def _weakReference(item):
    reference = vtk.vtkWeakReference()
    reference.Set(item)
    return reference


def strengthOf(correctedVolume) -> float:
    """Return the strength, 0 to 1, that a corrected volume shows; 1 is the full correction."""
    try:
        return min(max(float(correctedVolume.GetAttribute(STRENGTH) or 1.0), 0.0), 1.0)
    except ValueError:
        return 1.0


def canChangeStrength(correctedVolume) -> str:
    """Return "" where `setStrength` can work on a node, otherwise the sentence that says why not."""
    try:
        _fullResultsOf(correctedVolume)
    except InputError as error:
        return str(error)
    return ""


def setStrength(correctedVolume, strength: float) -> None:
    """Blend a corrected volume, in place and without a new correction: input + strength * (full result - input).

    0 gives the input's voxels to the bit, 1 the full result. Metal that the correction shows with a value of its own has
    that value at every strength but 0. Integer volumes are rounded. A volume that shows the frames of a sequence stands for all.
    What is shown then is measured at once, so that a scene holds its measures whenever it is saved.

    :raises InputError: the strength is no number from 0 to 1, or see `canChangeStrength`.
    """
    try:
        strength = float(strength)
    except (TypeError, ValueError):
        strength = math.nan
    if not 0.0 <= strength <= 1.0:
        raise InputError(_("The strength must be a number from 0 (the input) to 1 (the full correction)."))
    for inputVolume, node, full in _fullResultsOf(correctedVolume):
        inputHu, shownHu = (arrayFromImage(one.GetImageData()) for one in (inputVolume, node))
        for position, index in enumerate(full.slices):
            shownHu[index] = _blended(full, position, inputHu[index], strength)
        node.SetAttribute(STRENGTH, f"{strength:.12g}")
        slicer.util.arrayFromVolumeModified(node)
        full.resultTime = node.GetImageData().GetMTime()
    sequence = sequenceOf(correctedVolume)
    if sequence is None:
        giveName(correctedVolume, strength)
    else:
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browserOf(sequence))
        correctedVolume.SetAttribute(STRENGTH, f"{strength:.12g}")
    currentMeasures(correctedVolume)


def giveName(correctedVolume, strength: float) -> None:
    """Let the name of a result say its strength, unless the user gave it a name: "CT (MAR: NMAR)", "CT (MAR: NMAR, 40 %)"."""
    name = correctedVolume.GetAttribute(NAME)
    if not name or correctedVolume.GetName() != correctedVolume.GetAttribute(NAME_GIVEN):
        return
    wanted = name if strength == 1.0 else f"{name[:-1]}, {100 * strength:.0f} %)"
    correctedVolume.SetName("")  # so that its own name is free
    correctedVolume.SetName(uniqueName(correctedVolume.GetScene(), wanted))
    correctedVolume.SetAttribute(NAME_GIVEN, correctedVolume.GetName())


def shownFrame(correctedVolume):
    """The (input, result) pair of volume nodes whose voxels a result shows: itself and its input, or of a sequence the frames."""
    sequence = sequenceOf(correctedVolume)
    if sequence is None:
        return correctedVolume.GetNodeReference(INPUT_ROLE), correctedVolume
    browser, inputs = browserOf(sequence), sequence.GetNodeReference(INPUT_ROLE)
    indexValue = sequence.GetNthIndexValue(sequence.GetItemNumberFromIndexValue(_shownIndexValue(browser), False))
    return inputs.GetDataNodeAtValue(indexValue) if inputs is not None else None, sequence.GetDataNodeAtValue(indexValue)


def _shownIndexValue(browser) -> str:
    return browser.GetMasterSequenceNode().GetNthIndexValue(browser.GetSelectedItemNumber())


def regionsOf(correctedVolume) -> tuple:
    """Where the node's result was measured (see `SSLMARLib.evaluation.volume_measures`); empty where that is not known."""
    full = _inMemory(shownFrame(correctedVolume)[1])
    return full.regions if full is not None else ()


def currentMeasures(correctedVolume) -> dict:
    """The measures (see `VolumeMeasures`) of what a corrected volume shows now; empty where they are not known."""
    strength = strengthOf(correctedVolume)
    measuredStrength = float(correctedVolume.GetAttribute(MEASURED_STRENGTH) or 1.0)
    if measuredStrength != strength:
        regions = regionsOf(correctedVolume)
        if not regions or canChangeStrength(correctedVolume):
            return {}
        from ..evaluation.volume_measures import measure_volume

        pair = shownFrame(correctedVolume)
        before, after = (arrayFromImage(node.GetImageData()) for node in pair)
        measures = measure_volume(before, after, regions, tuple(reversed(correctedVolume.GetSpacing())))
        for node in {pair[1], correctedVolume}:
            node.SetAttribute(MEASURES, json.dumps(measures.to_dict()))
            node.SetAttribute(MEASURED_STRENGTH, f"{strength:.12g}")
    return json.loads(correctedVolume.GetAttribute(MEASURES) or "{}")


def _blended(full: FullResult, position: int, inputHu: numpy.ndarray, strength: float) -> numpy.ndarray:
    """One slice at a strength, in the type of the input."""
    fullHu = full.voxelsHu[position]
    if strength in (0.0, 1.0):
        return fullHu if strength else inputHu
    precise = numpy.float32 if inputHu.dtype.itemsize <= 2 else numpy.float64
    before = inputHu.astype(precise)
    mixed = before + precise(strength) * (fullHu.astype(precise) - before)
    if inputHu.dtype.kind in "iu":
        numpy.rint(mixed, out=mixed)
    mixed = mixed.astype(inputHu.dtype)
    if full.metal is not None:
        numpy.copyto(mixed, fullHu, where=full.metal[position])
    return mixed


def _fullResultsOf(correctedVolume) -> list:
    """(input, result, its `FullResult`) of a volume, or of each frame of the sequence that it shows, but for frames without metal.

    :raises InputError: with the sentence of `canChangeStrength`.
    """
    if correctedVolume is None or not correctedVolume.IsA("vtkMRMLScalarVolumeNode"):
        raise InputError(_("No corrected volume is chosen, so there is no strength to change."))
    if correctedVolume.GetAttribute(METHOD) is None:
        text = _("'{name}' is not a result of this module, so it has no strength to change.")
        raise InputError(text.format(name=correctedVolume.GetName()))
    sequence = sequenceOf(correctedVolume)
    source = correctedVolume if sequence is None else sequence
    inputNode = source.GetNodeReference(INPUT_ROLE)
    if inputNode is None:
        text = _("The input of '{name}' is no longer in the scene, so its strength cannot be changed.")
        raise InputError(text.format(name=source.GetName()))
    pairs = [(inputNode, correctedVolume)]
    if sequence is not None:
        values = [sequence.GetNthIndexValue(index) for index in range(sequence.GetNumberOfDataNodes())]
        pairs = [(inputNode.GetDataNodeAtValue(value), sequence.GetDataNodeAtValue(value)) for value in values]
        pairs = [(one, node) for one, node in pairs if node.GetAttribute(CHECKSUM) is not None]
    return [(one, node, _fullResultOf(node, one)) for one, node in pairs]


def _fullResultOf(correctedVolume, inputVolume) -> FullResult:
    """The full result of a node, from memory or, where the node shows it, from the node itself.

    :raises InputError: with the sentence of `canChangeStrength`.
    """
    name = correctedVolume.GetName()
    changed = InputError(
        _(
            "The voxels of '{input}' or '{name}' have changed since the correction, so the strength cannot be changed: "
            "correct the volume again."
        ).format(input=inputVolume.GetName() if inputVolume is not None else name, name=name)
    )
    if inputVolume is None:  # a frame that was taken out of the input's sequence
        raise changed
    inputImage, image = inputVolume.GetImageData(), correctedVolume.GetImageData()
    if inputImage is None or image is None or inputImage.GetDimensions() != image.GetDimensions():
        raise changed
    if inputImage.GetPointData().GetScalars() is None or inputImage.GetScalarType() != image.GetScalarType():
        raise changed
    full = _inMemory(correctedVolume)
    inputTime = inputImage.GetMTime()
    inputHu, shownHu = arrayFromImage(inputImage), arrayFromImage(image)
    if full is None or full.inputTime != inputTime:
        if checksumOf(inputHu) != correctedVolume.GetAttribute(CHECKSUM):
            raise changed
    strength = strengthOf(correctedVolume)
    if full is None:
        if strength != 1.0:
            raise InputError(
                _(
                    "The full correction of '{name}' is no longer in memory (the scene was loaded again at a strength of "
                    "{percent:.0f} %), so the strength cannot be changed: correct the volume again."
                ).format(name=name, percent=100 * strength)
            )
        slices = changedSlices(inputHu, shownHu)
        metalHu = correctedVolume.GetAttribute(METAL_HU)
        metal = shownHu[slices] == float(metalHu) if metalHu is not None else None
        return _keep(correctedVolume, slices, shownHu[slices], metal, (), inputTime)
    full.inputTime = inputTime
    if full.resultTime != image.GetMTime():
        for position, index in enumerate(full.slices):
            if not numpy.array_equal(shownHu[index], _blended(full, position, inputHu[index], strength)):
                raise changed
        full.resultTime = image.GetMTime()
    return full
