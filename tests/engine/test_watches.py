"""Watched memory: Python is called before an access is made (shim/watches.c)."""

from __future__ import annotations

import pytest

from armvcpu.engine.api import RunEnd
from armvcpu.engine.selftest_bench import CODE, NOP, hvc

DATA = CODE + 0x2000
STR_X1_X2, LDR_X1_X2, STRB_W1_X2, LDP_X3_X4_X2 = 0xF900_0041, 0xF940_0041, 0x3900_0041, 0xA940_1043
LDADD_X1_X3_X2, DC_ZVA_X2, STUR_X1_X2_4 = 0xF821_0043, 0xD50B_7422, 0xF800_4041


@pytest.fixture
def seen(bench):
    """The offsets, widths and kinds of what is told of 8 bytes at DATA + 8, and the PC then."""
    seen: list[tuple[int, int, bool, int]] = []

    def hear(at: int, width: int, is_write: bool) -> None:
        seen.append((at - DATA, width, is_write, bench.engine.state.pc - CODE))

    bench.engine.listen.watch(DATA + 8, 8, hear, reads=True, writes=True)
    return seen


def go(bench, at, *words):
    bench.start(NOP, *words, hvc(0))
    bench.set_gpr(2, at)
    bench.set_gpr(1, 0x1122_3344_5566_7788)
    bench.run_to_trap()


def test_accesses_of_the_range_are_told_before_they_are_made(bench, seen):
    """Reads and writes, of parts of it, and PC on each."""
    go(bench, DATA + 8, LDR_X1_X2, STR_X1_X2, STRB_W1_X2)
    assert seen == [(8, 8, False, 4), (8, 8, True, 8), (8, 1, True, 12)]


def test_neighbours_in_the_page_are_not(bench, seen):
    """And they are made."""
    go(bench, DATA + 16, STR_X1_X2)
    go(bench, DATA, STR_X1_X2)
    assert (seen, bench.engine.memory.read_virtual(DATA, 8)) == ([], bytes.fromhex("8877665544332211"))


def test_a_pair_is_one_access_of_each_half(bench, seen):
    """Of which the second is watched."""
    go(bench, DATA, LDP_X3_X4_X2)
    assert [each[:3] for each in seen] == [(8, 8, False)]


def test_atomic_operations_are_read_and_write(bench, seen):
    """LDADD."""
    go(bench, DATA + 8, LDADD_X1_X3_X2)
    assert [each[2:] for each in seen] == [(False, 4), (True, 4)]


def test_dc_zva_is_a_write(bench, seen):
    """Of its whole block."""
    go(bench, DATA, DC_ZVA_X2)
    assert any(is_write for _, _, is_write, _ in seen)


def test_an_unaligned_store_is_told_where_it_touches(bench, seen):
    """It is made byte by byte; leaving is in time, since the instruction is executed again."""
    go(bench, DATA, STUR_X1_X2_4)
    assert {each[2:] for each in seen} == {(True, 4)}


def test_leaving_comes_before_the_access(bench):
    """With watches suspended the instruction is then executed; a removed watch is told nothing."""
    engine = bench.engine
    watch = engine.listen.watch(DATA, 8, lambda *_: engine.leave(), reads=False, writes=True)
    bench.start(NOP, STR_X1_X2, LDR_X1_X2, hvc(0))
    bench.set_gpr(2, DATA)
    bench.set_gpr(1, 7)
    before = engine.memory.read_virtual(DATA, 8)
    assert (engine.run(), engine.state.pc) == (RunEnd.LEFT, CODE + 4)
    assert engine.memory.read_virtual(DATA, 8) == before
    engine.listen.suspend_watches(True)
    engine.step()
    engine.listen.suspend_watches(False)
    assert (engine.state.pc, engine.memory.read_virtual(DATA, 1)) == (CODE + 8, b"\x07")
    watch.remove()
    watch.remove()
    engine.state.set_pc(CODE)
    bench.run_to_trap()


def test_physical_addresses_are_watched_by_whatever_name(bench):
    """A neighbour at the same place of another page is none. The bench's memory has its own addresses as physical."""
    seen = []
    bench.engine.listen.watch(
        DATA + 8, 8, lambda at, *_: seen.append(at - DATA), reads=True, writes=True, is_physical=True
    )
    go(bench, DATA + 8, LDR_X1_X2)
    go(bench, DATA + 0x1008, LDR_X1_X2)
    assert seen == [8]
