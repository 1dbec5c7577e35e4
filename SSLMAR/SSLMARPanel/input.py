"""The section Input: which volume is corrected, and what is known about it."""

import slicer
from slicer.i18n import tr as _

from .section import NOTICE_SIGN, Section

LONGEST_REMARK = 48  # characters of the first remark beside their number


class InputSection(Section):
    def setup(self):
        self.ui.remarksButton.toggled.connect(self._onRemarksToggled)
        self._volumeID = None

    def update(self):
        from SSLMARLib import slicer_logic

        self.ui.inputCollapsibleButton.enabled = not self.panel.isRunning
        volume = self.parameters.inputVolume if self.parameters is not None else None
        self.follow(
            (volume, slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent), (volume, slicer.vtkMRMLTransformableNode.TransformModifiedEvent)
        )
        volumeID = volume.GetID() if volume is not None else None
        if volumeID != self._volumeID and self._volumeID is not None and not self.panel.isRunning:
            self.panel.showStatus("")  # what it says is about another volume
        self._volumeID = volumeID
        summary, remarks = _("Choose the CT volume to correct, or load one."), ()
        if volume is not None:
            description = slicer_logic.describeVolume(volume)
            summary, remarks = description.summary, description.remarks
        self.ui.volumeSummaryLabel.text = summary
        self.ui.remarksButton.visible = bool(remarks)
        self.ui.remarksButton.text = remarksText(remarks)
        self.ui.volumeRemarksLabel.visible = bool(remarks) and (self.ui.remarksButton.checked or not summary)
        self.ui.volumeRemarksLabel.text = "\n".join(f"{NOTICE_SIGN} {remark}" for remark in remarks)
        self.ui.allFramesCheckBox.visible = slicer_logic.sequenceOf(volume) is not None

    def _onRemarksToggled(self, checked):
        self.update()


def remarksText(remarks):
    """Return one line on the remarks on a volume: how many there are, and how the first, the most important one, begins."""
    if not remarks:
        return ""
    first = remarks[0] if len(remarks[0]) <= LONGEST_REMARK else remarks[0][:LONGEST_REMARK].rsplit(" ", 1)[0] + " ..."
    text = _("1 notice: {first}") if len(remarks) == 1 else _("{count} notices: {first}")
    return f"{NOTICE_SIGN} " + text.format(count=len(remarks), first=first)
