"""Apply and Preview: a computation on a thread, its progress, its cancel and its end."""

import time

import qt
import slicer
from slicer.i18n import tr as _

from .correction import durationText
from .jobs import prepare, whyNotReady
from .nodes import volumeOf
from .section import Section

TIMER_INTERVAL_MS = 10
WAIT_SECONDS = 0.05  # what each tick of the timer gives to the thread that computes
CLEANUP_SECONDS = 3.0
TRUST_OPACITY = 0.4  # of the map of trust in front of the result
SECONDS_TO_JUDGE_BY = 2.0  # a remaining time said earlier would be a guess


class RunSection(Section):
    """The two buttons and the progress below them. A run goes on while another module is open."""

    def setup(self):
        self.run = None
        self.correction = None
        self._show = self._follow = None
        self._remaining = RemainingTime()
        self.ui.applyButton.clicked.connect(self.onApplyButton)
        self.ui.previewSliceButton.clicked.connect(self.onPreviewSliceButton)
        self._escape = qt.QShortcut(qt.QKeySequence("Esc"), slicer.util.mainWindow() or self.panel.parent)
        self._escape.enabled = False  # whatever else Escape is for keeps it while nothing runs
        self._escape.activated.connect(self.cancelRun)
        self.timer = qt.QTimer()
        self.timer.interval = TIMER_INTERVAL_MS
        self.timer.timeout.connect(self.onTimer)

    def update(self):
        """Enable what can be used now; the button says Apply or Cancel, its tooltip what is missing."""
        ui = self.ui
        ui.progressBar.visible = self.panel.isRunning
        self._escape.enabled = self.panel.isRunning and not self.panel.isLeft
        if self.panel.isRunning:
            ui.applyButton.text = _("Cancelling...") if self.run.cancelled else _("Cancel")
            ui.applyButton.toolTip = _("Stop the computation; no volume is made. Escape does it, too.")
            ui.applyButton.enabled = not self.run.cancelled
            ui.previewSliceButton.enabled = False
            return
        whyNot = whyNotReady(self.parameters)
        ui.applyButton.text = _("Apply")
        ui.applyButton.toolTip = whyNot or _("Correct the volume; the result is a new volume beside the input.")
        ui.applyButton.enabled = not whyNot
        ui.previewSliceButton.toolTip = whyNot or _("Correct only the slice that the slice views show, to try method and metal in seconds.")
        ui.previewSliceButton.enabled = not whyNot

    def cleanup(self):
        run = self.run
        self.drop()
        if run is not None:
            run.wait(CLEANUP_SECONDS)
        self._escape.deleteLater()
        super().cleanup()

    def release(self):
        """In another module Escape is that module's."""
        super().release()
        self._escape.enabled = False

    def drop(self):
        """Forget the run, and say whether there was one: it is told to stop, and what it still returns is dropped."""
        if self.run is None:
            return False
        self.timer.stop()
        self.run.cancel()
        self.run = self.correction = None
        return True

    def onApplyButton(self):
        if self.run is None:
            self.start(lambda: prepare(self.parameters), self._showResult)
        else:
            self.cancelRun()

    def cancelRun(self):
        """Tell the run to stop, where there is one."""
        if self.run is not None and not self.run.cancelled:
            self.run.cancel()
            self.panel.showStatus(_("Cancelling..."))
            self.panel.updatePanel()

    def onPreviewSliceButton(self):
        if self.run is None:
            self.start(lambda: prepare(self.parameters, shownSliceOnly=True), self._showPreview)

    def start(self, makeCorrection, show, follow=None):
        """Compute the correction that makeCorrection() returns, if nothing goes wrong. show(correction, result) is called when it is
        done, follow(correction) every moment until then."""
        self.panel.showStatus("")
        try:
            self.panel.ensurePackages()
            self.panel.correctionSection.packagesInstalled()
            with slicer.util.WaitCursor():
                self.correction = makeCorrection()
            self.run = self.correction.start()
        except Exception as error:
            self.run = self.correction = None
            self.panel.showError(error)
        else:
            self._show, self._follow = show, follow
            self._remaining = RemainingTime()
            self.ui.progressBar.value = 0
            self.panel.showStatus(_("Starting..."))
            self.timer.start()
        self.panel.updatePanel()

    def onTimer(self):
        """Show the progress, give the thread time, and finish when it has ended."""
        if self.run is None:
            self.timer.stop()
            return
        fraction, message = self.run.progress
        self.ui.progressBar.value = round(100 * fraction)
        if not self.run.cancelled:
            if message:
                self.panel.showStatus(message + self._remaining.text(fraction, time.monotonic()))
            if self._inputIsGone():
                self.run.cancel()
                self.panel.showStatus(_("The input was removed, so the correction is cancelled..."))
                self.panel.updatePanel()
        if self._follow is not None:
            self._follow(self.correction)
        if self.run.wait(WAIT_SECONDS):
            self._finish()

    def _inputIsGone(self):
        return self.correction.inputVolume.GetScene() is None

    def _finish(self):
        self.timer.stop()
        run, correction = self.run, self.correction
        wasRemoved = self._inputIsGone()
        self.run = self.correction = None
        try:
            if run.cancelled:
                self.panel.showStatus(
                    _("The input was removed, so the correction was cancelled.") if wasRemoved else _("Cancelled; no volume was made.")
                )
            else:
                self._show(correction, run.result())
        except Exception as error:
            self.panel.showError(error)
        self.panel.updatePanel()

    def _showPreview(self, correction, result):
        preview = correction.addPreviewToScene(result)
        slicer.util.setSliceViewerLayers(foreground=preview, foregroundOpacity=1.0)
        text = _("Preview of slice {slice} in {seconds:.1f} s, in front of the input: '{name}'.")
        text = text.format(slice=correction.job.sliceIndex + 1, seconds=result.report.seconds, name=preview.GetName())
        self.panel.showStatus(" ".join([text, *result.report.warnings]))

    def _showResult(self, correction, result):
        from SSLMARLib import slicer_logic

        corrected = correction.addToScene(result)
        parameters = self.parameters
        shown = volumeOf(corrected)
        strengthPercent = parameters.strengthPercent if parameters is not None else 100.0
        if shown is not None and strengthPercent != 100.0:
            slicer_logic.setStrength(shown, strengthPercent / 100.0)
        former = parameters.correctedVolume if parameters is not None else None
        if parameters is not None and shown is not None:
            parameters.correctedVolume = shown
        if shown is not None:
            self._putAway(slicer_logic.previewOf(correction.inputVolume), slicer_logic.trustOf(former))
            trust = slicer_logic.trustOf(shown)
            layers = {"foreground": trust, "foregroundOpacity": TRUST_OPACITY} if trust is not None else {}
            slicer.util.setSliceViewerLayers(background=shown, **layers)
        if shown is corrected:
            self.panel.showStatus(resultText(corrected, result))
        else:
            self.panel.showStatus(sequenceText(corrected, result))
        self.ui.resultCollapsibleButton.collapsed = False

    def _putAway(self, *volumes):
        """A preview, or the map of trust of another result, in front would hide the result's slice."""
        volumeIds = [volume.GetID() for volume in volumes if volume is not None]
        for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            if composite.GetForegroundVolumeID() in volumeIds:
                composite.SetForegroundVolumeID(None)


