"""A correction in three steps: copy what it needs out of the nodes, compute on any thread, make the new node."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy
import vtk

from .._version import __version__
from ..errors import Cancelled, InputError, NoMetalError
from ..expected_time import Stopwatch, remember_run
from . import strength
from .i18n import _
from .nodes import AID, ATTRIBUTE_PREFIX, INPUT_ROLE, arrayFromImage, copyDisplay, ijkToRas, imageFromArray, newNode, placeBeside
from .segmentations import DEFAULT_THRESHOLD_HU, findSegments, metalMaskFromSegmentation, segmentName
from .volumes import checkInputVolume

DEFAULT_METHOD = "nmar"
PREVIEW_ROLE = f"{ATTRIBUTE_PREFIX}PreviewOf"
LIBRARY_OPTIONS = {  # name here -> keyword of reduce_metal_artifacts
    "smallestComponentMm3": "smallest_component_mm3",
    "maskDilationMm": "mask_dilation_mm",
    "traceDilationBins": "trace_dilation_bins",
    "restoreMetal": "restore_metal",
}

Progress = Callable[[float, str], None]
IsCancelled = Callable[[], bool]


def process(
    inputVolume,
    metalSegmentation=None,
    segmentIDs: Sequence[str] | None = None,
    method: str = DEFAULT_METHOD,
    thresholdHu: float = DEFAULT_THRESHOLD_HU,
    *,
    progress: Progress | None = None,
    isCancelled: IsCancelled | None = None,
    **options,
):
    """Correct a CT volume node and return the new scalar volume node; the input is never touched.

    :param inputVolume: scalar volume node in Hounsfield units.
    :param metalSegmentation: segmentation node of the metal, of any geometry and under any transform; without one,
      metal is every voxel above `thresholdHu`.
    :param segmentIDs: IDs or names of the segments that are metal; all segments by default.
    :param method: one of `SSLMARLib.available_methods()`.
    :param thresholdHu: metal threshold (HU), used only without a segmentation.
    :param progress: called as progress(fraction, message) with a fraction of 0 to 1.
    :param isCancelled: called often; when it returns True, the run ends with `Cancelled`.
    :param options: see `prepareCorrection`; with a sliceIndex the new node is the preview of that slice.
    :raises MARError: with a sentence for the user; the scene is then as it was before the call.
    """
    correction = prepareCorrection(inputVolume, metalSegmentation, segmentIDs, method, thresholdHu, **options)
    result = correction.compute(progress, isCancelled)
    if isCancelled is not None and isCancelled():
        raise Cancelled(_("The correction was cancelled; no volume was made."))
    return correction.addToScene(result) if correction.sliceIndex is None else correction.addPreviewToScene(result)


def prepareCorrection(
    inputVolume,
    metalSegmentation=None,
    segmentIDs: Sequence[str] | None = None,
    method: str = DEFAULT_METHOD,
    thresholdHu: float = DEFAULT_THRESHOLD_HU,
    *,
    device: str = "auto",
    smallestComponentMm3: float | None = None,
    maskDilationMm: float | None = None,
    traceDilationBins: int | None = None,
    restoreMetal: bool | None = None,
    metalHu: float | None = None,
    sliceIndex: int | None = None,
) -> Correction:
    """Check the nodes and copy what a correction needs out of them; main thread only.

    The first five parameters are those of `process`, those from device to restoreMetal are keywords of
    `SSLMARLib.reduce_metal_artifacts` in Slicer's spelling; None leaves the library's default.

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
        maskDilationMm=maskDilationMm,
        traceDilationBins=traceDilationBins,
        restoreMetal=restoreMetal,
        metalHu=metalHu,
        sliceIndex=sliceIndex,
    )
    return replace(correction, voxelsHu=correction.voxelsHu.copy())


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
    """As `prepareCorrection`, with the voxels on the memory of the node.

    For a frame of a sequence: proxy is the node that shows it, whose parent transform counts; masks keeps what frames of
    one geometry share.
    """
    checkInputVolume(inputVolume)
    sliceIndex = _checkSliceIndex(inputVolume, sliceIndex)
    unknown = set(options) - set(LIBRARY_OPTIONS)
    if unknown:
        raise TypeError(f"unknown options {', '.join(sorted(unknown))}: there are {', '.join(LIBRARY_OPTIONS)}")
    options = {LIBRARY_OPTIONS[name]: value for name, value in options.items() if value is not None}
    voxelsHu = arrayFromImage(inputVolume.GetImageData())
    metalMask, segmentNames = None, ()
    if metalSegmentation is None:
        options["threshold_hu"] = float(thresholdHu)
    else:
        segmentIDs = findSegments(metalSegmentation, segmentIDs)
        segmentNames = tuple(segmentName(metalSegmentation, segmentID) for segmentID in segmentIDs)
        metalMask = metalMaskFromSegmentation(
            metalSegmentation, inputVolume, segmentIDs, sliceIndex=sliceIndex, placedLike=proxy, masks=masks
        )
        if sliceIndex is not None:
            voxelsHu = voxelsHu[sliceIndex : sliceIndex + 1]
    return Correction(
        inputVolume=inputVolume,
        metalSegmentation=metalSegmentation,
        segmentNames=segmentNames,
        ijkToRas=ijkToRas(inputVolume),
        transformId=inputVolume.GetTransformNodeID(),
        imageTime=inputVolume.GetImageData().GetMTime(),
        scalarType=inputVolume.GetImageData().GetScalarType(),
        voxelsHu=voxelsHu,
        spacingMm=tuple(reversed(inputVolume.GetSpacing())),
        metalMask=metalMask,
        method=method,
        device=device,
        options=options,
        metalHu=_checkMetalHu(metalHu, voxelsHu.dtype),
        sliceIndex=sliceIndex,
    )


