"""What ends a wait: one thread that sleeps until the next deadline or signal and then stops the engine.

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
    """Calls `stop` at the deadline and whenever something is written to `wakeup_fd`."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._deadline: float | None = None
        self._closing = False
        self._read_fd, self.wakeup_fd = os.pipe()
        os.set_blocking(self._read_fd, False)
        os.set_blocking(self.wakeup_fd, False)
        self._thread = threading.Thread(target=self._wait, name="armvcpu-waker", daemon=True)
        self._thread.start()
        self._previous_fd: int | None = None
        if threading.current_thread() is threading.main_thread():
            self._previous_fd = signal.set_wakeup_fd(self.wakeup_fd, warn_on_full_buffer=False)

    def set_deadline(self, deadline: float | None) -> None:
        """The next deadline by `time.monotonic()`, seconds; None for none."""
        self._deadline = deadline
        self.poke()

    @property
    def expired(self) -> bool:
        """Has the deadline passed?"""
        return self._deadline is not None and time.monotonic() >= self._deadline

    def poke(self) -> None:
        """Have the thread look again."""
        with contextlib.suppress(BlockingIOError):  # the pipe is full of reasons to look
            os.write(self.wakeup_fd, b"\0")

    def close(self) -> None:
        """End the thread."""
        if self._previous_fd is not None:
            signal.set_wakeup_fd(self._previous_fd)
        self._closing = True
        self.poke()
        self._thread.join()
        os.close(self._read_fd)
        os.close(self.wakeup_fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wait(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # they belong to the main thread
        while not self._closing:
            deadline = self._deadline
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([self._read_fd], [], [], left)
            if ready:
                signals = os.read(self._read_fd, 4096).strip(b"\0")
                if signals:
                    self._stop()
            else:
                self._stop()
                select.select([self._read_fd], [], [])  # nothing more to do until somebody sets another deadline
