"""`sslmar evaluate`: measure methods on the benchmark's slices, on simulated volumes, or on real scans."""

import argparse
import json
import sys
from pathlib import Path

from ..atomic_files import refuse_existing, write_text
from ..errors import InputError, plain_text
from ..methods import DEFAULT_METHOD, available_methods, get_method

HELP = "Measure methods on benchmark slices, simulated volumes or real scans: table, JSON, figure."
DEFAULT_METHODS = ("uncorrected", "li", "nmar", DEFAULT_METHOD)
FBP_CHOICES = ("exact", "benchmark", "both")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Runs each method on each case of FOLDER and prints RMSE (HU), SSIM and PSNR against the metal-free reference, "
        "by metal size too, and measures that need no reference. FOLDER holds benchmark slices (<slice>/gt.h5 beside "
        "<slice>/<k>.h5), or volumes X with X_truth and X_mask beside them as `sslmar simulate` makes them; a volume "
        "without X_truth is measured without a reference."
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="folder of the cases")
    parser.add_argument(
        "--methods", nargs="+", metavar="METHOD", default=DEFAULT_METHODS,
        help="uncorrected, the methods that `sslmar info` lists, .safetensors files that `sslmar train` wrote, and names of results that "
        "others made (<k>_NAME.npy in 1/cm beside a benchmark case <k>.h5); all for all of them, with their published figures "
        f"(default: {' '.join(DEFAULT_METHODS)})",
    )  # fmt: skip
    parser.add_argument(
        "--masks", metavar="MASKS.npz", type=Path,
        help="the benchmark's metal masks; without them, what is above 2500 HU in a slice is its metal",
    )  # fmt: skip
    parser.add_argument(
        "--fbp", choices=FBP_CHOICES, default="exact",
        help="reconstruction of benchmark slices: the product's exact fan-beam FBP (default), the benchmark authors' "
        "own (for figures that are compared with published ones), or both",
    )  # fmt: skip
    parser.add_argument(
        "--trace", choices=("mask", "file"), default="mask",
        help="metal trace of benchmark slices: projected from the metal mask (default), or the one stored in the file",
    )  # fmt: skip
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the summary and every case to this file")
    parser.add_argument("--figure", metavar="FILE.png", type=Path, help="draw some cases with each method and difference")
    parser.add_argument(
        "--window-hu", nargs=2, type=float, metavar=("LOW", "HIGH"), default=(-200.0, 200.0),
        help="gray window of the figure (default: -200 200)",
    )  # fmt: skip
    parser.add_argument(
        "--resume", metavar="FILE", type=Path,
        help="keep finished cases in this file and go on from it after an interruption (with --json, FILE.partial does "
        "so by default and is removed at the end)",
    )  # fmt: skip
    parser.add_argument("--limit", metavar="N", type=int, help="at most N benchmark cases or volumes")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: auto")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")


def run(arguments: argparse.Namespace) -> int:
    for path in (arguments.json, arguments.figure):
        if path is not None:
            refuse_existing(path, arguments.overwrite)
    low_hu, high_hu = arguments.window_hu
    if not low_hu < high_hu:
        raise InputError(f"The window {low_hu:g} to {high_hu:g} HU is empty: give LOW below HIGH.")
    if arguments.figure is not None:
        from ..evaluation.figures import check_figures_possible

        check_figures_possible(arguments.figure)

    from ..device import choose_device
    from ..evaluation.cases import find_groups, results_of_others
    from ..evaluation.runner import figure_rows, run_evaluation
    from ..evaluation.settings import FBP_NAMES, EvaluationSettings
    from ..evaluation.tables import evaluation_report, format_table
    from .console import progress_bar

    groups = find_groups(arguments.folder, arguments.masks, arguments.limit)
    others, compares_all = results_of_others(groups), list(arguments.methods) == ["all"]
    settings = EvaluationSettings(
        methods=("uncorrected", *available_methods(for_research=True), *others) if compares_all else arguments.methods,
        fbps=FBP_NAMES if arguments.fbp == "both" else (arguments.fbp,),
        trace_source=arguments.trace,
        device=choose_device(arguments.device),
        others=others,
    )
    resume_path, is_temporary = arguments.resume, False
    if resume_path is None and arguments.json is not None:
        resume_path, is_temporary = arguments.json.with_name(arguments.json.name + ".partial"), True
    source = {"folder": str(arguments.folder.resolve()), "masks": None if arguments.masks is None else str(arguments.masks.resolve())}
    with progress_bar(arguments, "Evaluating") as progress:
        records = run_evaluation(groups, settings, resume_path, progress, source=source)
    report = evaluation_report(
        records,
        settings.methods,
        settings.fbps,
        folder=arguments.folder.name,
        masks=None if arguments.masks is None else arguments.masks.name,
        trace=arguments.trace,
        **({"published": _published(settings)} if compares_all else {}),
    )
    if arguments.json is not None:
        write_text(json.dumps(report, indent=1) + "\n", arguments.json, arguments.overwrite)
    if arguments.figure is not None:
        from ..evaluation.figures import figure_comparison

        rows = figure_rows(groups, settings)
        figure_comparison(rows, arguments.figure, (low_hu, high_hu), overwrite=arguments.overwrite)
    if is_temporary:
        resume_path.unlink(missing_ok=True)
    sys.stdout.write("".join(f"{plain_text(line)}\n" for line in format_table(report).split("\n")[:-1]))
    return 0


def _published(settings) -> dict:
    """What is said of each method beside what was measured: {method: {learned_from, rmse_hu}}."""
    methods = {label: get_method(method) for label, method in settings.computed.items()}
    return {label: {"learned_from": one.learned_from, "rmse_hu": one.published_rmse_hu} for label, one in methods.items()}
