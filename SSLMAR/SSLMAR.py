"""The SSLMAR module of 3D Slicer: removes metal artifacts from a CT volume.

Widgets and nodes only; all that computes is SSLMARLib, imported where it is used. What SSLMARLib needs (PyTorch, ODL)
is asked for and installed at the first Apply, never when the module loads.
"""

import logging
import sys
import traceback
from pathlib import Path
from typing import Annotated

import qt
import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

TORCH_REQUIREMENT = ">=2.2"
TIMER_INTERVAL_MS = 10
WAIT_SECONDS = 0.05  # what each tick of the timer gives to the thread that computes
CLEANUP_SECONDS = 3.0


def _addLibraryToPath() -> None:
    """Make SSLMARLib importable: it lies beside this file when installed, beside its folder in a source tree."""
    moduleFolder = Path(__file__).resolve().parent
    for folder in (moduleFolder, moduleFolder.parent):
        if (folder / "SSLMARLib" / "__init__.py").is_file():
            if str(folder) not in sys.path:
                sys.path.append(str(folder))
            return


_addLibraryToPath()


class SSLMAR(ScriptedLoadableModule):
    """The module's entry in Slicer: title, category, help."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Metal Artifact Reduction (SSLMAR)")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Filtering")]
        self.parent.dependencies = []
        self.parent.contributors = ["SSLMAR contributors"]
        self.parent.helpText = _(
            "Removes the streaks that metal implants cause in a CT volume. Choose the volume, say where the metal is "
            "(a threshold, or a segmentation), choose a method and press Apply: the result is a new volume beside the "
            "input, which is never changed. For research; this is no medical device."
        )
        self.parent.acknowledgementText = _(
            "After L. Yu, Z. Zhang, X. Li, H. Ren, W. Zhao and L. Xing, Metal Artifact Reduction in 2D CT Images with "
            "Self-supervised Cross-domain Learning. NMAR after E. Meyer et al., Medical Physics 37 (2010)."
        )


@parameterNodeWrapper
class SSLMARParameterNode:
    """What the panel holds; saved with the scene.

    inputVolume: CT volume in Hounsfield units. metalSegmentation: the metal, or None to use the threshold.
    method: one of SSLMARLib.available_methods(). thresholdHu: metal threshold (HU).
    """

    inputVolume: vtkMRMLScalarVolumeNode
    metalSegmentation: vtkMRMLSegmentationNode
    method: str = "nmar"
    thresholdHu: Annotated[float, WithinRange(500.0, 3000.0)] = 2000.0


class SSLMARWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel. A correction runs on a thread; a timer shows its progress and makes the new node when it has ended."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self._parameterNodeGuiTag = None
        self._methods = []  # names, in the order of the combo box
        self._run = None
        self._correction = None
        self._timer = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/SSLMAR.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)

        self.logic = SSLMARLogic()
        for name, title in self.logic.methods():
            self._methods.append(name)
            self.ui.methodComboBox.addItem(title)
        self.ui.methodComboBox.currentIndexChanged.connect(self.onMethodChosen)
        self.ui.applyButton.clicked.connect(self.onApplyButton)
        self._timer = qt.QTimer()
        self._timer.interval = TIMER_INTERVAL_MS
        self._timer.timeout.connect(self.onTimer)

        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.initializeParameterNode()

    def cleanup(self):
        """Before the module is unloaded or reloaded: no thread, no observer and no connection stays behind."""
        run = self._run
        self._dropRun()
        if run is not None:
            run.wait(CLEANUP_SECONDS)
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self):
        self.initializeParameterNode()

    def exit(self):
        """The panel is left: a correction goes on, the widgets no longer follow the parameter node."""
        if self._parameterNode is not None:
            self._disconnectParameterNode()

    def onSceneStartClose(self, caller, event):
        """The nodes go away: a correction is cancelled, and whatever it still returns is dropped."""
        if self._run is not None:
            self._dropRun()
            self._showStatus(_("The scene was closed, so the correction was cancelled."))
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self):
        """Take the scene's parameter node; where no input is chosen yet, choose the first volume."""
        self.setParameterNode(self.logic.getParameterNode())
        if self._parameterNode.inputVolume is None:
            firstVolume = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
            if firstVolume is not None:
                self._parameterNode.inputVolume = firstVolume

    def setParameterNode(self, parameterNode):
        """Bind the widgets to a parameter node, or to none."""
        if self._parameterNode is not None:
            self._disconnectParameterNode()
        self._parameterNode = parameterNode
        if parameterNode is not None:
            self._parameterNodeGuiTag = parameterNode.connectGui(self.ui)
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParameterNodeModified)
        self.onParameterNodeModified()

    def _disconnectParameterNode(self):
        if self._parameterNodeGuiTag is not None:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self._parameterNodeGuiTag = None
        if self.hasObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParameterNodeModified):
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParameterNodeModified)
        self.removeObservers(self.onInputModified)

    def onParameterNodeModified(self, caller=None, event=None):
        """Show the method, follow the chosen nodes (their content decides whether Apply can run) and update."""
        self.removeObservers(self.onInputModified)
        parameterNode = self._parameterNode
        if parameterNode is not None:
            if parameterNode.method in self._methods:
                self.ui.methodComboBox.currentIndex = self._methods.index(parameterNode.method)
            else:
                self.ui.methodComboBox.currentIndex = -1
            volume, segmentation = parameterNode.inputVolume, parameterNode.metalSegmentation
            if volume is not None:
                self.addObserver(volume, slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent, self.onInputModified)
            if segmentation is not None:
                for segmentEvent in (slicer.vtkSegmentation.SegmentAdded, slicer.vtkSegmentation.SegmentRemoved):
                    self.addObserver(segmentation, segmentEvent, self.onInputModified)
        self._updatePanel()

    def onInputModified(self, caller, event):
        self._updatePanel()

    def onMethodChosen(self):
        index = self.ui.methodComboBox.currentIndex
        if self._parameterNode is not None and index >= 0 and self._methods[index] != self._parameterNode.method:
            self._parameterNode.method = self._methods[index]

    def _updatePanel(self):
        """Enable what can be used now; the button says Apply or Cancel, its tooltip what is missing."""
        running = self._run is not None
        parameterNode = self._parameterNode
        self.ui.inputCollapsibleButton.enabled = not running
        self.ui.metalCollapsibleButton.enabled = not running
        self.ui.correctionCollapsibleButton.enabled = not running
        self.ui.progressBar.visible = running
        self.ui.thresholdSliderWidget.enabled = parameterNode is None or parameterNode.metalSegmentation is None
        if running:
            self.ui.applyButton.text = _("Cancelling...") if self._run.cancelled else _("Cancel")
            self.ui.applyButton.toolTip = _("Stop the correction; no volume is made.")
            self.ui.applyButton.enabled = not self._run.cancelled
            return
        whyNot = self.logic.whyNotReady(parameterNode)
        self.ui.applyButton.text = _("Apply")
        self.ui.applyButton.toolTip = whyNot or _("Correct the volume; the result is a new volume beside the input.")
        self.ui.applyButton.enabled = not whyNot

    def _showStatus(self, text):
        self.ui.statusLabel.text = text

    def onApplyButton(self):
        if self._run is None:
            self._startRun()
        else:
            self._run.cancel()
            self._showStatus(_("Cancelling..."))
            self._updatePanel()

    def _startRun(self):
        self._showStatus("")
        try:
            self.logic.installMissingPackages(self.resourcePath("requirements.txt"))
            self._correction, self._run = self.logic.startRun(self._parameterNode)
        except Exception as error:
            self._showError(error)
        else:
            self.ui.progressBar.value = 0
            self._showStatus(_("Starting..."))
            self._timer.start()
        self._updatePanel()

    def onTimer(self):
        """Show the progress, give the thread time, and finish when it has ended."""
        if self._run is None:
            self._timer.stop()
            return
        fraction, message = self._run.progress
        self.ui.progressBar.value = round(100 * fraction)
        if not self._run.cancelled:
            if message:
                self._showStatus(message)
            if self._correction.inputVolume.GetScene() is None:
                self._run.cancel()
                self._showStatus(_("The input volume was removed, so the correction is cancelled..."))
                self._updatePanel()
        if self._run.wait(WAIT_SECONDS):
            self._finishRun()

    def _finishRun(self):
        self._timer.stop()
        run, correction = self._run, self._correction
        self._run = self._correction = None
        if run.cancelled:
            if correction.inputVolume.GetScene() is None:
                self._showStatus(_("The input volume was removed, so the correction was cancelled."))
            else:
                self._showStatus(_("Cancelled; no volume was made."))
        else:
            try:
                result = run.result()
                corrected = correction.addToScene(result)
            except Exception as error:
                self._showError(error)
            else:
                self._showStatus(self._summary(corrected, result.report))
                slicer.util.setSliceViewerLayers(background=corrected)
        self._updatePanel()

    def _summary(self, corrected, report):
        """Say what was done, and what the library noticed about the volume."""
        summary = _("Done: {name}. {corrected} of {slices} slices corrected, {metal:.1f} ml of metal, {seconds:.1f} s.")
        summary = summary.format(
            name=corrected.GetName(),
            corrected=report.slices_corrected,
            slices=report.slices,
            metal=report.metal_volume_ml,
            seconds=report.seconds,
        )
        return " ".join([summary, *report.warnings])

    def _dropRun(self):
        """Forget the run; one that is still going is told to stop, and what it returns is dropped."""
        if self._run is not None:
            self._timer.stop()
            self._run.cancel()
            self._run = self._correction = None
            self._updatePanel()

    def _showError(self, error):
        """A sentence of the library goes to the panel; anything unforeseen is also logged and shown with its trace."""
        from SSLMARLib import MARError

        self._showStatus(str(error))
        if isinstance(error, MARError):
            logging.warning(str(error))
            return
        details = "".join(traceback.format_exception(error))
        slicer.util.errorDisplay(_("The correction failed: {error}").format(error=error), detailedText=details)


