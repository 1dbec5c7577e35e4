"""The section Metal, lower half: which segments are metal, and the editor for them."""

import qt
import slicer
from slicer.i18n import tr as _

from .section import Section

LARGEST_LIST_ROWS = 6


class SegmentationSection(Section):
    """The ticks at the segments, and the sentence that says what counts as metal."""

    def setup(self):
        self._filling = False
        self._segmentIDs = []
        self._shown = None
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
        self._fill(segmentation)
        self.ui.segmentsLabel.visible = self.ui.segmentsListWidget.visible = bool(self._segmentIDs)
        if parameters is None:
            text = ""
        elif segmentation is None:
            text = _("Apply takes as metal what the threshold finds.")
        else:
            text = _("Apply takes as metal the ticked segments; the threshold serves 'Segment metal' only.")
        self.ui.metalSourceLabel.text = text

    def release(self):
        super().release()
        self._shown = None

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
            segmentID
            for row, segmentID in enumerate(self._segmentIDs)
            if listWidget.item(row).checkState() == qt.Qt.Unchecked
        ]
