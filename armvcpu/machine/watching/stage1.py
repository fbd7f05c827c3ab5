"""The guest's own walk of its tables, for any level and permission: DDI 0487 D8.2, stage 1 of EL1 and EL0."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from armvcpu.arch.controls import SCTLR_EL1, TCR_EL1
from armvcpu.arch.registers import by_name

if TYPE_CHECKING:
    from collections.abc import Callable

_SCTLR, _TCR = by_name["SCTLR_EL1"].encoding, by_name["TCR_EL1"].encoding
_TTBR = by_name["TTBR0_EL1"].encoding, by_name["TTBR1_EL1"].encoding
_GRANULES = {0: 12, 1: 16, 2: 14}, {1: 14, 2: 12, 3: 16}
"""log2 of the granule by TCR_EL1.TG0 and TG1."""
_SELECTS_TTBR1 = 1 << 55
_BELOW_TAG = (1 << 56) - 1
"""The bits that translate; those above may be a tag (D8.8)."""
_VALID, _TABLE_OR_PAGE = 1, 2
_LAST_LEVEL = 3
_OUTPUT = (1 << 48) - 1


class Walk(NamedTuple):
    """What a walk has read, and where it ended."""

    descriptors: tuple[int, ...]
    """Their addresses, from the first level on; none with the MMU off."""
    physical: int | None
    """What is behind the address; None where nothing is mapped."""


def walk(address: int, sysreg: Callable[[int], int], memory: Callable[[int], int | None]) -> Walk:
    """Translate a virtual address.

    `sysreg` gives a register by its packed encoding, `memory` the doubleword at an address, None where there is none.
    """
    if not sysreg(_SCTLR) & SCTLR_EL1.M.mask:
        return Walk((), address)
    upper = bool(address & _SELECTS_TTBR1)
    tcr = TCR_EL1(sysreg(_TCR))
    granule = _GRANULES[upper].get(tcr.TG1 if upper else tcr.TG0)
    bits = 64 - (tcr.T1SZ if upper else tcr.T0SZ)
    if granule is None or bits <= granule or (address & _BELOW_TAG) >> bits != (_BELOW_TAG >> bits if upper else 0):
        return Walk((), None)
    stride = granule - 3
    level = _LAST_LEVEL + 1 + (granule - bits) // stride
    base = sysreg(_TTBR[upper]) & _OUTPUT & ~1
    offset, seen = address & (1 << bits) - 1, []
    while True:
        shift = granule + stride * (_LAST_LEVEL - level)
        seen.append(base + 8 * (offset >> shift))
        descriptor = memory(seen[-1])
        if descriptor is None or not descriptor & _VALID:
            return Walk(tuple(seen), None)
        offset &= (1 << shift) - 1
        is_table = level < _LAST_LEVEL and descriptor & _TABLE_OR_PAGE
        if not is_table:
            is_leaf = level < _LAST_LEVEL or descriptor & _TABLE_OR_PAGE
            return Walk(tuple(seen), descriptor & _OUTPUT & -1 << shift | offset if is_leaf else None)
        base, level = descriptor & _OUTPUT & -1 << granule, level + 1
