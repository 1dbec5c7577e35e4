"""How much longer a slice takes in Slicer's panel, with its event loop, than with `sslmar correct`: seconds a slice, and their ratio.

    python Testing/Benchmarks/panel_speed.py [--method NAME] [--slices N] [--runs N]

Both correct the dental sample on the CPU, in turn, each once before it counts; the panel is drawn offscreen by Testing/Python/slicer_rig.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "Testing" / "Python")]
THRESHOLD_HU = 2500.0
SECONDS = 1800.0
TWICE = "import sys; from SSLMARLib import cli; sys.exit(cli.main(sys.argv[1:]) or cli.main(sys.argv[1:]))"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", default="nmar")
    parser.add_argument("--slices", type=int, default=8)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()

    import slicer_rig

    rig = slicer_rig.start()
    module = rig.load_module(REPOSITORY / "SSLMAR" / "SSLMAR.py")
    rig.use_pythonqt_properties(__name__)
    from SSLMARPanel.sample_data import addVolume

    from SSLMARLib import write_volume
    from SSLMARLib.sample_data import simulate_scan_of

    scan = simulate_scan_of("dental", options.slices)
    panel = rig.open_panel(module)
    parameters = panel.parameterNode
    parameters.inputVolume = addVolume(scan.volume, "Dental", (800.0, 100.0))
    parameters.thresholdHu, parameters.method, parameters.device = THRESHOLD_HU, options.method, "cpu"

    def in_the_panel() -> float:
        panel.ui.applyButton.click()
        rig.spin(lambda: not panel.isRunning, SECONDS)
        return _seconds_a_slice(parameters.correctedVolume.GetAttribute("SSLMAR.Report"))

    in_the_panel()
    with tempfile.TemporaryDirectory() as folder:
        write_volume(scan.volume, f"{folder}/scan.nrrd")
        pairs = [(in_the_panel(), by_the_command_line(Path(folder), options.method)) for _ in range(options.runs)]
    panel.cleanup()
    ours, theirs = (statistics.median(seconds) for seconds in zip(*pairs, strict=True))
    print(f"{options.method}: panel {ours:.3f} s a slice, command line {theirs:.3f} s, ratio {ours / theirs:.2f}")


def by_the_command_line(folder: Path, method: str) -> float:
    flags = ["--overwrite", "--quiet", "--device", "cpu", "--method", method, "--threshold-hu", f"{THRESHOLD_HU:g}"]
    arguments = ["correct", "scan.nrrd", "corrected.nrrd", "--report", "report.json", *flags]
    code = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); {TWICE}"
    subprocess.run([sys.executable, "-c", code, *arguments], cwd=folder, check=True)  # noqa: S603
    return _seconds_a_slice((folder / "report.json").read_text(encoding="utf-8"))


def _seconds_a_slice(report: str) -> float:
    report = json.loads(report)
    return report["seconds"] / report["slices_corrected"]


if __name__ == "__main__":
    main()
