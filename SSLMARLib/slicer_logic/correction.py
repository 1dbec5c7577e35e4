"""A correction on its way: computed on any thread, then added to the scene as a new node, or as a preview of one slice."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy
import vtk

from .._version import __version__
from ..errors import Cancelled, InputError, NoMetalError
from ..expected_time import Stopwatch, remember_run
from ..methods import get_method
from . import strength
from .i18n import _
from .nodes import AID, ATTRIBUTE_PREFIX, INPUT_ROLE, copyDisplay, ijkToRas, imageFromArray, newNode, nodesOfClass, placeBeside

PREVIEW_ROLE = f"{ATTRIBUTE_PREFIX}PreviewOf"

Progress = Callable[[float, str], None]
IsCancelled = Callable[[], bool]


def computeAndAdd(correction, add, progress: Progress | None, isCancelled: IsCancelled | None, cancelledText: str):
    """Compute a correction and return the node that add(result) makes of it; `Cancelled` with the text where it came too late
    to stop the computation. `correction` is one of a volume or of a sequence."""
    result = correction.compute(progress, isCancelled)
    if isCancelled is not None and isCancelled():
        raise Cancelled(cancelledText)
    return add(result)


@dataclass(frozen=True, eq=False)
class ComputedCorrection:
    """What `Correction.compute` returns: arrays (slices, rows, columns), the library's report, the measures.

    metal_shown: where metal has a value of its own (metalHu), None where it stayed as it was. Those from changed_slices on
    are empty for a preview: the indices of the changed slices, a checksum of the input, `VolumeMeasures`, the regions
    measured.
    """

    volume_hu: numpy.ndarray
    metal_mask: numpy.ndarray
    report: object
    metal_shown: numpy.ndarray | None = None
    seconds_per_slice: float = 0.0
    changed_slices: numpy.ndarray | None = None
    input_checksum: str = ""
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
    method: object
    device: str
    options: dict
    metalHu: float | None = None
    sliceIndex: int | None = None

    def compute(self, progress: Progress | None = None, isCancelled: IsCancelled | None = None) -> ComputedCorrection:
        """Run `SSLMARLib.reduce_metal_artifacts` and measure. Any thread: no node is read or written, and as translations belong
        to the application too, messages are in English, like the library's own.

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
            raise NoMetalError(
                f"Slice {self.sliceIndex + 1} holds no metal above {found['threshold_hu']:g} HU, so a correction does not "
                "change it: choose a slice with metal for the preview, or lower the threshold."
            )
        return self.voxelsHu[self.sliceIndex : self.sliceIndex + 1], mask[numpy.newaxis]

    def _measured(self, computed: ComputedCorrection, progress, isCancelled) -> ComputedCorrection:
        from ..evaluation.volume_measures import measure_volume, regions_of_slices

        def checkCancelled():
            if isCancelled is not None and isCancelled():
                raise Cancelled("The correction was cancelled; no volume was made.")

        checkCancelled()
        computed = replace(
            computed,
            changed_slices=strength.changedSlices(self.voxelsHu, computed.volume_hu),
            input_checksum=strength.checksumOf(self.voxelsHu),
        )
        if not computed.metal_mask.any():
            return computed
        if progress is not None:
            progress(1.0, "Measuring")
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
        remember_run(result.report, result.seconds_per_slice, self.device)
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
        remember_run(result.report, result.seconds_per_slice, self.device)
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
            "Method": result.report.method,
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
    if inputVolume.GetScene() is None:
        return None
    for node in nodesOfClass(inputVolume.GetScene(), "vtkMRMLScalarVolumeNode"):
        if node.GetNodeReference(PREVIEW_ROLE) is inputVolume:
            return node
    return None


def methodTitle(method) -> str:
    """Return the name of a method as people write it ("NMAR"), of weights with their file's name. One that is gone keeps its own."""
    try:
        return get_method(method).title
    except InputError:
        return str(method).upper()
