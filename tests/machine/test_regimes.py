"""The walk of the guest's tables: DDI 0487 D8.2."""

from __future__ import annotations

import pytest

from armvcpu.arch.registers import by_name
from armvcpu.machine.watching.regimes import EL1, Regime, regime, walk

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
    found = walk(address, EL1, registers(tcr), memory.get)
    assert (len(found.descriptors), found.physical) == (seen, physical)
    assert set(memory) <= set(found.descriptors)


def test_the_upper_half_has_tables_of_its_own():
    """TTBR1_EL1, T1SZ and TG1 by bit 55."""
    found = walk(0xFFFF_FF80_4000_0010, EL1, registers(25 << 16 | 2 << 30, upper=True), {BASE + 8: OUT | 1}.get)
    assert (found.descriptors, found.physical) == ((BASE + 8,), OUT + 0x10)


def test_nothing_is_walked_with_the_mmu_off():
    """An address is what it is."""
    found = walk(0x4000_1234, EL1, registers(25, on=False), {}.get)
    assert (found.descriptors, found.ipa, found.physical) == ((), 0x4000_1234, 0x4000_1234)


HCR_VM, HCR_DC, HCR_TGE, HCR_E2H, NS = 1, 1 << 12, 1 << 27, 1 << 34, 1


@pytest.mark.parametrize(
    ("el", "hcr", "scr", "expected"),
    [
        (1, 0, NS, "EL1&0"),
        (0, HCR_VM, NS, "EL1&0 with stage 2"),
        (1, HCR_DC, NS, "EL1&0 with stage 2"),
        (1, HCR_VM, 0, "EL1&0"),  # Secure state
        (0, HCR_VM | HCR_TGE, NS, "EL1&0"),
        (2, HCR_VM, NS, "EL2"),
        (2, HCR_E2H, NS, "EL2&0"),
        (0, HCR_E2H | HCR_TGE, NS, "EL2&0"),
        (0, HCR_E2H | HCR_VM, NS, "EL1&0 with stage 2"),
        (3, HCR_E2H | HCR_TGE | HCR_VM, NS, "EL3"),
    ],
)
def test_the_regime_of_a_level(el, hcr, scr, expected):
    """By HCR_EL2 and, with EL3, SCR_EL3.NS."""
    values = {by_name["HCR_EL2"].encoding: hcr, by_name["SCR_EL3"].encoding: scr}
    assert str(regime(el, 3, values.__getitem__)) == expected


def test_a_guest_without_el2_has_one_regime():
    """HCR_EL2 is not the guest's, and is not looked at."""
    assert regime(1, 1, {}.__getitem__) == EL1


def test_both_stages_are_walked():
    """Stage 1's tables are at intermediate addresses: each descriptor is read through stage 2."""
    ipa_table, second = 0x1000, 0x4200_0000  # stage 2: 39 bits from level 1, blocks of 1 GiB
    values = {
        "SCTLR_EL1": 1, "TCR_EL1": 25, "TTBR0_EL1": ipa_table, "HCR_EL2": HCR_VM,
        "VTCR_EL2": 1 << 6 | 25, "VTTBR_EL2": second,
    }  # fmt: skip
    sysreg = {by_name[name].encoding: value for name, value in values.items()}.__getitem__
    memory = {second: 0x8000_0000 | 1, second + 8: 0xC000_0000 | 1, 0x8000_0000 + ipa_table + 8: 0x4000_0000 | 1}
    found = walk(0x4000_0123, Regime(1, True, True), sysreg, memory.get)
    assert (found.descriptors, found.ipa, found.stage2, found.physical) == (
        (ipa_table + 8,), 0x4000_0123, (second + 8,), 0xC000_0123,
    )  # fmt: skip
    del memory[second + 8]
    found = walk(0x4000_0123, Regime(1, True, True), sysreg, memory.get)
    assert (found.ipa, found.physical) == (0x4000_0123, None)


@pytest.mark.parametrize(("tg0", "sl0", "level_shift"), [(0, 2, 39), (0, 1, 30), (0, 0, 21), (2, 1, 25), (1, 1, 29)])
def test_stage_2_begins_where_vtcr_says(tg0, sl0, level_shift):
    """SL0 for each granule; a block of the first table that has blocks, or an entry that leads to none."""
    values = {"SCTLR_EL1": 0, "HCR_EL2": HCR_VM, "VTCR_EL2": tg0 << 14 | sl0 << 6 | 24, "VTTBR_EL2": BASE}
    sysreg = {by_name[name].encoding: value for name, value in values.items()}.__getitem__
    address = 1 << level_shift
    found = walk(address, Regime(1, True, True), sysreg, {}.get)
    assert found.stage2 == (BASE + 8,)
