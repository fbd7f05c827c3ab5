"""The registers that have one field per interrupt: the same set in GICv2's GICD, GICv3's GICD and each GICR.

IHI 0069 12.9 and 12.11, IHI 0048 4.3. A row says where such an array stands and which `Fields` it shows; accesses of
any width then reach exactly the interrupts whose fields they cover, so that a byte written to GICD_ICENABLER clears
eight enables and no more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from armvcpu.devices.device import Device, Register
from armvcpu.devices.gic_state import InterruptBank

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_INTIDS = 1024


@dataclass(frozen=True, slots=True)
class Fields:
    """A field of `bits` bits for each interrupt.

    `read(bank, first, count)` gives the fields of `count` interrupts from INTID `first` on, the first one lowest;
    `write(bank, first, count, value)` sets them.
    """

    bits: int
    read: Callable[[InterruptBank, int, int], int]
    write: Callable[[InterruptBank, int, int, int], None]


def _bitmap(
    attribute: str, put: Callable[[InterruptBank, int, int], None], ones: Callable[[int], int] = lambda _count: 0
) -> Fields:
    """One bit per interrupt: reads show a bitmap of the bank; `put(bank, interrupts covered, those written one)`."""
    del ones

    def read(bank: InterruptBank, first: int, count: int) -> int:
        return int(getattr(bank, attribute)) >> first & (1 << count) - 1

    def write(bank: InterruptBank, first: int, count: int, value: int) -> None:
        covered = (1 << count) - 1 << first & bank.valid
        put(bank, covered, value << first & covered)
        bank.settle()

    return Fields(1, read, write)
