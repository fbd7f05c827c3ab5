"""Watching memory: every access of the guest's is heard once, with what it read or wrote, and happens as without."""

from __future__ import annotations

import pytest
import raw_guest as raw

from armvcpu.errors import UsageError
from armvcpu.testing.target.places import NotReachedError

DATA = 0x4100_0800
PAGE = 0x4100_0000
LDXR_2_3, STXR_4_2_3 = 0xC85F_7C62, 0xC804_7C62
STP_1_2_3, LDP_5_6_3, SWP_1_2_3, CAS_1_2_3 = 0xA900_0861, 0xA940_1865, 0xF821_8062, 0xC8A1_7C62
DC_ZVA_3, STR_1_3_8, LDR_Q0_3 = 0xD50B_7423, 0xF800_8461, 0x3DC0_0060
MIB = 1 << 20


def code(*words):
    """X3 = DATA, X1 = 1, X2 = 2, the words, and power-off."""
    return raw.flat(raw.mov(3, DATA), raw.mov(1, 1), raw.mov(2, 2), *words, raw.psci(raw.SYSTEM_OFF))


FIRST = raw.BASE + 4 * 12
"""Where the words of `code` begin."""


def seen(watch):
    return [(access.pc - FIRST >> 2, access.is_read, access.address - DATA, access.width, access.value)
            for access in watch.accesses]  # fmt: skip


def test_each_access_is_kept_with_its_value(boot):
    """Reads and writes of any width; of the rest of the page none."""
    target = boot(code(raw.store(1, 3), raw.store(2, 3, 1), raw.load(4, 3, 4), raw.store(1, 3) | 8 << 10))
    with target.watch(DATA, 8) as watch:
        assert target.finish().ok
    assert seen(watch) == [(0, False, 0, 8, 1), (1, False, 0, 1, 2), (2, True, 0, 4, 2)]
    assert (target.register("x4"), target.at(DATA + 64).u64) == (2, 1)


@pytest.mark.parametrize(
    ("words", "accesses"),
    [
        ([STP_1_2_3], [(0, False, 0, 16, 2 << 64 | 1)]),
        ([STR_1_3_8], [(0, False, 0, 8, 1)]),
        ([raw.store(1, 3), LDP_5_6_3], [(0, False, 0, 8, 1), (1, True, 0, 16, 1)]),
        ([SWP_1_2_3], [(0, True, 0, 8, 0), (0, False, 0, 8, 1)]),
        ([CAS_1_2_3], [(0, True, 0, 8, 0)]),  # memory holds 0, and 1 is expected
        ([raw.store(1, 3), CAS_1_2_3], [(0, False, 0, 8, 1), (1, True, 0, 8, 1), (1, False, 0, 8, 2)]),
        ([DC_ZVA_3], [(0, False, 0, 64, 0)]),
        ([LDXR_2_3, raw.add(2, 2, 7), STXR_4_2_3], [(0, True, 0, 8, 0), (2, False, 0, 8, 7)]),
        ([LDXR_2_3, 0xD503_3F5F, STXR_4_2_3], [(0, True, 0, 8, 0)]),  # CLREX: the store fails
    ],
    ids=["pair", "writeback", "load pair", "swap", "cas that fails", "cas", "zva", "exclusive", "exclusive that fails"],
)  # fmt: skip
def test_whatever_the_instruction(boot, words, accesses):
    """What a syndrome does not describe, too; it is carried out as without the watch."""
    plain = boot(code(words), cpu_model="max")
    assert plain.finish().ok
    target = boot(code(words), cpu_model="max")
    with target.watch(DATA, 8) as watch:
        assert target.finish().ok
    assert seen(watch) == accesses
    assert target.read(PAGE, 4096) == plain.read(PAGE, 4096)
    assert target.vcpu.state.frame[:31].tolist() == plain.vcpu.state.frame[:31].tolist()


@pytest.mark.parametrize("watched", [(0, 4), (2, 8), (-3, 3), (0, 1)], ids=["second", "both", "first", "a byte"])
def test_an_access_that_crosses_a_page(boot, watched):
    """Once, whichever of its pages is watched; a watch may cross one too."""
    place = DATA + 0x800  # the second page's start
    target = boot(raw.mov(3, place - 3), raw.mov(1, 0x1122_3344_5566_7788), raw.store(1, 3), raw.psci(raw.SYSTEM_OFF))
    with target.watch(place + watched[0], watched[1]) as watch:
        assert target.finish().ok
    if watched == (2, 8):
        assert target.at(place - 3).u64 == 0x1122_3344_5566_7788
    assert [(a.address, a.width, a.value) for a in watch.accesses] == [(place - 3, 8, 0x1122_3344_5566_7788)]


