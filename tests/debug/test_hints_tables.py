"""What a report says where the guest's own translation tables refuse an access, by guests that make such tables."""

from __future__ import annotations

from struct import pack

import pytest
from raw_guest import BASE, FOREVER, ISB, br, image, load, mov, msr, store

from armvcpu import Machine
from armvcpu.machine.outcome import Ending

TABLE, PAGES, MiB = 0x4010_0000, 0x4011_0000, 1 << 20
RAM_BLOCK = BASE & ~0x3FFF_FFFF | 0x701
"""Level 1: 1 GiB from the start of RAM, AF, inner shareable, EL1 may do everything; Device by MAIR_EL1 = 0."""
TCR_39_BITS = 25 | 2 << 32
"""T0SZ for a walk that starts at level 1, IPS of 40 bits."""
SCTLR_M, WXN, AP_EL0, AP_RO, AF, PXN = 0x30D0_0801, 1 << 19, 1 << 6, 1 << 7, 1 << 10, 1 << 53
OTHER = 0x8000_0000
"""Virtual: the third GiB, which `other` maps to the start of RAM."""


def mmu_on(tcr=TCR_39_BITS, sctlr=SCTLR_M, ttbr=TABLE):
    """The MMU is on behind it."""
    return [
        *mov(0, ttbr), msr("TTBR0_EL1", 0), *mov(2, tcr), msr("TCR_EL1", 2), *mov(3, sctlr), msr("SCTLR_EL1", 3), ISB,
    ]  # fmt: skip


@pytest.fixture
def fault_of(tmp_path):
    """Run words with tables: (fault's words, hint)."""

    def run(*words, entries=None, **options):
        path, table = tmp_path / "guest.bin", tmp_path / "table.bin"
        path.write_bytes(image(*words))
        table.write_bytes(
            pack("<512Q", *(({1: RAM_BLOCK} if entries is None else entries).get(n, 0) for n in range(512)))
        )
        with Machine(path, loads=[f"{table}@{TABLE:#x}"], **options) as machine:
            outcome = machine.run(timeout=20)
            assert (outcome.ending, outcome.status) == (Ending.CRASHED, 3), outcome
            report = machine.crash_report(outcome.reason)
            return report.headlines[0], report.hint

    return run


def test_empty_tables(fault_of):
    """The instruction behind the one that sets SCTLR_EL1.M is mapped by nothing."""
    what, hint = fault_of(mmu_on(), FOREVER, entries={})
    assert "instruction abort from the current EL, translation fault, level 1" in what
    assert hint == (
        f"the translation tables do not map {BASE + 4 * 15:#x} (the descriptor 0x0 at {TABLE + 8:#x} is invalid), "
        "where the code is that runs since SCTLR_EL1.M was set: look at TTBR0_EL1 and TCR_EL1"
    )


def test_no_table_at_all(fault_of):
    """TCR_EL1.EPD0 is set."""
    _, hint = fault_of(mmu_on(tcr=TCR_39_BITS | 1 << 7), FOREVER)
    assert "(TCR_EL1 and TTBR0_EL1 have no table for it)" in hint


def test_table_where_no_memory_is(fault_of):
    """TTBR0_EL1 leads into a hole."""
    what, hint = fault_of(mmu_on(ttbr=0x0C00_0000), FOREVER)
    assert "external abort on a table walk, level 1" in what
    assert "reads a translation table at 0xc000008, where no memory is: look at TTBR0_EL1" in hint


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (0x0900_0000, "where this board has pl011: map it, as Device memory"),
        (OTHER, "a bad pointer, or memory left out of them"),
    ],
)
def test_data_that_is_not_mapped(fault_of, address, words):
    """A device, and a bad pointer."""
    _, hint = fault_of(mmu_on(), mov(4, address), load(5, 4), FOREVER)
    assert hint.startswith(f"the translation tables do not map {address:#x} (the descriptor 0x0 at ")
    assert hint.endswith(words)


def test_upper_half(fault_of):
    """It is TTBR1_EL1's."""
    _, hint = fault_of(mmu_on(tcr=TCR_39_BITS | 1 << 23), mov(4, 0xFFFF_FFFF_8000_0000), load(5, 4), FOREVER)
    assert "(TCR_EL1 and TTBR1_EL1 have no table for it)" in hint


def test_jump_to_what_is_not_mapped(fault_of):
    """Nothing was loaded there."""
    _, hint = fault_of(mmu_on(), mov(4, OTHER), br(4))
    assert hint.endswith("a jump through a bad pointer, a return with a damaged stack, or code left out of them")


def other(bits, clear=0):
    """The tables with a second mapping of RAM."""
    return {1: RAM_BLOCK, 2: RAM_BLOCK & ~clear | bits}


def test_access_flag(fault_of):
    """The descriptor that every beginner writes."""
    what, hint = fault_of(mmu_on(), mov(4, OTHER), load(5, 4), entries=other(0, clear=AF))
    assert "access flag fault, level 1" in what
    assert hint.startswith(
        f"the access flag (AF, bit 10) of the descriptor 0x40000301 at {TABLE + 16:#x} for 0x80000000"
    )


def test_read_only(fault_of):
    """AP[2:1] is told in words."""
    _, hint = fault_of(mmu_on(), mov(4, OTHER), store(5, 4), entries=other(AP_RO))
    assert hint == (
        f"EL1 may not write 0x80000000: by AP[2:1] = 0b10 of the descriptor 0x40000781 at {TABLE + 16:#x} "
        "EL1 may read, EL0 may nothing"
    )


@pytest.mark.parametrize(
    ("bits", "sctlr", "words"),
    [
        (PXN, SCTLR_M, "PXN, bit 53, of the descriptor"),
        (AP_EL0, SCTLR_M, "what EL0 may write, EL1 never executes"),
    ],
)
def test_fetch_that_is_forbidden(fault_of, bits, sctlr, words):
    """By the descriptor, each in its way."""
    what, hint = fault_of(mmu_on(sctlr=sctlr), mov(4, OTHER + 0x8_0000), br(4), entries=other(bits))
    assert "instruction abort from the current EL, permission fault, level 1" in what
    assert hint.startswith(f"EL1 may not execute code at {OTHER + 0x8_0000:#x}: ")
    assert words in hint


def test_writable_code_with_wxn(fault_of):
    """The code that sets SCTLR_EL1.WXN is writable itself."""
    _, hint = fault_of(mmu_on(sctlr=SCTLR_M | WXN), FOREVER)
    assert "SCTLR_EL1.WXN is set, and it may write there" in hint


def test_table_above_forbids(fault_of):
    """APTable of a level 1 entry, which leads to the same table: its first entry allows writes."""
    entries = {0: RAM_BLOCK, 1: RAM_BLOCK, 2: TABLE | 1 << 62 | 3}
    _, hint = fault_of(mmu_on(), mov(4, OTHER), store(5, 4), entries=entries)
    assert "so a table above it forbids it (APTable)" in hint


def test_addresses_that_are_too_large(fault_of):
    """TCR_EL1.IPS allows 32 bits, and a descriptor has more."""
    what, hint = fault_of(mmu_on(tcr=25), mov(4, OTHER), load(5, 4), entries=other(1 << 36))
    assert "address size fault, level 1" in what
    assert "TCR_EL1.IPS = 0b000 allows (32): set IPS to ID_AA64MMFR0_EL1.PARange" in hint


def test_address_too_large_with_the_mmu_off(fault_of):
    """It is its own translation."""
    _, hint = fault_of(mov(4, 1 << 50), load(5, 4))
    assert hint == f"{1 << 50:#x} has more bits than this CPU's physical addresses: a bad pointer"
