"""One of a guest's watchpoints: what its two registers say. DDI 0487 D2.10 and D17.3."""

from __future__ import annotations

from armvcpu.arch.rows import Row

_SECURE_ONLY, _NON_SECURE_ONLY = 2, (1, 3)
"""Values of SSC."""


class Watchpoint(Row):
    """One that is enabled: DBGWVRn_EL1 and DBGWCRn_EL1 (DDI 0487 D17.3)."""

    value: int
    control: int

    def watches(self, el: int, *, is_secure: bool) -> bool:
        """Does it watch accesses of an Exception level, in a Security state: SSC, HMC and PAC (D2.10.3)?"""
        state = self.control >> 14 & 3
        if (state == _SECURE_ONLY and not is_secure) or (state in _NON_SECURE_ONLY and is_secure):
            return False
        return bool(self.control >> 13 & 1) if el > 1 else bool(self.control >> 1 & 3 & (1 if el else 2))

    @property
    def reads(self) -> bool:
        """LSC: does it watch loads?"""
        return bool(self.control >> 3 & 1)

    @property
    def writes(self) -> bool:
        """LSC: does it watch stores?"""
        return bool(self.control >> 4 & 1)

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

    def hit(self, address: int, width: int) -> int | None:
        """The lowest address of an access that is watched, or None."""
        found = [max(first, address) for first, last in self.ranges if first < address + width and address <= last]
        return min(found) if found else None
