"""Ctrl-C (and a polite kill) ends a verb within two seconds and leaves no part of a file, whatever it is doing."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading

from ..atomic_files import remove_unfinished

STATUS_CANCELLED = 130
GRACE_SECONDS = 0.7


class Interruption:
    """While it is entered, the first SIGINT or SIGTERM raises KeyboardInterrupt, and later ones are ignored.

    Python sees a signal only between its own instructions, but a compressor or a matrix product in C++ may run for many seconds. So a
    thread waits beside: when the program has not ended by itself after a short grace, it removes what is unfinished and ends the
    process. Outside the main thread nothing of this happens: whoever calls us there handles signals.
    """

    def __init__(self) -> None:
        self.requested = False
        self._ended = threading.Event()
        self._former_handlers: dict = {}
        self._writing_end: socket.socket | None = None

    def __enter__(self) -> Interruption:
        if threading.current_thread() is not threading.main_thread():
            return self
        self._reading_end, self._writing_end = socket.socketpair()
        self._writing_end.setblocking(False)
        threading.Thread(target=self._watch, daemon=True, name="interruption").start()
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` and background jobs of a shell want it
                self._former_handlers[number] = signal.signal(number, self._raise)
        self._former_descriptor = signal.set_wakeup_fd(self._writing_end.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(self, *_) -> None:
        self._ended.set()
        if self._writing_end is None:
            return
        signal.set_wakeup_fd(self._former_descriptor)
        for number, handler in self._former_handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._writing_end.close()

    def _raise(self, *_) -> None:
        if not self.requested and not self._ended.is_set():
            self.requested = True
            raise KeyboardInterrupt

    def _watch(self) -> None:
        """The interpreter writes the number of each signal to the socket, also while C++ code holds the main thread."""
        with self._reading_end as reading_end:
            while numbers := reading_end.recv(64):
                if any(number in self._former_handlers for number in numbers):
                    break
            else:
                return  # the other end was closed: the verb has ended
        if self._ended.wait(GRACE_SECONDS):
            return
        remove_unfinished()
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write("sslmar: cancelled.\n")
            sys.stderr.flush()
        os._exit(STATUS_CANCELLED)
