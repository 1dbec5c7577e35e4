"""`sslmar correct`: a volume with metal artifacts in, a corrected volume out."""

import argparse
from dataclasses import replace
from pathlib import Path

from ..correction import reduce_metal_artifacts
from ..errors import InputError
from ..methods import get_method, is_weights
from .argument_types import add_correction_arguments, add_mask_label_argument, add_series_argument, add_uid_seed_argument, check_mask_label
from .console import progress_bar, say
from .metal_arguments import add_metal_arguments, found_by, given_flags, metal_search

HELP = "Reduce the metal artifacts of a CT volume."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input", type=Path, metavar="INPUT", help="NRRD, NIfTI or MetaImage file, or a folder, zip archive or DICOMDIR of DICOM slices"
    )
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="file (or DICOM folder) to write; the input is never changed")
    add_series_argument(parser)
    add_correction_arguments(parser)
    parser.add_argument("--mask", type=Path, help="metal mask of the input's grid: one label that is not zero, or --mask-label says which")
    add_mask_label_argument(parser)
    add_metal_arguments(parser)
    parser.add_argument("--mask-output", type=Path, metavar="FILE", help="write the metal mask that was used (.dcm: as DICOM segmentation)")
    parser.add_argument(
        "--trust-output", type=Path, metavar="FILE", help="write how much of each voxel was measured, and not filled in, from 0 to 100 %%"
    )
    parser.add_argument("--report", type=Path, metavar="FILE.json", help="write what was done, as JSON")
    parser.add_argument("--figure", type=Path, metavar="FILE.png", help="draw before, after and difference of the worst slice")
    add_uid_seed_argument(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace output files that exist")


def run(arguments) -> int:
    from ..atomic_files import all_or_none, write_text
    from ..ct.reading_writing import files_of, read_mask, read_volume, refuse_unwritable, write_mask, write_volume
    from ..ct.series_kind import corrected_by

    unused = given_flags(arguments)
    if arguments.mask is not None and unused:
        raise InputError(
            f"{', '.join(unused)}: these say how metal is found by threshold; leave them out with --mask, or make the mask with "
            "`sslmar segment`."
        )
    check_mask_label(arguments)
    search = metal_search(arguments)
    method = get_method(arguments.method)  # an unknown method is refused before anything is read
    _refuse_outputs(arguments)
    if arguments.figure is not None:
        from ..evaluation.figures import check_figures_possible, figure_of_most_changed_slice

        check_figures_possible(arguments.figure)
    with progress_bar(arguments) as progress, all_or_none() as write:
        progress(0.0, "Reading")
        volume = read_volume(arguments.input, arguments.series)
        refuse_unwritable(volume, arguments.output)
        result = reduce_metal_artifacts(
            volume.voxels_hu,
            volume.spacing_mm,
            search if arguments.mask is None else read_mask(arguments.mask, volume, arguments.mask_label),
            method,
            arguments.device,
            lambda fraction, message: progress(0.05 + 0.85 * fraction, message),
            trace_dilation_bins=arguments.trace_dilation_bins,
            batch_size=arguments.batch_size,
            restore_metal=not arguments.replace_metal,
            trust=arguments.trust_output is not None,
        )
        progress(0.9, "Writing")
        options = {"overwrite": arguments.overwrite}
        dicom = {"series_kind": corrected_by(method.title, result.report.parameters), "uid_seed": arguments.uid_seed}
        write(files_of(arguments.output), write_volume, volume.with_voxels(result.volume_hu), arguments.output, **options, **dicom)
        if arguments.mask_output is not None:
            segment = {"found_by": "" if arguments.mask else found_by(search), "uid_seed": arguments.uid_seed}
            write(files_of(arguments.mask_output), write_mask, result.metal_mask, volume, arguments.mask_output, **options, **segment)
        if arguments.trust_output is not None:
            beside = replace(volume.with_voxels(result.trust_percent), metadata={}, dicom_files=())
            write(files_of(arguments.trust_output), write_volume, beside, arguments.trust_output, **options)
        if arguments.report is not None:
            write([arguments.report], write_text, result.report.to_json(), arguments.report, **options)
        if arguments.figure is not None:
            write([arguments.figure], figure_of_most_changed_slice, volume, result, method.title, arguments.figure, **options)
    report = result.report
    say(
        arguments,
        f"{method.title} corrected {report.slices_corrected} of {report.slices} slices "
        f"({report.metal_volume_ml:.2f} ml of metal) in {report.seconds:.1f} s on {report.device}: {arguments.output}",
    )
    return 0


def _refuse_outputs(arguments) -> None:
    """Say before any work which output could not be written."""
    from ..atomic_files import refuse_existing
    from ..ct.reading_writing import refuse_output, refuse_same_output

    sources = [path for path in (arguments.input, arguments.mask) if path is not None]
    if is_weights(arguments.method):
        sources += [Path(arguments.method), Path(arguments.method).with_suffix(".json")]
    refuse_output(arguments.output, sources, arguments.overwrite)
    for path, kind in ((arguments.mask_output, "mask"), (arguments.trust_output, "map")):
        if path is not None:
            refuse_output(path, sources, arguments.overwrite, kind=kind)
    for path in filter(None, (arguments.report, arguments.figure)):
        refuse_existing(path, arguments.overwrite, sources)
    refuse_same_output((arguments.output, arguments.mask_output, arguments.trust_output, arguments.report, arguments.figure))
