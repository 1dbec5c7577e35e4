"""Types of command-line arguments, with a sentence for what does not fit."""

import argparse


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


def add_mask_label_argument(parser: argparse.ArgumentParser) -> None:
    """--mask-label: which label of --mask is metal, for `read_mask`."""
    parser.add_argument(
        "--mask-label", action="append", metavar="NAME|VALUE", help="of several labels in --mask, the one that is metal; may be repeated"
    )


def _number(text, accepts, wanted) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not (accepts(value) and value < float("inf")):
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
    return value
