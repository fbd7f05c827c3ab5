"""How anybody, in any thread, has the run loop look after something: it sleeps, or runs the guest, and stops soon."""

from __future__ import annotations

import threading

from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.engine.api import Engine


class Attention:
    """A call for the run loop of one machine. One that comes before the loop runs or sleeps is not lost."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.others: list[Callable[[], object]] = []
        """Who else is asked between two runs of the engine, once somebody has called for attention."""
        self.event = threading.Event()
        """Set while nobody has looked yet; the loop sleeps on it where all CPUs wait."""
        self.is_asleep = False
        """Does the loop sleep? Then nothing is to be stopped, and it looks after everything when it wakes."""

    def call(self) -> None:
        """From any thread: end the loop's sleep, or the engine's run at the next block."""
        self.event.set()
        if not self.is_asleep:
            self._engine.request_stop()
