"""The section Metal, lower half: which segments are metal, and the editor for them."""

import qt
import slicer
from slicer.i18n import tr as _

from .jobs import metalSegmentIDs, whyNotReady
from .nodes import slicesWithMetal
from .section import DelayedCall, Section

COUNT_DELAY_MS = 300
LARGEST_LIST_ROWS = 6


class SegmentationSection(Section):
    """The ticks at the segments, and the sentence that says what counts as metal."""

    def setup(self):
        self._filling = False
        self._segmentIDs = []
        self._shown = None
        self._counted = None
        self.metalSlices = None  # indices of the input's slices that the ticked segments reach; None while not counted
        self._delayedCount = DelayedCall(self._count, COUNT_DELAY_MS)
        self.ui.segmentsListWidget.itemChanged.connect(self._onTicked)

    def update(self):
        parameters = self.parameters
        segmentation = parameters.metalSegmentation if parameters is not None else None
        if self._shown not in (None, segmentation) and parameters is not None:
            parameters.excludedSegmentIDs = []  # IDs such as "Segment_1" mean another segment in another segmentation
        self._shown = segmentation
        events = slicer.vtkSegmentation
        self.follow(
            (segmentation, events.SegmentAdded),
            (segmentation, events.SegmentRemoved),
            (segmentation, events.SegmentModified),
            (segmentation, events.SegmentsOrderModified),
        )
        self.followWith(
            self._onVoxelsChanged,
            (segmentation, events.SourceRepresentationModified),
            (segmentation, slicer.vtkMRMLTransformableNode.TransformModifiedEvent),
        )
        self._fill(segmentation)
        counted = self._countKey()
        if counted != self._counted:
            self._counted, self.metalSlices = counted, None
            self._delayedCount.request()
        isChoice = len(self._segmentIDs) > 1 or (bool(self._segmentIDs) and bool(parameters.excludedSegmentIDs))
        self.ui.segmentsLabel.visible = self.ui.segmentsListWidget.visible = isChoice
        if parameters is None:
            text = ""
        elif segmentation is None:
            text = _("Apply takes as metal what is found above.")
        else:
            text = _("Apply takes the ticked segments as metal.")
        self.ui.metalSourceLabel.text = text
        self.ui.metalSourceLabel.visible = segmentation is not None  # else the selector says it

    def release(self):
        super().release()
        self.followWith(self._onVoxelsChanged)
        self._delayedCount.cancel()
        self._shown = self._counted = self.metalSlices = None

    def _countKey(self):
        """What the number of slices depends on, but for the voxels; None where nothing is to be counted."""
        parameters = self.parameters
        if whyNotReady(parameters) or parameters.metalSegmentation is None:
            return None
        return parameters.inputVolume.GetID(), parameters.metalSegmentation.GetID(), *metalSegmentIDs(parameters)

    def _onVoxelsChanged(self, caller, event):
        self._delayedCount.request()

    def _count(self):
        if self._countKey() is not None:
            parameters = self.parameters
            segmentIDs = metalSegmentIDs(parameters)
            self.metalSlices = slicesWithMetal(parameters.inputVolume, parameters.metalSegmentation, segmentIDs)
        self.panel.updatePanel()

    def _fill(self, segmentation):
        """Show the segments with their names and ticks; rows are made anew only where the segments are others."""
        listWidget = self.ui.segmentsListWidget
        segments = segmentation.GetSegmentation() if segmentation is not None else None
        segmentIDs = list(segments.GetSegmentIDs()) if segments is not None else []
        self._filling = True
        try:
            if len(segmentIDs) != len(self._segmentIDs):
                listWidget.clear()
                for segmentID in segmentIDs:
                    listWidget.addItem(segmentID)
                rows = min(len(segmentIDs), LARGEST_LIST_ROWS)
                listWidget.maximumHeight = rows * max(listWidget.sizeHintForRow(0), 1) + 2 * listWidget.frameWidth + 2
            self._segmentIDs = segmentIDs
            for row, segmentID in enumerate(segmentIDs):
                item = listWidget.item(row)
                excluded = segmentID in self.parameters.excludedSegmentIDs
                item.setText(segments.GetSegment(segmentID).GetName())
                item.setCheckState(qt.Qt.Unchecked if excluded else qt.Qt.Checked)
        finally:
            self._filling = False

    def _onTicked(self, *_):
        """Keep what is unticked, so that a segment that is added counts as metal."""
        if self._filling or self.parameters is None:
            return
        listWidget = self.ui.segmentsListWidget
        self.parameters.excludedSegmentIDs = [
            segmentID for row, segmentID in enumerate(self._segmentIDs) if listWidget.item(row).checkState() == qt.Qt.Unchecked
        ]
