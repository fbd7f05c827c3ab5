"""Translated code: when it is forgotten, and what of it (DDI 0487 B2.4.4, C6.2.121)."""

from __future__ import annotations

import struct

import pytest

from armvcpu.arch.controls import TCR_EL1
from armvcpu.arch.registers import by_name, instruction_from_access
from armvcpu.engine import native
from armvcpu.engine.api import INSTRUCTION_CACHE, UNDEFINED, WHOLE_INSTRUCTION_CACHE, RegisterRows
from armvcpu.engine.selftest_bench import ADD_X0_1, CODE, NOP, PAGE, RAM, branch, hvc

IC_IVAU_X2, IC_IALLU, IC_IALLUIS, DSB, ISB = 0xD50B_7522, 0xD508_751F, 0xD508_711F, 0xD503_3F9F, 0xD503_3FDF
BLR_X2, BLR_X5, RET, STR_W1_X2, STR_W1_X5 = 0xD63F_0040, 0xD63F_00A0, 0xD65F_03C0, 0xB900_0041, 0xB900_00A1
MOV_X0_1, MOV_X0_2 = 0xD280_0020, 0xD280_0040
IVAU, IALLU, IALLUIS = (
    (3 << 11 | 1 << 14 | 7 << 7 | 5 << 3 | 1),
    (1 << 14 | 7 << 7 | 5 << 3),
    (1 << 14 | 7 << 7 | 1 << 3),
)
TABLE, FUNCTION = RAM + 0x8000, RAM + 0x5000
ALIAS = 0x4000_0000
"""How far above its physical address all of RAM is mapped a second time."""


@pytest.fixture(autouse=True)
def rows(bench):
    """IC by the shim, as the layer above has it."""
    rows = RegisterRows()
    rows.shape = tuple(
        (encoding, (UNDEFINED, action, 0))
        for encoding, action in (
            (IVAU, INSTRUCTION_CACHE), (IALLU, WHOLE_INSTRUCTION_CACHE), (IALLUIS, WHOLE_INSTRUCTION_CACHE),
        )
    )  # fmt: skip
    bench.engine.registers.use(rows)
    return rows


def translations(bench) -> int:
    return bench.engine._shared[native.TRANSLATIONS]


def map_twice(bench) -> None:
    """Stage 1: gigabyte blocks of RAM at its own address and at the next gigabyte."""
    block = 1 << 10 | 1
    bench.put_u64(TABLE + 8, RAM | block, RAM | block)
    bench.write("TCR_EL1", TCR_EL1.of(T0SZ=32, EPD1=1))
    bench.write("TTBR0_EL1", TABLE)
    bench.write("SCTLR_EL1", bench.read("SCTLR_EL1") | 1)


def call_change_call(bench, *change: int) -> int:
    """X0 after a function was called, changed through its alias, and called again."""
    bench.start(BLR_X2, *change, BLR_X2, hvc(0))
    map_twice(bench)
    bench.put(FUNCTION, MOV_X0_1, RET)
    bench.set_gpr(1, MOV_X0_2)
    bench.set_gpr(2, FUNCTION)
    bench.set_gpr(5, FUNCTION + ALIAS)
    bench.run_to_trap()
    return bench.gpr(0)


@pytest.mark.parametrize("ic", [IC_IVAU_X2, IC_IALLU, IC_IALLUIS], ids=["ivau", "iallu", "ialluis"])
def test_code_that_is_stored_through_an_alias_needs_ic(bench, ic):
    """By the address that it is executed at."""
    assert call_change_call(bench, STR_W1_X5, DSB, ic, DSB, ISB) == 2


def test_ic_by_the_alias_does_for_all(bench):
    """IC IVAU is by physical address in effect: a line of this PIPT cache (CTR_EL0.L1Ip)."""
    assert call_change_call(bench, STR_W1_X5, DSB, 0xD50B_7525, DSB, ISB) == 2  # ic ivau, x5


def test_code_that_is_stored_through_its_own_address_is_new_at_once(bench):
    """More than the architecture asks for: without IC."""
    assert call_change_call(bench, STR_W1_X2, DSB, ISB) == 2


