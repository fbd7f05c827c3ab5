"""How long whoever works for a run waits for the host: for a pipe that nobody reads, a terminal that stands still.

While the run goes on it waits as long as it takes, as every program does. Once the run is to end (a signal, the
time-out, Ctrl-A X) there are GRACE seconds left for all that still waits to be written, and what is not taken by then
is dropped: so no pipe of the host can keep a run from ending.

Before the run it is a FIFO without a reader, or a peer that doesn't answer, that is waited for. A command's time-out
counts that time, by a timer whose signal the command handles, and not the time that the machine takes to be made.
"""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import contextmanager, suppress

from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

GRACE = 0.05
"""Seconds that are left for output once a run is to end; the end itself takes about as long again."""

_SOON = 1e-6


class Patience:
    """Of one machine, or one process. `end` comes from any thread and from signal handlers."""

    def __init__(self) -> None:
        self._until: float | None = None
        self._left: float | None = None
        self._fd = -1  # made by whoever waits first, which most machines never do
        self.gave_up = False
        """Has somebody dropped what could not be written?"""

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    @property
    def is_over(self) -> bool:
        """Is the run to end?"""
        return self._until is not None

    def end(self) -> None:
        """The run is to end. Who waits has GRACE seconds more, whoever begins to wait has what is left of them."""
        if self._until is None:
            self._until = time.monotonic() + GRACE
        if self._fd >= 0:
            os.eventfd_write(self._fd, 1)

    def renew(self) -> None:
        """Another run begins."""
        self._until, self.gave_up = None, False
        if self._fd >= 0:
            with suppress(BlockingIOError):  # nobody has ended it
                os.eventfd_read(self._fd)

    def limit_waits(self, seconds: float | None) -> None:
        """What is waited for before the run may take so long in all: SIGALRM comes then. None: for ever."""
        self._left = seconds

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Something is waited for by other means than `wait_for_room`, in the main thread where there is a limit."""
        if self._left is None:
            yield
            return
        began = time.monotonic()
        ring_in(self._left)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._left -= time.monotonic() - began

    def wait_for_room(self, fd: int) -> bool:
        """Wait until the descriptor takes bytes; False where that takes too long: drop them."""
        if self._until is None and self._fd < 0:
            self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        if self._until is None and _poll({fd: select.POLLOUT, self._fd: select.POLLIN}, None) != {self._fd}:
            return True
        left = max(0.0, (self._until or 0) - time.monotonic())
        has_room = bool(_poll({fd: select.POLLOUT}, left))
        self.gave_up = self.gave_up or not has_room
        return has_room

    def wait_for_input(self, fds: Iterable[int]) -> set[int]:
        """Wait until some of the descriptors have something to read; those. None of them where the run is to end."""
        if self._fd < 0:
            self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        if self._until is not None:
            return set()
        return _poll({self._fd: select.POLLIN, **dict.fromkeys(fds, select.POLLIN)}, None) - {self._fd}


def ring_in(seconds: float) -> None:
    """Have SIGALRM come in so many seconds; at once where there are none left."""
    signal.setitimer(signal.ITIMER_REAL, max(_SOON, seconds))


def _poll(wanted: dict[int, int], seconds: float | None) -> set[int]:
    """The descriptors that are ready. A signal's handler may run meanwhile."""
    poll = select.poll()
    for fd, events in wanted.items():
        poll.register(fd, events)
    return {fd for fd, _ in poll.poll(None if seconds is None else seconds * 1000)}
