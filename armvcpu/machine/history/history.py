"""The history of a machine: every state that it has been in, as a count of instructions, and the way back to it.

    history = machine.keep_history()
    machine.run(timeout=5)
    history.go_to(history.count - 1000)     1000 instructions ago
    machine.run()                           and on from there: first what was, then what is new

A run by the instruction clock repeats to the byte, so that a state is a checkpoint (`checkpoint.py`) and so many
instructions more. Checkpoints are taken along the run, in pauses that change nothing of it. What comes from outside,
which is what a user types, is kept with its moments and comes again; what the guest prints again is not shown again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.errors import StateError, UsageError, named
from armvcpu.machine.history.checkpoint import inputs_of
from armvcpu.machine.history.keeper import Keeper

if TYPE_CHECKING:
    from armvcpu.machine.config import MachineConfig
    from armvcpu.machine.history.checkpoint import Checkpoint
    from armvcpu.machine.parts import Parts
    from armvcpu.machine.running.run_loop import RunLoop

INTERVAL = 50_000_000
"""Instructions between two checkpoints of a run; the guest's time has 0.2 s meanwhile."""
NEAREST, STEP = 20_000, 8
"""On the way to a state that the machine returns to: a checkpoint so many instructions before it, and others 8 times as
many before. So the next one back is near."""


def check_history(config: MachineConfig) -> None:
    """UsageError where a machine of these options can't go back."""
    if config.clock != "instructions":
        raise UsageError(f"a history needs {named('clock')} instructions: by the host's clock no run repeats another")
    if config.networks:
        raise UsageError(f"{named('networks')} excludes a history: what a network has brought does not come again")
    if config.record is not None:
        raise UsageError(
            f"{named('record')} excludes a history: going back makes another run; go back in its {named('replay')}"
        )
    if config.semihosting_directory is not None:
        raise UsageError(f"{named('semihosting_directory')} excludes a history: the host's files do not go back")


class History:
    """That of one machine, whose guest `loop` runs. It may take about `size` bytes."""

    def __init__(self, parts: Parts, size: int, loop: RunLoop) -> None:
        check_history(parts.config)
        self._parts, self._loop = parts, loop
        self._engine = parts.engine
        self._inputs = inputs_of(parts)
        self._inputs.keep()
        self._keeper = Keeper(parts, size)
        self._reached = 0
        """The count up to which what the guest does is known."""
        self._target = self._looked = 0
        self._pause, self._frontier = parts.pauses.add(self._take), parts.pauses.add(self._come_to_frontier)
        self._pause.set(self.count)

    def close(self) -> None:
        """Keep nothing any more."""
        self._parts.pauses.remove(self._pause)
        self._parts.pauses.remove(self._frontier)
        self._keeper.close()

    # --- where

    @property
    def count(self) -> int:
        """Where the machine is: instructions since power-on."""
        return self._engine.instructions

    @property
    def begin(self) -> int | None:
        """The earliest count that there is a way back to; None before the first run."""
        first = self._keeper.first
        return None if first is None else first.count

    @property
    def end(self) -> int:
        """The latest count that the guest has come to."""
        return max(self._reached, self.count)

    @property
    def used(self) -> int:
        """Bytes of the host's memory, about."""
        return self._keeper.used

    @property
    def checkpoints(self) -> list[int]:
        """The counts of those that are kept, in ascending order."""
        return self._keeper.counts

    # --- going

    def go_to(self, count: int) -> None:
        """Be where the machine was, or will be, after exactly so many instructions; between two runs.

        Raises:
            UsageError: it was never there: `begin` is later.
            StateError: the guest runs, or ends before.
        """
        self._loop.forbid_running("a machine can't go back")
        then = self._keeper.before(count)
        if then is None:
            begin = self.begin
            problem = "nothing has been run yet" if begin is None else f"the history begins at {begin}"
            raise UsageError(f"there is no way back to {count} instructions: {problem}")
        if not then.count <= self.count <= count:
            self._return_to(then, count)
        end = self._parts.end
        while (left := count - self.count) > 0:
            outcome = self._loop.run(None, left) if end.can_go_on else end.last
            if self.count < count:
                reason = "" if outcome is None else f": {outcome.reason}"
                raise StateError(f"the guest came to {self.count} instructions, not to {count}{reason}")

    def _return_to(self, then: Checkpoint, target: int) -> None:
        """Be at a checkpoint, and on the way to a state behind it."""
        self._reached, self._target, self._looked = self.end, target, then.count
        self._keeper.restore(then, self._reached)
        self._parts.end.go_back()
        self._frontier.set(self._reached)
        self._pause.set(self._next())

    # --- along a run

    def _take(self) -> None:
        """A pause has come: the state is kept."""
        self._looked = self.count
        self._keeper.take()
        self._pause.set(self._next())

    def _next(self) -> int:
        """The count of the next checkpoint that is wanted."""
        known, distance = self._keeper.before(self.count), NEAREST
        following = self.count if known is None else max(known.count, self._looked) + INTERVAL
        while distance < self._target - self.count and not self._keeper.is_full:
            following = min(following, self._target - distance)
            distance *= STEP
        return max(following, self.count + 1)

    def _come_to_frontier(self) -> None:
        """What comes is new: what has been typed meanwhile may be let in."""
        self._parts.feed.note()
        self._parts.attention.call()
