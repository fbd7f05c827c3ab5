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

from armvcpu.errors import StateError, UsageError, named, words_of
from armvcpu.machine.history.changes import Changes
from armvcpu.machine.history.checkpoint import inputs_of
from armvcpu.machine.history.keeper import Keeper
from armvcpu.machine.history.search import Search

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.machine.config import MachineConfig
    from armvcpu.machine.debugging.debugger import Debugger
    from armvcpu.machine.debugging.stop import Stop
    from armvcpu.machine.history.checkpoint import Checkpoint
    from armvcpu.machine.parts import Parts

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
    """That of one machine, which `debugger` runs. It may take about `size` bytes; `leaves`: the machine leaves a state.

    While the guest stands still for a debugger's client it can be gone back in it, as between two runs.
    """

    def __init__(self, parts: Parts, size: int, debugger: Debugger, leaves: Callable[[], None]) -> None:
        check_history(parts.config)
        self._parts, self._debugger, self._leaves = parts, debugger, leaves
        self._engine = parts.engine
        self._inputs = inputs_of(parts)
        self._inputs.keep()
        self._keeper, self._changes = Keeper(parts, size), Changes(parts)
        self._search = Search(parts, self._keeper, debugger, self)
        self._reached = self._known_to = 0
        """The latest count that the guest has been at, and up to which it does again what it has done."""
        self._target = self._looked = 0
        self._pause, self._frontier = parts.pauses.add(self._take), parts.pauses.add(self._come_to_frontier)
        self._pause.set(self.count)
        parts.pauses.watch(self)

    def close(self) -> None:
        """Keep nothing any more."""
        self._parts.pauses.watch(None)
        self._parts.pauses.remove(self._pause)
        self._parts.pauses.remove(self._frontier)
        self._changes.close()
        self._keeper.close()

    def begin_anew(self) -> None:
        """The machine is in a state that it was not led to by its run: from a snapshot, say."""
        self._keeper.clear()
        self._inputs.forget_future()
        self._parts.outputs.forget_future()
        self._reached = self._known_to = self._target = self._looked = 0
        self._changes.note()
        self._frontier.set(None)
        self._pause.set(self.count)

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
        """Be where the machine was, or will be, after exactly so many instructions.

        Raises:
            UsageError: it was never there: `begin` is later.
            StateError: the guest runs, or ends before.
        """
        then = self._before(count)
        if then is None:
            begin = self.begin
            problem = "nothing has been run yet" if begin is None else f"the history begins at {begin}"
            raise UsageError(f"there is no way back to {count} instructions: {problem}")
        if not then.count <= self.count <= count:
            self.return_to(then, count)
        self._run_to(count)

    def go_back_to(self, count: int) -> None:
        """Be behind the last of so many instructions, and before what was due then: an interrupt, or another turn.

        `go_to` from before comes to the same place; from there itself, it stays where it is.
        """
        then = self._before(count)
        assert then is not None
        self.return_to(then, count)
        self._run_to(count)

    def step_back(self) -> Stop:
        """To before the last instruction of the CPU that is loaded; BEGINNING where there is none."""
        return self._search.step_back()

    def continue_back(self, gives_up: Callable[[], bool] = lambda: True) -> Stop:
        """To the last breakpoint or watchpoint of the debugger's before here, or to the beginning of the history.

        Where the guest is paused meanwhile (`Debugger.pause`) `gives_up` tells whether that is meant: then it is where
        it was, PAUSED. Else the search goes on.

        Raises:
            StateError: the guest does not do again what it did, or the host can't write a disk; it is where it was.
        """
        return self._search.continue_back(gives_up)

    def _before(self, count: int) -> Checkpoint | None:
        """The checkpoint to run from. One at the count itself has what was due there done already."""
        at = self._keeper.before(count)
        if at is None or at.count < count or at.begins_at == count:
            return at
        return self._keeper.before(count - 1) or at

    def return_to(self, then: Checkpoint, target: int) -> None:
        """Be at a checkpoint, and on the way to a state behind it.

        Raises:
            StateError: the guest runs, or the host can't write a disk; it can be tried again then.
        """
        self._debugger.require_still("a machine can't go back")
        self._leaves()
        self._reached, self._target, self._looked = self.end, target, then.count
        change = self._keeper.next_change(then)
        self._known_to = self._reached if change is None else change
        try:
            self._keeper.restore(then, self._known_to)
        except OSError as refusal:
            raise StateError(f"a disk can't be taken back: {words_of(refusal)}") from refusal
        self._parts.end.go_back()
        self._debugger.restored()
        self._changes.note()
        self._frontier.set(self._known_to)
        self._pause.set(self._next())

    def _run_to(self, count: int) -> None:
        """From where the machine is. Whoever wants the run to end meanwhile gets that there."""
        end, wanted = self._parts.end, None
        while (left := count - self.count) > 0:
            outcome = self._debugger.run_past(left) if end.can_go_on else end.last
            wanted = end.wish(outcome) or wanted
            if self.count == count:
                break
            if outcome is None or not end.can_go_on or outcome is self._inputs.end:
                reason = "" if outcome is None else f": {outcome.reason}"
                raise StateError(f"the guest came to {self.count} instructions, not to {count}{reason}")
        if wanted is not None:
            end.by_host(wanted)

    # --- along a run

    def leave(self) -> None:
        """The guest is about to run: where somebody has changed it, what it does now is new."""
        if self._changes.found():
            self._forget_future()
            self._keeper.take(self.count)

    def stay(self) -> None:
        """It stands still."""
        self._changes.note()

    def _forget_future(self) -> None:
        self._keeper.forget_after(self.count)
        self._inputs.forget_future()
        self._parts.outputs.forget_future()
        self._reached = self._known_to = self.count
        self._frontier.set(None)

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
        """What comes is new: what has been typed meanwhile may be let in, and what was changed here has not been."""
        if self._known_to < self._reached:
            self._forget_future()
        self._parts.feed.note()
        self._parts.attention.call()
