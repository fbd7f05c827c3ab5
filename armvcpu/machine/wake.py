"""What ends a run of the engine: one thread that sleeps until the next deadline or signal and then asks for attention.

It never polls. Signals are taken by Python's wake-up descriptor, since Python code, and so a signal handler, can't
run while the engine executes the guest.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable


class Waker:
    """Calls `attend` at the deadline and when a signal comes."""

    def __init__(self, attend: Callable[[], None]) -> None:
        self._attend = attend
        self._deadline: int | None = None
        self._asleep_until: int | None = None
        self._closing = False
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._read_fd, False)
        os.set_blocking(self._write_fd, False)
        self._thread = threading.Thread(target=self._wait, name="armvcpu-waker", daemon=True)
        self._thread.start()
        self._previous_fd: int | None = None
        if threading.current_thread() is threading.main_thread():
            self._previous_fd = signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)

    def set_deadline(self, deadline: int | None) -> None:
        """The next deadline, ns of CLOCK_MONOTONIC; None for none. Wakes the thread only if it would oversleep."""
        self._deadline = deadline
        asleep_until = self._asleep_until
        if deadline is not None and (asleep_until is None or deadline < asleep_until):
            self._poke()

    def close(self) -> None:
        """End the thread."""
        if self._previous_fd is not None:
            signal.set_wakeup_fd(self._previous_fd)
        self._closing = True
        self._poke()
        self._thread.join()
        os.close(self._read_fd)
        os.close(self._write_fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _poke(self) -> None:
        with contextlib.suppress(BlockingIOError):  # the pipe is full of reasons to look
            os.write(self._write_fd, b"\0")

    def _wait(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # they belong to the main thread
        while not self._closing:
            deadline = self._asleep_until = self._deadline
            left = None if deadline is None else max(0.0, (deadline - time.monotonic_ns()) / 1e9)
            ready, _, _ = select.select([self._read_fd], [], [], left)
            if ready:
                if os.read(self._read_fd, 4096).strip(b"\0"):  # the numbers of signals
                    self._attend()
            elif deadline == self._deadline:
                self._deadline = self._asleep_until = None  # whoever sets the next one wakes this thread
                self._attend()