@dataclass(frozen=True, eq=False)
class ComputedCorrection:
    """What `Correction.compute` returns: arrays (slices, rows, columns), the library's report, the measures.

    metal_shown: where metal has a value of its own (metalHu), None where it stayed as it was. Those from changedSlices on are empty for a
    preview: the indices of the changed slices, a checksum of the input, `VolumeMeasures` and the regions measured.
    """

    volume_hu: numpy.ndarray
    metal_mask: numpy.ndarray
    report: object
    metal_shown: numpy.ndarray | None = None
    secondsPerSlice: float = 0.0
    changedSlices: numpy.ndarray | None = None
    inputChecksum: str = ""
    measures: object = None
    regions: tuple = ()


@dataclass(frozen=True, eq=False)
class Correction:
    """One correction on its way from the input node to the new node.

    voxelsHu and metalMask have the axes (slices, rows, columns), spacingMm the same order; both are copies. With a
    sliceIndex the mask has that slice only, and so have the voxels where there is a mask.
    """

    inputVolume: object
    metalSegmentation: object
    segmentNames: tuple[str, ...]
    ijkToRas: object
    transformId: str | None
    imageTime: int
    scalarType: int
    voxelsHu: numpy.ndarray
    spacingMm: tuple[float, float, float]
    metalMask: numpy.ndarray | None
    method: str
    device: str
    options: dict
    metalHu: float | None = None
    sliceIndex: int | None = None

    def compute(self, progress: Progress | None = None, isCancelled: IsCancelled | None = None) -> ComputedCorrection:
        """Run `SSLMARLib.reduce_metal_artifacts` and measure. Any thread: no node is read or written.

        :raises MARError: as that function does; `Cancelled` when isCancelled() returned True.
        """
        computed = self.computeVoxels(progress, isCancelled)
        return computed if self.sliceIndex is not None else self._measured(computed, progress, isCancelled)

    def computeVoxels(self, progress: Progress | None = None, isCancelled: IsCancelled | None = None) -> ComputedCorrection:
        """As `compute`, without measuring the result."""
        from ..correction import reduce_metal_artifacts

        stopwatch = Stopwatch(progress)
        voxelsHu, metalMask, options = self.voxelsHu, self.metalMask, dict(self.options)
        if self.sliceIndex is not None and metalMask is None:
            voxelsHu, metalMask = self._sliceByThreshold(options)
        result = reduce_metal_artifacts(
            voxelsHu,
            self.spacingMm,
            metal_mask=metalMask,
            method=self.method,
            device=self.device,
            progress=stopwatch,
            is_cancelled=isCancelled,
            **options,
        )
        shown = None
        if self.metalHu is not None:
            shown = result.metal_mask
            if "threshold_hu" in self.options:
                shown = shown & (voxelsHu >= self.options["threshold_hu"])
            result.volume_hu[shown] = self.metalHu
        seconds = stopwatch.seconds_per_slice(result.report.slices_corrected)
        return ComputedCorrection(result.volume_hu, result.metal_mask, result.report, shown, seconds)

    def _sliceByThreshold(self, options: dict):
        """The one slice and its metal, found in the whole volume as a whole run finds it; takes their options out."""
        from ..ct.segmentation import segment_metal

        found = {"threshold_hu": options.pop("threshold_hu")}
        for name, segmentationName in (("smallest_component_mm3",) * 2, ("mask_dilation_mm", "dilation_mm")):
            if name in options:
                found[segmentationName] = options.pop(name)
        mask = segment_metal(self.voxelsHu, self.spacingMm, **found)[self.sliceIndex]
        if not mask.any():
            text = _(
                "Slice {number} holds no metal above {threshold:g} HU, so a correction does not change it: choose a slice with "
                "metal for the preview, or lower the threshold."
            )
            raise NoMetalError(text.format(number=self.sliceIndex + 1, threshold=found["threshold_hu"]))
        return self.voxelsHu[self.sliceIndex : self.sliceIndex + 1], mask[numpy.newaxis]

    def _measured(self, computed: ComputedCorrection, progress, isCancelled) -> ComputedCorrection:
        from ..evaluation.volume_measures import measure_volume, regions_of_slices

        def checkCancelled():
            if isCancelled is not None and isCancelled():
                raise Cancelled(_("The correction was cancelled; no volume was made."))

        checkCancelled()
        computed = replace(
            computed,
            changedSlices=strength.changedSlices(self.voxelsHu, computed.volume_hu),
            inputChecksum=strength.checksumOf(self.voxelsHu),
        )
        if not computed.metal_mask.any():
            return computed
        if progress is not None:
            progress(1.0, _("Measuring"))
        regions = regions_of_slices(self.voxelsHu, computed.metal_mask, self.spacingMm, checkCancelled)
        measures = measure_volume(self.voxelsHu, computed.volume_hu, regions, self.spacingMm)
        return replace(computed, measures=measures, regions=tuple(regions))

    def addToScene(self, result: ComputedCorrection):
        """Add the corrected volume to the input's scene and return its node; main thread only.

        The node has the input's IJK-to-RAS matrix, scalar type, parent transform, window and color, stands beside
        the input in subject hierarchy, and carries the parameters as attributes "SSLMAR.*".

        :raises InputError: the input volume left the scene meanwhile. No node is left behind then.
        """
        scene = self._scene()
        remember_run(result.report, result.secondsPerSlice, self.device)
        name = f"{self.inputVolume.GetName()} (MAR: {methodTitle(self.method)})"
        with newNode(scene, "vtkMRMLScalarVolumeNode", name) as corrected:
            self.fill(corrected, result)
            copyDisplay(self.inputVolume, corrected)
            self._describe(corrected, result)
            placeBeside(self.inputVolume, corrected)
            strength.remember(corrected, self.inputVolume, result)
        return corrected

    def addPreviewToScene(self, result: ComputedCorrection):
        """Show the one corrected slice as a volume node "... preview" in its place in space, and return it; main thread only.

        The next preview of the same input takes the node over. It is not saved with the scene.

        :raises InputError: the input volume left the scene meanwhile, or this correction has no sliceIndex.
        """
        if self.sliceIndex is None:
            raise InputError(_("This correction is one of the whole volume, not of one slice: add its result instead."))
        scene = self._scene()
        remember_run(result.report, result.secondsPerSlice, self.device)
        preview = previewOf(self.inputVolume)
        if preview is not None:
            self.fill(preview, result)
            return preview
        with newNode(scene, "vtkMRMLScalarVolumeNode", f"{self.inputVolume.GetName()} preview") as preview:
            preview.SetSaveWithScene(False)
            preview.SetAttribute(AID, "preview")
            self.fill(preview, result)
            preview.SetNodeReferenceID(PREVIEW_ROLE, self.inputVolume.GetID())
            copyDisplay(self.inputVolume, preview)
            placeBeside(self.inputVolume, preview)
        return preview

    def _scene(self):
        scene = self.inputVolume.GetScene()
        if scene is None:
            raise InputError(_("The input volume was removed from the scene during the run, so no result was made."))
        return scene

    def fill(self, node, result: ComputedCorrection) -> None:
        """Give a volume node the result's voxels (of one slice, for a preview), and the input's place in space and units."""
        place, transformId = self._place()
        matrix = vtk.vtkMatrix4x4()
        matrix.DeepCopy(place)
        origin = place.MultiplyPoint((0, 0, self.sliceIndex or 0, 1))
        for axis in range(3):
            matrix.SetElement(axis, 3, origin[axis])
        node.SetIJKToRASMatrix(matrix)
        node.SetAndObserveImageData(imageFromArray(result.volume_hu, self.scalarType))
        node.SetAndObserveTransformNodeID(transformId)
        node.SetVoxelValueQuantity(self.inputVolume.GetVoxelValueQuantity())
        node.SetVoxelValueUnits(self.inputVolume.GetVoxelValueUnits())

    def _place(self):
        """Where the input is now, unless its voxels are others than those that were corrected: then where it was."""
        image = self.inputVolume.GetImageData()
        if image is not None and image.GetMTime() == self.imageTime:
            return ijkToRas(self.inputVolume), self.inputVolume.GetTransformNodeID()
        return self.ijkToRas, self.transformId

    def _describe(self, corrected, result) -> None:
        """Store where the volume comes from: node attributes and references, saved with the scene."""
        attributes = {
            "Version": __version__,
            "Method": self.method,
            "InputVolume": self.inputVolume.GetName(),
            "Report": result.report.to_json(),
        }
        if result.measures is not None:
            attributes["Measures"] = json.dumps(result.measures.to_dict())
        for name, value in self.options.items():
            attributes["".join(word.capitalize() for word in name.split("_"))] = value
        if self.metalHu is not None:
            attributes["MetalHu"] = f"{self.metalHu:g}"
        corrected.SetNodeReferenceID(INPUT_ROLE, self.inputVolume.GetID())
        if self.metalSegmentation is not None:
            attributes["MetalSegmentation"] = self.metalSegmentation.GetName()
            attributes["MetalSegments"] = json.dumps(self.segmentNames)
            corrected.SetNodeReferenceID(f"{ATTRIBUTE_PREFIX}MetalSegmentation", self.metalSegmentation.GetID())
        for name, value in attributes.items():
            corrected.SetAttribute(ATTRIBUTE_PREFIX + name, str(value))


def previewOf(inputVolume):
    """Return the preview node of a volume, or None."""
    scene = inputVolume.GetScene()
    for index in range(scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") if scene is not None else 0):
        node = scene.GetNthNodeByClass(index, "vtkMRMLScalarVolumeNode")
        if node.GetNodeReference(PREVIEW_ROLE) is inputVolume:
            return node
    return None


def methodTitle(method: str) -> str:
    """Return the name of a method as people write it ("NMAR"), without importing the method itself."""
    return method.upper()


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
