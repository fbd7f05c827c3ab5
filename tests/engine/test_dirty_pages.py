"""The log of pages that have been written: a page that was written since the last look is always in it."""

from __future__ import annotations

import random
import struct
import time

import pytest
from bare import CODE, EL0, EL1, NOP, RAM, BareEngine

from armvcpu.arch.registers import by_name
from armvcpu.errors import InternalError

PAGE = 4096
STR_X0_X1, STRB_W0_X1, STP_Q0_Q1_X1, STP_X0_X0_X1, DC_ZVA_X1, LDR_X0_X1 = (
    0xF900_0020, 0x3900_0020, 0xAD00_0420, 0xA900_0020, 0xD50B_7421, 0xF940_0020
)  # fmt: skip
LDXR_X2_X1, STXR_W3_X0_X1, LDADD_X0_X2_X1, CAS_X2_X0_X1 = 0xC85F_7C22, 0xC803_7C20, 0xF820_0022, 0xC8A2_7C20
STTR_X0_X1 = 0xF800_0820
FPEN = 3 << 20


@pytest.fixture
def bare():
    made = BareEngine()
    made.engine.memory.track_dirty(RAM, len(made.ram))
    made.engine.memory.take_dirty()
    yield made
    made.close()


def pages(bits: bytes) -> set[int]:
    number = int.from_bytes(bits, "little")
    return {page for page in range(number.bit_length()) if number >> page & 1}


def run(bare: BareEngine, *words: int, x1: int, pstate: int = EL1) -> set[int]:
    """The pages that a snippet writes, with x1 somewhere in RAM, after what the test itself has written."""
    bare.place(*words, pstate=pstate, CPACR_EL1=FPEN)
    bare.engine.state.set_gpr(1, x1)
    bare.engine.state.set_gpr(0, 0)
    bare.engine.run()
    return pages(bare.engine.memory.take_dirty())


@pytest.mark.parametrize("pstate", [EL0, EL1])
@pytest.mark.parametrize(
    "words",
    [
        (STR_X0_X1,),
        (STRB_W0_X1,),
        (STP_Q0_Q1_X1,),
        (STTR_X0_X1,),
        (DC_ZVA_X1,),
        (LDXR_X2_X1, STXR_W3_X0_X1),
        (LDADD_X0_X2_X1,),
        (CAS_X2_X0_X1,),
    ],
)
def test_each_way_to_write(bare, words, pstate):
    """Stores, pairs, DC ZVA, exclusives and atomics, at EL1 and EL0, more than once."""
    sctlr = {"SCTLR_EL1": 0x30D0_0800 | 1 << 14}  # DZE
    for _ in range(3):
        bare.place(*words, pstate=pstate, CPACR_EL1=FPEN, **sctlr)
        for index, value in ((1, RAM + 5 * PAGE + 64), (0, 1), (2, 0)):
            bare.engine.state.set_gpr(index, value)
        bare.engine.run()
        assert pages(bare.engine.memory.take_dirty()) == {5}


@pytest.mark.parametrize(("x1", "wanted"), [(RAM + 4 * PAGE - 4, {3, 4}), (RAM + 4 * PAGE - 8, {3, 4}), (RAM, {0})])
def test_a_store_over_the_edge_of_a_page_is_of_both(bare, x1, wanted):
    assert run(bare, STP_X0_X0_X1, x1=x1) == wanted


def test_reading_and_executing_is_not_writing(bare):
    assert run(bare, LDR_X0_X1, NOP, NOP, x1=RAM + 6 * PAGE) == set()


def test_a_page_is_in_the_log_again_after_each_look(bare):
    """Also where its entry in the TLB has been there all the time, and where the same block goes on after a look."""
    looks: list[set[int]] = []

    def look(_target: int, _esr: int, _far: int) -> None:
        looks.append(pages(bare.engine.memory.take_dirty()))
        if len(looks) == 6:
            bare.engine.leave()

    bare.place(STR_X0_X1, 0xD400_0002, 0x17FF_FFFE)  # hvc; b to the store
    bare.engine.set_trap_handler(look)
    bare.engine.state.set_gpr(1, RAM + 7 * PAGE)
    bare.engine.run()
    assert looks == [{7}] * 6


