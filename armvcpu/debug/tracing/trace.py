"""A trace that is being made: kinds of event, filtered, written; attached to a machine until it is closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.debug.tracing.code import Accesses, Instructions
from armvcpu.debug.tracing.guest import TracedGuest
from armvcpu.debug.tracing.listeners import LISTENERS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from armvcpu.debug.tracing.event import Event
    from armvcpu.debug.tracing.filters import Filters
    from armvcpu.debug.tracing.formats import Writer
    from armvcpu.engine.api import Removable
    from armvcpu.machine.boot.symbols import Symbols
    from armvcpu.machine.parts import Parts


class Trace:
    """One of a machine: events of `kinds` that `filters` keep go to `writer`, from now until `close()`."""

    def __init__(
        self, parts: Parts, symbols: Symbols, kinds: Collection[str], writer: Writer, filters: Filters
    ) -> None:
        self._parts, self._writer = parts, writer
        self._is_open = True
        keeps = filters.for_guest(parts, symbols)
        guest = TracedGuest.of(parts, symbols, timed=writer.timed or filters.timed)
        emit = writer.event if keeps is None else _filtered(keeps, writer.event)
        self._observers = [LISTENERS[kind](guest, emit) for kind in LISTENERS if kind in kinds]
        for observer in self._observers:
            parts.observation.add(observer, parts.board.gic)
        self._probes: list[Removable] = []
        if "insn" in kinds:
            self._hear_instructions(Instructions(guest, emit, self._where), filters.instructions(symbols))
        if "mem" in kinds:
            parts.observation.trace_memory(self._while_open(Accesses(guest, emit, self._where).heard))

    def _hear_instructions(self, instructions: Instructions, places: list[int] | None) -> None:
        """At a few places, which costs the guest little, or everywhere."""
        if places is None:
            self._parts.observation.trace_instructions(self._while_open(instructions.heard))
        else:
            probe = self._parts.engine.listen.probe
            self._probes = [probe(place, instructions.heard) for place in places]

    def _where(self) -> tuple[int, int]:
        cpu = self._parts.turns.cpu
        return cpu.index, cpu.vcpu.state.el

    def _while_open(self, heard: Callable[..., None]) -> Callable[..., None]:
        """Calls of the engine's hooks, which stay where they are."""

        def tell(*what: object) -> None:
            if self._is_open:
                heard(*what)

        return tell

    def close(self) -> None:
        """Nothing more is heard, and what stands behind the last event is written. May be called twice."""
        if not self._is_open:
            return
        self._is_open = False
        for observer in self._observers:
            self._parts.observation.remove(observer, self._parts.board.gic)
        for probe in self._probes:
            probe.remove()
        self._writer.end()


def _filtered(keeps: Callable[[Event], bool], emit: Callable[[Event], None]) -> Callable[[Event], None]:
    def filtered(event: Event) -> None:
        if keeps(event):
            emit(event)

    return filtered
