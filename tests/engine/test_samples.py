"""Samples: where the guest is at moments of its time, and how often Python is called; the guest hears nothing of it."""

from __future__ import annotations

from collections import Counter

import pytest
from engine.bare import CODE, NOP, RAM, RAM_SIZE, BareEngine

from armvcpu.engine.api import RunEnd
from armvcpu.engine.native import LONGEST_BLOCK

LDR_W1_X2, ADD_X2_PAGE = 0xB940_0041, 0x9140_0442  # ldr w1, [x2]; add x2, x2, #0x1000
SUB_X0_1, CBNZ_X0 = 0xD100_0400, 0xB500_0000  # sub x0, x0, #1; cbnz x0, .
NEXT, STACK = 0x1400_0001, RAM + 0x8000  # b to the next instruction
TURNS, SHORT, LONG = 4000, 3, 17
LOOP = (*[NOP] * (SHORT - 1), NEXT, *[NOP] * (LONG - 2), SUB_X0_1, CBNZ_X0 | (-(SHORT + LONG - 1) & 0x7FFFF) << 5)
"""A block of SHORT instructions and one of LONG, so many times as X0 says."""


@pytest.fixture
def counted():
    bare = BareEngine(counting=True)
    yield bare
    bare.close()


@pytest.fixture
def bare_engine():
    bare = BareEngine()
    yield bare
    bare.close()


def run_loop(bare: BareEngine, turns: int = TURNS) -> tuple[int, int]:
    """How many instructions it was, and what ended it."""
    bare.place(*LOOP)
    bare.engine.state.set_gpr(0, turns)
    before = bare.engine.instructions
    bare.engine.run()
    return bare.engine.instructions - before, bare.traps[-1][0]


@pytest.mark.parametrize("step", [1, 7, 64, 1009])
def test_a_run_by_instructions_is_the_same_with_samples(counted, step):
    """And there is one for each `step` instructions, but that a block has one at most."""
    plain, taken = run_loop(counted), []
    counted.engine.samples.begin(lambda: taken.append(counted.engine.state.pc), instructions=step)
    assert run_loop(counted) == plain
    assert taken
    if step > LONG:
        assert abs(len(taken) - plain[0] // step) <= 1


def test_a_block_comes_up_as_often_as_its_instructions_are(counted):
    """With PC where it begins, before it executes."""
    places = Counter()
    counted.engine.samples.begin(lambda: places.update([counted.engine.state.pc - CODE]), instructions=31)
    run_loop(counted)
    assert set(places) == {0, 4 * SHORT}
    assert places[4 * SHORT] / places.total() == pytest.approx(LONG / (SHORT + LONG), abs=0.02)


def test_samples_see_the_registers_that_the_block_begins_with(counted):
    """X0 is what it was after whole turns."""
    seen = []

    def look():
        seen.append((counted.engine.state.gpr(0), counted.engine.instructions))

    counted.engine.samples.begin(look, instructions=(SHORT + LONG) * 10)
    first = counted.engine.instructions
    run_loop(counted, 100)
    assert {count - first - (100 - x0) * (SHORT + LONG) for x0, count in seen} == {0}
    assert len(seen) == 10


def test_none_are_taken_once_it_has_ended(counted):
    """And the next run is as the first."""
    taken = []
    counted.engine.samples.begin(lambda: taken.append(1), instructions=10)
    plain = run_loop(counted)
    counted.engine.samples.end()
    taken.clear()
    assert run_loop(counted) == plain
    assert taken == []


@pytest.mark.parametrize("limit", [1, 100, 5000])
def test_limits_are_exact_with_samples(counted, limit):
    """And nearly as many samples are taken: none in the last blocks of a limited run, which are cut to its length."""
    taken = []
    counted.engine.samples.begin(lambda: taken.append(1), instructions=50)
    counted.place(*LOOP)
    counted.engine.state.set_gpr(0, 1_000_000)
    before = counted.engine.instructions
    assert counted.engine.run(limit) is RunEnd.LIMIT
    assert counted.engine.instructions - before == limit
    counted.engine.run(10_000)
    assert abs(len(taken) - (limit + 10_000) // 50) <= 2 * LONGEST_BLOCK // 50 + 1


def test_by_the_hosts_clock_an_endless_loop_is_looked_at(bare_engine):
    """The handler may leave."""
    taken = []

    def look():
        taken.append(bare_engine.engine.state.pc - CODE)
        if len(taken) == 5:
            bare_engine.engine.leave()

    bare_engine.engine.samples.begin(look, ns=200_000)
    bare_engine.place(*LOOP)
    bare_engine.engine.state.set_gpr(0, 0)
    assert bare_engine.engine.run() is RunEnd.LEFT
    assert len(taken) == 5
    assert set(taken) <= {0, 4 * SHORT}


@pytest.mark.parametrize("kind", ["instructions", "ns"])
def test_a_handler_that_fails_ends_the_run(counted, kind):
    """`run` raises what it has raised."""

    def fail():
        raise KeyError("mine")

    counted.engine.samples.begin(fail, **{kind: 100_000})
    counted.place(*LOOP)
    counted.engine.state.set_gpr(0, 0)
    with pytest.raises(KeyError, match="mine"):
        counted.engine.run()


def chain(bare: BareEngine, *records: tuple[int, int, int]) -> tuple[list[int], int]:
    """Records (where, x29, return address) on the stack: what `frames` makes of them, from STACK on."""
    for at, x29, address in records:
        bare.ram[at - RAM : at - RAM + 16] = x29.to_bytes(8, "little") + address.to_bytes(8, "little")
    frames, last = bare.engine.samples.frames(STACK)
    return list(frames), last


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([(STACK, STACK + 0x20, 0x100), (STACK + 0x20, 0, 0x200)], ([0x100, 0x200], 0)),
        ([(STACK, STACK + 0x20, 0x100), (STACK + 0x20, 0, 0)], ([0x100], STACK + 0x20)),
        ([(STACK, STACK + 0x20, 0x102)], ([], STACK)),
        ([(STACK, STACK + 4, 0x100)], ([0x100], 0)),
        ([(STACK, RAM + RAM_SIZE, 0x100)], ([0x100], 0)),
        ([(STACK, 0xFFFF_FFFF_FFFF_FFF0, 0x100)], ([0x100], 0)),
        ([(STACK, STACK - 0x1000, 0x100), (STACK - 0x1000, 0, 0x200)], ([0x100, 0x200], 0)),
    ],
    ids=["two", "zeroes at the end", "no address", "unaligned", "behind memory", "nowhere", "another stack"],
)
def test_chains_of_frame_records(bare_engine, records, expected):
    """They end at what can't be a record, and may go to another stack, as an interrupt's does."""
    bare_engine.place(NOP)
    assert chain(bare_engine, *records) == expected


