"""Compare methods on this slice: a window of tiles, one for each method; a click on one chooses it."""

import math
import textwrap

import qt
import slicer
from slicer.i18n import tr as _

from .jobs import chosenMethod, prepare, whyNotReady
from .nodes import viewsAlongSlices
from .section import Section

LARGE_TILE_PIXELS, SMALL_TILE_PIXELS = 260, 180
MOST_LARGE_TILES = 6
COLUMNS_OVER_ROWS = 1.6
FRAME_PIXELS = 12  # of a tile around its picture
ERROR_CHARACTERS = 28  # a line


class CompareMethodsSection(Section):
    """The button, and the window while there is one. Closing the window ends the run, and the end of a run that failed the window."""

    def setup(self):
        self.window = None
        self.ui.compareMethodsButton.clicked.connect(self.onCompareMethodsButton)

    def update(self):
        button, whyNot = self.ui.compareMethodsButton, whyNotReady(self.parameters)
        button.toolTip = whyNot or _(
            "Correct the slice that the slice views show by each method of the list, and show all beside each other to choose one."
        )
        button.enabled = not whyNot and not self.panel.isRunning
        if self.window is not None and not self.panel.isRunning and not self.window.isComplete:
            self.window.close()

    def release(self):
        super().release()
        if self.window is not None:
            self.window.close()

    def onCompareMethodsButton(self):
        if self.panel.isRunning:
            return
        if self.window is not None:
            self.window.close()
        run = self.panel.runSection
        run.start(self._prepare, self._showAll, self._showWhatIsDone)
        if run.correction is not None:
            self.window = MethodTiles(run.correction, slicer.util.mainWindow() or self.panel.parent, self._choose, self._onClosed)

    def _prepare(self):
        from SSLMARLib import available_methods, slicer_logic

        parameters = self.parameters
        methods = available_methods(parameters.allMethods)
        if chosenMethod(parameters) not in methods:
            methods = (*methods, chosenMethod(parameters))
        return slicer_logic.MethodsOfSlice(prepare(parameters, shownSliceOnly=True), tuple(methods))

    def _showWhatIsDone(self, correction):
        if self.window is not None:
            self.window.showWhatIsDone()

    def _showAll(self, correction, _result):
        self._showWhatIsDone(correction)
        correction.rememberTimes()
        self.panel.showStatus(_("All methods are shown: click on one to choose it."))

    def _choose(self, method):
        parameters = self.parameters
        if parameters is not None and method != parameters.weightsFile:
            with slicer.util.NodeModify(parameters):
                parameters.weightsFile = ""
                parameters.method = method

    def _onClosed(self):
        window, self.window = self.window, None
        if self.panel.isRunning and self.panel.runSection.correction is window.correction:
            self.panel.runSection.cancelRun()


class MethodTiles:
    """The window, open from the start: the uncorrected slice, and a tile for each method that fills when its slice is there.

    onChosen(method) is called when a tile is clicked on, onClosed() when the window has closed, also by Escape.
    """

    def __init__(self, correction, parent, onChosen, onClosed):
        from SSLMARLib import slicer_logic

        self.correction, self._shown = correction, 0
        self._view = viewsAlongSlices(correction.inputVolume)[0]
        count = 1 + len(correction.methods)
        self._pixels = LARGE_TILE_PIXELS if count <= MOST_LARGE_TILES else SMALL_TILE_PIXELS
        self._columns = math.ceil(math.sqrt(COLUMNS_OVER_ROWS * count))
        self.dialog = qt.QDialog(parent)
        text = _("Methods on slice {slice} of '{name}'")
        self.dialog.windowTitle = text.format(slice=correction.correction.job.sliceIndex + 1, name=correction.inputVolume.GetName())
        self.dialog.finished.connect(lambda *_: self._onFinished(onClosed))
        self._layout = qt.QGridLayout(self.dialog)
        self.uncorrected = self._addTile(_("Uncorrected"), _("The slice as it is."))
        self._fill(self.uncorrected, correction.uncorrectedHu)
        self.tiles = {}
        for method in correction.methods:
            title = slicer_logic.methodTitle(method)
            tile = self.tiles[method] = self._addTile(f"{title}\n...", _("Choose {method}.").format(method=title))
            tile.clicked.connect(lambda *_, method=method: self._onClicked(method, onChosen))
        self.dialog.show()

    @property
    def isComplete(self):
        """Whether each method has its slice, or its error."""
        return self._shown == len(self.tiles)

    def close(self):
        """As Escape does."""
        self.dialog.reject()

    def showWhatIsDone(self):
        from SSLMARLib import slicer_logic

        done = list(self.correction.done)
        for one in done[self._shown :]:
            tile, title = self.tiles[one.method], slicer_logic.methodTitle(one.method)
            if one.computed is None:
                tile.text = "\n".join([title, *textwrap.wrap(str(one.error), ERROR_CHARACTERS)])
            else:
                seconds = one.computed.seconds_per_slice or one.computed.report.seconds  # without the start, which the first alone has
                tile.text = f"{title}\n" + _("{seconds:.1f} s").format(seconds=seconds)
                self._fill(tile, one.computed.volume_hu[0])
        self._shown = len(done)

    def _addTile(self, text, toolTip):
        tile, number = qt.QToolButton(self.dialog), self._layout.count()
        tile.toolButtonStyle = qt.Qt.ToolButtonTextUnderIcon
        tile.iconSize = qt.QSize(self._pixels, self._pixels)
        textHeight = qt.QLabel("title\ntime").sizeHint.height()
        tile.minimumSize = qt.QSize(self._pixels + FRAME_PIXELS, self._pixels + FRAME_PIXELS + textHeight)
        tile.text, tile.toolTip = text, toolTip
        self._layout.addWidget(tile, number // self._columns, number % self._columns)
        return tile

    def _fill(self, tile, voxelsHu):
        from SSLMARLib import slicer_logic

        image, picture = slicer_logic.sliceImage(voxelsHu, self.correction.inputVolume, self._view), qt.QImage()
        slicer.qMRMLUtils().vtkImageDataToQImage(image, picture)
        width, height = (size * spacing for size, spacing in zip(image.GetDimensions()[:2], image.GetSpacing()[:2], strict=True))
        scale = self._pixels / max(width, height)
        sizes = round(scale * width), round(scale * height)
        pixmap = qt.QPixmap.fromImage(picture).scaled(*sizes, qt.Qt.IgnoreAspectRatio, qt.Qt.SmoothTransformation)
        tile.icon = qt.QIcon(pixmap)

    def _onFinished(self, onClosed):
        self.dialog.deleteLater()
        onClosed()

    def _onClicked(self, method, onChosen):
        onChosen(method)
        self.dialog.accept()
