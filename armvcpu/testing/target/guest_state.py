"""A machine's registers and memory by name, to look at and to change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.testing.arguments import range_in
from armvcpu.testing.target.memory_view import GuestValue
from armvcpu.testing.target.watch import Watch

if TYPE_CHECKING:
    from armvcpu.machine.machine import Machine


class GuestState:
    """What is in a machine's registers and memory."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def symbol(self, name: str) -> GuestValue:
        """The variable or function of this name; UsageError, with names like it, where there is none."""
        return GuestValue(self._machine, self._machine.symbols.address(name), name)

    def at(self, address: int) -> GuestValue:
        """Memory at an address of 64 bits."""
        return GuestValue(self._machine, address)

    def register(self, name: str) -> int:
        """X0 to X30, SP, PC, PSTATE, V0 to V31 and their parts (W0, Q0, D0, S0), or a system register by its Arm name.

        Names are in any case. UsageError where this CPU has no such register.
        """
        return self._machine.vcpu.registers[name]

    def set_register(self, name: str, value: int) -> None:
        """Write one; UsageError, with nothing changed, where it can't be written or the value does not fit."""
        self._machine.vcpu.registers[name] = value

    def watch(self, where: str | int, size: int = 0, *, read: bool = True, write: bool = True) -> Watch:
        """Keep the guest's accesses to `size` bytes at a symbol or address, until the watch is closed.

        Without a size it is the symbol's, or one byte; UsageError for more than the machine has memory. An access costs
        the guest about 0.2 ms, as does one to the rest of the page.
        """
        address = self._machine.symbols.address(where) if isinstance(where, str) else where
        range_in(self._machine, address, size)
        if isinstance(where, str) and not size:
            size = self._machine.symbols.size(where)
        return Watch(self._machine, address, max(size, 1), read=read, write=write)
