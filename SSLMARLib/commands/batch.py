"""`sslmar batch`: every CT scan with metal below a folder, corrected overnight; it can be killed and started again."""

import argparse
import sys
from collections import Counter
from pathlib import Path

from ..errors import plain_text
from ..methods import get_method, is_weights
from .argument_types import add_correction_arguments, positive_integer
from .console import progress_bar, say
from .metal_arguments import add_metal_arguments, metal_search

HELP = "Correct all CT scans with metal below a folder."
STATUS_SOME_FAILED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=Path, metavar="INPUT", help="folder (or zip archive) with DICOM, NRRD, NIfTI or MetaImage files")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="folder of the results; give it again to go on after a kill")
    add_correction_arguments(parser)
    add_metal_arguments(parser)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--workers", type=positive_integer, default=1, metavar="N", help="scans at once on this computer (default 1)")
    where.add_argument("--scheduler", metavar="ADDRESS", help="give the scans to the workers of this Dask scheduler, as tcp://HOST:8786")
    parser.add_argument("--no-figures", action="store_true", help="draw no picture for each scan")


def run(arguments) -> int:
    from ..batch.one_case import CORRECTED, FAILED, SKIPPED, BatchSettings
    from ..batch.run import run_batch

    search = metal_search(arguments)
    get_method(arguments.method)  # an unknown method is refused before anything is read
    if not arguments.no_figures:
        from ..evaluation.figures import check_figures_possible

        check_figures_possible()
    settings = BatchSettings(
        method=str(Path(arguments.method).absolute()) if is_weights(arguments.method) else arguments.method,
        metal=search.to_dict(),
        trace_dilation_bins=arguments.trace_dilation_bins,
        restore_metal=not arguments.replace_metal,
        device=arguments.device,
        batch_size=arguments.batch_size,
        figures=not arguments.no_figures,
    )
    with progress_bar(arguments) as progress:
        progress(0.0, "Looking for scans")

        def on_record(record: dict, finished: int, total: int) -> None:
            line = _line(record, finished, total)
            if record["status"] == FAILED:
                sys.stderr.write(f"sslmar: {plain_text(line)}\n")
            else:
                say(arguments, line)
            progress(finished / total, f"{finished} of {total} scans")

        result = run_batch(
            arguments.input, arguments.output, settings, workers=arguments.workers, scheduler=arguments.scheduler, on_record=on_record
        )
    for problem in result.problems:
        sys.stderr.write(f"sslmar: {problem}\n")
    counts = Counter(record["status"] for record in result.records)
    say(
        arguments,
        f"{counts[CORRECTED]} corrected, {counts[SKIPPED]} skipped, {counts[FAILED]} failed, {len(result.problems)} files or folders not "
        f"readable; {result.earlier} of these were known before this run: {arguments.output / 'summary.csv'}",
    )
    return 0 if result.is_all_well else STATUS_SOME_FAILED


def _line(record: dict, finished: int, total: int) -> str:
    text = f"[{finished}/{total}] {record['case']}: {record['status']}"
    if record["reason"]:
        return f"{text}. {record['reason']}"
    return f"{text}, {record['slices_corrected']} of {record['slices']} slices in {record['seconds']:.1f} s"
