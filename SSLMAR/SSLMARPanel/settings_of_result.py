"""What made a result, read from its node and put back into the panel."""

import json

import slicer

from .jobs import inputOf
from .parameters import SEARCH_LIMITS


def setPanelAsFor(parameters, corrected):
    """Let the panel's parameters be those that a result was made with: input, metal, method, device, strength.

    What has left the scene stays as it is in the panel, values that the panel does not have are limited to its range.
    """
    from SSLMARLib import slicer_logic
    from SSLMARLib.methods import METHODS

    def stored(name):
        return corrected.GetAttribute(f"SSLMAR.{name}")

    with slicer.util.NodeModify(parameters):
        if inputOf(corrected) is not None:
            parameters.inputVolume = inputOf(corrected)
        parameters.allFrames = slicer_logic.sequenceOf(corrected) is not None
        method = stored("Method")
        if method in METHODS:
            parameters.allMethods = parameters.allMethods or METHODS[method].for_research
            parameters.method = method
        parameters.weightsFile = stored("Weights") or ""
        parameters.device = stored("Device") or parameters.device
        parameters.metalMaterial = _materialOf(stored("MetalHu"), corrected)
        parameters.strengthPercent = 100.0 * slicer_logic.strengthOf(corrected)
        _setMetal(parameters, corrected, stored)


def _setMetal(parameters, corrected, stored):
    segmentation = corrected.GetNodeReference("SSLMAR.MetalSegmentation")
    name = stored("MetalSegmentation")
    if name is not None and segmentation is None:  # a frame of a sequence knows it by name alone
        nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        segmentation = next((node for node in nodes if node.GetName() == name), None)
    parameters.metalSegmentation = segmentation
    if segmentation is not None:
        segments, names = segmentation.GetSegmentation(), json.loads(stored("MetalSegments"))
        parameters.excludedSegmentIDs = [one for one in segments.GetSegmentIDs() if segments.GetSegment(one).GetName() not in names]
        return
    for parameter, (least, most) in SEARCH_LIMITS.items():
        value = stored(parameter[0].upper() + parameter[1:])
        if value is not None:
            setattr(parameters, parameter, min(max(float(value), least), most))
    if stored("LearnedOutline") is not None:
        parameters.learnedOutline = stored("LearnedOutline") == "True"


def _materialOf(metalHu, corrected):
    """Return the first material whose value, as the voxels can hold it, is the one that the metal was given; "" for none."""
    from SSLMARLib import slicer_logic

    if metalHu is None:
        return ""
    most = corrected.GetImageData().GetScalarTypeMax()
    for name, valueHu in slicer_logic.METAL_MATERIALS_HU.items():
        if float(metalHu) == min(valueHu, most):
            return name
    return ""
