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
from functools import cache

from armvcpu.arch.static import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    class Source(Protocol):
        """Something with a descriptor to watch."""

        @property
        def wants_read(self) -> bool:
            """Is it to be watched for input?"""

        @property
        def wants_write(self) -> bool:
            """Is it to be watched for output?"""

        def fileno(self) -> int:
            """The descriptor."""


QUIET_NS = 100_000
"""How long the guest runs at least between two looks at the sources."""
FD_SETSIZE = 1024
_AWAKE, _FOR_EVER = 0, 1 << 63


@cache
def _all_signals() -> tuple[int, ...]:
    """As plain numbers: Python takes 0.1 ms to make and convert the enumeration's, at each run."""
    return tuple(int(number) for number in signal.valid_signals())


class Waker:
    """Calls `attend` at the deadline, when a signal comes, and once when one of `sources` is ready, until `listen`.

    At `limit`, ns of CLOCK_MONOTONIC, it calls `at_limit`, whatever the deadlines are and whatever the run loop does.
    """

    def __init__(
        self, attend: Callable[[], None], sources: Sequence[Source] = (), limit: int = _FOR_EVER,
        at_limit: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        self._attend, self._sources, self._limit, self._at_limit = attend, sources, limit, at_limit
        self._listens_from = 0
        self.has_input = False
        """Is a source ready? Nobody watches them until the next `listen`."""
        self._deadline: int | None = None
        self._asleep_until = _AWAKE
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
        if deadline is not None and deadline < self._asleep_until:
            self._poke()

    def listen(self) -> None:
        """What the sources had has been dealt with: watch them again, after the guest has had some time."""
        self._listens_from = time.monotonic_ns() + QUIET_NS
        self.has_input = False
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
        signal.pthread_sigmask(signal.SIG_BLOCK, _all_signals())  # they belong to the main thread
        while not self._closing:
            now = time.monotonic_ns()
            moment, readers, writers = self._limit, [self._read_fd], []
            if self._sources and not self.has_input:
                if now < self._listens_from:
                    moment = min(moment, self._listens_from)
                else:
                    readers += [source.fileno() for source in self._sources if source.wants_read]
                    writers += [source.fileno() for source in self._sources if source.wants_write]
            deadline = self._go_to_sleep(moment)
            until = self._asleep_until
            left = None if until >= _FOR_EVER else max(0, until - now) / 1e9
            try:
                ready = _wait_for(readers, writers, left)
            except (OSError, ValueError):  # one was closed meanwhile
                continue
            finally:
                self._asleep_until = _AWAKE
            now = time.monotonic_ns()
            if now >= self._limit:
                self._limit = _FOR_EVER
                if self._at_limit is not None:
                    self._at_limit()
            if self._is_wanted(ready, deadline, now):
                self._attend()

    def _go_to_sleep(self, moment: int) -> int | None:
        """Note until when: whoever sets an earlier deadline from now on pokes, and one set before is seen here."""
        while True:
            deadline = self._deadline
            self._asleep_until = moment if deadline is None else min(moment, deadline)
            if self._deadline is deadline:
                return deadline

    def _is_wanted(self, ready: set[int], deadline: int | None, now: int) -> bool:
        """Is there something to attend to?"""
        wanted = False
        if ready - {self._read_fd}:
            self.has_input = wanted = True
        if self._read_fd in ready and os.read(self._read_fd, 4096).strip(b"\0"):  # the numbers of signals
            wanted = True
        if deadline is not None and deadline <= now and deadline is self._deadline:
            self._deadline = None
            wanted = True
        return wanted


def _wait_for(readers: list[int], writers: list[int], seconds: float | None) -> set[int]:
    """The descriptors that are ready. `select` is exact to the microsecond; only `poll` knows those above 1023."""
    if max(readers + writers) < FD_SETSIZE:
        readable, writable, _ = select.select(readers, writers, [], seconds)
        return {*readable, *writable}
    poll = select.poll()
    for fd in {*readers, *writers}:
        poll.register(fd, select.POLLIN * (fd in readers) | select.POLLOUT * (fd in writers))
    return {fd for fd, _ in poll.poll(None if seconds is None else seconds * 1000)}
