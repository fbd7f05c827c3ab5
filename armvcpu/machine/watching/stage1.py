"""A guest's own translation tables: their geometry, and what an entry leads to. DDI 0487 D8.2."""

from __future__ import annotations

from typing import NamedTuple

from armvcpu.arch.controls import TCR_EL1

_GRANULES = {0: 12, 1: 16, 2: 14}, {1: 14, 2: 12, 3: 16}
"""log2 of the granule by TCR_EL1.TG0 and TG1."""
_EPD = TCR_EL1.EPD0, TCR_EL1.EPD1
_VALID, _TABLE_OR_PAGE = 1, 2
_LAST_LEVEL = 3
_LARGEST_BLOCK = {12: 30, 14: 25, 16: 29}
"""log2 of its bytes by granule, without FEAT_LPA2 and FEAT_LPA (D8.3.1)."""
_ADDRESS = (1 << 48) - 1


class Tables(NamedTuple):
    """Those of one half of the virtual addresses, as TCR_EL1 and TTBR0_EL1 or TTBR1_EL1 say."""

    granule: int
    """log2 of its bytes."""
    bits: int
    """Of a virtual address, that are translated."""
    level: int
    """Of the first table."""
    base: int
    """Its physical address."""

    def shift(self, level: int) -> int:
        """log2 of the bytes that an entry of a table of this level is for."""
        return self.granule + (self.granule - 3) * (_LAST_LEVEL - level)

    def has_blocks(self, level: int) -> bool:
        """May an entry of this level map memory? Blocks have at most 1 GiB (D8.3)."""
        return level == _LAST_LEVEL or self.shift(level) <= _LARGEST_BLOCK[self.granule]

    def next_table(self, descriptor: int, level: int) -> int | None:
        """The physical address of the table that an entry of this level leads to; None where it leads to none."""
        is_table = level < _LAST_LEVEL and descriptor & (_VALID | _TABLE_OR_PAGE) == _VALID | _TABLE_OR_PAGE
        return descriptor & _ADDRESS & -1 << self.granule if is_table else None

    def output(self, descriptor: int, level: int) -> int | None:
        """The physical address that a page or block of this level is at; None where the entry maps none."""
        is_page = bool(descriptor & _TABLE_OR_PAGE)
        if not descriptor & _VALID or is_page != (level == _LAST_LEVEL):
            return None
        return descriptor & _ADDRESS & -1 << self.shift(level)


def tables(tcr_el1: int, ttbr: int, *, is_upper: bool) -> Tables | None:
    """The tables of a half, whose TTBR is given; None where TCR_EL1 has none for it, or a reserved granule."""
    tcr = TCR_EL1(tcr_el1)
    granule = _GRANULES[is_upper].get(tcr.TG1 if is_upper else tcr.TG0)
    bits = 64 - (tcr.T1SZ if is_upper else tcr.T0SZ)
    if granule is None or bits <= granule or tcr & _EPD[is_upper].mask:
        return None
    level = _LAST_LEVEL + 1 + (granule - bits) // (granule - 3)
    return Tables(granule, bits, level, ttbr & _ADDRESS & ~1)
