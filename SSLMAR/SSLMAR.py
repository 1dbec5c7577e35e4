"""The SSLMAR module of 3D Slicer: removes metal artifacts from a CT volume.

Widgets and nodes only; all that computes is SSLMARLib, imported where it is used. What SSLMARLib needs (PyTorch, ODL)
is asked for and installed at the first Apply, never when the module loads.
"""

import logging
import os
import sys
import traceback
from pathlib import Path

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin
from SSLMARPanel.compare_methods import CompareMethodsSection
from SSLMARPanel.correction import CorrectionSection
from SSLMARPanel.editor import EditorSection
from SSLMARPanel.input import InputSection
from SSLMARPanel.installing import ensurePackages, missingLibrarySentence
from SSLMARPanel.jobs import chosenMethod, firstVolume
from SSLMARPanel.metal import MetalSection
from SSLMARPanel.metal_slices import MetalSlicesSection
from SSLMARPanel.parameters import SSLMARParameterNode
from SSLMARPanel.result import ResultSection
from SSLMARPanel.run import WAIT_SECONDS, RunSection
from SSLMARPanel.sample_data import register as registerSampleData
from SSLMARPanel.segmentation import SegmentationSection
from SSLMARPanel.self_test import SelfTest


def _addLibraryToPath() -> None:
    """Make SSLMARLib importable: it lies beside this file when installed, beside its folder in a source tree."""
    moduleFolder = Path(__file__).resolve().parent
    for folder in (moduleFolder, moduleFolder.parent):
        if (folder / "SSLMARLib" / "__init__.py").is_file():
            if str(folder) not in sys.path:
                sys.path.append(str(folder))
            return


_addLibraryToPath()
# Before torch is loaded, as the command line does: its threads sleep while they wait, else two of them on one free core take twice as long
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def registerResultMenu() -> None:
    """Add the entry of results' right-click menu to Slicer's data tree. Called once, when Slicer has started."""
    if hasattr(slicer, "qSlicerSubjectHierarchyScriptedPlugin"):
        plugin = slicer.qSlicerSubjectHierarchyScriptedPlugin(None)
        plugin.setPythonSource(str(Path(__file__).resolve().parent / "SSLMARPanel" / "SSLMARSubjectHierarchyPlugin.py"))


