"""One of a guest's watchpoints: what its two registers say. DDI 0487 D2.10 and D17.3."""

from __future__ import annotations

from armvcpu.arch.rows import Row
from armvcpu.machine.board.memory import PAGE
from armvcpu.vcpu.stage2.mapping import MappingFlags

_SECURE_ONLY = 2
_MOST_PAGES = 1024
"""A watchpoint may watch 2 GiB; the pages of a larger one are not guarded."""


class Watchpoint(Row):
    """One that is enabled: DBGWVRn_EL1 and DBGWCRn_EL1 (DDI 0487 D17.3)."""

    value: int
    control: int

    @property
    def levels(self) -> int:
        """The exception levels it watches, a bit each: PAC, and SSC and HMC for Non-secure state."""
        if self.control >> 13 & 1 or self.control >> 14 & 3 == _SECURE_ONLY:
            return 0
        return {1: 0b10, 2: 0b01, 3: 0b11}.get(self.control >> 1 & 3, 0)

    @property
    def denied(self) -> MappingFlags:
        """LSC: loads, stores or both."""
        kinds = {1: MappingFlags.READ, 2: MappingFlags.WRITE, 3: MappingFlags.READ | MappingFlags.WRITE}
        return kinds.get(self.control >> 3 & 3, MappingFlags(0))

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """(first, last) virtual addresses watched: a power of two by MASK, else the bytes of BAS."""
        mask = self.control >> 24 & 0x1F
        if mask:
            size = 1 << mask
            first = self.value & -size
            return [(first, first + size - 1)]
        first, select = self.value & -4, self.control >> 5 & 0xFF
        if first & 4:
            select &= 0xF
        return [(first + n, first + n) for n in range(8) if select >> n & 1]

    @property
    def pages(self) -> set[int]:
        """The virtual pages they are in; none where they are too many."""
        found = {at for first, last in self.ranges for at in range(first & -PAGE, last + 1, PAGE)[: _MOST_PAGES + 1]}
        return found if len(found) <= _MOST_PAGES else set()

    def hit(self, address: int, width: int) -> int | None:
        """The lowest address of an access that is watched, or None."""
        found = [max(first, address) for first, last in self.ranges if first < address + width and address <= last]
        return min(found) if found else None
