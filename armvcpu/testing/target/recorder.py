"""What a guest did, for assertions: exits by kind, calls, exceptions, register and device accesses."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from armvcpu.engine.state import CpuState
    from armvcpu.vcpu.exits import Exit

KEPT = 10_000
"""Events of each kind that are kept; the counters count all."""


class Call(NamedTuple):
    """An HVC or SMC: its function identifier in x0, x1 to x6, and what was answered."""

    conduit: str
    function_id: int
    args: tuple[int, ...]
    result: object


class DeviceAccess(NamedTuple):
    """An access to a device: its name and register, as `pl011.UARTDR`."""

    name: str
    is_read: bool
    address: int
    width: int
    value: int


class Taken(NamedTuple):
    """An exception that the guest took: ELR, ESR, FAR where the class has one."""

    elr: int
    esr: int
    far: int | None


class Recorder:
    """An observer that keeps what it hears."""

    def __init__(self, name_of: Callable[[int], str], on_exit: Callable[[Exit], None]) -> None:
        self._name_of, self._on_exit = name_of, on_exit
        self.exits: Counter[str] = Counter()
        self.interrupts: Counter[tuple[str, int]] = Counter()
        """How often the guest did "acknowledge" or "end" to an INTID."""
        self.calls: deque[Call] = deque(maxlen=KEPT)
        self.exceptions: deque[Taken] = deque(maxlen=KEPT)
        self.accesses: deque[DeviceAccess] = deque(maxlen=KEPT)

    def exception(self, vcpu_id: int, elr: int, target_el: int, esr: int, far: int | None, vector: int) -> None:
        """Keep it."""
        del vcpu_id, target_el, vector
        self.exceptions.append(Taken(elr, esr, far))

    def sysreg(self, vcpu_id: int, state: CpuState, encoding: int, is_read: bool, value: int) -> None:
        """Not kept: a tracer shows them."""

    def call(
        self, _vcpu_id: int, _state: CpuState, conduit: str, function_id: int, args: Sequence[int], result: object
    ) -> None:
        """Keep it."""
        self.calls.append(Call(conduit, function_id, tuple(args), result))

    def mmio(self, _vcpu_id: int, _state: CpuState, is_read: bool, address: int, width: int, value: int) -> None:
        """Keep it; heard of machines with `exact_mmio` only."""
        self.accesses.append(DeviceAccess(self._name_of(address), is_read, address, width, value))

    def irq(self, _vcpu_id: int, _state: CpuState, what: str, intid: int) -> None:
        """Count it."""
        self.interrupts[what, intid] += 1

    def exit(self, _vcpu_id: int, _state: CpuState, reason: Exit) -> None:
        """Count it, and tell who waits for it."""
        self.exits[type(reason).__name__] += 1
        self._on_exit(reason)