class SSLMAR(ScriptedLoadableModule):
    """The module's entry in Slicer: title, category, help."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Metal Artifact Reduction (SSLMAR)")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Filtering")]
        self.parent.dependencies = ["Segmentations", "Sequences"]
        self.parent.contributors = ["SSLMAR contributors"]
        self.parent.helpText = _(
            "Removes the streaks that metal implants cause in a CT volume. Choose the volume, say where the metal is "
            "(a threshold, or a segmentation), choose a method and press Apply: the result is a new volume beside the "
            "input, which is never changed. For research; this is not a medical device."
        )
        self.parent.acknowledgementText = _(
            "After L. Yu, Z. Zhang, X. Li, H. Ren, W. Zhao and L. Xing, Metal Artifact Reduction in 2D CT Images with "
            "Self-supervised Cross-domain Learning. NMAR after E. Meyer et al., Medical Physics 37 (2010)."
        )
        slicer.app.startupCompleted.connect(registerSampleData)
        slicer.app.startupCompleted.connect(registerResultMenu)


class SSLMARWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: its sections, bound to the scene's parameter node."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.parameterNode = None
        self._guiTag = None
        self._isUpdating = self._mustUpdateAgain = False
        self.sections = []

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        problem = missingLibrarySentence()
        if problem:
            self._showInsteadOfPanel(problem)
            return
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/SSLMAR.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)

        self.logic = SSLMARLogic()
        self.inputSection = InputSection(self)
        self.metalSection = MetalSection(self)
        self.segmentationSection = SegmentationSection(self)
        self.metalSlicesSection = MetalSlicesSection(self)
        self.editorSection = EditorSection(self)
        self.correctionSection = CorrectionSection(self)
        self.runSection = RunSection(self)
        self.compareMethodsSection = CompareMethodsSection(self)
        self.resultSection = ResultSection(self)
        self.sections = [
            self.inputSection,
            self.metalSection,
            self.segmentationSection,
            self.metalSlicesSection,
            self.editorSection,
            self.correctionSection,
            self.runSection,
            self.compareMethodsSection,
            self.resultSection,
        ]

        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEnd)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEnd)
        self.initializeParameterNode()

    def _showInsteadOfPanel(self, sentence):
        """Show why there is no panel. Without a logic, nothing else happens in this widget."""
        logging.error(sentence)
        label = qt.QLabel(sentence)
        label.objectName = "missingLibraryLabel"
        label.wordWrap = True
        self.layout.addWidget(label)

    def setPanelAsFor(self, corrected):
        """Show a result of this module, and how it was made, in the panel."""
        self.parameterNode.correctedVolume = corrected
        self.resultSection.onSetPanelButton()

    def cleanup(self):
        """Before the module is unloaded or reloaded: no thread, no observer and no connection stays behind."""
        for section in self.sections:
            section.cleanup()
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self):
        self.initializeParameterNode()

    def exit(self):
        """The panel is left: a correction goes on, the widgets no longer follow the parameter node."""
        self._disconnect()
        for section in self.sections:
            section.release()

    def onReload(self):
        """Reload the sections, too (developer mode)."""
        for name in [name for name in sys.modules if name.split(".")[0] == "SSLMARPanel"]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStartClose(self, caller, event):
        """The nodes go away: a correction is cancelled, and whatever it still returns is dropped."""
        wasRunning = self.runSection.drop()
        self.resultSection.sceneCloses()
        for section in self.sections:
            section.release()
        self.setParameterNode(None)
        self.showStatus(_("The scene was closed, so the correction was cancelled.") if wasRunning else "")

    def onSceneEnd(self, caller, event):
        """The scene was closed, or another one was loaded into it."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self):
        """Take the scene's parameter node; where no input is chosen yet, choose the first volume.

        It is wrapped anew each time: a wrapper keeps the nodes that it has read, and while a scene is loaded those are not there yet.
        """
        if self.logic is None:
            return
        parameterNode = self.logic.getParameterNode()
        if parameterNode.inputVolume is None:
            parameterNode.inputVolume = firstVolume()
        self.setParameterNode(parameterNode)

    def setParameterNode(self, parameterNode):
        """Bind the widgets to a parameter node, or to none."""
        self._disconnect()
        self.parameterNode = parameterNode
        if parameterNode is not None:
            widgets = {widget.property("SlicerParameterName"): widget for widget in vars(self.ui).values()}
            # Not connectGui: that one gives no tag back, so that its connections could never be undone.
            self._guiTag = parameterNode.connectParametersToGui({name: widgets[name] for name in widgets if name})
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParameterNodeModified)
        self.updatePanel()

    def _disconnect(self):
        if self._guiTag is not None:
            self.parameterNode.disconnectGui(self._guiTag)
            self._guiTag = None
            self.removeObservers(self._onParameterNodeModified)

    def _onParameterNodeModified(self, caller, event):
        self.updatePanel()

    @property
    def isLeft(self):
        """Whether another module is open."""
        return self.parameterNode is not None and self._guiTag is None

    @property
    def isRunning(self):
        return self.runSection.run is not None

    def updatePanel(self):
        """Let each section show the parameter node. A section may correct a parameter, and then all look again."""
        if self._isUpdating:
            self._mustUpdateAgain = True
            return
        self._isUpdating = True
        try:
            self._mustUpdateAgain = True
            while self._mustUpdateAgain:
                self._mustUpdateAgain = False
                for section in [self.runSection] if self.isLeft else self.sections:
                    section.update()
        finally:
            self._isUpdating = False

    def ensurePackages(self):
        """Ask for and install what the chosen method needs, and with a learned outline what reads its weights, as those of the default.

        :raises SSLMARLib.MissingPackageError: something stays missing.
        """
        from SSLMARLib.methods import DEFAULT_METHOD

        methods = [chosenMethod(self.parameterNode), *([DEFAULT_METHOD] if self.parameterNode.learnedOutline else [])]
        for method in methods:
            ensurePackages(self.resourcePath("requirements.txt"), method)

    def showStatus(self, text):
        self.ui.statusLabel.text = text

    def showError(self, error):
        """A sentence of the library goes to the panel; anything unforeseen is also logged and shown with its trace."""
        from SSLMARLib import MARError

        self.showStatus(str(error))
        if isinstance(error, MARError):
            logging.warning(" ".join(filter(None, [str(error), error.details])))
            if error.details:
                slicer.util.errorDisplay(str(error), detailedText=error.details)
            return
        details = "".join(traceback.format_exception(error))
        slicer.util.errorDisplay(_("This did not work: {error}").format(error=error), detailedText=details)


