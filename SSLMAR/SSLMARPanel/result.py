"""The section Result: strength's volume, comparison with the input, report."""

import re

import qt
import slicer
from slicer.i18n import tr as _

from .jobs import inputOf
from .section import NOTICE_SIGN, DelayedCall, Section
from .settings_of_result import setPanelAsFor

REPORT_DELAY_MS = 400
SWIPE_DELAY_MS = 20
VALUE_COLUMN, WIDEST_VALUE_PIXELS = 1, 96  # in a dock of its usual width the units stay in sight


class ResultSection(Section):
    """Comparison buttons stay pressed while their comparison is on; pressing one again, or another, ends it.

    A comparison outlives the panel's leaving, so that other modules may be used on it, but not its nodes.
    """

    def setup(self):
        ui = self.ui
        # Only results of this module are listed; they carry this attribute.
        ui.correctedVolumeSelector.addAttribute("vtkMRMLScalarVolumeNode", "SSLMAR.Version")
        self._buttons = {"side by side": ui.sideBySideButton, "difference": ui.differenceButton, "swipe": ui.swipeButton}
        ui.sideBySideButton.clicked.connect(self.onSideBySideButton)
        ui.differenceButton.clicked.connect(self.onDifferenceButton)
        ui.swipeButton.clicked.connect(self.onSwipeButton)
        ui.softTissueButton.clicked.connect(self.onSoftTissueButton)
        ui.setPanelButton.clicked.connect(self.onSetPanelButton)
        ui.saveReportButton.clicked.connect(self.onSaveReportButton)
        ui.exportDicomButton.clicked.connect(self.onExportDicomButton)
        self._delayedSwipe = DelayedCall(self._swipe, SWIPE_DELAY_MS)
        ui.swipeSliderWidget.valueChanged.connect(self._onSwipeMoved)
        self._delayedReport = DelayedCall(self.showReport, REPORT_DELAY_MS)
        self._corrected = None

    @property
    def comparison(self):
        """What is compared now: a name of the buttons, or "" for nothing."""
        from SSLMARLib import slicer_logic

        return slicer_logic.comparisonShown()

    def update(self):
        from SSLMARLib import slicer_logic

        corrected = self.parameters.correctedVolume if self.parameters is not None else None
        inputVolume = inputOf(corrected)
        self.followWith(self._onVoxelsChanged, (corrected, slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent))
        if corrected is not self._corrected:
            self.endComparison()
            self._corrected = corrected
            self._showTable(None)
            if corrected is not None:
                self._delayedReport.request()
        elif self.comparison and inputVolume is None:
            self.endComparison()
        if corrected is None:
            whyNot = _("Nothing is corrected yet: press Apply, or choose a corrected volume.")
        elif inputVolume is None:
            whyNot = _("The input of '{name}' is no longer in the scene.").format(name=corrected.GetName())
        else:
            whyNot = ""
        self.ui.compareLabel.toolTip = whyNot
        for name, button in self._buttons.items():
            button.enabled = not whyNot
            button.checked = name == self.comparison
        self.ui.swipeLabel.visible = self.ui.swipeSliderWidget.visible = self.comparison == "swipe"
        shown = self._judgedVolume()
        self.ui.softTissueButton.enabled = shown is not None
        self.ui.softTissueButton.checked = slicer_logic.isSoftTissueShown(shown)
        self.ui.setPanelButton.enabled = corrected is not None and not self.panel.isRunning
        self.ui.saveReportButton.enabled = corrected is not None
        whyNot = slicer_logic.whyNoDerivedSeries(corrected)
        self.ui.exportDicomButton.enabled = not whyNot
        self.ui.exportDicomButton.toolTip = whyNot or _(
            "Writes the result as a series of its own into a folder, with the headers of the scan, which stays as it is."
        )

    def release(self):
        super().release()
        self.followWith(self._onVoxelsChanged)
        self._delayedReport.cancel()
        self._delayedSwipe.cancel()

    def sceneCloses(self):
        """Give the views back while their nodes are there."""
        self.endComparison()
        self._corrected = None
        self._showTable(None)

    def onSideBySideButton(self):
        self._compare("side by side")

    def onDifferenceButton(self):
        self._compare("difference")

    def onSwipeButton(self):
        self._compare("swipe")

    def _judgedVolume(self):
        """The input of the chosen result, or without one that of the panel."""
        if self.parameters is None:
            return None
        return inputOf(self.parameters.correctedVolume) or self.parameters.inputVolume

    def onSoftTissueButton(self):
        from SSLMARLib import slicer_logic

        volume = self._judgedVolume()
        (slicer_logic.endSoftTissue if slicer_logic.isSoftTissueShown(volume) else slicer_logic.showSoftTissue)(volume)
        self.panel.updatePanel()

    def onSetPanelButton(self):
        setPanelAsFor(self.parameters, self.parameters.correctedVolume)
        name = self.parameters.correctedVolume.GetName()
        self.panel.showStatus(_("The panel is set as for '{name}'.").format(name=name))

    def _compare(self, name):
        from SSLMARLib import slicer_logic

        wasOn = self.comparison == name
        self.endComparison()
        if not wasOn:
            corrected = self.parameters.correctedVolume
            inputVolume = inputOf(corrected)
            try:
                if name == "side by side":
                    slicer_logic.compareSideBySide(inputVolume, corrected)
                elif name == "difference":
                    slicer_logic.showDifference(inputVolume, corrected)
                else:
                    slicer_logic.showSwipe(inputVolume, corrected, self.ui.swipeSliderWidget.value / 100.0)
            except Exception as error:
                self.panel.showError(error)
        self.panel.updatePanel()

    def endComparison(self):
        """Give the views back what they showed before."""
        from SSLMARLib import slicer_logic

        self._delayedSwipe.cancel()
        slicer_logic.endComparison()

    def _onSwipeMoved(self, *_):
        if self.comparison == "swipe":
            self._delayedSwipe.request()

    def _swipe(self):
        from SSLMARLib import slicer_logic

        corrected = self.parameters.correctedVolume if self.parameters is not None else None
        inputVolume = inputOf(corrected)
        if self.comparison == "swipe" and inputVolume is not None:
            slicer_logic.showSwipe(inputVolume, corrected, self.ui.swipeSliderWidget.value / 100.0)

    def _onVoxelsChanged(self, caller, event):
        """Another frame of a sequence is shown, or the result was edited: what is said and shown about it follows."""
        if self._corrected is not None:
            self._delayedReport.request()

    def showReport(self):
        """Make or refresh the table node of the chosen result and show it. After a change of strength that is done at once: Slicer
        says nowhere that a scene is about to be saved."""
        from SSLMARLib import slicer_logic
        from SSLMARLib.errors import NoMetalError

        self._delayedReport.cancel()
        if self._corrected is None or self._corrected.GetScene() is None:
            return
        try:
            self._showTable(slicer_logic.reportTable(self._corrected), slicer_logic.strongerStreaks(self._corrected))
        except NoMetalError as error:  # of a frame
            self._showTable(None, str(error))
        except Exception as error:
            self._showTable(None)
            self.panel.showError(error)
        self._refreshComparison()

    def _refreshComparison(self):
        """Let the comparison show the voxels as they are now."""
        from SSLMARLib import slicer_logic

        inputVolume = inputOf(self._corrected)
        if inputVolume is None:
            return
        if self.comparison == "difference":
            slicer_logic.showDifference(inputVolume, self._corrected)
        elif self.comparison == "swipe":
            self._swipe()

    def _showTable(self, table, note=""):
        self.ui.resultNoteLabel.text = f"{NOTICE_SIGN} {note}" if note else ""
        self.ui.resultNoteLabel.visible = bool(note)
        view = self.ui.reportTableView
        view.setMRMLTableNode(table)
        view.visible = table is not None
        if table is not None:
            view.verticalHeader().visible = False
            view.horizontalHeader().stretchLastSection = False
            view.resizeColumnsToContents()
            view.setColumnWidth(VALUE_COLUMN, min(view.columnWidth(VALUE_COLUMN), WIDEST_VALUE_PIXELS))
            view.horizontalHeader().stretchLastSection = True
            rows = table.GetNumberOfRows() + 1
            view.minimumHeight = rows * view.verticalHeader().defaultSectionSize + 2 * view.frameWidth
            view.maximumHeight = view.minimumHeight

    def onSaveReportButton(self):
        from SSLMARLib import slicer_logic

        corrected = self.parameters.correctedVolume
        name = re.sub(r"[^\w .()-]", "_", corrected.GetName())  # what every file system takes
        path = qt.QFileDialog.getSaveFileName(self.panel.parent, _("Save report"), f"{name}.csv", _("Comma-separated values (*.csv)"))
        if not path:
            return
        try:
            slicer_logic.writeReport(corrected, path, overwrite=True)
        except Exception as error:
            self.panel.showError(error)
        else:
            self.panel.showStatus(_("Report saved: {path}").format(path=path))

    def onExportDicomButton(self):
        from SSLMARLib import slicer_logic

        corrected = self.parameters.correctedVolume
        parent = qt.QFileDialog.getExistingDirectory(self.panel.parent, _("Folder in which the series gets one of its own"))
        if not parent:
            return
        try:
            with slicer.util.WaitCursor():
                folder, warnings = slicer_logic.exportDerivedSeries(corrected, parent)
        except Exception as error:
            self.panel.showError(error)
        else:
            self.panel.showStatus(" ".join([_("Derived DICOM series written: {folder}").format(folder=folder), *warnings]))
