"""Hears a machine for its page: console, exceptions, interrupts, calls, exits, device accesses; in bounded memory.

    collector = Collector(RUN)
    console.hear(collector.hear)                     before the run, as soon as there is a console
    collector.attach(parts, machine.observe)         and once there is a machine

Nothing is formatted here: what was heard becomes words when the run is over (`facts.py`).
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from armvcpu.debug.page.lines import ConsoleLines
from armvcpu.debug.page.timeline import Timeline
from armvcpu.vcpu.exits import Halt
from armvcpu.vcpu.observer import Observer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from armvcpu.engine.state import CpuState
    from armvcpu.machine.parts import Parts
    from armvcpu.vcpu.exits import Exit

MOST_KINDS = 2000
"""Kinds of call, and places of device accesses, that are counted one by one: a guest may make up any number."""


class Limits(NamedTuple):
    """How much is kept of one machine."""

    console: int
    """Bytes of the console's beginning, and as many of its end."""
    events: int
    """First events, and as many last ones."""
    bins: int
    """Intervals of time in which events are counted; an even number."""
    lanes: int
    """Kinds of event, by vCPU."""


RUN = Limits(console=512 << 10, events=1000, bins=256, lanes=160)
TEST = Limits(console=64 << 10, events=200, bins=128, lanes=80)
"""Of each machine of a suite, which may have hundreds."""


class Collector(Observer):
    """What one machine did. Keys of lanes: ("exception", EC, target EL), ("irq", INTID), ("call", id), ("halt",)."""

    def __init__(self, limits: Limits) -> None:
        self._now: Callable[[], int] = lambda: 0
        self.timeline = Timeline(self._time, limits.bins, limits.events, limits.lanes)
        self.console = ConsoleLines(self._time, limits.console)
        self.hear = self.console.hear
        self.exits: Counter[str] = Counter()
        self.calls: Counter[int] = Counter()
        self.registers: Counter[int] = Counter()
        """By 2 * encoding, and one more where it is read."""
        self.interrupts: Counter[int] = Counter()
        self.accesses: Counter[tuple[int, bool]] = Counter()
        """Device accesses by address, in steps of 512 bytes, and whether it is a read; -1 for all further places."""
        self.began = time.monotonic()

    def forget(self) -> None:
        """Begin anew, with the same machine: another test has it now."""
        self.timeline.forget()
        self.console.forget()
        for counter in (self.exits, self.calls, self.registers, self.interrupts, self.accesses):
            counter.clear()
        self.began = time.monotonic()

    def _time(self) -> int:
        return self._now()

    def attach(self, parts: Parts, observe: Callable[[Observer], None]) -> None:
        """Hear this machine from now on."""
        clock = parts.clock
        self._now = lambda: clock.ns() - clock.began
        observe(self)
        if not parts.config.exact_mmio:  # else each is told to an observer
            parts.engine.memory.hear_io(self._access)

    @property
    def guest_ns(self) -> int:
        """The guest's time now: nanoseconds since it was switched on."""
        return self._now()

    # --- vcpu.observer.Observer

    def exception(self, vcpu_id: int, elr: int, target_el: int, esr: int, far: int | None, vector: int) -> None:
        """The guest has taken an exception."""
        del vector
        self.timeline.add(vcpu_id, ("exception", esr >> 26 & 0x3F, target_el), elr, (esr, -1 if far is None else far))

    def sysreg(self, vcpu_id: int, state: CpuState, encoding: int, is_read: bool, value: int) -> None:
        """MRS or MSR of a register that is answered here."""
        del vcpu_id, state, value
        self.registers[encoding << 1 | is_read] += 1  # the most frequent event

    def call(
        self, vcpu_id: int, state: CpuState, conduit: str, function_id: int, args: Sequence[int], result: object
    ) -> None:
        """An HVC or SMC."""
        del conduit, args, result
        number = function_id if function_id in self.calls or len(self.calls) < MOST_KINDS else -1
        self.calls[number] += 1
        self.timeline.add(vcpu_id, ("call", number), state.pc)

    def mmio(self, vcpu_id: int, state: CpuState, is_read: bool, address: int, width: int, value: int) -> None:
        """A device access, on a machine with `exact_mmio`."""
        del vcpu_id, state, width, value
        self._access(address, is_read)

    def _access(self, address: int, is_read: bool) -> None:
        key = address & ~0x1FF, is_read
        if key not in self.accesses and len(self.accesses) >= MOST_KINDS:
            key = -1, is_read
        self.accesses[key] += 1

    def irq(self, vcpu_id: int, state: CpuState, what: str, intid: int) -> None:
        """The guest acknowledges or ends an interrupt."""
        if what == "acknowledge":
            self.interrupts[intid] += 1
            self.timeline.add(vcpu_id, ("irq", intid), state.pc)

    def exit(self, vcpu_id: int, state: CpuState, reason: Exit) -> None:
        """The vCPU leaves the guest."""
        self.exits[type(reason).__name__] += 1
        if isinstance(reason, Halt):
            self.timeline.add(vcpu_id, ("halt",), state.pc)
