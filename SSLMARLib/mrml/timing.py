"""How long a correction takes on this computer: from what earlier runs took."""

from __future__ import annotations


def useTimingStore(store) -> None:
    """Keep the times in a store with value(key) and setValue(key, value), as QSettings has; None: in memory only."""


def expectedSeconds(method: str, slices: int, device: str = "auto") -> float | None:
    """Return how many seconds a correction of so many slices with metal takes here, None where that is not known."""
    return None
