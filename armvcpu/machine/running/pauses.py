"""Counts of instructions at which somebody looks at the guest, between two blocks, and changes nothing of its run.

    pauses = Pauses(engine)
    pause = pauses.add(look)                once: `look` is what happens
    pause.set(1_000_000)                    at the first block after that many instructions

By the instruction clock the schedule's deadlines are counts too. But a deadline that has come is one of the machine's
moments: the run loop asks then whether the turn of a CPU is as good as over, so that one more of them is another run.
"""

from __future__ import annotations

from operator import attrgetter

from armvcpu.arch.static import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.engine.api import Engine

NEVER = 1 << 80
_COUNT = attrgetter("count")


class Pause:
    """One count; `Pauses.add` makes it."""

    __slots__ = ("_pauses", "count", "due")

    def __init__(self, pauses: Pauses, due: Callable[[], None]) -> None:
        self._pauses, self.due = pauses, due
        self.count = NEVER
        """Instructions since power-on; NEVER while nothing is to come. Only `set` may change it."""

    def set(self, count: int | None) -> None:
        """Have `due` called at the first block after so many instructions, once; None: not."""
        self.count = NEVER if count is None else count
        self._pauses.settle()


class Watcher(Protocol):
    """Who wants to know what is done to a guest that stands still between two runs."""

    def leave(self) -> None:
        """It is about to run."""

    def stay(self) -> None:
        """It stands still."""


class Pauses:
    """Those of one machine. Not for several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._all: list[Pause] = []
        self._watcher: Watcher | None = None

    def watch(self, watcher: Watcher | None) -> None:
        """Have it told when the guest runs and when it stands still; None: nobody."""
        self._watcher = watcher

    def leave(self) -> None:
        """A run begins."""
        if self._watcher is not None:
            self._watcher.leave()

    def stay(self) -> None:
        """A run has ended."""
        if self._watcher is not None:
            self._watcher.stay()

    def add(self, due: Callable[[], None]) -> Pause:
        """A new one, with nothing to come yet."""
        pause = Pause(self, due)
        self._all.append(pause)
        return pause

    def remove(self, pause: Pause) -> None:
        """It is wanted no more."""
        self._all.remove(pause)
        self.settle()

    def settle(self) -> None:
        """Have the engine stop at the earliest."""
        earliest = min(map(_COUNT, self._all), default=NEVER)
        self._engine.pause_at(None if earliest >= NEVER else earliest)

    def run_due(self) -> None:
        """Call `due` of each whose count has come: in the order in which they were added, each once."""
        executed = self._engine.instructions
        for pause in [each for each in self._all if each.count <= executed]:
            pause.count = NEVER
            pause.due()
        self.settle()
