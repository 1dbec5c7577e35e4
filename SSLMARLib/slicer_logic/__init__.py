"""MRML nodes in, new nodes out: for the panel and for Slicer's Python console.

`process` does everything in one blocking call. A panel that must stay alive takes the three steps apart:

    correction = prepareCorrection(inputVolume)                    # checks, copies the voxels out of MRML
    run = correction.start()                                       # computes on a thread, which holds arrays only
    ...                                                            # now and then run.wait(0.05), until it returns True
    correctedVolume = correction.addToScene(run.result())          # the new node

All of it is called on the main thread. Names are in Slicer's camelCase here.
A node that the caller passes in as the input is never changed.
"""

from ..ct.presets import METAL_MATERIALS_HU, PRESETS, MetalPreset
from ..expected_time import expected_seconds as expectedSeconds
from ..expected_time import use_timing_store as useTimingStore
from ..methods import DEFAULT_METHOD
from .comparison import compareSideBySide, comparisonShown, endComparison, showDifference, showSwipe
from .correction import Correction, methodTitle, previewOf
from .description import VolumeDescription, describeVolume
from .dicom_export import exportDerivedSeries, whyNoDerivedSeries
from .methods_of_slice import MethodsOfSlice, SliceByMethod, sliceImage
from .nodes import isMadeHere, sequenceOf
from .preparation import prepareCorrection, process
from .report import reportTable, strongerStreaks, writeReport
from .segmentations import (
    METAL_SEGMENT_COLOR,
    METAL_SEGMENT_NAME,
    findSegments,
    metalMaskFromSegmentation,
    metalSearch,
    metalWasEdited,
    segmentMetal,
)
from .sequences import prepareSequenceCorrection, processSequence
from .strength import canChangeStrength, setStrength, strengthOf
from .trust import trustOf
from .volumes import MetalCount, checkInputVolume, countMetal
from .windows import endSoftTissue, isSoftTissueShown, showSoftTissue

__all__ = [
    "DEFAULT_METHOD",
    "METAL_MATERIALS_HU",
    "METAL_SEGMENT_COLOR",
    "METAL_SEGMENT_NAME",
    "PRESETS",
    "Correction",
    "MetalCount",
    "MetalPreset",
    "MethodsOfSlice",
    "SliceByMethod",
    "VolumeDescription",
    "canChangeStrength",
    "checkInputVolume",
    "compareSideBySide",
    "comparisonShown",
    "countMetal",
    "describeVolume",
    "endComparison",
    "endSoftTissue",
    "expectedSeconds",
    "exportDerivedSeries",
    "findSegments",
    "isMadeHere",
    "isSoftTissueShown",
    "metalMaskFromSegmentation",
    "metalSearch",
    "metalWasEdited",
    "methodTitle",
    "prepareCorrection",
    "prepareSequenceCorrection",
    "previewOf",
    "process",
    "processSequence",
    "reportTable",
    "segmentMetal",
    "sequenceOf",
    "setStrength",
    "showDifference",
    "showSoftTissue",
    "showSwipe",
    "sliceImage",
    "strengthOf",
    "strongerStreaks",
    "trustOf",
    "useTimingStore",
    "whyNoDerivedSeries",
    "writeReport",
]
