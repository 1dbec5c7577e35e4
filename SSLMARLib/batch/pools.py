"""Who does the cases: processes of this computer, or the workers of a Dask scheduler, behind one interface."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, ProcessPoolExecutor, wait

from ..atomic_files import remove_unfinished
from ..errors import InputError, plain_text
from ..optional_imports import import_optional

logger = logging.getLogger(__name__)

MOST_TRIES = 2
TASKS_PER_THREAD = 2  # at a Dask scheduler, so that no worker waits for the next case
CONNECT_SECONDS = 20


class LocalPool:
    """Processes of this computer. One that dies takes all running tasks with it; `restart` begins with new ones."""

    lost = "the process that worked on it died, maybe as the memory was not enough: use fewer workers"

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._executor = self._start()

    def _start(self) -> ProcessPoolExecutor:
        threads = max(1, (os.cpu_count() or 1) // self.workers)
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.workers, context, _prepare_worker, (threads,))

    def places(self) -> int:
        """How many tasks may be given at once: as many as run, so that a process's death is the fault of few."""
        return self.workers

    def submit(self, function: Callable, *arguments) -> Future:
        return self._executor.submit(function, *arguments)

    def restart(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._executor = self._start()

    def close(self, is_done: bool) -> None:
        self._executor.shutdown(wait=is_done, cancel_futures=True)


def _prepare_worker(threads: int) -> None:
    """In a new process: its share of the cores, no Ctrl-C of its own, and an end as soon as the parent has ended, however."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore")  # of libraries, which quote headers; what matters is in the record
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, str(threads))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    remove_unfinished()
    os._exit(1)


class DaskPool:
    """The workers of a Dask scheduler, on whatever computers; they see the same folders. Dask gives a lost worker's task to another."""

    lost = "the Dask scheduler was lost: start it and run the same command again"

    def __init__(self, address: str) -> None:
        distributed = import_optional("distributed")
        try:
            self._client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise InputError(f"No Dask scheduler answers at {address} ({error}): start `dask scheduler` and give its address.") from None
        self._executor = self._client.get_executor(pure=False)
        if not self._client.nthreads():
            logger.warning("The scheduler %s has no workers yet: waiting for the first `dask worker`.", address)

    def places(self) -> int:
        """A few more than can run; workers may come and go."""
        return TASKS_PER_THREAD * max(1, sum(self._client.nthreads().values()))

    def submit(self, function: Callable, *arguments) -> Future:
        return self._executor.submit(function, *arguments)

    def restart(self) -> None:
        """Dask's workers are not this process's to start."""

    def close(self, is_done: bool) -> None:
        self._client.close()


@contextlib.contextmanager
def open_pool(workers: int, scheduler: str | None) -> Iterator[LocalPool | DaskPool]:
    """A pool of `workers` processes, or of a scheduler's address. What is waiting is dropped where something is raised inside."""
    pool = LocalPool(workers) if scheduler is None else DaskPool(scheduler)
    is_done = False
    try:
        yield pool
        is_done = True
    finally:
        pool.close(is_done)


def run_all(pool: LocalPool | DaskPool, function: Callable, items: Iterable, *arguments) -> Iterator[tuple]:
    """Call function(item, *arguments) for each item; yields (item, what it returned, None) or (item, None, why not), as they end.

    Where a process dies, the items that were running are tried one by one, so that the one which kills its process is known: it is given
    up after MOST_TRIES, and the others get done.
    """
    waiting, suspects, running, tries = deque(enumerate(items)), deque(), {}, Counter()
    while waiting or suspects or running:
        while (suspects or waiting) and len(running) < (1 if suspects else pool.places()):
            number, item = suspects.popleft() if suspects else waiting.popleft()
            running[_submit(pool, function, item, *arguments)] = number, item
            if tries[number]:
                break  # a suspect runs alone
        broken = []
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            number, item = running.pop(future)
            try:
                result = future.result()
            except BrokenExecutor:
                broken.append((number, item))
            except CancelledError:
                yield item, None, pool.lost
            except Exception as error:  # what Dask says of a task that ended several workers
                yield item, None, plain_text(f"{type(error).__name__}: {error}")
            else:
                yield item, result, None
        if not broken:
            continue
        is_alone = len(broken) == 1 and not running
        broken += running.values()
        running = {}
        pool.restart()
        for number, item in broken:
            tries[number] += 1
            if is_alone and tries[number] >= MOST_TRIES:
                yield item, None, pool.lost
            else:
                suspects.append((number, item))


def _submit(pool, function: Callable, *arguments) -> Future:
    """A pool that broke a moment ago refuses tasks at once: that becomes a future like the others."""
    try:
        return pool.submit(function, *arguments)
    except BrokenExecutor as error:
        future: Future = Future()
        future.set_exception(error)
        return future
