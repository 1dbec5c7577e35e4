"""Does this computer show the ratios that SSLMAR claims? Runs `sslmar bench` and prints PASS or FAIL for each claim.

    python Testing/Benchmarks/projector_and_pipeline.py [--json FOLDER]

Both sides of a ratio are timed in turns in one run. ASTRA computes on one core here and SSLMAR on all, so other programs that run lower
the ratios: measure on a computer that does nothing else. Exit status 1 where a claim fails,
3 where the baseline (ODL with ASTRA's CPU code) is absent.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SMALLEST_RATIO = {("project", 1): 20, ("project", 32): 50, ("backproject", 1): 20, ("backproject", 32): 60, ("fbp", 1): 20, ("fbp", 32): 50}
LARGEST = {"build_seconds": 3.0, "peak_memory_mb": 2000.0, "inference_buffer_mb": 500.0}


def bench(what: str, folder: Path) -> dict:
    """The figures of `sslmar bench WHAT`, which are kept in the folder."""
    path = folder / f"{what}.json"
    subprocess.run([sys.executable, "-m", "SSLMARLib", "bench", what, "--json", path, "--overwrite", "--quiet"], check=True)
    return json.loads(path.read_text())


def claims(projector: dict, pipeline: dict):
    """(what, measured, bound in words, whether it holds) of each claim."""
    for row in projector["operations"]:
        bound = SMALLEST_RATIO.get((row["operation"], row["batch"]))
        if bound is not None:
            yield f"{row['operation']}, batch {row['batch']}: ratio", row["ratio"], f">= {bound}", row["ratio"] >= bound
    for name, bound in LARGEST.items():
        if projector[name] is not None:
            yield name, projector[name], f"<= {bound:g}", projector[name] <= bound
    for row in pipeline["operations"]:
        yield f"pipeline {row['operation']}: ratio", row["ratio"], "> 1", row["ratio"] > 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FOLDER", help="keep projector.json and pipeline.json there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.json or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        projector, pipeline = bench("projector", folder), bench("pipeline", folder)
    if projector["baseline"] is None:
        sys.stderr.write(f"There is no baseline: {projector['baseline_absent']}\n")
        return 3
    load = f", load {os.getloadavg()[0]:.1f} at the end" if hasattr(os, "getloadavg") else ""
    sys.stdout.write(f"\nagainst {projector['baseline']}, {projector['threads']} threads of {os.cpu_count()} cores{load}\n")
    all_hold = True
    for what, measured, bound, holds in claims(projector, pipeline):
        all_hold &= holds
        sys.stdout.write(f"{'PASS' if holds else 'FAIL'}  {what:<32} {measured:>9.1f}  {bound}\n")
    return 0 if all_hold else 1


if __name__ == "__main__":
    raise SystemExit(main())
