"""Input and result in the slice views, side by side, as a difference or with a swipe; `endComparison` puts all back."""

from __future__ import annotations


def compareSideBySide(inputVolume, correctedVolume) -> None:
    """Show the input on the left and the result on the right, in linked views of the same slice."""


def showDifference(inputVolume, correctedVolume):
    """Show result minus input in the slice views and return the volume node of the difference (HU)."""


def showSwipe(inputVolume, correctedVolume, fraction: float = 0.5) -> None:
    """Show the result in the left part of the slice views, up to a fraction (0 to 1) of the width, the input in the rest."""


def endComparison() -> None:
    """Give the views back their layout, layers and links, and remove what the comparison added to the scene."""