def test_a_loop_changes_itself_again_and_again(bench):
    """The line that is gone is translated anew each time, also after IC IVAU of a line that was gone already."""
    bench.start(
        BLR_X2,
        0x8B00_00C6,
        0x1100_8021,
        STR_W1_X5,
        DSB,
        IC_IVAU_X2,
        IC_IVAU_X2,
        DSB,
        ISB,
        0xF100_0463,
        0x54FF_FEC1,
        hvc(0),
    )  # fmt: skip  add x6, x6, x0; add w1, w1, #32; subs x3, x3, #1; b.ne .-40
    map_twice(bench)
    bench.put(FUNCTION, MOV_X0_1, RET)
    for register, value in ((1, MOV_X0_1), (2, FUNCTION), (3, 20), (5, FUNCTION + ALIAS)):
        bench.set_gpr(register, value)
    bench.run_to_trap()
    assert bench.gpr(6) == sum(range(1, 21))


def test_ic_by_one_address_in_two_address_spaces(bench):
    """The second is of another line, although nothing was translated in between."""
    msr_ttbr0_x7, mov_x0_x8 = 0xD518_2007, 0xAA08_03E0
    bench.start(IC_IVAU_X2, msr_ttbr0_x7, ISB, IC_IVAU_X2, hvc(0))
    block, second = 1 << 10 | 1, TABLE + PAGE
    bench.put_u64(TABLE + 8, RAM | block, RAM | block)
    bench.put_u64(second + 8, RAM | block, 0x8000_0000 | block)
    bench.write("TCR_EL1", TCR_EL1.of(T0SZ=32, EPD1=1))
    bench.write("TTBR0_EL1", second)
    bench.write("SCTLR_EL1", bench.read("SCTLR_EL1") | 1)
    bench.put(FUNCTION, mov_x0_x8, hvc(0))
    bench.set_gpr(7, TABLE)
    bench.set_gpr(2, FUNCTION + ALIAS)
    for x8 in (1, 2):  # all is translated
        bench.set_gpr(8, x8)
        bench.write("TTBR0_EL1", second)
        bench.engine.state.set_pc(CODE)
        bench.run_to_trap()
        bench.engine.state.set_pc(FUNCTION)
        bench.run_to_trap()
    bench.ram[FUNCTION - RAM : FUNCTION - RAM + 4] = struct.pack("<I", MOV_X0_1)
    bench.write("TTBR0_EL1", second)
    bench.engine.state.set_pc(CODE)
    bench.run_to_trap()
    bench.engine.state.set_pc(FUNCTION)
    bench.run_to_trap()
    assert bench.gpr(0) == 1


def test_ic_of_an_address_that_is_not_mapped_does_nothing_here(bench):
    """It may fault (C6.2.121 leaves that to translation); the guest goes on."""
    bench.start(IC_IVAU_X2, ADD_X0_1, hvc(0))
    map_twice(bench)
    bench.set_gpr(2, 1 << 31 | 1 << 30)
    bench.run_to_trap()
    assert bench.gpr(0) == 1


def test_ic_iallu_in_a_loop_goes_on(bench):
    """The block that forgets itself is executed to its end."""
    bench.start(ADD_X0_1, IC_IALLU, 0xF100_0463, 0x54FF_FFA1, hvc(0))  # subs x3, x3, #1; b.ne .-12
    bench.set_gpr(3, 50)
    bench.run_to_trap()
    assert bench.gpr(0) == 50


def test_the_host_has_a_range_forgotten_and_nothing_else(bench):
    """By physical address, also of code that is executed elsewhere."""
    bench.start(BLR_X2, BLR_X5, hvc(0), branch(-3))
    map_twice(bench)
    other = FUNCTION + PAGE
    for at in (FUNCTION, other):
        bench.put(at, MOV_X0_1, RET)
    bench.set_gpr(2, FUNCTION + ALIAS)
    bench.set_gpr(5, other + ALIAS)
    bench.run_to_trap()
    bench.run_to_trap()
    for address, size, again in (
        (FUNCTION, 4, 1), (FUNCTION + 4, 4, 1), (FUNCTION - 4, 4, 0), (FUNCTION + 8, 64, 0), (FUNCTION, 2 * PAGE, 2),
        (RAM, 0x1_0000, 6), (RAM - PAGE, PAGE, 0), (RAM + 0x1_0000, PAGE, 0),
    ):  # fmt: skip
        before = translations(bench)
        bench.engine.code.invalidate(address, size)
        bench.run_to_trap()
        assert translations(bench) - before == again, hex(address)


