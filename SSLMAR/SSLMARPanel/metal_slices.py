"""The list of the slices with metal; choosing one of them sends the slice views there."""

import itertools

from slicer.i18n import tr as _

from .jobs import whyNotReady
from .nodes import jumpToSlice
from .section import Section


class MetalSlicesSection(Section):
    """Shows what the sections Metal count: the slices of the ticked segments, or without a segmentation those of the threshold."""

    def setup(self):
        self._ranges = None
        self.ui.metalSlicesComboBox.activated.connect(self._onChosen)

    @property
    def slices(self):
        """Indices (from 0) of the slices that a run would correct; () while they are not known."""
        parameters = self.parameters
        if whyNotReady(parameters):
            return ()
        section = self.panel.metalSection if parameters.metalSegmentation is None else self.panel.segmentationSection
        return section.metalSlices or ()

    def update(self):
        comboBox, slices = self.ui.metalSlicesComboBox, self.slices
        ranges = rangesOf(slices)
        comboBox.enabled = bool(ranges) and not self.panel.isRunning
        if ranges == self._ranges:
            return
        self._ranges = ranges
        comboBox.clear()
        comboBox.addItem(_("1 slice") if len(slices) == 1 else _("{count} slices").format(count=len(slices)))
        for one in ranges:
            comboBox.addItem(rangeText(*one))

    def _onChosen(self, *_):
        row = self.ui.metalSlicesComboBox.currentIndex - 1
        if 0 <= row < len(self._ranges):
            jumpToSlice(self.parameters.inputVolume, self._ranges[row][0])


def rangesOf(indices):
    """Return the (first, last) pairs of the runs without a gap in increasing indices."""
    runs = itertools.groupby(enumerate(indices), key=lambda pair: pair[1] - pair[0])
    return [(run[0][1], run[-1][1]) for run in (list(group) for _number, group in runs)]


def rangeText(first, last):
    """Return what users read of a run of indices, who count from 1: "12-18", or "25"."""
    return f"{first + 1}-{last + 1}" if last > first else f"{first + 1}"
