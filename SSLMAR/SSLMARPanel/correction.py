"""The section Correction and most of Advanced: method, weights, device, what becomes of the metal; and the strength of a result."""

import slicer
from slicer.i18n import tr as _

from .installing import needsSentence
from .jobs import chosenMethod
from .section import NOTICE_SIGN, DelayedCall, NamedChoices, Section

STRENGTH_DELAY_MS = 30


class CorrectionSection(Section):
    def setup(self):
        from SSLMARLib import slicer_logic

        self._methods = NamedChoices(self.ui.methodComboBox, lambda name: self._choose("method", name))
        self.ui.weightsPathLineEdit.currentPathChanged.connect(lambda path: self._choose("weightsFile", path.strip()))
        self._devices = NamedChoices(self.ui.deviceComboBox, lambda name: self._choose("device", name))
        self._devices.add("auto", _("Automatic (GPU where it works)"))
        self._devices.add("cpu", _("CPU"))
        self._devices.add("cuda", _("GPU (CUDA)"))
        self._materials = NamedChoices(self.ui.metalMaterialComboBox, lambda name: self._choose("metalMaterial", name))
        self._addMaterials()
        slicer_logic.useTimingStore(slicer.app.userSettings())
        self._delayedStrength = DelayedCall(self.blend, STRENGTH_DELAY_MS)
        self._shownTimes = None
        self._shownResult = None
        self._needs = {}

    def _addMaterials(self):
        from SSLMARLib import slicer_logic

        self._materials.add("", _("as it was"), _("The metal keeps the values that it has in the input."))
        toolTip = _("{hu:,.0f} HU, or the most that the volume's voxels can hold.")
        for name, valueHu in slicer_logic.METAL_MATERIALS_HU.items():
            title = _("{material} ({hu:,.0f} HU)").format(material=_(name), hu=valueHu)
            self._materials.add(name, title, toolTip.format(hu=valueHu))

    def update(self):
        self.ui.correctionCollapsibleButton.enabled = self.ui.advancedCollapsibleButton.enabled = not self.panel.isRunning
        parameters = self.parameters
        if parameters is None:
            self.release()
            return
        self._listMethods(parameters)
        self._methods.show(parameters.method)
        self.ui.methodComboBox.enabled = not parameters.weightsFile
        if self.ui.weightsPathLineEdit.currentPath.strip() != parameters.weightsFile:
            self.ui.weightsPathLineEdit.currentPath = parameters.weightsFile
        self._devices.show(parameters.device)
        self._materials.show(parameters.metalMaterial)
        self._showTimes()
        self._followResult()

    def _listMethods(self, parameters):
        """A method for research that is chosen stays in the list, ticked or not."""
        from SSLMARLib import available_methods

        wanted = self.logic.methods(parameters.allMethods or parameters.method not in available_methods())
        if [name for name, _title in wanted] != self._methods.names:
            wasBlocked = self.ui.methodComboBox.blockSignals(True)
            self._methods.clear()
            for name, title in wanted:
                self._methods.add(name, title, methodDescription(name))
            self.ui.methodComboBox.blockSignals(wasBlocked)
            self._shownTimes = None

    def release(self):
        super().release()
        self._delayedStrength.cancel()
        self._shownResult = None
        self._needs.clear()

    def packagesInstalled(self):
        """What the methods need is looked at anew."""
        self._needs.clear()

    def blend(self):
        """Give the chosen result the strength of the panel, where it has another one and can change it."""
        from SSLMARLib import slicer_logic

        parameters = self.parameters
        corrected = parameters.correctedVolume if parameters is not None else None
        note = ""
        if corrected is not None and not self.panel.isRunning:
            note = slicer_logic.canChangeStrength(corrected)
            strength = parameters.strengthPercent / 100.0
            if not note and abs(strength - slicer_logic.strengthOf(corrected)) > 1e-6:
                try:
                    slicer_logic.setStrength(corrected, strength)
                except Exception as error:
                    self.panel.showError(error)
                self.panel.resultSection.showReport()
        self.ui.strengthSliderWidget.enabled = not note
        self.ui.strengthNoteLabel.text = f"{NOTICE_SIGN} {note}" if note else ""
        self.ui.strengthNoteLabel.visible = bool(note)

    def _followResult(self):
        """A result that has just been chosen sets the panel's strength; after that, the panel sets the result's."""
        from SSLMARLib import slicer_logic

        parameters = self.parameters
        corrected = parameters.correctedVolume
        if corrected is not self._shownResult:
            self._shownResult = corrected
            if corrected is not None:
                parameters.strengthPercent = 100.0 * slicer_logic.strengthOf(corrected)
                self._delayedStrength.request()
                return
            self.ui.strengthNoteLabel.visible = False
            self.ui.strengthSliderWidget.enabled = True  # the strength of the next result
        if corrected is None:
            self._delayedStrength.cancel()
        elif abs(parameters.strengthPercent / 100.0 - slicer_logic.strengthOf(corrected)) > 1e-6:
            self._delayedStrength.request()

    def _choose(self, parameter, name):
        if self.parameters is not None and getattr(self.parameters, parameter) != name:
            setattr(self.parameters, parameter, name)

    def _describeMethod(self, isTimeUnknown):
        """Say what the chosen method does, what it needs that is not installed yet, and where no time is known, why."""
        from SSLMARLib import slicer_logic

        method = chosenMethod(self.parameters)
        if method not in self._needs:
            self._needs[method] = needsSentence(self.panel.resourcePath("requirements.txt"), method)
        title = f"{slicer_logic.methodTitle(method)}:" if self.parameters.weightsFile and methodDescription(method) else ""
        parts = [title, methodDescription(method), self._needs[method]]
        if isTimeUnknown:
            parts.append(_("How long it takes here is known after a first run or preview."))
        self.ui.methodDescriptionLabel.text = " ".join(part for part in parts if part)

    def _showTimes(self):
        """Write beside each method how long it takes here, where that is known."""
        from SSLMARLib import slicer_logic

        parameters = self.parameters
        slices = self._slicesWithMetal()
        times = {name: slicer_logic.expectedSeconds(name, slices, parameters.device) if slices else None for name in self._methods.names}
        seconds = slicer_logic.expectedSeconds(chosenMethod(parameters), slices, parameters.device) if slices else None
        self._describeMethod(bool(slices) and seconds is None)
        if times == self._shownTimes:
            return
        self._shownTimes = times
        for name, title in self.logic.methods(forResearch=True):
            if name not in self._methods.names:
                continue
            if times.get(name) is not None:
                text = _("{method} (about {duration})")
                title = text.format(method=title, duration=durationText(times[name]))
            self._methods.setTitle(name, title)

    def _slicesWithMetal(self):
        """How many slices a run would correct, of all frames where all are ticked (as many in each as in the one that is shown)."""
        from SSLMARLib import slicer_logic

        parameters = self.parameters
        slices = len(self.panel.metalSlicesSection.slices)
        sequence = slicer_logic.sequenceOf(parameters.inputVolume) if parameters.allFrames else None
        return slices * sequence.GetNumberOfDataNodes() if sequence is not None else slices


def methodDescription(method):
    """Return one line on a method, its own; "" for one that is not there."""
    from SSLMARLib import InputError
    from SSLMARLib.methods import get_method

    try:
        return _(get_method(method).description)
    except InputError:
        return ""


def durationText(seconds):
    """Return a duration as people say it: "8 s", "1.5 min", "2 h"."""
    if seconds < 1.0:
        return _("1 s")
    if seconds < 90.0:
        return _("{seconds:.0f} s").format(seconds=seconds)
    if seconds < 5400.0:
        return _("{minutes:.2g} min").format(minutes=seconds / 60.0)
    return _("{hours:.2g} h").format(hours=seconds / 3600.0)
