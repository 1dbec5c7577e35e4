"""Types of command-line arguments, with a sentence for what does not fit; and arguments that several verbs have."""

import argparse

from ..device import DEVICE_CHOICES
from ..errors import InputError
from ..methods import DEFAULT_METHOD, available_methods


def positive_number(text: str) -> float:
    """An argparse type: a finite number above 0."""
    return _number(text, lambda value: value > 0, "a number above 0")


def number_from_zero(text: str) -> float:
    """An argparse type: a finite number, 0 or above."""
    return _number(text, lambda value: value >= 0, "0 or a number above 0")


def positive_integer(text: str) -> int:
    """An argparse type: a whole number, 1 or above."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def add_series_argument(parser: argparse.ArgumentParser) -> None:
    """--series: which of the input's DICOM series is meant, for `read_volume`."""
    parser.add_argument("--series", metavar="UID", help="of several DICOM series in INPUT, the one with this Series Instance UID")


def add_uid_seed_argument(parser: argparse.ArgumentParser) -> None:
    """--uid-seed: of what is written as DICOM."""
    parser.add_argument("--uid-seed", metavar="TEXT", help="the same new UIDs each time a DICOM output is written (default: random ones)")


def add_mask_label_argument(parser: argparse.ArgumentParser) -> None:
    """--mask-label: which label of --mask is metal, for `read_mask`."""
    parser.add_argument(
        "--mask-label", action="append", metavar="NAME|VALUE", help="of several labels in --mask, the one that is metal; may be repeated"
    )


def check_mask_label(arguments: argparse.Namespace) -> None:
    """Refuse --mask-label without --mask."""
    if arguments.mask_label is not None and arguments.mask is None:
        raise InputError("--mask-label says which label of a mask is metal: give --mask too, or leave it out.")


def add_correction_arguments(parser: argparse.ArgumentParser) -> None:
    """How scans are corrected, but for where their metal is: method, trace, metal's values, device, slices at once."""
    methods = ", ".join(available_methods())
    parser.add_argument(
        "--method",
        default=DEFAULT_METHOD,
        metavar="METHOD",
        help=f"{methods}, or a .safetensors file that `sslmar train` wrote (default {DEFAULT_METHOD})",
    )
    parser.add_argument(
        "--trace-dilation-bins",
        type=int,
        metavar="N",
        help="widen the metal trace by N detector bins on both sides (default: as the method asks for, 1 but for sslmar_paper)",
    )
    parser.add_argument("--replace-metal", action="store_true", help="do not put the original values back inside the metal")
    parser.add_argument("--device", default="auto", metavar="DEVICE", help=f"{', '.join(DEVICE_CHOICES)} (default auto)")
    parser.add_argument("--batch-size", type=positive_integer, metavar="N", help="slices at once (default: chosen for the device)")


def _number(text, accepts, wanted) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not (accepts(value) and value < float("inf")):
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
    return value