def test_a_chain_in_a_circle_ends(bare_engine):
    """Each time round it goes down."""
    bare_engine.place(NOP)
    frames, _ = chain(bare_engine, (STACK, STACK + 0x20, 0x100), (STACK + 0x20, STACK, 0x200))
    assert 2 <= len(frames) <= 8


def test_tally_has_traps_and_runs(bare_engine):
    """By exception class, with the time that Python took; not those before it was asked for."""
    bare_engine.run_words(NOP)
    bare_engine.engine.samples.tally(wanted=True)
    for _ in range(3):
        bare_engine.run_words(NOP)
    tally = bare_engine.engine.samples.tallied
    assert tally.runs[0] == 3
    assert {ec: count for ec, (count, _) in tally.traps.items()} == {0x15: 3}
    assert 0 < tally.traps[0x15][1] < tally.runs[1] == bare_engine.engine.samples.run_ns
    bare_engine.engine.samples.tally(wanted=False)
    bare_engine.run_words(NOP)
    assert bare_engine.engine.samples.tallied == tally


def test_each_access_of_a_device_is_told_once(bare_engine):
    """Of more devices than there is room for too; and those that were taken away need none."""
    memory, base, page, many = bare_engine.engine.memory, 0x1000_0000, 0x1000, 70
    for _ in range(many):
        memory.map_io(base, page, lambda _offset, _width: 0, lambda _offset, _width, _value: None)
        memory.unmap(base, page)
    for number in range(many):
        memory.map_io(base + number * page, page, lambda _offset, _width: 0, lambda _offset, _width, _value: None)
    bare_engine.engine.samples.tally(wanted=True)
    bare_engine.place(LDR_W1_X2, ADD_X2_PAGE, SUB_X0_1, CBNZ_X0 | (-3 & 0x7FFFF) << 5)
    bare_engine.engine.state.set_gpr(0, many)
    bare_engine.engine.state.set_gpr(2, base)
    bare_engine.engine.run()
    loads = {address: loads for address, (loads, _, _) in bare_engine.engine.samples.tallied.devices.items()}
    own = {base + number * page: 1 for number in range(62)}
    assert loads == own | {base + 62 * page: many - 62}
