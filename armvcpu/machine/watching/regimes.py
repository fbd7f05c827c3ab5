"""What an address means at each Exception level of a guest: its translation regime, and a walk of both stages.

DDI 0487 D8.1 (regimes), D8.2 (stage 1), D8.3 (stage 2), D8.10 (HCR_EL2.E2H). EL1 and EL0 have a stage 2 where the guest
has an EL2 that has switched it on; the addresses of their tables are intermediate ones then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from armvcpu.arch.controls import HCR_EL2, SCR_EL3, SCTLR_EL1
from armvcpu.arch.registers import by_name
from armvcpu.machine.watching.stage1 import Tables, tables

if TYPE_CHECKING:
    from collections.abc import Callable

    ReadRegister = Callable[[int], int]
    ReadMemory = Callable[[int], int | None]

_SELECTS_TTBR1 = 1 << 55
_BELOW_TAG = (1 << 56) - 1
"""The bits that translate; those above may be a tag (D8.8)."""
_ADDRESS = (1 << 48) - 1
_GRANULES = {0: 12, 1: 16, 2: 14}
_FIRST_LEVEL = {12: (2, 1, 0), 14: (3, 2, 1), 16: (3, 2, 1)}
"""By VTCR_EL2.SL0, for each granule (D17.2.158)."""


class Regime(NamedTuple):
    """One of them: the level whose registers it has, whether it has two ranges, and a stage 2."""

    el: int
    has_two_ranges: bool
    has_stage2: bool

    def __str__(self) -> str:
        own = {1: "EL1&0", 2: "EL2&0" if self.has_two_ranges else "EL2", 3: "EL3"}[self.el]
        return f"{own} with stage 2" if self.has_stage2 else own


class Walk(NamedTuple):
    """What a walk has found; `ipa` and `physical` are None from where it ended on.

    `descriptors` are the addresses of stage 1's, which are intermediate ones where there is a stage 2; `stage2` those
    of its own for the last address that it was asked for.
    """

    regime: Regime
    descriptors: tuple[int, ...]
    ipa: int | None
    stage2: tuple[int, ...]
    physical: int | None


EL1 = Regime(1, True, False)
"""That of EL1 and EL0 without a stage 2 of the guest's."""


def regime(el: int, highest: int, sysreg: ReadRegister) -> Regime:
    """That of a level, of a guest that has the levels up to `highest`."""
    hcr = sysreg(_named("HCR_EL2")) if highest > 1 else 0
    if highest == 3 and not sysreg(_named("SCR_EL3")) & SCR_EL3.NS.mask:
        hcr = 0  # Secure state has no EL2
    if el == 3:
        return Regime(3, False, False)
    is_host = bool(hcr & HCR_EL2.E2H.mask)
    if el == 2 or (el == 0 and is_host and hcr & HCR_EL2.TGE.mask):
        return Regime(2, is_host, False)
    return Regime(1, True, bool(hcr & (HCR_EL2.VM.mask | HCR_EL2.DC.mask)) and not hcr & HCR_EL2.TGE.mask)


def walk(address: int, of: Regime, sysreg: ReadRegister, memory: ReadMemory) -> Walk:
    """Translate a virtual address; `sysreg` gives a register by encoding, `memory` a physical doubleword, or None."""
    stage2: tuple[int, ...] = ()

    def physical(ipa: int) -> int | None:
        nonlocal stage2
        if not of.has_stage2:
            return ipa
        stage2, found = _second_stage(ipa, sysreg, memory)
        return found

    def doubleword(ipa: int) -> int | None:
        at = physical(ipa)
        return None if at is None else memory(at)

    seen, ipa = _first_stage(address, of, sysreg, doubleword)
    found = None if ipa is None else physical(ipa)
    return Walk(of, seen, ipa, stage2, found)


def first_tables(of: Regime, sysreg: ReadRegister, *, upper: bool) -> Tables | None:
    """Stage 1's tables of a half of the addresses; None where TCR_ELx has none for it, or a reserved granule."""
    ttbr = sysreg(_named(f"TTBR{int(upper)}_EL{of.el}"))
    return tables(sysreg(_named(f"TCR_EL{of.el}")), ttbr, is_upper=upper)


def second_tables(sysreg: ReadRegister) -> Tables | None:
    """Stage 2's, as VTCR_EL2 and VTTBR_EL2 say; None where VTCR_EL2 has a reserved granule or start."""
    vtcr = sysreg(_named("VTCR_EL2"))
    granule, start = _GRANULES.get(vtcr >> 14 & 3), vtcr >> 6 & 3
    if granule is None or start > 2:
        return None
    level = _FIRST_LEVEL[granule][start]
    return Tables(granule, 64 - (vtcr & 0x3F), level, sysreg(_named("VTTBR_EL2")) & _ADDRESS & ~1)


def _first_stage(
    address: int, of: Regime, sysreg: ReadRegister, memory: ReadMemory
) -> tuple[tuple[int, ...], int | None]:
    if not sysreg(_named(f"SCTLR_EL{of.el}")) & SCTLR_EL1.M.mask:
        return (), address
    upper = of.has_two_ranges and bool(address & _SELECTS_TTBR1)
    there = first_tables(of, sysreg, upper=upper)
    if there is None or (address & _BELOW_TAG) >> there.bits != (_BELOW_TAG >> there.bits if upper else 0):
        return (), None
    return _descend(there, address & (1 << there.bits) - 1, memory)


def _second_stage(ipa: int, sysreg: ReadRegister, memory: ReadMemory) -> tuple[tuple[int, ...], int | None]:
    if not sysreg(_named("HCR_EL2")) & HCR_EL2.VM.mask:  # DC alone
        return (), ipa
    there = second_tables(sysreg)
    return ((), None) if there is None or ipa >> there.bits else _descend(there, ipa, memory)


def _descend(there: Tables, offset: int, memory: ReadMemory) -> tuple[tuple[int, ...], int | None]:
    base, level, seen = there.base, there.level, []
    while True:
        shift = there.shift(level)
        seen.append(base + 8 * (offset >> shift))
        offset &= (1 << shift) - 1
        descriptor = memory(seen[-1])
        if descriptor is None:
            return tuple(seen), None
        table = there.next_table(descriptor, level)
        if table is None:
            output = there.output(descriptor, level)
            return tuple(seen), None if output is None else output | offset
        base, level = table, level + 1


def _named(name: str) -> int:
    return by_name[name].encoding
