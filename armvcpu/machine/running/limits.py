"""The limits of a run that is made of several: its time-out, and how many instructions it may execute."""

from __future__ import annotations

import time

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.machine.outcome import TIME_OUT, Ending, Outcome

if TYPE_CHECKING:
    from armvcpu.machine.running.count import Count


class RunLimits:
    """What is left of a run's limits, of which stops use up nothing; a context while the guest runs."""

    def __init__(self, timeout: float | None, max_instructions: int, count: Count) -> None:
        self._timeout, self._most, self._count = timeout, max_instructions, count
        self._first, self._ran, self._began = count.executed, 0.0, 0.0

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._ran += time.monotonic() - self._began

    @property
    def left(self) -> tuple[float | None, int]:
        """Seconds and instructions that the guest may still run."""
        most = self._most and max(1, self._most - (self._count.executed - self._first))
        return None if self._timeout is None else max(0.0, self._timeout - self._ran), most

    def ended(self) -> Outcome | None:
        """The run's end, where one is used up."""
        if self._most and self._count.executed - self._first >= self._most:
            return Outcome.of(Ending.LIMIT, f"instruction limit: {self._most} executed")
        if self._timeout is not None and self._ran >= self._timeout:
            return Outcome.of(Ending.LIMIT, TIME_OUT)
        return None
