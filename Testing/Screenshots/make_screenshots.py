"""Draws the pictures of README.md, of SSLMAR/README.md and of the Sample Data module.

The panel is drawn offscreen, the slice views by Slicer's MRML pipeline:

    python Testing/Screenshots/make_screenshots.py [--only samples|panel] [--output FOLDER]
    python Testing/Screenshots/make_screenshots.py --window 1100x720 --theme dark --output FOLDER

The stand-ins of Testing/Python/slicer_rig draw the panel's ctk and qMRML widgets, so it looks a little plainer than in
the application; all that it shows was computed. Look at each picture before it is committed. With --window the only picture is what of
the panel is in sight in Slicer's window of that size.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "Testing" / "Python"), str(HERE)]

SLICE_MM = {"hip": -2.0, "dental": -1.0}  # a slice through the middle of the metal
FIELD_OF_VIEW_MM = {"hip": 375.0, "dental": 200.0}
THRESHOLD_HU = 2500.0
VIEW_PIXELS = (440, 400)
THUMBNAIL_PIXELS = (260, 280)
DIFFERENCE_WINDOW_HU = (400.0, 0.0)

logger = logging.getLogger("make_screenshots")


def main(arguments=None) -> int:
    from SSLMARLib.methods import DEFAULT_METHOD

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=REPOSITORY / "SSLMAR" / "Resources", metavar="FOLDER")
    parser.add_argument("--only", choices=("samples", "panel"), help="draw only these")
    parser.add_argument("--window", metavar="WIDTHxHEIGHT", help="draw only what is in sight in such a window")
    parser.add_argument("--theme", choices=("light", "dark"), default="light")
    parser.add_argument("--method", default=DEFAULT_METHOD, help="the method of the pictures (default %(default)s)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    import slicer_rig

    rig = slicer_rig.start()
    rig.start_qt()
    for folder in ("Icons", "Screenshots"):
        (options.output / folder).mkdir(parents=True, exist_ok=True)
    if options.window:
        import window_pictures

        window_pictures.draw(rig, REPOSITORY / "SSLMAR" / "SSLMAR.py", options)
        return 0
    if options.only != "panel":
        draw_samples(rig, options)
    if options.only != "samples":
        import panel_pictures

        panel_pictures.draw(rig, REPOSITORY / "SSLMAR" / "SSLMAR.py", options)
    return 0


def draw_samples(rig, options) -> None:
    """The thumbnails of both samples, and each before, after and in difference."""
    import slicer
    from pictures import beside, image_of, save, titled
    from slice_views import slice_image

    sys.path.append(str(REPOSITORY / "SSLMAR"))
    from SSLMARPanel import sample_data

    from SSLMARLib import slicer_logic
    from SSLMARLib.slicer_logic.nodes import ijkToRas

    for kind, thumbnail in sample_data.THUMBNAILS.items():
        rig.clear()
        volume = sample_data.makeSample(kind, interactive=False)
        view = {"position_mm": SLICE_MM[kind], "field_of_view_mm": FIELD_OF_VIEW_MM[kind]}
        save(image_of(slice_image(volume, size=THUMBNAIL_PIXELS, **view)), options.output / "Icons" / thumbnail)
        corrected = slicer_logic.process(volume, method=options.method, thresholdHu=THRESHOLD_HU)
        voxels = slicer.util.arrayFromVolume(corrected).astype("int32") - slicer.util.arrayFromVolume(volume)
        difference = slicer.util.addVolumeFromArray(voxels, ijkToRas(volume), "Difference")
        display = difference.GetDisplayNode()
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(*DIFFERENCE_WINDOW_HU)
        titles = (volume.GetName(), corrected.GetName(), "Corrected - original, -200 to 200 HU")
        views = [slice_image(node, size=VIEW_PIXELS, **view) for node in (volume, corrected, difference)]
        picture = beside(*(titled(colors, title) for colors, title in zip(views, titles, strict=True)))
        save(picture, options.output / "Screenshots" / f"{kind.capitalize()}.png")
        logger.info("%s: thumbnail and before/after", kind)


if __name__ == "__main__":
    sys.exit(main())