class SSLMARLogic(ScriptedLoadableModuleLogic):
    """The module without its panel, for scripts and the Python console."""

    def getParameterNode(self):
        from SSLMARLib import slicer_logic

        parameterNode = SSLMARParameterNode(super().getParameterNode())
        if not parameterNode.method:
            parameterNode.method = slicer_logic.DEFAULT_METHOD
        return parameterNode

    def process(
        self,
        inputVolume,
        metalSegmentation=None,
        segmentIDs=None,
        method=None,
        thresholdHu=None,
        *,
        interactive=False,
        progress=None,
        isCancelled=None,
        **options,
    ):
        """Correct a CT volume and return the new volume node; waits until it is done. The input is not changed.

        Example: SSLMARLogic().process(slicer.util.getNode("CT"), thresholdHu=2500)

        :param inputVolume: scalar volume node in Hounsfield units.
        :param metalSegmentation: segmentation node of the metal; without it, metal is found by thresholdHu and the like.
        :param segmentIDs: IDs or names of the segments that are metal; all by default.
        :param method: one of SSLMARLib.available_methods(), the path of a .safetensors file that `sslmar train` wrote, or a method
          object; None for the default, as in the panel.
        :param thresholdHu: metal threshold (HU), without a segmentation; None for the usual one.
        :param interactive: False for scripts: no question is asked, and the application stands still meanwhile. True
          asks to install what is missing, keeps the windows alive and shows the progress in the status bar.
        :param progress: called as progress(fraction, message) with a fraction of 0 to 1.
        :param isCancelled: called often; when it returns True, the run ends with SSLMARLib.Cancelled.
        :param options: the others of SSLMARLib.slicer_logic.prepareCorrection, as device and smallestComponentMm3.
        :raises SSLMARLib.MARError: with a sentence that says what is wrong; no node is left behind.
        """
        from SSLMARLib import slicer_logic

        method = method or slicer_logic.DEFAULT_METHOD
        nodes = (inputVolume, metalSegmentation, segmentIDs, method, thresholdHu)
        if not interactive:
            return slicer_logic.process(*nodes, progress=progress, isCancelled=isCancelled, **options)
        ensurePackages(Path(__file__).resolve().parent / "Resources" / "requirements.txt", method)
        correction = slicer_logic.prepareCorrection(*nodes, **options)
        run = correction.start()
        try:
            while not run.wait(WAIT_SECONDS):
                slicer.util.showStatusMessage(run.progress[1])
                if progress is not None:
                    progress(*run.progress)
                if isCancelled is not None and isCancelled():
                    run.cancel()
                slicer.app.processEvents()
        except BaseException:
            run.cancel()  # whatever the caller's functions raised, the thread does not go on computing
            raise
        return correction.addToScene(run.result())

    def processSequence(self, sequenceNode, **parameters):
        """Correct all frames of a sequence (4D CT) and return the new sequence node, shown with the input's.

        Example: SSLMARLogic().processSequence(slicer.util.getNode("4D CT"), thresholdHu=2500)

        :param parameters: those of process, but for interactive; see SSLMARLib.slicer_logic.processSequence.
        :raises SSLMARLib.MARError: with a sentence that says what is wrong; no node is left behind.
        """
        from SSLMARLib import slicer_logic

        return slicer_logic.processSequence(sequenceNode, **parameters)

    def segmentMetal(self, inputVolume, thresholdHu=None, **options):
        """Return a new segmentation node whose segment 'Metal' is what exceeds the threshold (HU) in a CT volume.

        :param options: smallestComponentMm3, peakHu, dilationMm and segmentation of SSLMARLib.slicer_logic.segmentMetal.
        :raises SSLMARLib.MARError: as that function does.
        """
        from SSLMARLib import slicer_logic

        return slicer_logic.segmentMetal(inputVolume, thresholdHu, **options)

    def methods(self, forResearch=False):
        """Return the (name, title) pairs of the methods that can be used; with those that are here to be compared with, if wanted."""
        from SSLMARLib import available_methods, slicer_logic

        return [(name, slicer_logic.methodTitle(name)) for name in available_methods(forResearch)]


class SSLMARTest(SelfTest, ScriptedLoadableModuleTest):
    """The module's self-test: the real job on the samples that the module simulates."""
