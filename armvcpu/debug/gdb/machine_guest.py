"""The machine as a session sees it: its registers, memory and points, through the machine's own parts."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, TypeVar

from armvcpu.arch.psci import AffinityState
from armvcpu.arch.pstate import mode_name
from armvcpu.debug.gdb.agent import BadExpression
from armvcpu.debug.gdb.description import Description
from armvcpu.debug.gdb.guest import Refused
from armvcpu.debug.gdb.spaces import Spaces
from armvcpu.debug.gdb.symbol_file import symbol_file
from armvcpu.errors import ArmvcpuError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from armvcpu.debug.gdb.agent import Expression
    from armvcpu.debug.gdb.description import Shown
    from armvcpu.debug.gdb.guest import Area
    from armvcpu.engine.state import CpuState
    from armvcpu.machine.boot.symbols import Symbols
    from armvcpu.machine.debugging.debugger import Debugger
    from armvcpu.machine.outcome import Outcome
    from armvcpu.machine.parts import Parts
    from armvcpu.vcpu.vcpu import Aarch64VCpu


_T = TypeVar("_T")


class MachineGuest:
    """One machine. `monitor` carries out a command of the monitor's, `reset` switches it off and on."""

    def __init__(
        self, parts: Parts, debugger: Debugger, monitor: Callable[[str], str], reset: Callable[[], None],
        history: Callable[[], object | None], symbols: Callable[[], Symbols],
    ) -> None:  # fmt: skip
        self._parts, self._debugger, self._monitor, self._reset = parts, debugger, monitor, reset
        self._history, self._symbols = history, symbols
        self._vcpus = [cpu.vcpu for cpu in parts.turns.cpus]
        self._spaces = Spaces(
            parts.memory, parts.bus, parts.config.el, has_flash=not parts.boot.plan.is_linux
        )  # fmt: skip
        self.description = Description(self._vcpus[0].registers)

    @cached_property
    def symbol_file(self) -> bytes | None:
        """An ELF file with what is known of the guest's symbols."""
        return symbol_file(self._symbols())

    @property
    def keeps_history(self) -> bool:
        """Can it go back?"""
        return self._history() is not None

    def is_end_of_recording(self, outcome: Outcome) -> bool:
        """Is it what a recording has last?"""
        return outcome is self._parts.inputs.end

    @property
    def cpus(self) -> int:
        """How many CPUs it has."""
        return len(self._vcpus)

    @property
    def current(self) -> int:
        """The CPU that ran last."""
        return self._parts.turns.cpu.index

    def doing(self, cpu: int) -> str:
        """What a CPU does, and at which level."""
        one = self._parts.turns.cpus[cpu]
        if one.power is AffinityState.OFF:
            return "switched off"
        if one.has_start or not one.vcpu.has_state:
            return "about to start"
        mode = mode_name(one.vcpu.state.pstate)
        return f"{mode}, waits for an interrupt" if one.waiting else mode

    # --- registers and memory ---------------------------------------------------------------------------------

    def read_register(self, cpu: int, register: Shown) -> int:
        """A register, by the Arm name that it has here."""
        vcpu = self._vcpus[cpu]
        look = _QUICK.get(register.ours) if vcpu.has_state else None  # what gdb is told at every stop
        return vcpu.registers[register.ours] if look is None else look(vcpu.state)

    def write_register(self, cpu: int, register: Shown, value: int) -> None:
        """Write one."""
        _refusing(partial(self._vcpus[cpu].registers.__setitem__, register.ours, value))

    def read(self, cpu: int, address: int, size: int, *, physical: bool) -> bytes:
        """As much as there is of what a CPU has at an address."""
        return self._spaces.read(None if physical else self._vcpus[cpu], address, size)

    def write(self, cpu: int, address: int, data: bytes, *, physical: bool) -> None:
        """Write there."""
        _refusing(lambda: self._spaces.write(None if physical else self._vcpus[cpu], address, data))

    def areas(self) -> Sequence[Area]:
        """What is flash, and the rest."""
        return self._spaces.areas()

    def erase(self, address: int, size: int) -> None:
        """Erase flash."""
        self._spaces.erase(address, size)

    def program(self, address: int, data: bytes) -> None:
        """Program it."""
        self._spaces.program(address, data)

    # --- points -----------------------------------------------------------------------------------------------

    def add_breakpoint(self, address: int, conditions: Sequence[Expression]) -> object:
        """Stop there, where a condition is met or there is none."""
        met = partial(_is_met, self, tuple(conditions)) if conditions else None
        point = _refusing(lambda: self._debugger.breakpoints.add(address, met))
        return partial(self._debugger.breakpoints.remove, point)

    def add_watchpoint(self, address: int, size: int, *, read: bool, write: bool) -> object:
        """Stop before an access."""
        point = _refusing(lambda: self._debugger.watchpoints.add(address, size, read=read, write=write))
        return partial(self._debugger.watchpoints.remove, point)

    def remove(self, point: object) -> None:
        """Take it back."""
        assert isinstance(point, partial)
        point()

    # --- all of it --------------------------------------------------------------------------------------------

    def monitor(self, line: str) -> str:
        """Ask the monitor; what it says, an error too."""
        try:
            return self._monitor(line)
        except ArmvcpuError as error:
            return str(error)

    def restart(self) -> None:
        """Switch it off and on."""
        self._reset()


_QUICK: dict[str, Callable[[CpuState], int]] = {
    "X29": lambda state: state.gpr(29),
    "SP": lambda state: state.frame[31],
    "PC": lambda state: state.pc,
}


class _Looks:
    """What a condition looks at, on the CPU that has come to the breakpoint."""

    __slots__ = ("_guest", "_vcpu")

    def __init__(self, guest: MachineGuest, vcpu: Aarch64VCpu) -> None:
        self._guest, self._vcpu = guest, vcpu

    def register(self, number: int) -> int:
        """By gdb's number."""
        if number < 31:
            return self._vcpu.state.gpr(number)
        registers = self._guest.description.registers
        if number >= len(registers):
            raise BadExpression(f"reads register {number}, of {len(registers)}")
        return self._vcpu.registers[registers[number].ours]

    def memory(self, address: int, size: int) -> bytes | None:
        """At a virtual address."""
        return self._vcpu.engine.memory.read_virtual(address, size)


def _is_met(guest: MachineGuest, conditions: tuple[Expression, ...], vcpu: Aarch64VCpu) -> bool:
    """Is one of them met? One that comes to grief is: so its user sees where, as with gdb's own server."""
    looks = _Looks(guest, vcpu)
    for condition in conditions:
        try:
            if condition.value(looks):
                return True
        except BadExpression:
            return True
    return False


def _refusing(call: Callable[[], _T]) -> _T:
    try:
        return call()
    except ArmvcpuError as error:
        raise Refused(str(error)) from error
