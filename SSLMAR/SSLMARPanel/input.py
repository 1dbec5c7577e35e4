"""The section Input: which volume is corrected, and what is known about it."""

import slicer
from slicer.i18n import tr as _

from .section import NOTICE_SIGN, Section


class InputSection(Section):
    def update(self):
        from SSLMARLib import slicer_logic

        self.ui.inputCollapsibleButton.enabled = not self.panel.isRunning
        volume = self.parameters.inputVolume if self.parameters is not None else None
        self.follow(
            (volume, slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent), (volume, slicer.vtkMRMLTransformableNode.TransformModifiedEvent)
        )
        summary, remarks = _("Choose the CT volume to correct, or load one."), ()
        if volume is not None:
            description = slicer_logic.describeVolume(volume)
            summary, remarks = description.summary, description.remarks
        self.ui.volumeSummaryLabel.text = summary
        self.ui.volumeRemarksLabel.visible = bool(remarks)
        self.ui.volumeRemarksLabel.text = "\n".join(f"{NOTICE_SIGN} {remark}" for remark in remarks)
        self.ui.allFramesCheckBox.visible = slicer_logic.sequenceOf(volume) is not None
