"""A long computation on a thread of its own, for a window that must stay alive. Knows neither Qt nor MRML."""

from __future__ import annotations

import threading
from collections.abc import Callable

from .errors import Cancelled


class BackgroundRun:
    """Runs work(progress, is_cancelled) on a thread; the owner polls with `wait` and takes the `result`.

    Cancelling is cooperative: the work asks is_cancelled() often and raises `Cancelled`. Whatever it returns after a
    cancel is dropped, so a cancelled run never has a result.
    """

    def __init__(self, work: Callable):
        self._work = work
        self._cancelled = threading.Event()
        self._finished = threading.Event()
        self._progress = (0.0, "")
        self._result = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="SSLMAR correction", daemon=True)

    def start(self) -> BackgroundRun:
        self._thread.start()
        return self

    def cancel(self) -> None:
        """Ask the work to end; returns at once."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    @property
    def progress(self) -> tuple[float, str]:
        """The latest fraction (0 to 1) and message."""
        return self._progress

    def wait(self, seconds: float) -> bool:
        """Give the work up to that many seconds and say whether it has finished.

        The wait gives up Python's interpreter lock, which the thread needs: an application with an embedded
        interpreter may hold the lock while its event loop idles, and then a thread only advances during such waits.
        """
        return self._finished.wait(seconds)

    def result(self):
        """Return what the work returned, or raise what it raised; `Cancelled` after a cancel. Only once finished."""
        if not self._finished.is_set():
            raise RuntimeError("The run has not finished: poll with wait() first.")
        if self.cancelled:
            raise Cancelled("The correction was cancelled; no volume was made.") from self._error
        if self._error is not None:
            raise self._error
        return self._result

    def _run(self) -> None:
        try:
            self._result = self._work(self._set_progress, self._cancelled.is_set)
        except BaseException as error:  # handed to the owner by result(), whatever it is
            self._error = error
        finally:
            self._finished.set()

    def _set_progress(self, fraction: float, message: str) -> None:
        self._progress = (min(max(float(fraction), 0.0), 1.0), str(message))
