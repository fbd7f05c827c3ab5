"""Alarms of the process: one thread that sleeps until the next moment that somebody waits for.

In this layer because a vCPU without a machine has nobody else to be woken by when its timer's time comes. Nothing
polls, and without an alarm there is no thread.
"""

from __future__ import annotations

import threading
from time import monotonic_ns

from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_SLEEP_NS = 3600 * 10**9
"""A longer sleep is made of several: a lock takes no time-out of centuries."""


class Alarms:
    """What rings when."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._moments: dict[Callable[[], None], int] = {}
        self._thread: threading.Thread | None = None

    def set(self, moment: int | None, ring: Callable[[], None]) -> None:
        """Call `ring` once, from another thread, at `moment` (ns of CLOCK_MONOTONIC), and no longer at the one before.

        None: not at all. `ring` is called with no lock held, and may come late by one that was under way.
        """
        with self._condition:
            if moment is None:
                self._moments.pop(ring, None)
                return
            is_next = moment < min(self._moments.values(), default=moment + 1)
            self._moments[ring] = moment
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="armvcpu alarms", daemon=True)
                self._thread.start()
            elif is_next:
                self._condition.notify()

    def _run(self) -> None:
        while True:
            for ring in self._wait():
                ring()

    def _wait(self) -> list[Callable[[], None]]:
        """Sleep until something is due, and take it off the list."""
        with self._condition:
            while True:
                now = monotonic_ns()
                due = [ring for ring, moment in self._moments.items() if moment <= now]
                if due:
                    for ring in due:
                        del self._moments[ring]
                    return due
                sleep = min((moment - now for moment in self._moments.values()), default=LONGEST_SLEEP_NS)
                self._condition.wait(min(sleep, LONGEST_SLEEP_NS) / 1e9)


ALARMS = Alarms()
"""The process's."""
