"""`sslmar segment`: the metal mask of a scan as a file."""

import argparse
import logging

from .argument_types import add_series_argument, add_uid_seed_argument
from .console import say
from .metal_arguments import add_metal_arguments, found_by, metal_search

logger = logging.getLogger(__name__)

HELP = "Find the metal in a CT volume and write it as a mask."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this verb; the defaults are MetalSearch's."""
    parser.add_argument(
        "input", metavar="INPUT", help="NRRD, NIfTI or MetaImage file, or a folder, zip archive or DICOMDIR of DICOM slices"
    )
    parser.add_argument("mask", metavar="MASK", help="the mask to write: NRRD, NIfTI, MetaImage, or .dcm of a DICOM scan; 1 is metal")
    add_series_argument(parser)
    add_metal_arguments(parser)
    add_uid_seed_argument(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace MASK if it exists")


def run(arguments: argparse.Namespace) -> int:
    """Read, segment, write; one line says what was found."""
    from ..ct.reading_writing import read_volume, refuse_output, write_mask
    from ..ct.segmentation import summarize_mask
    from ..learned_metal import find_metal

    refuse_output(arguments.mask, arguments.input, arguments.overwrite, kind="mask")
    volume = read_volume(arguments.input, arguments.series)
    lowest, highest = volume.voxels_hu.min(), volume.voxels_hu.max()
    if lowest >= 0:
        logger.warning("%s has values from %g to %g, but air is -1000 HU.", arguments.input, lowest, highest)
    search = metal_search(arguments)
    mask = find_metal(volume.voxels_hu, volume.spacing_mm, search)
    write_mask(mask, volume, arguments.mask, arguments.overwrite, found_by=found_by(search), uid_seed=arguments.uid_seed)
    summary = summarize_mask(mask, volume.spacing_mm)
    say(
        arguments,
        f"Metal in {summary.slices_with_metal} of {volume.shape[0]} slices, {summary.volume_ml:.3f} ml in "
        f"{summary.components} {'part' if summary.components == 1 else 'parts'}: {arguments.mask}",
    )
    return 0
