"""How gdb moves the guest besides having it go on: steps, ranges of them, back in its history, and its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from armvcpu.machine.debugging.stop import Stop, StopKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.machine.debugging.debugger import Debugger
    from armvcpu.machine.outcome import Outcome
    from armvcpu.machine.running.turns import Turns

_LOOK_EVERY = 512
"""Steps in a range between two looks at whether gdb wants to stop."""


class GoesBack(Protocol):
    """A history that a machine keeps."""

    def step_back(self) -> Stop:
        """To before the last instruction."""
        ...

    def continue_back(self, gives_up: Callable[[], bool]) -> Stop:
        """To the last breakpoint or watchpoint that was hit before, unless a pause meanwhile `gives_up`."""
        ...


class Moves:
    """Of one machine; `end` has its run end, `history` is what it keeps of its past, if anything.

    `repeats`: do its runs?
    """

    def __init__(
        self, debugger: Debugger, turns: Turns, end: Callable[[], None], history: Callable[[], GoesBack | None],
        *, repeats: bool,
    ) -> None:  # fmt: skip
        self._debugger, self._turns, self.end, self._history = debugger, turns, end, history
        self._repeats = repeats

    def here(self) -> Stop:
        """Where the guest stands."""
        cpu = self._turns.cpu
        return Stop(StopKind.STEP, cpu.index, cpu.vcpu.registers["PC"])

    def run_alone(self, cpu: int | None) -> None:
        """When the guest goes on, only this CPU is to; None: all do."""
        self._debugger.only = cpu if len(self._turns.cpus) > 1 else None

    def is_next(self, cpu: int) -> bool:
        """Does a CPU execute the next instruction, if it is to be stepped?"""
        turns = self._turns
        return turns.cpus[cpu].runnable and (not self._repeats or cpu == turns.cpu.index)

    def step(self, cpu: int) -> Stop | Outcome:
        """One instruction of a CPU."""
        return self._debugger.step(cpu)

    def step_in_range(self, cpu: int, begin: int, end: int, wants_stop: Callable[[], bool]) -> Stop | Outcome:
        """At least one, then as long as the CPU is at an address from `begin` to below `end` and nothing stops it."""
        steps = 0
        while True:
            made = self._debugger.step(cpu)
            if not isinstance(made, Stop) or made.kind is not StopKind.STEP or not begin <= made.pc < end:
                return made
            if self._debugger.breakpoints.at(made.pc):
                return made.replace(kind=StopKind.BREAKPOINT)
            steps += 1
            if steps % _LOOK_EVERY == 0 and wants_stop():
                return made.replace(kind=StopKind.PAUSED)

    def step_back(self) -> Stop:
        """One instruction back, of whichever CPU executed it."""
        return self._past().step_back()

    def go_back(self, gives_up: Callable[[], bool]) -> Stop:
        """Back to the last breakpoint, or to behind the last access that is watched: gdb itself goes back over that."""
        stop = self._past().continue_back(gives_up)
        if stop.kind is StopKind.WATCHPOINT:
            self._debugger.step(stop.cpu)
        return stop

    def _past(self) -> GoesBack:
        history = self._history()
        assert history is not None  # a session asks for it only where one is kept
        return history
