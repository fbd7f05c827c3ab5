"""The walk of the guest's tables: DDI 0487 D8.2."""

from __future__ import annotations

import pytest

from armvcpu.arch.registers import by_name
from armvcpu.machine.watching.stage1 import walk

BASE, NEXT, LAST, OUT = 0x4100_0000, 0x4101_0000, 0x4102_0000, 0x8000_0000


def registers(tcr: int, *, upper: bool = False, on: bool = True):
    """System registers as a walk reads them."""
    ttbr = 0xABCD << 48 | BASE | 1  # ASID and CnP
    values = {
        "SCTLR_EL1": int(on),
        "TCR_EL1": tcr,
        "TTBR0_EL1": 0 if upper else ttbr,
        "TTBR1_EL1": ttbr if upper else 0,
    }
    by_encoding = {by_name[name].encoding: value for name, value in values.items()}
    return by_encoding.__getitem__


@pytest.mark.parametrize(
    ("tcr", "address", "memory", "seen", "physical"),
    [
        (25, 0x4000_1234, {BASE + 8: OUT | 1}, 1, OUT + 0x1234),  # 4 KiB, 39 bits: a block of level 1
        (25, 0x4020_1234, {BASE + 8: NEXT | 3, NEXT + 8: OUT | 0x401}, 2, OUT + 0x1234),
        (32, 0x1234, {BASE: NEXT | 3, NEXT: LAST | 3, LAST + 8: OUT | 3}, 3, OUT + 0x234),
        (34, 0x1234, {BASE: NEXT | 3, NEXT + 8: OUT | 3}, 2, OUT + 0x234),  # begins at level 2
        (1 << 14 | 34, 0x1_0010, {BASE: NEXT | 3, NEXT + 8: OUT | 3}, 2, OUT + 0x10),  # 64 KiB
        (2 << 14 | 28, 0x4010, {BASE: NEXT | 3, NEXT + 8: OUT | 3}, 2, OUT + 0x10),  # 16 KiB
        (25, 0x4000_0000, {BASE + 8: 0}, 1, None),
        (25, 0x4000_0000, {BASE + 8: NEXT | 3, NEXT: LAST | 3, LAST: OUT | 1}, 3, None),  # no page of level 3
        (25, 0x4000_0000, {}, 1, None),  # a table outside memory
        (3 << 14 | 25, 0x4000_0000, {}, 0, None),  # a reserved granule
        (1 << 7 | 25, 0x4000_0000, {}, 0, None),  # EPD0: there are no tables for this half
    ],
)
def test_walk(tcr, address, memory, seen, physical):
    """Where it goes, and what it has read."""
    found = walk(address, registers(tcr), memory.get)
    assert (len(found.descriptors), found.physical) == (seen, physical)
    assert set(memory) <= set(found.descriptors)


def test_the_upper_half_has_tables_of_its_own():
    """TTBR1_EL1, T1SZ and TG1 by bit 55."""
    found = walk(0xFFFF_FF80_4000_0010, registers(25 << 16 | 2 << 30, upper=True), {BASE + 8: OUT | 1}.get)
    assert found == ((BASE + 8,), OUT + 0x10)


def test_nothing_is_walked_with_the_mmu_off():
    """An address is what it is."""
    assert walk(0x4000_1234, registers(25, on=False), {}.get) == ((), 0x4000_1234)
