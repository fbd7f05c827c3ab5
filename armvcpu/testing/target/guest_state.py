"""A machine's registers and memory by name, to look at and to change."""

from __future__ import annotations

from armvcpu.arch.registers import by_name
from armvcpu.errors import UsageError
from armvcpu.machine.machine import Machine
from armvcpu.testing.target.memory_view import GuestValue
from armvcpu.testing.target.watch import Watch


class GuestState(Machine):
    """The part of `Target` that looks into the guest."""

    def symbol(self, name: str) -> GuestValue:
        """The variable or function of this name; UsageError, with names like it, where there is none."""
        return GuestValue(self, self.symbols.address(name), name)

    def at(self, address: int) -> GuestValue:
        """Memory at an address."""
        return GuestValue(self, address)

    def register(self, name: str) -> int:
        """x0 to x30, sp, pc, pstate, or a system register by its Arm name, 64 bits."""
        state = self.vcpu.state
        if (index := _gpr_index(name)) is not None:
            return state.frame[index]
        if name in {"sp", "pc", "pstate"}:
            return {"sp": state.frame[31], "pc": state.pc, "pstate": state.pstate}[name]
        row = by_name.get(name.upper())
        if row is None:
            raise UsageError(f"no register {name!r}: x0 to x30, sp, pc, pstate, or a system register's Arm name")
        return self.engine.registers.read(row.encoding)

    def set_register(self, name: str, value: int) -> None:
        """Write x0 to x30, pc, or a system register."""
        if (index := _gpr_index(name)) is not None:
            self.vcpu.state.set_gpr(index, value)
        elif name == "pc":
            self.vcpu.state.set_pc(value)
        elif name.upper() in by_name:
            self.engine.registers.write(by_name[name.upper()].encoding, value)
        else:
            raise UsageError(f"no register {name!r} that can be written: x0 to x30, pc, or a system register")

    def watch(self, where: str | int, size: int = 0, *, read: bool = True, write: bool = True) -> Watch:
        """Keep the guest's accesses to `size` bytes at a symbol or address, until the watch is closed.

        Without a size it is the symbol's, or one byte. An access costs the guest about 0.2 ms, as does one to the rest
        of the page.
        """
        address = self.symbols.address(where) if isinstance(where, str) else where
        if isinstance(where, str) and not size:
            size = self.symbols.size(where)
        return Watch(self, address, max(size, 1), read=read, write=write)


def _gpr_index(name: str) -> int | None:
    """The number of x0 to x30, None for any other name."""
    return int(name[1:]) if name[:1] == "x" and name[1:].isdecimal() and int(name[1:]) < 31 else None
