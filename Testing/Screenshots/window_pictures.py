"""What of the panel is in sight in Slicer's window of a size, light or dark: before a run, meanwhile and after it; and the tiles."""

from __future__ import annotations

import logging
import time

from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication, QScrollArea

DOCK_PIXELS = 452  # the panel's width in Slicer by itself, with its scroll bar
REST_OF_WINDOW_PIXELS = 315  # of Slicer's window, above and below the panel
SECONDS = 300.0
SETTLE_SECONDS = 1.0
DARK = {"Window": 50, "Base": 35, "AlternateBase": 45, "Button": 60, "ToolTipBase": 35, "Mid": 40, "Dark": 30}  # gray levels
BRIGHT_TEXTS = ("WindowText", "Text", "ButtonText", "ToolTipText", "BrightText", "PlaceholderText")

logger = logging.getLogger("make_screenshots")


def draw(rig, module_path, options) -> None:
    """Write Window<WIDTHxHEIGHT><Theme>.png and Methods<Theme>.png to the folder Screenshots of the output."""
    from pictures import beside, save
    from slicer_rig.scene import close_views, open_views

    height = int(options.window.split("x")[1]) - REST_OF_WINDOW_PIXELS
    _use_theme(options.theme)
    rig.clear()
    module = rig.load_module(module_path)
    rig.use_pythonqt_properties(__name__)
    open_views()
    from SSLMARPanel import sample_data

    volume = sample_data.makeSample("dental", slices=8, interactive=False)
    panel = rig.open_panel(module)
    panel.parameterNode.inputVolume, panel.parameterNode.method = volume, options.method
    area = QScrollArea()
    area.setWidget(panel.parent)
    area.widgetResizable = True
    area.resize(DOCK_PIXELS, height)
    area.show()

    def settled(until=lambda: True):
        rig.spin(until, SECONDS)
        end = time.monotonic() + SETTLE_SECONDS
        rig.spin(lambda: time.monotonic() > end)
        return area.grab().toImage()

    before = settled()
    panel.ui.segmentMetalButton.click()
    segmented = settled()
    combo = panel.ui.metalSlicesComboBox
    combo.currentIndex = 1
    combo.activated.emit(1)
    panel.ui.compareMethodsButton.click()
    settled(lambda: not panel.isRunning)
    name = f"{options.theme.capitalize()}.png"
    tiles = panel.compareMethodsSection.window
    save(tiles.dialog.grab().toImage(), options.output / "Screenshots" / f"Methods{name}")
    tiles.close()
    panel.ui.applyButton.click()
    running = settled(lambda: panel.ui.progressBar.value >= 2 or not panel.isRunning)
    settled(lambda: not panel.isRunning)
    parts = []
    for widget in (panel.ui.correctedVolumeSelector, panel.ui.setPanelButton):
        area.ensureWidgetVisible(widget, 0, height)
        parts.append(settled())
    save(beside(before, segmented, running, *parts), options.output / "Screenshots" / f"Window{options.window}{name}")
    panel.cleanup()
    area.takeWidget()  # which belongs to the rig
    close_views()
    logger.info("%s %s", options.window, options.theme)


def _use_theme(theme: str) -> None:
    QApplication.setStyle("Fusion")
    palette = QApplication.style().standardPalette()
    if theme == "dark":
        for name, gray in DARK.items():
            palette.setColor(getattr(QPalette.ColorRole, name), QColor(gray, gray, gray))
        for name in BRIGHT_TEXTS:
            palette.setColor(getattr(QPalette.ColorRole, name), QColor(230, 230, 230))
        for name in ("WindowText", "Text", "ButtonText"):
            palette.setColor(QPalette.ColorGroup.Disabled, getattr(QPalette.ColorRole, name), QColor(120, 120, 120))
    QApplication.setPalette(palette)
