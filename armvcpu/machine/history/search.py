"""Where the guest was when it stopped last: the way back to a breakpoint, a watchpoint, or one instruction.

From the nearest checkpoint backwards the run is made again, from one to the next, and stops are heard of, not made. In
the first of these pieces that has some, the last one is gone to: by the same piece once more, which ends there.

A state is told by two numbers that only grow: instructions, and exceptions that have been entered. An instruction that
faults is not counted, and the vector that it leads to has the same count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.arch.rows import Row
from armvcpu.errors import StateError
from armvcpu.machine.debugging.stop import Stop, StopKind
from armvcpu.machine.outcome import STOPPED

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.machine.debugging.debugger import Debugger
    from armvcpu.machine.history.checkpoint import Checkpoint
    from armvcpu.machine.history.history import History
    from armvcpu.machine.history.keeper import Keeper
    from armvcpu.machine.outcome import Outcome
    from armvcpu.machine.parts import Parts

Position = tuple[int, int]
"""Instructions, and exceptions entered."""
CHANGED = (
    "what a condition or a function of Python's answers is no longer the same, so the guest can't be followed back"
)


class Place(Row):
    """Where the guest stands."""

    position: Position
    cpu: int
    pc: int


class Interrupted(Exception):
    """Somebody wants a stop meanwhile, or the run to end, as `outcome` says."""

    def __init__(self, outcome: Outcome | None = None) -> None:
        super().__init__()
        self.outcome = outcome


class Search:
    """In one machine's history."""

    def __init__(self, parts: Parts, keeper: Keeper, debugger: Debugger, history: History) -> None:
        self._parts, self._keeper, self._debugger, self._history = parts, keeper, debugger, history

    @property
    def _place(self) -> Place:
        cpu = self._parts.turns.cpu
        return Place(self._here, cpu.index, cpu.vcpu.state.pc)

    @property
    def _here(self) -> Position:
        return self._parts.engine.instructions, self._parts.engine.entries

    # --- stops

    def continue_back(self, gives_up: Callable[[], bool]) -> Stop:
        """To the last stop before here; to the beginning of the history where there is none.

        Whoever pauses the guest meanwhile ends that where `gives_up` says so.

        Raises:
            StateError: the guest does not do again what it did; it is where it was.
        """
        here, until, place = self._here, self._here, self._place
        then = self._keeper.before(here[0])
        while then is not None and (then.count, then.entries) >= here:
            then = self._keeper.previous(then)
        try:
            while then is not None:
                number = self._last_in(then, until, gives_up)
                if number:
                    return self._go_to_stop(then, until, number, gives_up)
                until, then = (then.count, then.entries), self._keeper.previous(then)
        except Interrupted as interrupted:
            self._return(place)
            if interrupted.outcome is not None:
                self._parts.end.by_host(interrupted.outcome)
            return self._debugger.moved(StopKind.PAUSED)
        except StateError:
            self._return(place)
            self._debugger.moved(StopKind.STEP)
            raise
        return self._beginning()

    def _return(self, place: Place) -> None:
        """Be where the search began: its count may be that of the instruction before an interrupt, or a turn, too."""
        debugger, end = self._debugger, self._parts.end
        self._history.go_to(place.position[0])
        wanted: Outcome | None = None
        point = debugger.breakpoints.add(place.pc)
        try:
            while self._place != place and self._here <= place.position and end.can_go_on:
                what = debugger.go(max_instructions=1, hear=lambda _stop: self._place == place)
                wanted = wanted if isinstance(what, Stop) else end.wish(what) or wanted
        finally:
            debugger.breakpoints.remove(point)
        if wanted is not None:
            end.by_host(wanted)

    def _beginning(self) -> Stop:
        begin = self._history.begin
        self._history.go_to(self._history.count if begin is None else begin)
        return self._debugger.moved(StopKind.BEGINNING)

    def _last_in(self, then: Checkpoint, until: Position, gives_up: Callable[[], bool]) -> int:
        """Which of the stops from a checkpoint on is the last one before a position, from 1 on; 0: there is none."""
        found: list[tuple[Position, int]] = []

        def hear(stop: Stop) -> None:
            found.append((self._here, stop.cpu))

        self._run(then, until, hear, gives_up)
        before = [place for place in found if place[0] < until]
        return before.index(before[-1]) + 1 if before else 0  # an instruction that is tried again is the same stop

    def _go_to_stop(self, then: Checkpoint, until: Position, number: int, gives_up: Callable[[], bool]) -> Stop:
        left = number

        def hear(_stop: Stop) -> bool:
            nonlocal left
            left -= 1
            return not left

        stop = self._run(then, until, hear, gives_up)
        if stop is None:
            raise StateError(CHANGED)
        return stop

    def _run(
        self, then: Checkpoint, until: Position, hear: Callable[[Stop], object], gives_up: Callable[[], bool]
    ) -> Stop | None:
        """From a checkpoint to a position, all stops before it heard of; the one that is heard last, if any."""
        self._history.return_to(then, until[0])
        end = self._parts.end
        while self._here < until and end.can_go_on:
            what = self._debugger.go(max_instructions=max(until[0] - self._here[0], 1), hear=hear)
            if isinstance(what, Stop):
                if what.kind is not StopKind.PAUSED:
                    return what
                if gives_up():
                    raise Interrupted
                self._debugger.restored()  # it has stopped there for nothing, and what is there is still to be heard
                continue
            if what is self._parts.inputs.end:
                break
            if (wish := end.wish(what)) is not None:
                raise Interrupted(wish)
        return None

    # --- instructions

    def step_back(self) -> Stop:
        """To before the last instruction that the CPU has executed which is loaded now."""
        turns, history = self._parts.turns, self._history
        cpu, count, begin = turns.cpu.index, history.count, history.begin
        while begin is not None and count > begin:
            has_executed = turns.began < count
            if has_executed and turns.cpu.index == cpu:
                history.go_back_to(count - 1)
                self._load(cpu)
                return self._debugger.moved(StopKind.STEP)
            count = turns.began if has_executed else count  # another's turn, or one that has just begun
            if count > begin:
                history.go_back_to(count)
        return self._beginning()

    def _load(self, cpu: int) -> None:
        """Where the turn of a CPU is about to begin, have it begin; whoever wants the run to end gets that then."""
        parts, wanted, outcome = self._parts, None, None
        while parts.turns.cpu.index != cpu and not parts.engine.rest and outcome is not STOPPED:
            pause = parts.pauses.add(lambda: parts.end.by_host(STOPPED))
            pause.set(parts.engine.instructions)
            outcome = self._debugger.run_past(1)
            parts.pauses.remove(pause)
            wanted = parts.end.wish(outcome) or wanted
        if wanted is not None:
            parts.end.by_host(wanted)
