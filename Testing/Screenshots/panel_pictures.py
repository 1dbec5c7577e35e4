"""The pictures of the tutorial: the panel at work on the dental sample, beside what the slice views show meanwhile."""

from __future__ import annotations

import logging
import time

from PySide6.QtGui import QImage

PANEL_WIDTH = 520
LARGEST_VIEW_PIXELS = 660
VIEW = {"position_mm": -1.0, "field_of_view_mm": 200.0}
SECONDS = 300.0
SETTLE_SECONDS = 1.0  # counts and tables come a moment later

logger = logging.getLogger("make_screenshots")


def draw(rig, module_path, options) -> None:
    """Write Tutorial1Metal.png, Tutorial2Running.png, Tutorial3Result.png to the folder Screenshots of the output."""
    from slicer_rig.scene import close_views, open_views

    rig.clear()
    module = rig.load_module(module_path)
    rig.use_pythonqt_properties(__name__)
    open_views()
    from SSLMARPanel import sample_data

    volume = sample_data.makeSample("dental", interactive=False)
    panel = rig.open_panel(module)
    parameters = panel.parameterNode
    parameters.inputVolume = volume
    parameters.method = options.method
    folder = options.output / "Screenshots"

    preset = panel.ui.presetComboBox
    preset.currentIndex = [preset.itemText(index) for index in range(preset.count)].index("Dental")
    panel.ui.segmentMetalButton.click()
    _show_sections(rig, panel, "input", "metal", "correction")
    metal = parameters.metalSegmentation
    _write(folder / "Tutorial1Metal.png", _grab(panel), [(volume, metal)])

    _show_sections(rig, panel, "correction")
    panel.ui.applyButton.click()
    rig.spin(lambda: panel.ui.progressBar.value >= 2 or not panel.isRunning, SECONDS)
    _write(folder / "Tutorial2Running.png", _grab(panel), [(volume, metal)])
    rig.spin(lambda: not panel.isRunning, SECONDS)

    panel.ui.sideBySideButton.click()
    _show_sections(rig, panel, "result")
    _write(folder / "Tutorial3Result.png", _grab(panel), [(volume, None), (parameters.correctedVolume, None)])
    panel.cleanup()
    close_views()


def _write(path, panel_picture: QImage, views) -> None:
    """Save the panel beside views of (volume, segmentation or None), one above the other."""
    from pictures import GAP, TITLE_HEIGHT, below, beside, save, titled
    from slice_views import slice_image

    height = (panel_picture.height() - GAP * (len(views) - 1)) // len(views) - TITLE_HEIGHT
    pixels = min(height, LARGEST_VIEW_PIXELS)  # so that the views are as high as the panel
    pictures = [titled(slice_image(node, size=(pixels, pixels), metal=metal, **VIEW), node.GetName()) for node, metal in views]
    save(beside(panel_picture, below(*pictures)), path)
    logger.info("%s", path.name)


def _show_sections(rig, panel, *names) -> None:
    """Open these sections of the panel, close the others, and make it as high as they are."""
    for name in ("input", "metal", "correction", "result"):
        getattr(panel.ui, f"{name}CollapsibleButton").collapsed = name not in names
    for _ in range(2):
        end = time.monotonic() + SETTLE_SECONDS
        rig.spin(lambda end=end: time.monotonic() > end)
        panel.parent.resize(PANEL_WIDTH, panel.parent.sizeHint.height())


def _grab(panel) -> QImage:
    return panel.parent.grab().toImage()
