"""Where functions of scripts are put: one machine, and what its hooks share."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from armvcpu.debug.scripts.binding import Binder, at_once
from armvcpu.debug.scripts.devices import Devices
from armvcpu.debug.scripts.hearing import Hearing
from armvcpu.debug.scripts.printed import Printed
from armvcpu.debug.scripts.registers import Registers
from armvcpu.debug.scripts.returns import Returns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import SimpleNamespace

    from armvcpu.debug.dwarf.dwarf import Dwarf
    from armvcpu.debug.scripts.binding import Bound, Getter
    from armvcpu.debug.scripts.failures import Failures
    from armvcpu.debug.scripts.hook import Remove
    from armvcpu.errors import ArmvcpuError
    from armvcpu.machine.machine import Machine
    from armvcpu.machine.outcome import Outcome
    from armvcpu.vcpu.vcpu import Aarch64VCpu


class Shared:
    """What the scripts of one machine have together."""

    def __init__(self, machine: Machine, failures: Failures) -> None:
        self.machine, self.failures = machine, failures
        self.began = machine.clock.ns()
        parts = machine.parts
        self.devices = Devices(parts.bus, parts.turns)
        self.registers = Registers(parts.turns)
        self.hearing = Hearing(parts.observation, parts.board.gic, parts.turns)
        self.printed = Printed(machine.console)
        self.returns = Returns(parts.engine.listen, parts.turns)

    @cached_property
    def dwarf(self) -> Dwarf:
        """What is known of the guest's functions."""
        from armvcpu.debug.dwarf.dwarf import Dwarf  # many scripts name no function

        return Dwarf(self.machine.symbols)


class Site:
    """The machine as one script has it."""

    def __init__(self, shared: Shared, state: SimpleNamespace) -> None:
        self.shared, self.machine, self.failures = shared, shared.machine, shared.failures
        self.starts: list[Callable[[], object]] = []
        self.ends: list[Callable[[Outcome], ArmvcpuError | None]] = []
        self._binder = Binder(_common(shared, state), self.machine.vcpu)

    def add_start(self, call: Callable[[], object]) -> Remove:
        """Have it called before the guest begins."""
        self.starts.append(call)
        return lambda: self.starts.remove(call)

    def add_end(self, call: Callable[[Outcome], ArmvcpuError | None]) -> Remove:
        """Have it called when the run has ended."""
        self.ends.append(call)
        return lambda: self.ends.remove(call)

    def find(self, name: str) -> Getter | None:
        """What every function may name, or a register; None for neither."""
        return self._binder.find(name)

    def bind(self, function: Callable[..., Any], own: Mapping[str, Getter], what: str) -> Bound:
        """What calls a function with the arguments that it names; UsageError where it names what there is not."""
        return self._binder.bind(function, own, what)


def _common(shared: Shared, state: SimpleNamespace) -> dict[str, Getter]:
    """The names that every function of a script may have as parameters."""
    machine, clock, began = shared.machine, shared.machine.clock, shared.began
    symbols, turns = machine.symbols, machine.parts.turns

    def caller(vcpu: Aarch64VCpu, _event: object) -> str:
        back = vcpu.gpr(30)
        return symbols.format(back) or f"{back:#x}"

    return {
        "machine": lambda _vcpu, _event: machine,
        "vcpu": at_once("vcpu", lambda vcpu, _event: vcpu),
        "cpu": lambda _vcpu, _event: turns.cpu.index,
        "time": lambda _vcpu, _event: (clock.ns() - began) / 1e9,
        "caller": caller,
        "state": lambda _vcpu, _event: state,
    }
