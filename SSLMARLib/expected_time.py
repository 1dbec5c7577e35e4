"""How long a correction takes on this computer, from what earlier ones took. A method that never ran here is estimated from
one that did; where none did, nothing is known, and nothing is said."""

import contextlib
import json
import math
import time
from collections.abc import Callable

from .errors import InputError
from .methods import METHODS, get_method

KEY = "SSLMAR/SecondsPerSlice"
FEWEST_SLICES = 4
SLICES_BEGIN = 0.02  # the fraction of the progress at which `reduce_metal_artifacts` comes to the slices

Progress = Callable[[float, str], None]


class ExpectedTime:
    """Seconds per slice by device and method, kept in memory or in a store that outlives the process.

    store: has value(key) and setValue(key, value) for texts, as QSettings has.
    """

    def __init__(self, store=None):
        self._store = store
        self._seconds_per_slice: dict[str, dict[str, float]] = {}  # device -> method -> seconds
        self._auto_device = ""
        if store is not None:
            self._load()

    def seconds(self, method: str, slices: int, device: str = "auto") -> float | None:
        """The expected seconds for so many slices with metal; None where nothing has run on that device yet."""
        known = self._seconds_per_slice.get(self._auto_device if device == "auto" else device, {})
        if slices < 1:
            return 0.0 if known else None
        if method in known:
            return slices * known[method]
        cost = _relative_cost(method)
        estimates = [seconds * cost / other for seconds, other in ((known[name], _relative_cost(name)) for name in known) if cost and other]
        return slices * sorted(estimates)[len(estimates) // 2] if estimates else None

    def remember(self, method: str, device: str, seconds_per_slice: float, slices: int = FEWEST_SLICES, asked_device: str = "auto") -> None:
        """Take what a run of so many slices took. Of two runs the later counts, but one of few slices, which are slower
        than those of a full batch, only where there is no other. asked_device: what the caller of the run had asked for.
        """
        if not math.isfinite(seconds_per_slice) or seconds_per_slice <= 0:
            return
        known = self._seconds_per_slice.setdefault(device, {})
        if slices >= FEWEST_SLICES or method not in known:
            known[method] = float(seconds_per_slice)
        if asked_device == "auto":
            self._auto_device = device
        if self._store is not None:
            content = {"auto": self._auto_device, "seconds_per_slice": self._seconds_per_slice}
            self._store.setValue(KEY, json.dumps(content))

    def _load(self) -> None:
        """Take over what an earlier process stored; what cannot be read is forgotten."""
        with contextlib.suppress(TypeError, ValueError, KeyError, AttributeError):
            content = json.loads(self._store.value(KEY))
            loaded = {
                str(device): {str(method): float(seconds) for method, seconds in methods.items() if 0 < float(seconds) < math.inf}
                for device, methods in content["seconds_per_slice"].items()
            }
            self._seconds_per_slice, self._auto_device = loaded, str(content["auto"])


def _relative_cost(name: str) -> float | None:
    return METHODS[name].relative_cost if name in METHODS else None


class Stopwatch:
    """A progress function that hands everything on and measures the time of the slices, without the start before them."""

    def __init__(self, progress: Progress | None):
        self._progress = progress
        self._begin: float | None = None

    def __call__(self, fraction: float, message: str) -> None:
        if self._begin is None and fraction >= SLICES_BEGIN:
            self._begin = time.monotonic()
        if self._progress is not None:
            self._progress(fraction, message)

    def seconds_per_slice(self, slices: int) -> float:
        """Seconds since the first slice began, for each slice; 0 where no slice began."""
        return (time.monotonic() - self._begin) / slices if self._begin is not None and slices else 0.0


_expected = ExpectedTime()


def use_timing_store(store) -> None:
    """Keep the times in a store (see `ExpectedTime`) from now on; None: in memory only."""
    global _expected
    _expected = ExpectedTime(store)


def expected_seconds(method, slices: int, device: str = "auto") -> float | None:
    """How many seconds a correction of so many slices with metal takes on this computer; None where that is not known.
    method: as `get_method` takes it."""
    with contextlib.suppress(InputError):  # of one that is not there nothing is known
        method = get_method(method).name
    return _expected.seconds(method, slices, device)


def remember_run(report, seconds_per_slice: float, asked_device: str) -> None:
    """Take what a run took, with its `CorrectionReport`; on the thread of the store."""
    _expected.remember(report.method, report.device, seconds_per_slice, report.slices_corrected, asked_device)