def test_what_the_host_wrote_is_executed(bench):
    """After its range was forgotten; in a trap too, where the next block is new."""
    bench.start(BLR_X2, hvc(0), BLR_X2, hvc(1))
    bench.put(FUNCTION, MOV_X0_1, RET)
    bench.set_gpr(2, FUNCTION)
    offset = FUNCTION - RAM

    def change(seen):
        if seen.esr & 1:
            bench.engine.leave()
        bench.ram[offset : offset + 4] = struct.pack("<I", MOV_X0_2)
        bench.engine.code.invalidate(FUNCTION, 4)

    bench.on_trap = change
    bench.run()
    assert bench.gpr(0) == 2


def test_nothing_is_translated_twice(bench):
    """A loop, run in pieces, with calls of Python in between."""
    bench.start(ADD_X0_1, hvc(0), branch(-2))
    bench.run_to_trap()
    bench.run_to_trap()
    before = translations(bench)
    for _ in range(50):
        bench.run_to_trap()
    assert translations(bench) == before


def test_a_cpu_that_is_presented_otherwise_has_its_instructions(bench):
    """Code is translated again: LDADD with and without FEAT_LSE (ID_AA64ISAR0_EL1.Atomic)."""
    ldadd = 0xF820_0042  # ldadd x0, x2, [x2]
    for atomic, esr in ((2, 0x5A00_0000), (0, 0x0200_0000), (2, 0x5A00_0000)):
        bench.engine.registers.present((atomic << 20, 0, 0x1111, 0, 0, 0))
        bench.start(NOP, ldadd, hvc(0))
        bench.set_gpr(2, FUNCTION)
        assert bench.run_to_trap().esr == esr


def test_encodings_are_those_of_ic(rows):
    """Of the words above."""
    assert [word >> 5 & 0xFFFF for word in (IC_IVAU_X2, IC_IALLU, IC_IALLUIS)] == [IVAU, IALLU, IALLUIS]
    assert instruction_from_access(by_name["VBAR_EL1"].encoding, 0, is_read=False) >> 20 == 0xD51
    assert CODE == RAM


@pytest.mark.parametrize("ic", [IC_IALLU, IC_IALLUIS], ids=["iallu", "ialluis"])
def test_code_that_has_not_changed_is_not_translated_again(bench, ic):
    """IC IALLU says nothing of what has changed: from the second one on it is looked for."""
    bench.start(BLR_X2, ic, DSB, ISB, 0xF100_0463, 0x54FF_FF61, hvc(0))  # subs x3, x3, #1; b.ne .-20
    map_twice(bench)
    bench.put(FUNCTION, MOV_X0_1, RET)
    for register, value in ((2, FUNCTION), (3, 100)):
        bench.set_gpr(register, value)
    bench.run_to_trap()
    assert (bench.gpr(0), bench.gpr(3)) == (1, 0)
    assert translations(bench) < 20


@pytest.mark.parametrize("ic", [IC_IALLU, IC_IALLUIS], ids=["iallu", "ialluis"])
@pytest.mark.parametrize("others", [0, 600], ids=["few blocks", "more than are compared"])
def test_code_that_changes_after_the_first_ic_is_new(bench, ic, others):
    """By an alias, a function that has been translated since; with many other blocks too."""
    many = (branch(1),) * others
    bench.start(ic, DSB, ISB, BLR_X2, *many, STR_W1_X5, DSB, ic, DSB, ISB, BLR_X2, hvc(0))
    map_twice(bench)
    bench.put(FUNCTION, MOV_X0_1, RET)
    for register, value in ((1, MOV_X0_2), (2, FUNCTION), (5, FUNCTION + ALIAS)):
        bench.set_gpr(register, value)
    bench.run_to_trap()
    assert bench.gpr(0) == 2
    assert translations(bench) > others
