"""The place of a correction in the scene: what it is made of, and the new node, or the preview of one slice. Main thread only."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import vtk

from .._version import __version__
from ..background import BackgroundRun
from ..ct.metal_search import MetalSearch
from ..errors import Cancelled, InputError
from ..expected_time import remember_run
from ..methods import get_method, is_weights
from . import strength
from .dicom import INSTANCES, SOURCE_INSTANCES, describeForExport
from .i18n import _
from .job import ComputedCorrection, IsCancelled, Job, Progress
from .nodes import (
    AID,
    ATTRIBUTE_PREFIX,
    INPUT_ROLE,
    PREVIEW_ROLE,
    arrayFromImage,
    copyDisplay,
    ijkToRas,
    imageFromArray,
    moveOrigin,
    newNode,
    nodesOfClass,
    placeBeside,
)
from .trust import addTrust


def computeAndAdd(correction, add, progress: Progress | None, isCancelled: IsCancelled | None, cancelledText: str):
    """Compute a correction and return the node that add(result) makes of it; `Cancelled` with the text where it came too late
    to stop the computation. `correction` is one of a volume or of a sequence."""
    result = correction.compute(progress, isCancelled)
    if isCancelled is not None and isCancelled():
        raise Cancelled(cancelledText)
    return add(result)


class Computable:
    """What corrections of a volume and of a sequence have in common: their `jobs` are computed here and now, or on threads.

    jobs(): yields what a thread may hold, each made just before its turn. resultOf(results): what `addToScene` takes.
    """

    def compute(self, progress: Progress | None = None, isCancelled: IsCancelled | None = None):
        """Compute all, and return what `addToScene` takes; the application stands still meanwhile.

        :raises MARError: as `SSLMARLib.reduce_metal_artifacts` does; `Cancelled` when isCancelled() returned True.
        """
        return self.resultOf([job.compute(progress, isCancelled) for job in self.jobs()])

    def start(self) -> BackgroundRun:
        """Start to compute on a thread that knows no node. Poll with the run's wait(seconds), which gives the thread what it
        needs next; `addToScene` takes its result()."""
        return BackgroundRun.of_series((job.compute for job in self.jobs()), self.resultOf).start()


@dataclass(frozen=True, eq=False)
class Correction(Computable):
    """A volume's job, the nodes that it comes from, and where the input was when it was prepared.

    grid: see `gridOf`. imageTime: VTK's modification time of the input's image.
    """

    job: Job
    inputVolume: object
    metalSegmentation: object
    segmentNames: tuple[str, ...]
    grid: tuple
    ijkToRas: object
    transformId: str | None
    imageTime: int

    def jobs(self):
        yield self.job

    def resultOf(self, results: list) -> ComputedCorrection:
        return results[0]

    def withVoxels(self) -> Correction:
        """Return the same with a copy of the input's voxels, as they are now, in its job.

        :raises InputError: the volume has another grid or type of voxels than when the correction was prepared.
        """
        if gridOf(self.inputVolume) != self.grid:
            text = _("'{name}' got other voxels or another place in space meanwhile: correct it again.")
            raise InputError(text.format(name=self.inputVolume.GetName()))
        voxelsHu, index = arrayFromImage(self.inputVolume.GetImageData()), self.job.sliceIndex
        if index is not None and not isinstance(self.job.metal, MetalSearch):
            voxelsHu = voxelsHu[index : index + 1]
        return replace(self, job=replace(self.job, voxelsHu=voxelsHu.copy()))

    def addToScene(self, result: ComputedCorrection):
        """Add the corrected volume to the input's scene and return its node; main thread only.

        The node has the input's IJK-to-RAS matrix, scalar type, parent transform, window and color, stands beside
        the input in subject hierarchy, and carries the parameters as attributes "SSLMAR.*".

        :raises InputError: the input volume left the scene meanwhile. No node is left behind then.
        """
        scene = self._scene()
        remember_run(result.report, result.seconds_per_slice, self.job.device)
        name = f"{self.inputVolume.GetName()} (MAR: {methodTitle(self.job.method)})"
        with newNode(scene, "vtkMRMLScalarVolumeNode", name) as corrected:
            self.fill(corrected, result)
            copyDisplay(self.inputVolume, corrected)
            self._describe(corrected, result)
            placeBeside(self.inputVolume, corrected)
            describeForExport(self.inputVolume, corrected, methodTitle(self.job.method))
            strength.remember(corrected, result)
            corrected.SetAttribute(strength.NAME, name)
            corrected.SetAttribute(strength.NAME_GIVEN, corrected.GetName())
            if result.trust_percent is not None:
                addTrust(corrected, result.trust_percent)
        return corrected

    def addPreviewToScene(self, result: ComputedCorrection):
        """Show the one corrected slice as a volume node "... preview" in its place in space, and return it; main thread only.

        The next preview of the same input takes the node over. It is not saved with the scene.

        :raises InputError: the input volume left the scene meanwhile, or this correction has no sliceIndex.
        """
        if self.job.sliceIndex is None:
            raise InputError(_("This correction is one of the whole volume, not of one slice: add its result instead."))
        scene = self._scene()
        remember_run(result.report, result.seconds_per_slice, self.job.device)
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
        moveOrigin(matrix, (0, 0, self.job.sliceIndex or 0))
        node.SetIJKToRASMatrix(matrix)
        node.SetAndObserveImageData(imageFromArray(result.volume_hu, self.grid[1]))
        node.SetAndObserveTransformNodeID(transformId)
        node.SetVoxelValueQuantity(self.inputVolume.GetVoxelValueQuantity())
        node.SetVoxelValueUnits(self.inputVolume.GetVoxelValueUnits())

    def _place(self):
        """Where the input is now, unless its voxels are others than those that were corrected: then where it was."""
        image = self.inputVolume.GetImageData()
        if image is not None and image.GetMTime() == self.imageTime:
            return ijkToRas(self.inputVolume), self.inputVolume.GetTransformNodeID()
        return self.ijkToRas, self.transformId

    def attributes(self, result: ComputedCorrection) -> dict:
        """What is stored in the result, by the name after "SSLMAR."."""
        attributes = {
            "Version": __version__,
            "Method": result.report.method,
            "InputVolume": self.inputVolume.GetName(),
            "Report": result.report.to_json(),
            "Device": self.job.device,
        }
        if is_weights(self.job.method):
            attributes["Weights"] = self.job.method
        if instances := self.inputVolume.GetAttribute(INSTANCES):
            attributes[SOURCE_INSTANCES.removeprefix(ATTRIBUTE_PREFIX)] = instances
        if result.measures is not None:
            attributes["Measures"] = json.dumps(result.measures.to_dict())
        found = self.job.metal.to_dict() if isinstance(self.job.metal, MetalSearch) else {}
        for name, value in {**found, **self.job.options}.items():
            attributes["".join(word.capitalize() for word in name.split("_"))] = value
        if self.job.metalHu is not None:
            attributes["MetalHu"] = f"{self.job.metalHu:g}"
        if self.metalSegmentation is not None:
            attributes["MetalSegmentation"] = self.metalSegmentation.GetName()
            attributes["MetalSegments"] = json.dumps(self.segmentNames)
        return attributes

    def _describe(self, corrected, result) -> None:
        """Store where the volume comes from: node attributes and references, saved with the scene."""
        corrected.SetNodeReferenceID(INPUT_ROLE, self.inputVolume.GetID())
        if self.metalSegmentation is not None:
            corrected.SetNodeReferenceID(f"{ATTRIBUTE_PREFIX}MetalSegmentation", self.metalSegmentation.GetID())
        for name, value in self.attributes(result).items():
            corrected.SetAttribute(ATTRIBUTE_PREFIX + name, str(value))


def gridOf(volume) -> tuple:
    """Return the dimensions, VTK's scalar type and IJK-to-RAS matrix (16 numbers) of a volume node, to compare them."""
    image, matrix = volume.GetImageData(), ijkToRas(volume)
    elements = tuple(matrix.GetElement(row, column) for row in range(4) for column in range(4))
    return (image.GetDimensions() if image is not None else (0, 0, 0), image.GetScalarType() if image is not None else 0, elements)


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
