"""The section Metal, upper half: finding metal by a threshold, and by a network that outlines it."""

import slicer
from slicer.i18n import tr as _

from .jobs import SEARCH_PARAMETERS, searchValues, whyNoMetalSearch
from .section import DelayedCall, NamedChoices, Section
from .threshold_preview import ThresholdPreview

COUNT_DELAY_MS = 150


class MetalSection(Section):
    """Presets, threshold with live count and preview, and the button that makes a segmentation of it."""

    def setup(self):
        from SSLMARLib.ct.presets import PRESETS

        self._presets = PRESETS
        self._presetChoices = NamedChoices(self.ui.presetComboBox, self._onPresetChosen)
        self._presetChoices.add("", _("Custom"), _("The values below as they are."))
        for name, preset in PRESETS.items():
            self._presetChoices.add(name, _(preset.title), _(preset.description))
        self.ui.segmentMetalButton.clicked.connect(self.onSegmentMetalButton)
        self.preview = ThresholdPreview()
        self._delayedCount = DelayedCall(self._countAndPreview, COUNT_DELAY_MS)
        self._counted = self._count = None

    @property
    def metalSlices(self):
        """Indices of the slices of the input that hold metal by the values above; None until they are counted."""
        return self._count.metalSlices if self._count is not None else None

    def update(self):
        self.ui.metalCollapsibleButton.enabled = not self.panel.isRunning
        parameters = self.parameters
        whyNot = whyNoMetalSearch(parameters)
        self.ui.segmentMetalButton.enabled = not whyNot
        self.ui.segmentMetalButton.toolTip = whyNot or _(
            "Find the metal by the values above, outlined by the network if it is ticked, and put it into a segmentation as its segment "
            "'Metal': into the chosen segmentation, whose other segments stay, or into a new one. Edit it there as you like."
        )
        if parameters is None:
            self.release()
            return
        if parameters.preset and not self._valuesAreThoseOf(parameters.preset):
            parameters.preset = ""
        self._presetChoices.show(parameters.preset)
        counted = None if whyNot else _countKey(parameters)
        if counted is None:
            self._counted = self._count = None
            self.ui.metalCountLabel.text = ""
            self._delayedCount.cancel()
            self.preview.hide()
            return
        if not parameters.showThresholdPreview:
            self.preview.hide()
        if counted != self._counted or (parameters.showThresholdPreview and self.preview.node is None):
            self._delayedCount.request()

    def release(self):
        super().release()
        self._delayedCount.cancel()
        self._counted = self._count = None
        self.preview.hide()

    def onSegmentMetalButton(self):
        from SSLMARLib import slicer_logic

        parameters = self.parameters
        try:
            if not self._mayReplace(parameters.metalSegmentation):
                return
            if parameters.learnedOutline:
                self.panel.ensurePackages()
            self.panel.editorSection.saveUndoState()
            with slicer.util.WaitCursor():
                segmentation = slicer_logic.segmentMetal(
                    parameters.inputVolume, **searchValues(parameters), segmentation=parameters.metalSegmentation
                )
        except Exception as error:
            self.panel.showError(error)
            return
        with slicer.util.NodeModify(parameters):
            parameters.metalSegmentation = segmentation
            parameters.showThresholdPreview = False
        self.panel.showStatus(
            _("The metal is the segment 'Metal' of '{name}': edit it, or press Apply.").format(name=segmentation.GetName())
        )

    def _mayReplace(self, segmentation):
        """Ask before a segment 'Metal' that was edited by hand is replaced; other segments are never touched."""
        from SSLMARLib import slicer_logic

        if segmentation is None or not slicer_logic.metalWasEdited(segmentation):
            return True
        text = _(
            "The segment 'Metal' of '{name}' was edited by hand. Replace it by what is found now?\n\nTo keep it, press Cancel and "
            "rename it, or choose no segmentation: then the metal goes into a new one."
        )
        title = _("Metal Artifact Reduction - Segment metal")
        return slicer.util.confirmOkCancelDisplay(text.format(name=segmentation.GetName()), title)

    def _onPresetChosen(self, name):
        parameters = self.parameters
        if parameters is None or name == parameters.preset:
            return
        with slicer.util.NodeModify(parameters):
            parameters.preset = name
            if name:
                for parameter, value in SEARCH_PARAMETERS.items():
                    setattr(parameters, parameter, getattr(self._presets[name].search, value))

    def _valuesAreThoseOf(self, name):
        preset = self._presets.get(name)
        return preset is not None and all(
            getattr(self.parameters, parameter) == getattr(preset.search, value) for parameter, value in SEARCH_PARAMETERS.items()
        )

    def _countAndPreview(self):
        from SSLMARLib import slicer_logic

        parameters = self.parameters
        if parameters is None or whyNoMetalSearch(parameters):
            return
        self._counted = _countKey(parameters)
        self._count = slicer_logic.countMetal(parameters.inputVolume, slicer_logic.metalSearch(**searchValues(parameters)))
        self.ui.metalCountLabel.text = _countText(self._count)
        if parameters.showThresholdPreview:
            self.preview.show(parameters.inputVolume, self._count.mask)
        self.panel.updatePanel()


def _countKey(parameters):
    volume = parameters.inputVolume
    values = [getattr(parameters, name) for name in SEARCH_PARAMETERS]
    return volume.GetID(), volume.GetImageData().GetMTime(), volume.GetTransformNodeID(), *values


def _countText(count):
    if count.mask is None:
        return count.whyNone
    text = _("Above it: {volume:.3g} ml ({voxels:,} voxels), slices: {slices}.")
    return text.format(volume=count.milliliters, voxels=count.voxels, slices=count.slices)
