"""Running a machine under test to a place: an address, an exit, an access, words on its console, a count."""

from __future__ import annotations

import re
import time
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

from pexpect import EOF, TIMEOUT

from armvcpu.errors import UsageError, number_in, seconds_in
from armvcpu.machine.outcome import Ending, Outcome
from armvcpu.testing.arguments import count_in
from armvcpu.vcpu import exits

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.machine.machine import Machine
    from armvcpu.testing.expect import Conversation
    from armvcpu.testing.target.guest_state import GuestState

REACHED, EXITED = "reached", "made the exit that was waited for"
PLACES = "symbol, address, exit, read, write, pattern and instructions"


class NotReachedError(AssertionError):
    """The guest did not get where it was wanted."""


class Places:
    """Runs a machine to a place; `timeout` is the patience in seconds, unless another is given."""

    def __init__(self, machine: Machine, state: GuestState, talk: Conversation, timeout: float) -> None:
        self._machine, self._state, self._talk, self._timeout = machine, state, talk, timeout
        self._awaited: str | None = None

    def run_until(
        self,
        *,
        symbol: str | None = None,
        address: int | None = None,
        exit: str | None = None,
        read: str | int | None = None,
        write: str | int | None = None,
        pattern: str | re.Pattern[str] | None = None,
        instructions: int | None = None,
        count: int = 1,
        timeout: float | None = None,
    ) -> None:
        """Run until one of these has been reached or made, `count` times; NotReachedError otherwise.

        At a symbol or address the instruction there has not been executed. `exit` is the name of a class in
        `vcpu.exits`, as `Halt` or `MmioWrite`. `read` and `write` are a variable or address that is accessed; the
        access has then been made. `pattern` is text on the console as it stands, or a compiled regular expression,
        found as `expect_exact` and `expect` find it. `instructions` is how many more are executed, exactly.
        """
        __tracebackhide__ = True
        places: list[tuple[Any, Callable[[Any, float], None]]] = [
            (symbol, self._run_to_symbol),
            (address, self._run_to),
            (exit, self._run_to_exit),
            (read, partial(self._run_to_access, is_read=True)),
            (write, partial(self._run_to_access, is_read=False)),
            (pattern, self._run_to_text),
            (instructions, self._run_on),
        ]
        given = [(place, run) for place, run in places if place is not None]
        if len(given) != 1:
            raise UsageError(f"run_until needs one of {PLACES}")
        ((place, run),) = given
        end = time.monotonic() + (self._timeout if timeout is None else seconds_in("timeout", timeout))
        for _ in range(count_in("count", count)):
            run(place, end)

    def count_instructions(self, start: str, end: str, timeout: float | None = None) -> int:
        """How many the guest executes from its next arrival at the symbol `start` to that at `end`, exactly.

        All CPUs' count. The machine counts from then on, which costs it a fifth.
        """
        __tracebackhide__ = True
        self._machine.engine.count_instructions()
        self.run_until(symbol=start, timeout=timeout)
        before = self._machine.engine.instructions
        self.run_until(symbol=end, timeout=timeout)
        return self._machine.engine.instructions - before

    # --- private ----------------------------------------------------------------------------------------------

    def _run_to_symbol(self, name: str, end: float) -> None:
        __tracebackhide__ = True
        self._run_to(self._machine.symbols.address(name), end, name)

    def _run_to(self, address: int, end: float, name: str = "") -> None:
        __tracebackhide__ = True
        name = name or f"{number_in('an address', address, 64):#x}"
        if self._machine.vcpu.state.pc == address and (outcome := self._machine.step()) is not None:
            self._arrive(outcome, Ending.STOPPED, REACHED, name)
        if address % 4:
            raise UsageError(f"{address:#x} is no address of an instruction")
        probe = self._machine.engine.listen.probe(address, self._on_arrival)
        try:
            self._run_to_end(end, Ending.STOPPED, REACHED, name)
        finally:
            probe.remove()

    def _on_arrival(self, _pc: int) -> None:
        self._machine.end(Outcome.of(Ending.STOPPED, REACHED))

    def _run_to_exit(self, kind: str, end: float) -> None:
        __tracebackhide__ = True
        if kind not in (known := [each.__name__ for each in get_args(exits.Exit)]):
            raise UsageError(f"no exit {kind!r}; there are {', '.join(known)}")
        self._awaited = kind
        try:
            self._run_to_end(end, Ending.POWERED_OFF, EXITED, f"an exit {kind}")
        finally:
            self._awaited = None

    def _run_to_access(self, where: str | int, end: float, *, is_read: bool) -> None:
        __tracebackhide__ = True
        name = where if isinstance(where, str) else f"{number_in('an address', where, 64):#x}"
        what = f"a {'read' if is_read else 'write'} of {name}"
        with self._state.watch(where, read=is_read, write=not is_read) as watch:
            watch.on_access = lambda _access: self._machine.end(Outcome.of(Ending.STOPPED, REACHED))
            self._run_to_end(end, Ending.STOPPED, REACHED, what)

    def _run_to_text(self, pattern: str | re.Pattern[str], end: float) -> None:
        __tracebackhide__ = True
        is_text = isinstance(pattern, str)
        if not is_text and not isinstance(pattern, re.Pattern):
            raise UsageError(f"pattern = {pattern!r}: give text or a compiled regular expression")
        left = max(0.0, end - time.monotonic())
        try:
            if is_text:
                self._talk.expect_exact(pattern, timeout=left)
            else:
                self._talk.expect(pattern, timeout=left)
        except (EOF, TIMEOUT) as why:
            reason = "time-out" if isinstance(why, TIMEOUT) or self._talk.outcome is None else self._talk.outcome.reason
            shown = repr(pattern if isinstance(pattern, str) else pattern.pattern)
            raise NotReachedError(f"{shown} was not reached: {reason}\n{self._talk}") from None

    def _run_on(self, instructions: int, end: float) -> None:
        __tracebackhide__ = True
        count_in("instructions", instructions)
        self._machine.engine.count_instructions()
        last = self._machine.engine.instructions + instructions
        outcome = self._machine.run(timeout=max(0.001, end - time.monotonic()), max_instructions=instructions)
        if outcome.ending is not Ending.LIMIT or self._machine.engine.instructions != last:
            self._arrive(outcome, None, "", f"the end of {instructions} instructions")

    def _run_to_end(self, end: float, ending: Ending, reason: str, name: str) -> None:
        __tracebackhide__ = True
        self._arrive(self._machine.run(timeout=max(0.001, end - time.monotonic())), ending, reason, name)

    def _arrive(self, outcome: Outcome, ending: Ending | None, reason: str, name: str) -> None:
        """NotReachedError unless the run has ended so."""
        __tracebackhide__ = True
        if (outcome.ending, outcome.reason) == (ending, reason):
            return
        if outcome.ending is not Ending.LIMIT:
            self._talk.outcome = outcome
        raise NotReachedError(f"{name} was not reached: {outcome.reason}\n{self._talk}")

    def on_exit(self, reason: exits.Exit) -> None:
        """An exit has been made: is it the one that is waited for?"""
        if self._awaited == type(reason).__name__:
            self._machine.quit(EXITED)
