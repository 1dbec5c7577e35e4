"""The state of the panel: a typed parameter node, saved with the scene and restored from it."""

from typing import Annotated

from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

SEARCH_LIMITS = {  # the least and the most of the values that say how metal is found
    "thresholdHu": (500.0, 3000.0),
    "smallestComponentMm3": (0.0, 1000.0),
    "peakHu": (0.0, 3071.0),
    "dilationMm": (0.0, 10.0),
}


@parameterNodeWrapper
class SSLMARParameterNode:
    """What the panel holds.

    inputVolume: CT volume in Hounsfield units. allFrames: it shows one frame of a sequence, and all are corrected.
    preset: name of the preset that the four values after it were set by, "" once one of them was changed.
    thresholdHu: metal threshold (HU). smallestComponentMm3: smaller connected parts (mm3) are no metal.
    peakHu: parts that nowhere reach it (HU) are no metal, 0 for any.
    dilationMm: distance (mm) by which the metal that was found grows.
    learnedOutline: whether a network outlines what these four values find.
    showThresholdPreview: whether the slice views outline what these four values find.
    metalSegmentation: the metal, or None to use the threshold. excludedSegmentIDs: its segments that are no metal.
    method: one of SSLMARLib.available_methods(); SSLMARLogic.getParameterNode sets the default. allMethods: whether those for
      research are listed, too. device: one of "auto", "cpu", "cuda".
    weightsFile: path of weights that are used in place of the method, "" for none.
    metalMaterial: "" keeps the metal's values, else a name of SSLMARLib.slicer_logic.METAL_MATERIALS_HU.
    makeTrust: whether a run makes a map of trust beside the result.
    strengthPercent: 0 is the input, 100 the full correction.
    correctedVolume: the result that strength, comparison and report are about.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    allFrames: bool = False
    preset: str = ""
    thresholdHu: Annotated[float, WithinRange(*SEARCH_LIMITS["thresholdHu"])] = 2000.0
    smallestComponentMm3: Annotated[float, WithinRange(*SEARCH_LIMITS["smallestComponentMm3"])] = 1.0
    peakHu: Annotated[float, WithinRange(*SEARCH_LIMITS["peakHu"])] = 2750.0
    dilationMm: Annotated[float, WithinRange(*SEARCH_LIMITS["dilationMm"])] = 0.0
    learnedOutline: bool = False
    showThresholdPreview: bool = True
    metalSegmentation: vtkMRMLSegmentationNode
    excludedSegmentIDs: list[str]
    method: str = ""
    allMethods: bool = False
    weightsFile: str = ""
    device: str = "auto"
    metalMaterial: str = ""
    makeTrust: bool = False
    strengthPercent: Annotated[float, WithinRange(0.0, 100.0)] = 100.0
    correctedVolume: vtkMRMLScalarVolumeNode
