"""From nodes to a `Correction`: checks, and copies of all that the computation needs; `process` does the whole job."""

from collections.abc import Sequence

import numpy

from ..errors import InputError
from ..methods import DEFAULT_METHOD
from .correction import Correction, computeAndAdd, gridOf
from .i18n import _
from .job import IsCancelled, Job, Progress
from .nodes import arrayFromImage, ijkToRas
from .segmentations import findSegments, metalMaskFromSegmentation, metalSearch, segmentName
from .volumes import checkInputVolume

SEARCH_OPTIONS = ("thresholdHu", "smallestComponentMm3", "peakHu", "dilationMm", "learnedOutline")
LIBRARY_OPTIONS = {  # name here -> keyword of reduce_metal_artifacts
    "traceDilationBins": "trace_dilation_bins",
    "restoreMetal": "restore_metal",
    "trust": "trust",
}


def process(
    inputVolume,
    metalSegmentation=None,
    segmentIDs: Sequence[str] | None = None,
    method: str = DEFAULT_METHOD,
    thresholdHu: float | None = None,
    *,
    progress: Progress | None = None,
    isCancelled: IsCancelled | None = None,
    **options,
):
    """Correct a CT volume node and return the new scalar volume node; the input is never touched.

    :param inputVolume: scalar volume node in Hounsfield units.
    :param metalSegmentation: segmentation node of the metal, of any geometry and under any transform; without one,
      metal is what `metalSearch` finds with thresholdHu and the options smallestComponentMm3, peakHu, dilationMm and learnedOutline.
    :param segmentIDs: IDs or names of the segments that are metal; all segments by default.
    :param method: one of `SSLMARLib.available_methods()`, the path of a .safetensors file that `sslmar train` wrote, or a method object.
    :param thresholdHu: metal threshold (HU), without a segmentation.
    :param progress: called as progress(fraction, message) with a fraction of 0 to 1.
    :param isCancelled: called often; when it returns True, the run ends with `Cancelled`.
    :param options: see `prepareCorrection`; with a sliceIndex the new node is the preview of that slice.
    :raises MARError: with a sentence for the user; the scene is then as it was before the call.
    """
    correction = prepareCorrection(inputVolume, metalSegmentation, segmentIDs, method, thresholdHu, **options)
    add = correction.addToScene if correction.job.sliceIndex is None else correction.addPreviewToScene
    return computeAndAdd(correction, add, progress, isCancelled, _("The correction was cancelled; no volume was made."))


def prepareCorrection(
    inputVolume,
    metalSegmentation=None,
    segmentIDs: Sequence[str] | None = None,
    method: str = DEFAULT_METHOD,
    thresholdHu: float | None = None,
    *,
    device: str = "auto",
    smallestComponentMm3: float | None = None,
    peakHu: float | None = None,
    dilationMm: float | None = None,
    learnedOutline: bool | None = None,
    traceDilationBins: int | None = None,
    restoreMetal: bool | None = None,
    trust: bool | None = None,
    metalHu: float | None = None,
    sliceIndex: int | None = None,
) -> Correction:
    """Check the nodes and copy what a correction needs out of them; main thread only.

    The first five parameters are those of `process`; smallestComponentMm3, peakHu, dilationMm and learnedOutline go to `metalSearch`;
    device, traceDilationBins, restoreMetal and trust are keywords of `SSLMARLib.reduce_metal_artifacts`. None leaves the library's
    default. With trust the result gets a map of trust beside it, see `trustOf`.

    :param metalHu: the result shows metal with this value (HU), limited to what the volume's voxels can hold: all of the
      segments, or without a segmentation what reaches the threshold.
    :param sliceIndex: compute this one slice only (index along K, from 0), for a preview.
    :raises InputError: a node is missing or unfit, the segments hold no voxel inside the volume, metalHu is no number, or
      there is no such slice.
    """
    correction = prepareFrame(
        inputVolume,
        metalSegmentation,
        segmentIDs,
        method,
        thresholdHu,
        device=device,
        smallestComponentMm3=smallestComponentMm3,
        peakHu=peakHu,
        dilationMm=dilationMm,
        learnedOutline=learnedOutline,
        traceDilationBins=traceDilationBins,
        restoreMetal=restoreMetal,
        trust=trust,
        metalHu=metalHu,
        sliceIndex=sliceIndex,
    )
    return correction.withVoxels()


