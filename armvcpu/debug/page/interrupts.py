"""What the interrupts of the board are for, in words: the CPU's own by the architecture, others by their devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.debug.page.text import plain
from armvcpu.debug.words import interrupt_name

if TYPE_CHECKING:
    from armvcpu.machine.board.virt import Board

_OF_CPU = {
    23: "PMU", 25: "GIC maintenance", 26: "hypervisor timer", 27: "virtual timer", 29: "secure timer",
    30: "physical timer",
}  # fmt: skip
"""INTIDs of the PPIs that the Base System Architecture recommends (Arm DEN 0094, 3.6 and 3.8)."""
_SPECIAL = {1023: "none was pending", 1022: "a Group 1 one was pending"}


class InterruptNames:
    """Those of one board."""

    def __init__(self, board: Board) -> None:
        self._devices = {32 + spi: plain(slot.name) for slot in board.slots for spi in slot.spis}

    def __call__(self, intid: int) -> str:
        """As `INTID 33, SPI 1: pl011`."""
        name = _OF_CPU.get(intid) or self._devices.get(intid) or _SPECIAL.get(intid)
        return f"INTID {intid}, {interrupt_name(intid)}" + (f": {name}" if name else "")
