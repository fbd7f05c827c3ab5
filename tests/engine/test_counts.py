"""Counts of instructions: however a run is cut it is one run, and a step is one instruction (docs/engine.md)."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, NamedTuple

import pytest

from armvcpu.arch.registers import by_name, instruction_from_access
from armvcpu.engine.api import BEFORE_NATIVE, NATIVE, PYTHON, RegisterRows, RunEnd
from armvcpu.engine.selftest_bench import (
    ADD_X0_1,
    CODE,
    DATA,
    LDR_X3_X2,
    NOP,
    PAGE,
    RAM,
    UDF,
    VECTORS,
    Bench,
    branch,
    hvc,
    svc,
)
from armvcpu.engine.selftest_checks import WORST_WORD
from armvcpu.engine.unicorn_engine import UnicornEngine

if TYPE_CHECKING:
    from collections.abc import Iterator

DEVICE, IAR, VBAR = 0x0900_0000, by_name["ICC_IAR1_EL1"].encoding, by_name["VBAR_EL1"].encoding
WFE, YIELD, BR_X7, BRK = 0xD503_205F, 0xD503_203F, 0xD61F_00E0, 0xD420_0020
CMP_X0_X8, CSEL, CBZ, STR_POST = 0xEB08_001F, 0x9A89_0129, 0xB400_0040, 0xF800_8443
FAR_CODE = RAM + 4 * PAGE - 8
"""Code that goes on in another page."""
SKIP = (0xD538_4029, 0x9100_1129, 0xD518_4029, 0xD69F_03E0)  # mrs x9, elr_el1; add x9, x9, #4; msr; eret
PROGRAM = (
    ADD_X0_1,
    svc(1),
    ADD_X0_1,
    UDF,
    WFE,
    LDR_X3_X2,
    ADD_X0_1,
    STR_POST,
    instruction_from_access(IAR, 4, is_read=True),
    ADD_X0_1,
    instruction_from_access(VBAR, 10, is_read=False),
    YIELD,
    WORST_WORD,
    CBZ,
    NOP,
    0xF940_0165,
    ADD_X0_1,
    BRK,
    0xF940_0046,
    BR_X7,
)  # fmt: skip  ldr x5, [x11] faults; ldr x6, [x2]
BACK = 0xD61F_0180  # br x12


class Seen(NamedTuple):
    """What there is to compare."""

    pc: int
    registers: list[int]
    accesses: int
    rows: int


@pytest.fixture
def counted() -> Iterator[Counted]:
    counted = Counted()
    yield counted
    counted.engine.close()


class Counted(Bench):
    """A loop over all kinds of instructions, whose exceptions the engine enters and a handler steps over."""

    def __init__(self) -> None:
        super().__init__(UnicornEngine())
        self.accesses = self.rows = 0
        self.looks = False
        rows = RegisterRows()
        rows.reads[IAR], rows.writes[VBAR] = self.read_row, self.write_row
        rows.shape = ((IAR, (PYTHON, PYTHON, 0)), (VBAR, (NATIVE, BEFORE_NATIVE, 0)))
        self.engine.registers.use(rows)
        self.engine.memory.map_io(DEVICE, PAGE, self.access, lambda *_: self.access())
        self.begin()

    def read_row(self) -> int:
        self.rows += 1
        return self.rows

    def write_row(self, value: int) -> int:
        self.rows += 1
        return value

    def access(self, *_: int) -> int:
        self.accesses += 1
        if self.looks:
            assert self.engine.look()
            self.set_gpr(13, self.accesses)
        return self.accesses

    def begin(self) -> None:
        """At the start of the loop, with nothing counted."""
        self.accesses = self.rows = 0
        self.start(*PROGRAM)
        self.engine.listen.hear_exceptions(0)
        self.put(VECTORS + 0x200, *SKIP)
        self.put(FAR_CODE, ADD_X0_1, ADD_X0_1, ADD_X0_1, BACK)
        self.write("CPACR_EL1", 3 << 20)
        for register, value in ((2, DEVICE), (7, FAR_CODE), (10, VECTORS), (11, 1 << 60), (12, CODE)):
            self.set_gpr(register, value)
        self.set_gpr(10, VECTORS)
        self.engine.count_instructions()
        self.engine.instructions = 0

    def now(self) -> Seen:
        return Seen(self.engine.state.pc, self.engine.state.frame[:32].tolist(), self.accesses, self.rows)

    def path(self, length: int) -> list[Seen]:
        """What there is after each instruction, one by one."""
        self.begin()
        path = [self.now()]
        for n in range(length):
            assert self.engine.instructions == n
            self.engine.step()
            path.append(self.now())
        return path


LENGTH = 260


@pytest.mark.parametrize("looks", [False, True], ids=["", "changing registers"])
def test_slices_of_any_size_are_the_steps(counted, looks):
    """Exceptions, faults, branches, another page, rows, waits, devices, words that the translator fails on."""
    counted.looks = looks
    path = counted.path(LENGTH)
    for size in (1, 2, 3, 4, 5, 7, 11, 12, 13, 17, 29, 64, 100, LENGTH):
        counted.begin()
        for n in range(size, LENGTH + 1, size):
            assert counted.engine.run(size) is RunEnd.LIMIT
            assert (counted.engine.instructions, counted.now()) == (n, path[n]), size


def test_long_slices_are_short_ones(counted):
    """More than the longest block, where the first part of the run goes without limits."""
    counted.begin()
    for _ in range(40):
        counted.engine.run(100)
    wanted = counted.now()
    for size in (1000, 4000, 2000, 800):
        counted.begin()
        while (left := 4000 - counted.engine.instructions) > 0:
            assert counted.engine.run(min(size, left)) is RunEnd.LIMIT
        assert (counted.engine.instructions, counted.now()) == (4000, wanted)


def test_random_slices_and_steps_are_one_run(counted):
    """Mixed at random."""
    counted.begin()
    counted.engine.run(3000)
    wanted, source = counted.now(), random.Random(3)
    counted.begin()
    while (left := 3000 - counted.engine.instructions) > 0:
        size = min(source.choice((1, 2, 3, 10, 511, 512, 513, 600)), left)
        before = counted.engine.instructions
        if size == 1:
            counted.engine.step()
        else:
            counted.engine.run(size)
        assert counted.engine.instructions == before + size
    assert counted.now() == wanted


def test_waits_that_end_runs_lose_no_instruction(counted):
    """With `yields`, a run ends behind each WFE and YIELD; a limit that is reached there too is not exceeded."""
    path = counted.path(LENGTH)
    for size in (0, 1, 5, 600):
        counted.begin()
        counted.engine.yields = True
        while counted.engine.instructions < LENGTH - 60:
            before = counted.engine.instructions
            end = counted.engine.run(size)
            assert end in {RunEnd.YIELDED, RunEnd.LIMIT}
            assert counted.engine.instructions - before <= (size or LENGTH)
            assert counted.now() == path[counted.engine.instructions]
        counted.engine.yields = False


def test_a_count_in_a_row_is_that_before_its_instruction(counted):
    """Exact, in a block as between blocks."""
    path = counted.path(LENGTH)
    counts: list[int] = []
    counted.read_row = counted.write_row
    rows = RegisterRows()
    rows.reads[IAR] = lambda: (counts.append(counted.engine.instructions), 1)[1]
    rows.writes[VBAR] = lambda value: (counts.append(counted.engine.instructions), value)[1]
    rows.shape = ((IAR, (PYTHON, PYTHON, 0)), (VBAR, (NATIVE, BEFORE_NATIVE, 0)))
    counted.engine.registers.use(rows)
    counted.begin()
    counted.engine.run(LENGTH)
    at = {CODE + 4 * PROGRAM.index(word) for word in PROGRAM if word in {PROGRAM[8], PROGRAM[10]}}
    assert counts == [n for n, seen in enumerate(path[:-1]) if seen.pc in at]


def test_a_stop_at_a_count_is_at_the_first_block_after_it(counted):
    """The same one whether the run has a limit or not, and however far that is."""
    stops = {}
    for count in range(1, 150, 7):
        counted.begin()
        counted.engine.stop_at(count)
        assert counted.engine.run() is RunEnd.STOPPED
        stops[count] = counted.engine.instructions, counted.now()
        assert count <= counted.engine.instructions < count + 12
    for limit, (count, wanted) in zip((200, 300, 600, 5000) * 10, stops.items(), strict=False):
        counted.begin()
        counted.engine.stop_at(count)
        assert counted.engine.run(limit) is RunEnd.STOPPED
        assert (counted.engine.instructions, counted.now()) == wanted
    counted.engine.stop_at(None)


def test_a_stop_at_a_count_set_in_a_handler_holds(bench):
    """In a run with a limit as in one without; and the limit is still exact after it was taken back."""
    engine = bench.engine
    engine.count_instructions()
    for limit, end in ((0, RunEnd.STOPPED), (50, RunEnd.STOPPED), (5000, RunEnd.STOPPED), (18, RunEnd.LIMIT)):
        bench.start(svc(0), ADD_X0_1, ADD_X0_1, branch(-2))
        engine.instructions = 0
        bench.on_trap = lambda _seen: engine.stop_at(20)
        assert bench.run(limit) is end
        assert engine.instructions == {RunEnd.STOPPED: 22, RunEnd.LIMIT: limit}[end]
        engine.stop_at(None)
    bench.start(svc(0), ADD_X0_1, ADD_X0_1, branch(-2))
    engine.instructions = 0
    engine.stop_at(20)
    bench.on_trap = lambda _seen: engine.stop_at(None)
    assert (bench.run(3000), engine.instructions) == (RunEnd.LIMIT, 3000)


def test_stops_of_another_thread_are_not_taken_for_limits(bench):
    """They come before the count, which goes on where it was."""
    engine = bench.engine
    bench.start(ADD_X0_1, ADD_X0_1, branch(-2))
    engine.count_instructions()
    for _ in range(20):
        before = engine.instructions
        stopper = threading.Timer(0.001, engine.request_stop)
        stopper.start()
        assert engine.run(1 << 40) is RunEnd.STOPPED
        stopper.join()
        assert before <= engine.instructions < before + (1 << 40)  # equal: on a busy host the request came first
        assert bench.gpr(0) == engine.instructions // 3 * 2 + engine.instructions % 3
    assert engine.instructions


def test_a_stop_before_a_step_is_for_the_next_run(bench):
    """A step is a step."""
    bench.start(ADD_X0_1, ADD_X0_1, ADD_X0_1, hvc(0))
    bench.engine.request_stop()
    bench.engine.step()
    bench.engine.step()
    assert bench.gpr(0) == 2
    assert (bench.run(), bench.gpr(0)) == (RunEnd.STOPPED, 2)
    assert bench.run() is RunEnd.LEFT


def test_a_step_onto_a_page_that_can_t_be_fetched_enters_its_exception(bench):
    """An Instruction Abort, with nothing of its handler executed; it counts as no instruction."""
    engine = bench.engine
    engine.count_instructions()
    for target, esr in ((1 << 60, 0x8600_0000), (DEVICE, 0x8600_0010)):
        bench.start(BR_X7)
        bench.engine.listen.hear_exceptions(0)
        if target == DEVICE:
            engine.memory.map_io(DEVICE, PAGE, lambda *_: 0, lambda *_: None)
        bench.put(VECTORS + 0x200, ADD_X0_1, ADD_X0_1)
        engine.state.set_pc(target)
        begin = engine.instructions
        engine.step()
        assert (engine.state.pc, engine.last_exception.esr, bench.gpr(0)) == (VECTORS + 0x200, esr, 0)
        assert engine.instructions == begin
        assert bench.run(1) is RunEnd.LIMIT
        assert (engine.state.pc, bench.gpr(0)) == (VECTORS + 0x204, 1)


@pytest.mark.parametrize("limit", [0, 1, 2, 600])
def test_a_page_that_python_maps_when_it_is_fetched_costs_nothing(bench, limit):
    """A stage-2 abort whose handler lets the guest go on: the step, or the limit, is that of the instruction."""
    engine = bench.engine
    bench.start(ADD_X0_1, branch(PAGE // 4 - 1), stage2=True)
    bench.put(CODE + PAGE, ADD_X0_1, branch(-PAGE // 4 - 1))
    aborts = []
    for n in range(1, 9):
        engine.memory.tables[0x2000 + 8 : 0x2000 + 16] = bytes(8)
        engine.memory.flush_tlb()
        bench.on_trap = lambda _seen: (aborts.append(engine.state.pc), bench.map_page(CODE + PAGE, CODE + PAGE))
        if limit:
            assert bench.run(limit) is RunEnd.LIMIT
        else:
            engine.step()
        done = n * (limit or 1)
        assert engine.state.pc == CODE + (0, 4, PAGE, PAGE + 4)[done % 4]
        assert bench.gpr(0) == (done + 1) // 2
    assert aborts
    assert set(aborts) <= {CODE + PAGE, CODE + PAGE + 4}


def test_a_stop_at_a_count_comes_before_a_block_that_can_t_be_fetched(bench):
    """With a limit as without one; the exception is the next run's."""
    engine = bench.engine
    for limit in (0, 9, 600):
        bench.start(ADD_X0_1, BR_X7)
        engine.listen.hear_exceptions(0)
        bench.set_gpr(7, 1 << 60)
        engine.count_instructions()
        engine.instructions = 0
        engine.stop_at(1)
        assert bench.run(limit) is RunEnd.STOPPED
        assert (engine.state.pc, engine.instructions) == (1 << 60, 2)
        engine.step()
        assert engine.state.pc == VECTORS + 0x200
        engine.stop_at(None)


def test_counts_while_a_block_is_its_own_successor_s(bench):
    """A limit in a loop of one block, also where the block is longer than the limit."""
    for length in (1, 2, 30, 300, 700):
        bench.start(*[ADD_X0_1] * length, branch(-length))
        for limit in (1, length, length + 1, 513, 1200):
            begin = bench.gpr(0), bench.engine.state.pc
            assert bench.run(limit) is RunEnd.LIMIT
            position = (begin[1] - CODE) // 4 + limit
            assert bench.engine.state.pc == CODE + position % (length + 1) * 4
            assert bench.gpr(0) - begin[0] == limit - position // (length + 1)


def test_data_is_the_same(counted):
    """The loop leaves memory alone but for what it stores, which goes to the device."""
    counted.run(500)
    assert counted.ram[DATA - RAM : DATA - RAM + 64] == bytes(64)
