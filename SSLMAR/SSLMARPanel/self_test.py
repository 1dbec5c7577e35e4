"""What the module's self-test does: the real job on the module's own samples, in the application or outside it.

SSLMARTest of SSLMAR.py mixes this class in. Where Python packages are missing the tests are skipped, with the sentence
that says which: a test installs nothing.
"""

import unittest

import numpy
import slicer
from slicer.i18n import tr as _

from .installing import packagesMissing
from .sample_data import RESOURCES, addVolume, makeSample, sampleTitle

SLICES = 3
WORST_RATIO = {"li": 0.9, "nmar": 0.8, "cnnmar": 0.85}  # error after over before; other methods must just improve
THRESHOLD_HU = 2500.0


class SelfTest:
    """Test cases for a unittest.TestCase to inherit; each starts with an empty scene."""

    def setUp(self):
        slicer.mrmlScene.Clear()
        missing = packagesMissing(RESOURCES / "requirements.txt", "")
        if missing:
            self.skipTest(f"not installed: {', '.join(missing)}")

    def runTest(self):
        """Run all cases, as the button Reload and Test does, and say how it ended; Slicer itself shows a failure."""
        names = sorted(name for name in dir(self) if name.startswith("test_"))
        try:
            for name in names:
                self.setUp()
                getattr(self, name)()
        except unittest.SkipTest as reason:
            self.delayDisplay(_("The tests were skipped: {reason}").format(reason=reason))
            raise
        self.delayDisplay(_("All {count} tests passed.").format(count=len(names)))

    def test_each_method_corrects_the_dental_sample(self):
        """The result is nearer to the truth, stands beside the input, and the input is as it was."""
        from SSLMAR import SSLMARLogic
        from SSLMARLib import sample_data

        scan = sample_data.simulate_scan_of("dental", SLICES)
        volume = addVolume(scan.volume, sampleTitle("dental"), (800.0, 100.0))
        logic = SSLMARLogic()
        for method, title in logic.methods():
            corrected = logic.process(volume, method=method, thresholdHu=THRESHOLD_HU)
            self.assertIn(title, corrected.GetName())
            result = slicer.util.arrayFromVolume(corrected)
            ratio = _errorHu(result, scan) / _errorHu(scan.volume.voxels_hu, scan)
            self.assertLess(ratio, WORST_RATIO.get(method, 1.0), f"{title} on the dental sample")
            self.assertEqual(result.dtype, scan.volume.voxels_hu.dtype)
            self.assertTrue((slicer.util.arrayFromVolume(volume) == scan.volume.voxels_hu).all())

    def test_a_segmentation_says_where_the_metal_is(self):
        """Segments of the threshold, corrected while the window stays alive; slices without metal stay to the bit."""
        from SSLMAR import SSLMARLogic

        volume = makeSample("dental", interactive=False)
        voxels = slicer.util.arrayFromVolume(volume).copy()
        logic = SSLMARLogic()
        segmentation = logic.segmentMetal(volume, THRESHOLD_HU)
        self.assertEqual(segmentation.GetSegmentation().GetNumberOfSegments(), 1)
        seen = []
        corrected = logic.process(volume, segmentation, method="li", interactive=True, progress=lambda *report: seen.append(report[0]))
        self.assertEqual(seen, sorted(seen))
        result = slicer.util.arrayFromVolume(corrected)
        changed = (result != voxels).any(axis=(1, 2))
        self.assertTrue(0 < changed.sum() < len(voxels))
        self.assertFalse(changed[(voxels < THRESHOLD_HU).all(axis=(1, 2))].any())

    def test_a_cancel_leaves_nothing_behind(self):
        from SSLMAR import SSLMARLogic
        from SSLMARLib import Cancelled

        volume = makeSample("dental", slices=1, interactive=False)
        nodes = slicer.mrmlScene.GetNumberOfNodes()
        with self.assertRaises(Cancelled):
            SSLMARLogic().process(volume, method="li", thresholdHu=THRESHOLD_HU, isCancelled=lambda: True)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), nodes)

    def test_a_volume_without_metal_is_a_sentence(self):
        from SSLMAR import SSLMARLogic
        from SSLMARLib import InputError

        volume = slicer.util.addVolumeFromArray(numpy.full((2, 32, 32), 40, numpy.int16), name="Water")
        with self.assertRaises(InputError) as raised:
            SSLMARLogic().process(volume, method="li")
        self.assertTrue(str(raised.exception).endswith("."))


def _errorHu(voxelsHu, scan):
    """Root mean square error (HU) to the truth in soft tissue, metal left out."""
    truth = scan.truth.voxels_hu
    tissue = (truth > -200) & (truth < 200) & ~scan.metal_mask
    return float(numpy.sqrt(((voxelsHu.astype(float) - truth)[tissue] ** 2).mean()))
