"""`sslmar bench`: how fast this computer is, as ratios to the same operations on ODL + ASTRA."""

import json
import sys
from pathlib import Path

from .argument_types import positive_integer
from .console import progress_bar

HELP = "Time projector, pipeline or simulation against the same operations on ODL + ASTRA (CPU)."


def add_arguments(parser) -> None:
    parser.add_argument("what", choices=("projector", "pipeline", "simulation"), help="what to time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    parser.add_argument("--slices", type=positive_integer, default=8, help="slices of the pipeline's volume (default 8)")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")


def run(arguments) -> int:
    from ..atomic_files import refuse_existing, write_text
    from ..optional_imports import import_optional

    if arguments.json is not None:
        refuse_existing(arguments.json, arguments.overwrite)
    import_optional("torch")
    from ..timing import time_pipeline, time_projector, time_simulation, volume_to_time

    with progress_bar(arguments) as progress:
        if arguments.what == "projector":
            result = time_projector(progress)
        elif arguments.what == "simulation":
            result = time_simulation(progress)
        else:
            result = time_pipeline(*volume_to_time(arguments.slices), progress=progress)
    if arguments.json is not None:
        write_text(json.dumps(result, indent=2) + "\n", arguments.json, arguments.overwrite)
    sys.stdout.write(format_timings(result))
    return 0


def format_timings(result: dict) -> str:
    """The table that the terminal shows."""
    lines = [f"{'operation':<12} {'batch':>5} {'ms/slice':>10} {'baseline':>10} {'ratio':>8}"]
    for row in result["operations"]:
        baseline = f"{row['baseline_ms_per_slice']:.0f}" if row["ratio"] else "-"
        ratio = f"{row['ratio']:.1f}" if row["ratio"] else "-"
        lines.append(f"{row['operation']:<12} {row['batch']:>5} {row['ms_per_slice']:>10.1f} {baseline:>10} {ratio:>8}")
    lines.append(f"baseline: {result['baseline'] or 'absent. ' + result['baseline_absent']}; {result['threads']} threads")
    if "build_seconds" in result:
        lines.append(f"operators for inference: built in {result['build_seconds']:.1f} s, buffers {result['inference_buffer_mb']:.0f} MB")
    if result["peak_memory_mb"]:
        lines.append(f"peak memory of this process: {result['peak_memory_mb']:.0f} MB")
    return "\n".join(lines) + "\n"