def test_code_that_is_overwritten_is_written(bare):
    """A page that is executed comes by the slow path for ever."""
    for _ in range(3):
        assert run(bare, STR_X0_X1, x1=CODE + 256) == {1}


def test_what_the_host_says_it_has_written(bare):
    """DMA, a loader, a debugger: `code.invalidate` of a range; forgetting code alone is no writing."""
    bare.engine.code.invalidate(RAM + 2 * PAGE - 1, 2)
    assert pages(bare.engine.memory.take_dirty()) == {1, 2}
    bare.engine.code.invalidate()
    assert run(bare, 0xD50B_7521, x1=RAM + 3 * PAGE) == set()  # ic ivau, x1
    bare.engine.code.invalidate(RAM - PAGE, PAGE)
    bare.engine.code.invalidate(RAM + len(bare.ram), PAGE)
    assert pages(bare.engine.memory.take_dirty()) == set()


def test_a_range_in_the_middle_of_ram(bare):
    """Pages count from its start; others are not in it, and a new range is a new log."""
    memory = bare.engine.memory
    memory.track_dirty(RAM + 4 * PAGE, 2 * PAGE)
    assert run(bare, STP_X0_X0_X1, x1=RAM + 4 * PAGE - 8) == {0}
    assert run(bare, STP_X0_X0_X1, x1=RAM + 6 * PAGE - 8) == {1}
    assert run(bare, STR_X0_X1, x1=RAM + 7 * PAGE) == set()
    memory.track_dirty(RAM + 7 * PAGE, PAGE)
    assert run(bare, STR_X0_X1, x1=RAM + 7 * PAGE) == {0}


@pytest.mark.parametrize(("address", "size"), [(0, PAGE), (RAM, 0x2_1000), (RAM - PAGE, 2 * PAGE)])
def test_only_ram_can_be_watched(bare, address, size):
    with pytest.raises(InternalError, match="no RAM to be watched"):
        bare.engine.memory.track_dirty(address, size)


def test_without_a_log_there_is_nothing_to_take(bare):
    bare.engine.memory.untrack_dirty()
    assert bare.run_words(STR_X0_X1)
    with pytest.raises(InternalError, match="no RAM is watched"):
        bare.engine.memory.take_dirty()


def test_every_engine_has_its_own(bare):
    """Over the same memory too; one that has none is not concerned."""
    other, plain = BareEngine(), BareEngine()
    other.engine.memory.track_dirty(RAM, len(other.ram))
    assert run(bare, STR_X0_X1, x1=RAM + 9 * PAGE) == {9}
    plain.run_words(STR_X0_X1)
    assert pages(other.engine.memory.take_dirty()) == set()
    other.close()
    plain.close()
    assert run(bare, STR_X0_X1, x1=RAM + 9 * PAGE) == {9}


# --- by address translation -----------------------------------------------------------------------------------

TABLES, VA = 16 * PAGE, 0x40_0000
TABLE_OR_PAGE, AF, USER, NEVER_EXECUTED = 0b11, 1 << 10, 1 << 6, 0b11 << 53
EL1_CODE, EL0_CODE, VECTORS = RAM + PAGE, RAM + 2 * PAGE, RAM + 3 * PAGE