def test_a_watch_beside_the_access_hears_nothing(boot):
    """The same page is no access of the range."""
    target = boot(code(raw.store(1, 3), raw.load(4, 3)))
    with target.watch(DATA + 8, 8) as watch, target.watch(DATA - 1) as before:
        assert target.finish().ok
    assert watch.accesses == before.accesses == []


def test_only_reads_or_only_writes(boot):
    """The other direction is not heard; two watches of a page hear each their own."""
    target = boot(code(raw.store(1, 3), raw.load(4, 3)))
    with target.watch(DATA, 8, read=False) as writes, target.watch(DATA, 8, write=False) as reads:
        assert target.finish().ok
    assert seen(writes) == [(0, False, 0, 8, 1)]
    assert seen(reads) == [(1, True, 0, 8, 1)]
    with pytest.raises(UsageError, match="read or write"):
        target.watch(DATA, read=False, write=False)


def test_code_in_a_watched_page_runs_and_its_fetches_are_no_reads(boot):
    """A variable beside code; and code that the guest writes there is the new one."""
    count = raw.flat(
        raw.mov(3, raw.BASE), raw.load(5, 3, 4), raw.store(5, 3, 4),
        raw.psci(raw.SYSTEM_OFF),
    )  # fmt: skip
    target = boot(count)
    with target.watch(raw.BASE, 4) as watch:
        assert target.finish().ok
    assert [(a.is_read, a.value == count[0]) for a in watch.accesses] == [(True, True), (False, True)]


def test_code_written_into_a_page_that_was_watched_is_what_runs(boot):
    """Also where the guest had executed the old code before, with the watch or without."""
    here = raw.BASE + 0x1000
    patch = [*raw.mov(3, here), *raw.mov(1, 0xD280_0046), raw.store(1, 3, 4), 0xD50B_7523, 0xD503_3B9F, raw.ISB]
    call = [*raw.mov(8, here), 0xD63F_0100]  # BLR X8
    words = raw.flat(call, raw.add(7, 6, 0), patch, call, raw.psci(raw.SYSTEM_OFF))
    target = boot(words, [raw.NOP] * (0x400 - len(words)), 0xD280_0026, 0xD65F_03C0)  # MOV X6, #1; RET
    with target.watch(here + 0x100, 8, read=False):
        target.run_until(address=raw.BASE + 4 * (len(call) + 1), timeout=5)
    assert target.finish().ok
    assert (target.register("x7"), target.register("x6")) == (1, 2)


def test_the_function_that_accesses_is_named(boot):
    """With the MMU on, by the symbols of the guest; the watch has the size of the variable, its neighbours not."""
    target = boot("mmu")
    with target.watch("passed", write=False) as reads, target.watch("passed", read=False) as writes:
        assert target.finish().ok
    (cleared, *counted), (*asked, summed) = writes.writes, reads.reads
    assert (cleared.symbol, summed.symbol) == ("_start", "summary")
    assert {access.symbol for access in counted + asked} == {"pass"}
    assert [access.value for access in counted] == list(range(1, len(counted) + 1))
    assert f"mmu: {len(counted)} passed, 0 failed" in target.output


def test_counts_are_those_without_a_watch(boot):
    """An access that has been waited for is still one instruction."""
    counts = []
    for watched in (False, True):
        target = boot(code(raw.store(1, 3), raw.load(4, 3), SWP_1_2_3), clock="instructions", cpu_model="max")
        watch = target.watch(DATA, 8) if watched else None
        assert target.finish().ok
        counts.append(target.instructions)
    assert len(watch.accesses) == 4
    assert counts[0] == counts[1]


def test_no_exit_and_no_exception_is_seen(boot):
    """Of the watch, by who looks at what the guest did."""
    target = boot(code(raw.store(1, 3), raw.load(4, 3), SWP_1_2_3), cpu_model="max")
    with target.watch(DATA, 8) as watch:
        assert target.finish().ok
    assert len(watch.accesses) == 4
    assert set(target.recorder.exits) == {"SystemDown"}
    assert not target.recorder.exceptions


# --- waiting --------------------------------------------------------------------------------------------------


def test_a_write_or_read_is_waited_for(boot):
    """It has been made; what follows has not."""
    target = boot(code(raw.store(1, 3), raw.load(4, 3), raw.store(2, 3)))
    target.run_until(read=DATA, timeout=5)
    assert (target.register("pc"), target.register("x4")) == (FIRST + 8, 1)
    target.run_until(write=DATA, timeout=5)
    assert (target.register("pc"), target.at(DATA).u64) == (FIRST + 12, 2)
    with pytest.raises(NotReachedError, match="a write of 0x41000800 was not reached: the guest powered off"):
        target.run_until(write=DATA, timeout=5)


