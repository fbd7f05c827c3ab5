"""A trace that is being made: kinds of event, filtered, written; attached to a machine until it is closed."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from armvcpu.debug.tracing.code import Accesses, Instructions
from armvcpu.debug.tracing.flow import ALL_BRANCHES, Branches, Levels, Requests
from armvcpu.debug.tracing.guest import TracedGuest
from armvcpu.debug.tracing.kinds import check_kinds
from armvcpu.debug.tracing.listeners import LISTENERS
from armvcpu.engine.api import CALLS, RETURNS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from armvcpu.debug.tracing.event import Event
    from armvcpu.debug.tracing.filters import Filters
    from armvcpu.debug.tracing.formats import Writer
    from armvcpu.machine.boot.symbols import Symbols
    from armvcpu.machine.parts import Parts


class Trace:
    """One of a machine: events of `kinds` that `filters` keep go to `writer`, from now until `close()`."""

    def __init__(
        self, parts: Parts, symbols: Symbols, kinds: Collection[str], writer: Writer, filters: Filters
    ) -> None:
        self._parts, self._symbols, self._filters = parts, symbols, filters
        self._held = ExitStack()
        self._is_open = True
        self._branches: list[Callable[[int, int], None]] = []
        check_kinds(kinds)
        keeps = filters.for_guest(parts, symbols, self._heard_last)
        self._guest = TracedGuest.of(parts, symbols, timed=writer.timed or filters.timed)
        self._emit = writer.event if keeps is None else _filtered(keeps, writer)
        self._held.callback(writer.end)
        self._held.callback(parts.held.callback(self.close))  # with the machine, where nobody does before
        try:
            self._attach(set(kinds) | ({"level"} if writer.spans and "exception" in kinds else set()))
        except BaseException:
            self.close()
            raise

    def _attach(self, kinds: set[str]) -> None:
        self._observe(kinds)
        self._follow(kinds)
        if "insn" in kinds:
            self._hear_instructions(Instructions(self._guest, self._emit, self._where))
        if "mem" in kinds:
            heard = Accesses(self._guest, self._emit, self._where).heard
            self._held.callback(self._parts.observation.trace_memory(self._while_open(heard)))

    def _observe(self, kinds: set[str]) -> None:
        """What vCPUs tell."""
        observation, gic = self._parts.observation, self._parts.board.gic
        for kind, listener in LISTENERS.items():
            if kind in kinds:
                observer = listener(self._guest, self._emit)
                observation.add(observer, gic)
                self._held.callback(observation.remove, observer, gic)

    def _follow(self, kinds: set[str]) -> None:
        """Where execution goes."""
        parts, flow = self._parts, self._parts.observation.flow
        if "level" in kinds:
            levels = Levels(self._guest, self._emit, parts).heard
            flow.hear_levels(levels)
            self._held.callback(flow.ignore, levels, parts.board)
        if "request" in kinds:
            requests = Requests(self._guest, self._emit, parts).heard
            flow.hear_requests(requests, parts.board)
            self._held.callback(flow.ignore, requests, parts.board)
        if "branch" in kinds:
            self._hear_branches(ALL_BRANCHES, Branches(self._guest, self._emit, parts).heard)
        if "call" in kinds:
            self._hear_calls()

    def _hear_branches(self, kinds: int, heard: Callable[[int, int], None]) -> None:
        flow = self._parts.observation.flow
        flow.hear_branches(kinds, heard)
        self._branches.append(heard)
        self._held.callback(flow.ignore, heard, self._parts.board)

    def _hear_calls(self) -> None:
        """Those of all functions by their branches; of functions that a filter names at their first instructions."""
        from armvcpu.debug.tracing.calls import Calls, Entries  # which other traces need no DWARF for

        calls = Calls(self._guest, self._emit, self._parts)
        entries = self._filters.entries(self._symbols)
        if entries is None:
            self._hear_branches(CALLS | RETURNS, calls.heard)
        else:
            self._held.callback(Entries(calls, self._parts, entries).close)

    def _hear_instructions(self, instructions: Instructions) -> None:
        """At a few places, which costs the guest little, or everywhere."""
        places = self._filters.instructions(self._symbols)
        if places is None:
            self._held.callback(self._parts.observation.trace_instructions(self._while_open(instructions.heard)))
            return
        for place in places:
            self._held.callback(self._parts.engine.listen.probe(place, instructions.heard).remove)

    def _where(self) -> tuple[int, int]:
        cpu = self._parts.turns.cpu
        return cpu.index, cpu.vcpu.state.el

    def _while_open(self, heard: Callable[..., None]) -> Callable[..., None]:
        """Calls of the engine's hooks, which stay where they are until the trace is closed."""

        def tell(*what: object) -> None:
            if self._is_open:
                heard(*what)

        return tell

    def _heard_last(self) -> None:
        """In an event: no other one will be kept, so that what slows the guest down most is heard no more."""
        self._is_open = False
        for heard in self._branches:
            self._parts.observation.flow.ignore(heard, self._parts.board)

    def close(self) -> None:
        """Nothing more is heard, and what stands behind the last event is written. May be called twice.

        The machine's end does it, too.
        """
        self._is_open = False
        self._held.close()


def _filtered(keeps: Callable[[Event], bool], writer: Writer) -> Callable[[Event], None]:
    def filtered(event: Event) -> None:
        if keeps(event):
            writer.event(event)
        elif writer.spans:
            writer.pass_by(event)

    return filtered