class Translated(BareEngine):
    """RAM at its own address, and VA where `lead_to` says; nothing but a TLBI makes that known."""

    def __init__(self) -> None:
        super().__init__()
        for level, index, table in ((0, 0, 1), (1, 2, 2), (0, 1, 3), (3, 0, 4)):  # level 1, 2, 3 for VA, then for RAM
            self.put_entry(level, index, RAM + TABLES + table * PAGE, TABLE_OR_PAGE)
        for page in range(16):
            self.put_entry(4, page, RAM + page * PAGE, TABLE_OR_PAGE | AF | (USER if page == 2 else 0))
        for at in (PAGE, 2 * PAGE):
            struct.pack_into("<2I", self.ram, at, STR_X0_X1, 0xD400_0001 if at > PAGE else 0xD400_0002)  # svc; hvc
        self.engine.memory.track_dirty(RAM, len(self.ram))
        for name, value in (("TCR_EL1", 25 | 1 << 23), ("TTBR0_EL1", RAM + TABLES), ("MAIR_EL1", 0xFF)):
            self.engine.registers.write(by_name[name].encoding, value)
        self.engine.registers.write(by_name["SCTLR_EL1"].encoding, 0x30D0_0801)

    def put_entry(self, table: int, index: int, address: int, bits: int) -> None:
        struct.pack_into("<Q", self.ram, TABLES + table * PAGE + 8 * index, address | bits)

    def lead_to(self, page: int) -> None:
        self.put_entry(2, 0, RAM + page * PAGE, TABLE_OR_PAGE | AF | USER | NEVER_EXECUTED)

    def store(self, level: int) -> None:
        self.engine.registers.write_pstate(EL1 if level else EL0)
        self.engine.state.set_pc(EL1_CODE if level else EL0_CODE)
        self.engine.state.set_gpr(1, VA)
        self.engine.run()


@pytest.fixture
def translated():
    made = Translated()
    yield made
    made.close()


def test_an_address_that_leads_to_another_page_for_each_level(translated):
    """A descriptor has changed, and no TLBI came: what EL0 writes by the new one says nothing of EL1's old one."""
    translated.lead_to(10)
    translated.store(1)
    translated.engine.memory.take_dirty()
    translated.lead_to(11)
    for _ in range(3):
        translated.store(0)
        translated.store(1)
        assert pages(translated.engine.memory.take_dirty()) == {10, 11}


def test_two_addresses_of_one_page(translated):
    """The log is of physical pages: RAM's own address, and VA."""
    translated.lead_to(9)
    for level in (0, 1, 0):
        translated.store(level)
        assert pages(translated.engine.memory.take_dirty()) == {9}
    translated.engine.registers.write_pstate(EL1)
    translated.engine.state.set_pc(EL1_CODE)
    translated.engine.state.set_gpr(1, RAM + 9 * PAGE)
    translated.engine.run()
    assert pages(translated.engine.memory.take_dirty()) == {9}


def test_against_memory_itself():
    """Random stores, with looks in between: what has changed is in the log, and nothing that nobody wrote."""
    rnd, bare = random.Random(7), BareEngine()
    memory = bare.engine.memory
    memory.track_dirty(RAM, len(bare.ram))
    for _ in range(60):
        targets = [rnd.randrange(2, 16) for _ in range(rnd.randrange(1, 6))]
        bare.place(*(word for _ in targets for word in (STR_X0_X1, 0x9100_0421)))  # add x1, x1, #1: unaligned then
        memory.take_dirty()
        before = bytes(bare.ram)
        written = set()
        for target in targets:
            state = bare.engine.state
            state.set_pc(CODE)
            at = target * PAGE + rnd.randrange(PAGE - 16)
            state.set_gpr(1, RAM + at)
            state.set_gpr(0, rnd.getrandbits(64) | 1)
            bare.engine.run(limit=1)
            written.add(target)
        changed = {n for n in range(16) if bare.ram[n * PAGE : (n + 1) * PAGE] != before[n * PAGE : (n + 1) * PAGE]}
        assert changed <= pages(memory.take_dirty()) <= written
    bare.close()


def test_a_store_that_has_been_heard_of_takes_the_fast_path():
    """A loop of stores takes as long as without a log; by the slow path it would take ten times that."""
    times = []
    for is_tracked in (False, True):
        bare = BareEngine()
        if is_tracked:
            bare.engine.memory.track_dirty(RAM, len(bare.ram))
        bare.place(STR_X0_X1, 0xF100_0442, 0x54FF_FFC1)  # subs x2, x2, #1; b.ne to the store
        bare.engine.state.set_gpr(1, RAM + 9 * PAGE)
        bare.engine.state.set_gpr(2, 3_000_000)
        started = time.process_time()
        bare.engine.run()
        times.append(time.process_time() - started)
        bare.close()
    assert times[1] < 4 * times[0] + 0.02
