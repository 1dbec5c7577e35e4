"""What the parameter node asks for: whether it can be done, with a sentence that says why not, and the job itself."""

import slicer
from slicer.i18n import tr as _

from .nodes import shownSlice

SEARCH_PARAMETERS = {  # of the threshold's search; the parameter node's name: that of SSLMARLib.MetalSearch
    "thresholdHu": "threshold_hu",
    "smallestComponentMm3": "smallest_component_mm3",
    "peakHu": "peak_hu",
    "dilationMm": "dilation_mm",
}


def whyNotReady(parameters):
    """Return the sentence that says why a correction cannot run with these parameters, or ""."""
    from SSLMARLib import MARError, available_methods, slicer_logic
    from SSLMARLib.methods import get_method

    whyNot = whyNoMetalSearch(parameters)
    if whyNot:
        return whyNot
    if parameters.metalSegmentation is not None:
        try:
            slicer_logic.findSegments(parameters.metalSegmentation, metalSegmentIDs(parameters))
        except MARError as error:
            return str(error)
    if parameters.weightsFile:
        try:
            get_method(chosenMethod(parameters))
        except MARError as error:
            return str(error)
    elif parameters.method not in available_methods(for_research=True):
        return _("The method '{method}' is not available: choose another one.").format(method=parameters.method)
    return ""


def chosenMethod(parameters):
    """Return the method as SSLMARLib.methods.get_method takes it: its name, or the path of the user's own weights."""
    return parameters.weightsFile or parameters.method


def whyNoMetalSearch(parameters):
    """Return the sentence that says why no metal can be looked for in the input, or ""."""
    from SSLMARLib import MARError, slicer_logic

    if parameters is None:
        return _("No scene is open.")
    try:
        slicer_logic.checkInputVolume(parameters.inputVolume)
    except MARError as error:
        return str(error)
    return ""


def searchValues(parameters):
    """Return how metal is found without a segmentation, as keywords of SSLMARLib.slicer_logic.metalSearch."""
    return {name: getattr(parameters, name) for name in (*SEARCH_PARAMETERS, "learnedOutline")}


def metalSegmentIDs(parameters):
    """Return the IDs of the ticked segments; None without a segmentation, or for one that has no segments."""
    segmentation = parameters.metalSegmentation
    segmentIDs = list(segmentation.GetSegmentation().GetSegmentIDs()) if segmentation is not None else []
    excluded = parameters.excludedSegmentIDs
    return [segmentID for segmentID in segmentIDs if segmentID not in excluded] if segmentIDs else None


def prepare(parameters, shownSliceOnly=False):
    """Return the correction that the parameters describe, ready to be computed (see SSLMARLib.slicer_logic).

    :param shownSliceOnly: of the slice that the slice views show, for a preview.
    :raises SSLMARLib.MARError: with a sentence that says what is wrong.
    """
    from SSLMARLib import slicer_logic

    volume = parameters.inputVolume
    arguments = (parameters.metalSegmentation, metalSegmentIDs(parameters), chosenMethod(parameters))
    options = {"device": parameters.device}
    if parameters.metalSegmentation is None:
        options.update(searchValues(parameters))
    if parameters.metalMaterial:
        options["metalHu"] = slicer_logic.METAL_MATERIALS_HU[parameters.metalMaterial]
    if shownSliceOnly:
        return slicer_logic.prepareCorrection(volume, *arguments, **options, sliceIndex=_shownSliceOf(volume))
    sequence = slicer_logic.sequenceOf(volume) if parameters.allFrames else None
    if sequence is not None:
        return slicer_logic.prepareSequenceCorrection(sequence, *arguments, **options)
    return slicer_logic.prepareCorrection(volume, *arguments, **options, trust=parameters.makeTrust or None)


def _shownSliceOf(volume):
    from SSLMARLib import InputError

    index = shownSlice(volume)
    if index is None:
        text = _("No slice view shows a slice of '{name}': scroll to one of its slices first.")
        raise InputError(text.format(name=volume.GetName()))
    return index


def firstVolume():
    """Return the first volume of the scene that may be meant as the input, or None."""
    from SSLMARLib import slicer_logic

    for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
        isScalar = node.GetClassName() == "vtkMRMLScalarVolumeNode"
        if isScalar and not node.GetHideFromEditors() and not slicer_logic.isMadeHere(node):
            return node
    return None


def inputOf(correctedVolume):
    """Return the volume that a result was computed from, or None."""
    return correctedVolume.GetNodeReference("SSLMAR.InputVolume") if correctedVolume is not None else None