class RemainingTime:
    """How long a run will still take, judged by its progress since the first slice began; between two steps of it the time falls."""

    def __init__(self):
        self._begin = self._last = None  # (fraction, time) of the first slice and of the last step
        self._end = None  # the time at which the run is expected to end

    def text(self, fraction, now):
        """Return what to say at a time in seconds; "" while too little has been done to judge by."""
        from SSLMARLib.slicer_logic.job import FIRST_SLICE

        if fraction >= FIRST_SLICE and self._begin is None:
            self._begin = self._last = (fraction, now)
        if self._begin is not None and fraction > self._last[0]:
            self._last = (fraction, now)
            done, seconds = fraction - self._begin[0], now - self._begin[1]
            self._end = now + seconds * (1.0 - fraction) / done if seconds >= SECONDS_TO_JUDGE_BY else None
        if self._end is None or fraction >= 1.0:
            return ""
        return _(" - about {duration} left").format(duration=durationText(self._end - now))


def resultText(corrected, result):
    """Say what was done, and what the library noticed about the volume."""
    report = result.report
    text = _("Done: {name}. {corrected} of {slices} slices corrected, {metal:.1f} ml of metal, {seconds:.1f} s.")
    text = text.format(
        name=corrected.GetName(),
        corrected=report.slices_corrected,
        slices=report.slices,
        metal=report.metal_volume_ml,
        seconds=report.seconds,
    )
    return " ".join([text, *report.warnings])


def sequenceText(corrected, results):
    """Say what was done to the frames of a sequence; a frame without metal has no result."""
    reports = [result.report for result in results if result is not None]
    text = _("Done: {name}. {corrected} of {frames} frames corrected, {seconds:.1f} s.").format(
        name=corrected.GetName(), corrected=len(reports), frames=len(results), seconds=sum(report.seconds for report in reports)
    )
    return " ".join([text, *dict.fromkeys(warning for report in reports for warning in report.warnings)])
