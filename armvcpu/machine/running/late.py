"""A run's waker (`wake.py`) that comes late: most runs of a script are over before its thread would have started.

A run begins with an alarm of the engine's instead, LATE_NS away or at the first deadline. When that has come the run
has its thread, and signals, deadlines and sources are watched for from then on; a signal waits as long. Where the run
may wait for the host before, or the engine has no alarm, the thread is there from the start.
"""

from __future__ import annotations

import time

from armvcpu.arch.static import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.machine.running.wake import Waker

    class Alarm(Protocol):
        """The engine, as far as it stops itself at a moment."""

        def set_alarm(self, moment: int) -> bool:
            """Ns of CLOCK_MONOTONIC, 0 never; False where it can't."""

        def take_alarm(self) -> bool:
            """Has it stopped for that?"""


LATE_NS = 2_000_000


class LateWaker:
    """Makes the waker by `make` when it is wanted; `limit` is when it must be there, ns of CLOCK_MONOTONIC."""

    def __init__(self, make: Callable[[], Waker], alarm: Alarm, limit: int, *, at_once: bool) -> None:
        self._make, self._alarm = make, alarm
        self._waker: Waker | None = None
        self._deadline: int | None = None
        self._first = min(limit, time.monotonic_ns() + LATE_NS)
        if at_once or not alarm.set_alarm(self._first):
            self.begin()

    def begin(self) -> Waker:
        """Have the thread from now on."""
        if self._waker is None:
            self._alarm.set_alarm(0)
            self._waker = self._make()
            self._waker.set_deadline(self._deadline)
        return self._waker

    def has_come(self) -> bool:
        """A run of the engine's has ended: for the alarm, so that there is a thread now?"""
        if self._waker is not None or not self._alarm.take_alarm():
            return False
        self.begin()
        return True

    @property
    def has_input(self) -> bool:
        """Is a source ready?"""
        return self._waker is not None and self._waker.has_input

    def listen(self) -> None:
        """Watch the sources again."""
        self.begin().listen()

    def set_deadline(self, deadline: int | None) -> None:
        """The next deadline, ns of CLOCK_MONOTONIC; None for none."""
        self._deadline = deadline
        if self._waker is not None:
            self._waker.set_deadline(deadline)
        elif deadline is not None and deadline < self._first:
            self._first = deadline
            self._alarm.set_alarm(max(deadline, 1))

    def close(self) -> None:
        """End the thread, or take the alarm back."""
        if self._waker is None:
            self._alarm.set_alarm(0)
        else:
            self._waker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
