"""What a tracer may hear of a vCPU. Nothing is called, formatted or allocated unless an observer is installed."""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING, Protocol
from armvcpu.errors import callable_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from armvcpu.engine.state import CpuState
    from armvcpu.vcpu.exits import Exit


class Observer(Protocol):
    """Events of one vCPU, in the order they happen. `state.pc` is the instruction's, but in `call` and `exit`.

    What a class that is derived from it does not have itself is not told, and costs nothing.
    """

    def exception(self, vcpu_id: int, elr: int, target_el: int, esr: int, far: int | None, vector: int) -> None:
        """The guest has taken an exception, and PC is on its vector; `far` where the class has one."""

    def sysreg(self, vcpu_id: int, state: CpuState, encoding: int, is_read: bool, value: int) -> None:
        """MRS gave `value`, or MSR wrote it: of a register that is answered here, constants too."""

    def call(
        self, vcpu_id: int, state: CpuState, conduit: str, function_id: int, args: Sequence[int], result: object
    ) -> None:
        """An HVC or SMC (`conduit`) with x0 and x1 to x6; `result` is x0 to x3 or an exit. `state.pc` is behind it."""

    def mmio(self, vcpu_id: int, state: CpuState, is_read: bool, address: int, width: int, value: int) -> None:
        """A device access of `width` bytes at a guest-physical address."""

    def irq(self, vcpu_id: int, state: CpuState, what: str, intid: int) -> None:
        """The guest acknowledges or ends an interrupt ("acknowledge", "end")."""

    def exit(self, vcpu_id: int, state: CpuState, reason: Exit) -> None:
        """The guest has done something for which `run()` will return `reason`.

        What the host ends a run with is not told. `state.pc` is where the guest would go on: behind the instruction, or
        on it where the reason is NestedPageFault or SendIPI.
        """


_EVENTS = {"exception": 6, "sysreg": 5, "call": 6, "mmio": 6, "irq": 4, "exit": 3}
"""How many arguments each has."""


def check_observer(observer: object) -> None:
    """UsageError for what can't hear every event: a class that wants few of them is derived from Observer."""
    for name, arguments in _EVENTS.items():
        callable_in(f"`{name}` of an observer", getattr(observer, name, None), arguments)


def heard(observer: Observer) -> frozenset[str]:
    """The events that it wants: those of whose methods it has its own."""
    if isinstance(observer, Observers):
        return observer.events
    methods = {name: getattr(observer, name) for name in _EVENTS}
    return frozenset(name for name, method in methods.items() if _function(method) is not getattr(Observer, name))


def _function(method: object) -> object:
    return getattr(method, "__func__", method)


class Observers:
    """Several observers as one: each hears what it wants."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._hearing: dict[str, list[Observer]] = {name: [] for name in _EVENTS}
        for observer in observers:
            for name in heard(observer):
                self._hearing[name].append(observer)
        self.events = frozenset(name for name, hearing in self._hearing.items() if hearing)
        """Those that somebody wants."""

    def exception(self, vcpu_id: int, elr: int, target_el: int, esr: int, far: int | None, vector: int) -> None:
        """Tell who wants to hear."""
        for each in self._hearing["exception"]:
            each.exception(vcpu_id, elr, target_el, esr, far, vector)

    def sysreg(self, vcpu_id: int, state: CpuState, encoding: int, is_read: bool, value: int) -> None:
        """Tell who wants to hear."""
        for each in self._hearing["sysreg"]:
            each.sysreg(vcpu_id, state, encoding, is_read, value)

    def call(
        self, vcpu_id: int, state: CpuState, conduit: str, function_id: int, args: Sequence[int], result: object
    ) -> None:
        """Tell who wants to hear."""
        for each in self._hearing["call"]:
            each.call(vcpu_id, state, conduit, function_id, args, result)

    def mmio(self, vcpu_id: int, state: CpuState, is_read: bool, address: int, width: int, value: int) -> None:
        """Tell who wants to hear."""
        for each in self._hearing["mmio"]:
            each.mmio(vcpu_id, state, is_read, address, width, value)

    def irq(self, vcpu_id: int, state: CpuState, what: str, intid: int) -> None:
        """Tell who wants to hear."""
        for each in self._hearing["irq"]:
            each.irq(vcpu_id, state, what, intid)

    def exit(self, vcpu_id: int, state: CpuState, reason: Exit) -> None:
        """Tell who wants to hear."""
        for each in self._hearing["exit"]:
            each.exit(vcpu_id, state, reason)