def prepareFrame(
    inputVolume,
    metalSegmentation,
    segmentIDs,
    method,
    thresholdHu,
    *,
    device="auto",
    metalHu=None,
    sliceIndex=None,
    proxy=None,
    masks=None,
    **options,
) -> Correction:
    """As `prepareCorrection`, without the voxels: `Correction.withVoxels` copies them.

    For a frame of a sequence: proxy is the node that shows it, whose parent transform counts; masks keeps what frames of
    one geometry share.
    """
    checkInputVolume(inputVolume)
    sliceIndex = _checkSliceIndex(inputVolume, sliceIndex)
    search, options = _searchAndOptions({"thresholdHu": thresholdHu, **options})
    segmentNames = ()
    if metalSegmentation is None:
        metal = metalSearch(**search)
    elif search:
        text = _("A segmentation says where the metal is, and {names} how it is found: give one of the two.")
        raise InputError(text.format(names=", ".join(search)))
    else:
        segmentIDs = findSegments(metalSegmentation, segmentIDs)
        segmentNames = tuple(segmentName(metalSegmentation, segmentID) for segmentID in segmentIDs)
        metal = metalMaskFromSegmentation(metalSegmentation, inputVolume, segmentIDs, sliceIndex=sliceIndex, placedLike=proxy, masks=masks)
    image = inputVolume.GetImageData()
    job = Job(
        voxelsHu=None,
        spacingMm=tuple(reversed(inputVolume.GetSpacing())),
        metal=metal,
        method=method,
        device=device,
        options=options,
        metalHu=_checkMetalHu(metalHu, arrayFromImage(image).dtype),
        sliceIndex=sliceIndex,
    )
    return Correction(
        job=job,
        inputVolume=inputVolume,
        metalSegmentation=metalSegmentation,
        segmentNames=segmentNames,
        grid=gridOf(inputVolume),
        ijkToRas=ijkToRas(inputVolume),
        transformId=inputVolume.GetTransformNodeID(),
        imageTime=image.GetMTime(),
    )


def _searchAndOptions(values: dict) -> tuple[dict, dict]:
    """(what goes to `metalSearch`, keywords of the library), of what is not None."""
    known = (*SEARCH_OPTIONS, *LIBRARY_OPTIONS)
    unknown = set(values) - set(known)
    if unknown:
        raise TypeError(f"unknown options {', '.join(sorted(unknown))}: there are {', '.join(known)}")
    given = {name: value for name, value in values.items() if value is not None}
    search = {name: value for name, value in given.items() if name in SEARCH_OPTIONS}
    return search, {LIBRARY_OPTIONS[name]: value for name, value in given.items() if name in LIBRARY_OPTIONS}


def _checkSliceIndex(inputVolume, sliceIndex: int | None) -> int | None:
    if sliceIndex is None:
        return None
    slices = inputVolume.GetImageData().GetDimensions()[2]
    if int(sliceIndex) != sliceIndex or not 0 <= sliceIndex < slices:
        text = _("'{name}' has no slice with the index {index}: give a whole number from 0 to {last}.")
        raise InputError(text.format(name=inputVolume.GetName(), index=sliceIndex, last=slices - 1))
    return int(sliceIndex)


def _checkMetalHu(metalHu: float | None, dtype) -> float | None:
    """The value as the voxels can hold it."""
    if metalHu is None:
        return None
    if not numpy.isfinite(metalHu):
        text = _("The value for metal is {value}: give a number of Hounsfield units, or None to keep the metal.")
        raise InputError(text.format(value=metalHu))
    if dtype.kind not in "iu":
        return float(metalHu)
    limits = numpy.iinfo(dtype)
    return float(numpy.clip(round(metalHu), limits.min, limits.max))
