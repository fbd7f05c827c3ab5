"""Checks of what a test gives: each is a UsageError of one line, before anything has been changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.errors import UsageError, number_in

if TYPE_CHECKING:
    from armvcpu.machine.machine import Machine


def count_in(what: str, value: object) -> int:
    """How many: one or more."""
    if number_in(what, value, 64, signed=True) < 1:
        raise UsageError(f"{what} = {value}: give 1 or more")
    return number_in(what, value, 64)


def range_in(machine: Machine, address: object, size: object) -> tuple[int, int]:
    """An address and a size, bytes, of a range that is no larger than the machine's memory."""
    start, length = number_in("an address", address, 64), number_in("a size in bytes", size, 64)
    there = len(machine.memory.ram) + sum(len(bank) for bank in machine.memory.flash)
    if length > there or start + length > 1 << 64:
        raise UsageError(f"{length:#x} bytes at {start:#x}: the machine has {there:#x} bytes of RAM and flash")
    return start, length
