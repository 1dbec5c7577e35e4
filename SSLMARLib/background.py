"""A long computation on a thread of its own, for a window that must stay alive. Knows neither Qt nor MRML."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from .errors import Cancelled


class _State:
    """What the owner and the thread of one work share."""

    def __init__(self, cancelled: threading.Event, progress: tuple[float, str] = (0.0, "")):
        self.cancelled, self.finished, self.progress = cancelled, threading.Event(), progress
        self.result = None
        self.error: BaseException | None = None

    def set_progress(self, fraction: float, message: str) -> None:
        self.progress = (min(max(float(fraction), 0.0), 1.0), str(message))


class BackgroundRun:
    """Runs work(progress, is_cancelled) on a thread; the owner polls with `wait` and takes the `result`.

    Cancelling is cooperative: the work asks is_cancelled() often and raises `Cancelled`. Whatever it returns after a
    cancel is dropped, so a cancelled run never has a result. A thread holds its work and nothing else of the run, so what
    the owner lets go of is destroyed on the owner's thread, however long the thread still runs.
    """

    def __init__(self, work: Callable):
        self._works, self._combine = iter([work]), lambda results: results[0]
        self._cancelled = threading.Event()
        self._state = _State(self._cancelled)
        self._results: list = []
        self._ended = False

    @classmethod
    def of_series(cls, works: Iterable[Callable], combine: Callable[[list], object]) -> BackgroundRun:
        """A run of several works, one after another on a thread each; its result is combine(what they returned).

        Each work is taken out of `works` on the owner's thread, by `start` or `wait`, just before its turn.
        """
        run = cls(None)
        run._works, run._combine = iter(works), combine
        return run

    def start(self) -> BackgroundRun:
        self._begin(next(self._works))
        return self

    def _begin(self, work: Callable) -> None:
        self._state = _State(self._cancelled, self._state.progress)
        threading.Thread(target=_run, args=(work, self._state), name="SSLMAR correction", daemon=True).start()

    def cancel(self) -> None:
        """Ask the work to end; returns at once."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    @property
    def progress(self) -> tuple[float, str]:
        """The latest fraction (0 to 1) and message."""
        return self._state.progress

    def wait(self, seconds: float) -> bool:
        """Give the work up to that many seconds and say whether all has finished; of several works, this starts the next.

        The wait gives up Python's interpreter lock, which the thread needs: an application with an embedded
        interpreter may hold the lock while its event loop idles, and then a thread only advances during such waits.
        """
        if self._ended or not self._state.finished.wait(seconds):
            return self._ended
        self._ended = True
        if self._state.error is None and not self.cancelled:
            self._results.append(self._state.result)
            try:
                for work in self._works:
                    self._ended = False
                    self._begin(work)
                    break
            except BaseException as error:  # handed to the owner by result(), as those of the works are
                self._state.error = error
        return self._ended

    def result(self):
        """Return what the work returned, or raise what it raised; `Cancelled` after a cancel. Only once `wait` has said that
        all has finished."""
        if not self._ended:
            raise RuntimeError("The run has not finished: poll with wait() first.")
        if self.cancelled:
            raise Cancelled("The correction was cancelled; no volume was made.") from self._state.error
        if self._state.error is not None:
            raise self._state.error
        return self._combine(self._results)


def _run(work: Callable, state: _State) -> None:
    try:
        state.result = work(state.set_progress, state.cancelled.is_set)
    except BaseException as error:  # handed to the owner by result(), whatever it is
        state.error = error
    finally:
        state.finished.set()
