"""Moments that a machine must not miss: whoever has one says so, and is called when it has come.

    schedule = Schedule()
    alarm = schedule.add(ring)                     once: `ring` is what happens
    alarm.set(clock.ns() + 5_000_000)              in 5 ms
    schedule.next()                                the earliest moment of all: run the guest until then
    schedule.run_due(clock.ns())                   calls `ring`, if the moment has come

A device gets the schedule with its other wires; a timer of a CPU and the end of a CPU's turn are deadlines as well.
Moments are ns of the machine's clock. Nothing here looks at a clock, so none of it depends on which one there is.

A guest that lives by its timer sets one deadline and meets it, thousands of times a second. So the earliest moment is
kept, not searched for: only when that very one moves to later does `min` look at all of them, which are few.
"""

from __future__ import annotations

from operator import attrgetter

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import callable_in

if TYPE_CHECKING:
    from collections.abc import Callable

NEVER = 1 << 80
"""The moment of a deadline with nothing to come: later than any other, ns."""
_MOMENT = attrgetter("moment")  # with `min` and `map` no line of Python for each deadline


class Deadline:
    """One moment for which something is due; `Schedule.add` makes it, for as long as its schedule lives."""

    __slots__ = ("_schedule", "due", "moment")

    def __init__(self, schedule: Schedule, due: Callable[[], None]) -> None:
        self._schedule = schedule
        self.due = due
        """What to call once the moment has come."""
        self.moment = NEVER
        """When it is, ns of the machine's clock; NEVER while nothing is to come. Only `set` may change it."""

    def set(self, moment: int) -> None:
        """Have `due` called at this moment (ns of the machine's clock) in place of the one before.

        One that has passed already is due at once: when the machine looks at its deadlines the next time.
        """
        schedule, before = self._schedule, self.moment
        self.moment = moment
        if moment < schedule.moment:
            schedule.moment = moment
            schedule.on_change()
        elif before == schedule.moment != moment:
            schedule.settle()

    def clear(self) -> None:
        """Nothing is to come."""
        self.set(NEVER)


class Schedule:
    """All deadlines of one machine. Not for several threads."""

    __slots__ = ("_deadlines", "moment", "on_change")

    def __init__(self) -> None:
        self._deadlines: list[Deadline] = []
        self.on_change: Callable[[], object] = _nobody_watches
        """Who hears that the earliest moment is another; to be set by `watch`."""
        self.moment = NEVER
        """What `next()` returns, for where a call is too much."""

    def watch(self, on_change: Callable[[], object]) -> None:
        """Have `on_change` called whenever the earliest moment has become another: earlier or later.

        The one watcher is whoever runs the guest; who watched before no longer does.
        """
        callable_in("what watches a schedule", on_change)
        self.on_change = on_change

    def add(self, due: Callable[[], None]) -> Deadline:
        """A new deadline, with nothing to come yet. `due` is called by `run_due` once its moment has come."""
        callable_in("what is due", due, 0)
        deadline = Deadline(self, due)
        self._deadlines.append(deadline)
        return deadline

    def remove(self, deadline: Deadline) -> None:
        """It has nothing to come any more, and is forgotten."""
        deadline.clear()
        self._deadlines = [each for each in self._deadlines if each is not deadline]  # run_due may be at work

    def next(self) -> int:
        """The earliest moment, ns of the machine's clock, or NEVER. While `run_due` runs, one that has come."""
        return self.moment

    def run_due(self, now: int) -> None:
        """Call `due` of every deadline whose moment is `now` (ns of the machine's clock) or earlier.

        In the order in which they were added, each once. It has nothing to come from then on unless its `due` sets
        the next moment; one that has passed too is for the next `run_due`. At the end the watcher is told even where
        the earliest moment is what it was, since whoever slept until then no longer does.
        """
        if now < self.moment:
            return
        try:
            for deadline in self._deadlines:
                if deadline.moment <= now:
                    deadline.moment = NEVER
                    deadline.due()
        finally:
            self.moment = min(map(_MOMENT, self._deadlines), default=NEVER)
            self.on_change()

    def state(self) -> list[tuple[Deadline, int]]:
        """The moments of all."""
        return [(deadline, deadline.moment) for deadline in self._deadlines]

    def load_state(self, state: list[tuple[Deadline, int]]) -> None:
        """Return to moments that `state` gave; a deadline that was not there then has nothing to come."""
        then = {id(deadline): moment for deadline, moment in state}
        for deadline in self._deadlines:
            deadline.moment = then.get(id(deadline), NEVER)
        self.moment = min(map(_MOMENT, self._deadlines), default=NEVER)
        self.on_change()

    def settle(self) -> None:
        """Find the earliest moment, after it has moved to later."""
        earliest = min(map(_MOMENT, self._deadlines), default=NEVER)
        if earliest != self.moment:
            self.moment = earliest
            self.on_change()


def _nobody_watches() -> None:
    """Before `watch`."""
