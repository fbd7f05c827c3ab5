"""What a session needs of the machine that gdb looks at. `machine_guest.py` is the real one, tests have another."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from armvcpu.debug.gdb.agent import Expression
    from armvcpu.debug.gdb.description import Description, Shown
    from armvcpu.machine.outcome import Outcome


class Refused(Exception):
    """Something that gdb asked for can't be done; says why, for the user to read."""


class Area(NamedTuple):
    """A range of addresses, and how gdb may write there: RAM, or flash in whole blocks of so many bytes."""

    base: int
    size: int
    block: int = 0


class Guest(Protocol):
    """The machine, stopped between two instructions. CPUs are numbered from 0. Whatever fails raises Refused."""

    description: Description
    """Of the registers of its CPUs."""

    @property
    def symbol_file(self) -> bytes | None:
        """An ELF file with the guest's symbols, for a gdb that has none."""
        ...

    @property
    def keeps_history(self) -> bool:
        """Can it go back?"""
        ...

    def is_end_of_recording(self, outcome: Outcome) -> bool:
        """Is it how the run ended that is repeated?"""
        ...

    @property
    def cpus(self) -> int:
        """How many CPUs it has."""
        ...

    @property
    def current(self) -> int:
        """The CPU that ran last."""
        ...

    def doing(self, cpu: int) -> str:
        """What a CPU does, and at which level, in some words."""
        ...

    def read_register(self, cpu: int, register: Shown) -> int:
        """A register of a CPU's, as wide as it is there."""
        ...

    def write_register(self, cpu: int, register: Shown, value: int) -> None:
        """Write one."""
        ...

    def read(self, cpu: int, address: int, size: int, *, physical: bool) -> bytes:
        """What a CPU has at a virtual address in its present regime, or what is at a physical one.

        As much as there is from the address on, up to `size` bytes.
        """
        ...

    def write(self, cpu: int, address: int, data: bytes, *, physical: bool) -> None:
        """Write there."""
        ...

    def areas(self) -> Sequence[Area]:
        """The map of all addresses, for gdb to know what is flash."""
        ...

    def erase(self, address: int, size: int) -> None:
        """Erase flash, whole blocks."""
        ...

    def program(self, address: int, data: bytes) -> None:
        """Program flash."""
        ...

    def add_breakpoint(self, address: int, conditions: Sequence[Expression]) -> object:
        """Stop before a virtual address is executed, where one of the conditions is met, or there is none."""
        ...

    def add_watchpoint(self, address: int, size: int, *, read: bool, write: bool) -> object:
        """Stop before an access of these virtual addresses."""
        ...

    def remove(self, point: object) -> None:
        """Take back what one of the two has given."""
        ...

    def monitor(self, line: str) -> str:
        """Carry out a command of the monitor's; what it says."""
        ...

    def restart(self) -> None:
        """Switch it off and on."""
        ...