class SSLMARLogic(ScriptedLoadableModuleLogic):
    """The module without its panel, for scripts and the Python console."""

    def getParameterNode(self):
        return SSLMARParameterNode(super().getParameterNode())

    def process(
        self, inputVolume, metalSegmentation=None, segmentIDs=None, method="nmar", thresholdHu=2000.0, **options
    ):
        """Correct a CT volume and return the new volume node; waits until it is done. The input is not changed.

        Example: SSLMARLogic().process(slicer.util.getNode("CT"), method="nmar", thresholdHu=2500)

        :param inputVolume: scalar volume node in Hounsfield units.
        :param metalSegmentation: segmentation node of the metal; without it, metal is what exceeds thresholdHu.
        :param segmentIDs: IDs or names of the segments that are metal; all by default.
        :param method: one of SSLMARLib.available_methods().
        :param thresholdHu: metal threshold (HU), used without a segmentation.
        :param options: progress(fraction, message), isCancelled() and the others of SSLMARLib.slicer_logic.process.
        :raises SSLMARLib.MARError: with a sentence that says what is wrong; no node is left behind.
        """
        from SSLMARLib import slicer_logic

        return slicer_logic.process(inputVolume, metalSegmentation, segmentIDs, method, thresholdHu, **options)

    def segmentMetal(self, inputVolume, thresholdHu=2000.0, **options):
        """Return a new segmentation node whose segment 'Metal' is what exceeds the threshold (HU) in a CT volume."""
        from SSLMARLib import slicer_logic

        return slicer_logic.segmentMetal(inputVolume, thresholdHu, **options)

    def methods(self):
        """Return the (name, title) pairs of the methods that can be used."""
        from SSLMARLib import available_methods, slicer_logic

        return [(name, slicer_logic.methodTitle(name)) for name in available_methods()]

    def whyNotReady(self, parameterNode):
        """Return the sentence that says why a correction cannot run with these parameters, or ""."""
        from SSLMARLib import MARError, available_methods, slicer_logic

        if parameterNode is None:
            return _("No scene is open.")
        try:
            slicer_logic.checkInputVolume(parameterNode.inputVolume)
            if parameterNode.metalSegmentation is not None:
                slicer_logic.findSegments(parameterNode.metalSegmentation)
        except MARError as error:
            return str(error)
        if parameterNode.method not in available_methods():
            return _("The method '{method}' is not available: choose another one.").format(method=parameterNode.method)
        return ""

    def startRun(self, parameterNode):
        """Start a correction on a thread; return it and its run (see SSLMARLib.slicer_logic and .background)."""
        from SSLMARLib import slicer_logic
        from SSLMARLib.background import BackgroundRun

        correction = slicer_logic.prepareCorrection(
            parameterNode.inputVolume,
            parameterNode.metalSegmentation,
            method=parameterNode.method,
            thresholdHu=parameterNode.thresholdHu,
        )
        return correction, BackgroundRun(correction.compute).start()

    def installMissingPackages(self, requirementsFile):
        """Ask for and install what SSLMARLib needs: PyTorch by its extension, the rest by Slicer's packaging.

        :raises SSLMARLib.MissingPackageError: something is missing and was not installed.
        """
        import slicer.packaging

        from SSLMARLib import MissingPackageError

        if not slicer.packaging.pip_check(f"torch{TORCH_REQUIREMENT}"):
            try:
                import PyTorchUtils
            except ImportError as error:
                raise MissingPackageError(
                    _(
                        "PyTorch is not installed: install the extension 'PyTorch' in the Extensions Manager, restart "
                        "Slicer and press Apply again."
                    )
                ) from error
            torch = PyTorchUtils.PyTorchUtilsLogic().installTorch(
                askConfirmation=True, torchVersionRequirement=TORCH_REQUIREMENT
            )
            if torch is None:
                raise MissingPackageError(
                    _("PyTorch was not installed, and the correction needs it: press Apply again to install it.")
                )
        try:
            requirements = slicer.packaging.load_requirements(requirementsFile)
            slicer.packaging.pip_ensure(requirements, requester="SSLMAR")
        except Exception as error:
            raise MissingPackageError(
                _("Python packages that the correction needs were not installed ({error}): press Apply again.").format(
                    error=error
                )
            ) from error


class SSLMARTest(ScriptedLoadableModuleTest):
    """The module's self-test: the real job on a small volume that it makes itself."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        self.setUp()
        self.test_process()

    def test_process(self):
        """A disk of water with two metal rods, one slice of three: that slice changes, the others do not."""
        import numpy

        rows, columns = numpy.mgrid[:128, :128] - 63.5
        voxels = numpy.full((3, 128, 128), -1000, dtype=numpy.int16)
        voxels[:, numpy.hypot(rows, columns) < 50] = 0
        for center in (-20, 20):
            voxels[1, numpy.hypot(rows, columns - center) < 4] = 3000
        inputVolume = slicer.util.addVolumeFromArray(voxels, numpy.diag([2.0, 2.0, 3.0, 1.0]), "Metal phantom")

        corrected = SSLMARLogic().process(inputVolume, method="li")

        self.assertEqual(corrected.GetName(), "Metal phantom (MAR: LI)")
        result = slicer.util.arrayFromVolume(corrected)
        self.assertEqual(result.dtype, voxels.dtype)
        self.assertTrue((slicer.util.arrayFromVolume(inputVolume) == voxels).all())
        self.assertTrue((result[::2] == voxels[::2]).all())
        self.assertFalse((result[1] == voxels[1]).all())
