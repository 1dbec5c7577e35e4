"""The module's sample scans in Slicer's Sample Data module: simulated by SSLMARLib on the spot, not downloaded."""

import logging
from pathlib import Path

import numpy
import slicer
from slicer.i18n import tr as _

from . import installing

CATEGORY = "SSLMAR"
THUMBNAILS = {"hip": "SSLMARHip.png", "dental": "SSLMARDental.png"}
WINDOW_LEVEL_HU = {"hip": (500.0, 50.0), "dental": (800.0, 100.0)}
RESOURCES = Path(__file__).resolve().parents[1] / "Resources"
WAIT_SECONDS = 0.05


def sampleTitle(kind):
    """Return the name of a sample ("hip" or "dental") as users read it: of its button, and of the volume node."""
    return {"hip": _("Simulated hip prosthesis"), "dental": _("Simulated dental crowns")}[kind]


def register():
    """Add the samples to Slicer's Sample Data module. Called once, when Slicer has started; imports nothing heavy."""
    try:
        import SampleData
    except ImportError:  # that module can be switched off
        logging.info("Slicer's Sample Data module is not there, so it offers no samples of SSLMAR.")
        return

    SampleData.SampleDataLogic.registerCustomSampleDataCategory(CATEGORY, title=_("Metal Artifact Reduction (SSLMAR)"))
    for kind, thumbnail in THUMBNAILS.items():
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category=CATEGORY,
            sampleName=sampleTitle(kind),
            thumbnailFileName=str(RESOURCES / "Icons" / thumbnail),
            uris=[],  # nothing is downloaded: the custom downloader simulates
            fileNames=[],
            nodeNames=[],
            customDownloader=onSampleChosen,
        )


def onSampleChosen(source):
    """Make the sample of a Sample Data source and show it; returns the list of its nodes, empty where there is none."""
    from SSLMARLib import Cancelled, MARError

    kind = next(kind for kind in THUMBNAILS if sampleTitle(kind) == source.sampleName)
    try:
        return [makeSample(kind)]
    except Cancelled:
        logging.info("The simulation of a sample scan was cancelled.")
    except MARError as error:
        slicer.util.errorDisplay(str(error), detailedText=error.details)
    return []


def makeSample(kind, slices=None, interactive=True):
    """Simulate a sample ("hip" or "dental") and return its new volume node, shown in the slice views.

    Takes some seconds. interactive: ask for missing packages, and show a progress window with a Cancel button; without
    it the call just waits. slices: number of slices, for a quicker try.

    :raises SSLMARLib.MARError: with a sentence that says why (`Cancelled` after a cancel); no node is left behind.
    """
    from SSLMARLib import sample_data

    if interactive:
        installing.ensurePackages(RESOURCES / "requirements.txt", installing.SIMULATION)
        scan = _simulateWithDialog(kind, slices)
    else:
        scan = sample_data.simulate_scan_of(kind, slices)
    return addVolume(scan.volume, sampleTitle(kind), WINDOW_LEVEL_HU[kind])


def _simulateWithDialog(kind, slices):
    from SSLMARLib import sample_data
    from SSLMARLib.background import BackgroundRun

    def work(progress, isCancelled):
        return sample_data.simulate_scan_of(kind, slices, progress=progress, is_cancelled=isCancelled)

    dialog = slicer.util.createProgressDialog(windowTitle=sampleTitle(kind), labelText=_("Simulating..."))
    run = BackgroundRun(work).start()
    try:
        while not run.wait(WAIT_SECONDS):
            fraction, message = run.progress
            dialog.value = min(99, round(100 * fraction))  # at 100 the window would close by itself
            dialog.labelText = message
            slicer.app.processEvents()
            if dialog.wasCanceled:
                run.cancel()
    finally:
        dialog.close()
    return run.result()


def addVolume(ctVolume, name, windowLevelHu):
    """Add an SSLMARLib.CTVolume (LPS, array order) to the scene as a scalar volume node and show it."""
    ijkToRas = numpy.diag([-1.0, -1.0, 1.0, 1.0]) @ ctVolume.index_to_position_mm()
    volume = slicer.util.addVolumeFromArray(ctVolume.voxels_hu, ijkToRas, name)
    display = volume.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(*windowLevelHu)
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    return volume
