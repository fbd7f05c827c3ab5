"""Stopping at an address: a BRK in the guest's code, as debuggers do, taken away before anybody can see it.

The stop is exact: the instruction there has not been executed. What runs into the BRK is told apart from the guest's
own by its immediate and its address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.arch.instructions import brk
from armvcpu.errors import UsageError, number_in

if TYPE_CHECKING:
    from types import TracebackType

    from armvcpu.machine.machine import Machine

IMMEDIATE = 0xB0B0
BRK = brk(IMMEDIATE)


class Breakpoint:
    """A context in which the guest stops before it executes what is at `address`."""

    def __init__(self, machine: Machine, address: int) -> None:
        if number_in("an address", address, 64) % 4:
            raise UsageError(f"{address:#x} is no address of an instruction")
        self._machine, self.address = machine, address
        self._physical = machine.physical(address)
        self._word = machine.read(self._physical, 4)

    def __enter__(self) -> Breakpoint:
        self._machine.write(self._physical, BRK.to_bytes(4, "little"))
        return self

    def __exit__(self, _kind: type | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        if self._machine.read(self._physical, 4) == BRK.to_bytes(4, "little"):
            self._machine.write(self._physical, self._word)
