"""The command line's arguments that say how metal is found: those of `MetalSearch`, under its names."""

import argparse

from ..ct.metal_search import MetalSearch
from .argument_types import number_from_zero, positive_number

_ARGUMENTS = {  # field of MetalSearch: (type, unit, help)
    "threshold_hu": (positive_number, "HU", "what reaches this counts as metal"),
    "smallest_component_mm3": (number_from_zero, "MM3", "drop smaller components, and single voxels; 0 keeps everything"),
    "peak_hu": (number_from_zero, "HU", "components that nowhere reach this are enamel or contrast medium; 0 keeps them"),
    "dilation_mm": (number_from_zero, "MM", "grow the metal by this distance in all three directions"),
}


METAL_CHOICES = ("threshold", "learned")


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def add_metal_arguments(parser: argparse.ArgumentParser) -> None:
    """--metal, and an option for each field of MetalSearch."""
    parser.add_argument("--metal", choices=METAL_CHOICES, help="threshold: what reaches it (default); learned: a network outlines that")
    default = MetalSearch().to_dict()
    for name, (kind, unit, text) in _ARGUMENTS.items():
        parser.add_argument(_flag(name), type=kind, metavar=unit, help=f"{text} (default {default[name]:g})")


def given_flags(arguments: argparse.Namespace) -> list[str]:
    """The options of `add_metal_arguments` that were given."""
    return [_flag(name) for name in ("metal", *_ARGUMENTS) if getattr(arguments, name) is not None]


def metal_search(arguments: argparse.Namespace) -> MetalSearch:
    """The search that these arguments describe."""
    values = {name: getattr(arguments, name) for name in _ARGUMENTS if getattr(arguments, name) is not None}
    return MetalSearch(**values, learned_outline=arguments.metal == "learned")


def found_by(search: MetalSearch) -> str:
    """How metal was found, in a few words for the header of a DICOM segmentation."""
    return f"threshold {search.threshold_hu:g} HU" + (", MetalNet" if search.learned_outline else "")