def test_the_third_write(boot):
    """`count`."""
    target = boot(raw.mov(3, DATA), raw.mov(1, 0), raw.add(1, 1, 1), raw.store(1, 3), raw.branch(-2))
    target.run_until(write=DATA, count=3, timeout=5)
    assert target.at(DATA).u64 == 3


def test_a_breakpoint_on_an_instruction_that_touches_what_is_watched(boot):
    """Both hold, also where the guest goes on from the breakpoint."""
    target = boot(raw.mov(3, DATA), raw.mov(1, 0), raw.add(1, 1, 1), raw.store(1, 3), raw.branch(-2))
    with target.watch(DATA, 8) as watch:
        target.run_until(address=raw.BASE + 36, count=3, timeout=5)
    assert [access.value for access in watch.accesses] == [1, 2]


# --- with an MMU ----------------------------------------------------------------------------------------------


def test_page_tables_beside_what_is_watched(boot):
    """The walks of the MMU go through the page and are no accesses; an alias is one, by the address it was made at."""
    block = 1 << 10 | 1  # a block of 1 GiB, AF, attributes 0 (DDI 0487 D8.3)
    target = boot(
        raw.mov(1, 0xFF), raw.msr("MAIR_EL1", 1), raw.mov(1, 1 << 23 | 25), raw.msr("TCR_EL1", 1),  # 39 bits, EPD1
        raw.mov(1, PAGE), raw.msr("TTBR0_EL1", 1), raw.ISB,
        raw.mrs(1, "SCTLR_EL1"), raw.add(1, 1, 1), raw.msr("SCTLR_EL1", 1), raw.ISB,
        raw.mov(3, DATA), raw.mov(1, 7), raw.store(1, 3), raw.mov(3, DATA + 0x4000_0000), raw.load(4, 3, 2),
        raw.psci(raw.SYSTEM_OFF),
    )  # fmt: skip
    for index in (1, 2):
        target.at(PAGE + 8 * index).u64 = 0x4000_0000 | block
    with target.watch(DATA, 8) as watch, target.watch(PAGE, 24) as tables:
        assert target.finish().ok
    assert [(a.is_read, a.address, a.width, a.value) for a in watch.accesses] == [
        (False, DATA, 8, 7), (True, DATA + 0x4000_0000, 2, 7)
    ]  # fmt: skip
    assert tables.accesses == []
    assert target.register("SCTLR_EL1") & 1


def test_an_access_that_faults_in_the_guest_is_none(boot):
    """Its second page is not mapped: the guest takes a data abort, and nothing has been read."""
    table = 0x4120_0000
    target = boot(
        raw.mov(1, 0xFF), raw.msr("MAIR_EL1", 1), raw.mov(1, 1 << 23 | 25), raw.msr("TCR_EL1", 1),
        raw.mov(1, table), raw.msr("TTBR0_EL1", 1), raw.ISB,
        raw.mrs(1, "SCTLR_EL1"), raw.add(1, 1, 1), raw.msr("SCTLR_EL1", 1), raw.ISB,
        raw.mov(3, 0x8000_0000 - 4), raw.load(4, 3), raw.NOP, memory=1024 * MIB,
    )  # fmt: skip
    target.at(table + 8).u64 = 0x4000_0000 | 1 << 10 | 1
    with target.watch(0x8000_0000 - 4, 4) as watch:
        target.run(timeout=0.3)
    assert target.recorder.exceptions[0].far == 0x8000_0000
    assert watch.accesses == []


def test_a_snapshot_taken_without_the_watch(boot):
    """Returning to it leaves the watch on."""
    target = boot(code(raw.store(1, 3), raw.load(4, 3)))
    snapshot = target.snapshot()
    with target.watch(DATA, 8) as watch:
        assert target.finish().ok
        target.restore(snapshot)
        assert target.finish().ok
    assert seen(watch) == 2 * [(0, False, 0, 8, 1), (1, True, 0, 8, 1)]


def test_a_watch_may_outlive_its_machine(boot):
    """What was heard is still there."""
    target = boot(code(raw.store(1, 3)))
    with target.watch(DATA, 8) as watch:
        assert target.finish().ok
        target.power_cut()
    assert len(watch.writes) == 1


def test_a_guest_with_el2_is_watched_too(boot):
    """Whose stage 2 is its own."""
    target = boot(code(raw.store(1, 3)), el=2)
    with target.watch(DATA, 8) as watch:
        target.run(timeout=0.3)
    assert len(watch.writes) == 1


def test_only_memory_can_be_watched(boot):
    """A device has `mmio` for that."""
    with pytest.raises(UsageError, match="no RAM at 0x9000000"):
        boot(raw.NOP).watch(raw.UART)
