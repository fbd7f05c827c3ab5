"""Interrupt lines, and stops of other threads (DDI 0487 D1.3.6)."""

from __future__ import annotations

import threading
import time

import pytest

from armvcpu.arch.registers import by_name, instruction_from_access
from armvcpu.engine.api import PYTHON, RegisterRows, RunEnd
from armvcpu.engine.selftest_bench import ADD_X0_1, CODE, ERET, NOP, VECTORS, branch, hvc

IAR = by_name["ICC_IAR1_EL1"].encoding
MRS_IAR = instruction_from_access(IAR, 3, is_read=True)
LINES = {"irq": (0x80, 0x80, 0xD503_42FF), "fiq": (0x40, 0x100, 0xD503_41FF)}
"""PSTATE's mask, the vector's offset, and MSR DAIFClr."""
lines = pytest.mark.parametrize("line", LINES)


def raise_line(bench, line):
    bench.engine.set_lines(irq=line == "irq", fiq=line == "fiq")


@pytest.fixture(autouse=True)
def lowered(bench):
    yield
    bench.engine.set_lines(irq=False, fiq=False)


@lines
@pytest.mark.parametrize(("mode", "vector"), [(0, 0x400), (5, 0x200)], ids=["EL0", "EL1"])
def test_an_unmasked_line_is_taken_before_the_next_instruction(bench, line, mode, vector):
    """At its vector, with SPSR_EL1 and ELR_EL1; a masked one is not."""
    mask, offset, _ = LINES[line]
    for pstate, taken in ((0x6000_03C0 & ~mask | mode, True), (0x6000_03C0 | mode, False)):
        bench.start(ADD_X0_1, ADD_X0_1, hvc(0), 0)
        bench.put(VECTORS + vector + offset, hvc(1))
        bench.engine.registers.write_pstate(pstate)
        raise_line(bench, line)
        bench.run_to_trap()
        bench.engine.set_lines(irq=False, fiq=False)
        if taken:
            assert bench.seen[-1].pc == VECTORS + vector + offset + 4
            assert hex(bench.engine.state.pstate) == "0x600003c5"
            assert (bench.gpr(0), bench.read("ELR_EL1"), bench.read("SPSR_EL1")) == (0, CODE, pstate)
        else:
            assert bench.gpr(0) == 2


def test_fiq_comes_before_irq(bench):
    """Where both are pending and unmasked; the other comes when it is unmasked again."""
    bench.start(NOP, hvc(0))
    bench.put(VECTORS + 0x300, hvc(1), ERET)
    bench.put(VECTORS + 0x280, hvc(2))
    bench.engine.registers.write_pstate(0x305)
    bench.engine.set_lines(irq=True, fiq=True)
    assert bench.run_to_trap().esr & 0xFFFF == 1
    bench.engine.set_lines(irq=True, fiq=False)
    assert bench.run_to_trap().esr & 0xFFFF == 2


@lines
def test_a_line_that_has_fallen_is_not_taken(bench, line):
    """Levels, not edges."""
    bench.start(NOP, hvc(1), LINES[line][2], hvc(2))
    raise_line(bench, line)
    bench.run_to_trap()
    bench.engine.set_lines(irq=False, fiq=False)
    assert bench.run_to_trap().esr & 0xFFFF == 2


@lines
@pytest.mark.parametrize("limit", [0, 1000])
def test_a_line_raised_in_a_row_is_taken_before_the_next_block(bench, line, limit):
    """And behind the instruction."""
    _, offset, unmask = LINES[line]
    rows = RegisterRows()
    rows.reads[IAR] = lambda: (raise_line(bench, line), 7)[1]
    rows.shape = ((IAR, (PYTHON, PYTHON, 0)),)
    bench.engine.registers.use(rows)
    bench.start(unmask, NOP, MRS_IAR, branch(1), ADD_X0_1, branch(-1))
    bench.put(VECTORS + 0x200 + offset, hvc(1))
    assert bench.run(limit) is RunEnd.LEFT
    assert (bench.gpr(0), bench.gpr(3)) == (0, 7)
    assert bench.read("ELR_EL1") in {CODE + 12, CODE + 16}


@lines
def test_a_line_raised_in_a_trap_is_taken_at_once(bench, line):
    """Before the instruction behind the HVC."""
    _, offset, unmask = LINES[line]
    bench.start(unmask, hvc(0), ADD_X0_1, branch(-1))
    bench.put(VECTORS + 0x200 + offset, hvc(1))
    bench.on_trap = lambda seen: bench.engine.leave() if seen.esr & 1 else raise_line(bench, line)
    assert bench.run() is RunEnd.LEFT
    assert (bench.gpr(0), bench.read("ELR_EL1")) == (0, CODE + 8)


def test_lines_are_the_engines_and_not_the_states(bench):
    """Another state that is loaded is interrupted too."""
    bench.start(NOP, hvc(0))
    bench.put(VECTORS + 0x280, hvc(1))
    bench.engine.set_lines(irq=True, fiq=False)
    bench.engine.load(bench.engine.new_state())
    bench.write("VBAR_EL1", VECTORS)
    bench.write("HCR_EL2", 1 << 31)
    bench.engine.state.set_pc(CODE)
    bench.engine.registers.write_pstate(0x345)
    assert bench.run_to_trap().esr & 0xFFFF == 1


# --- stops ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0, 1 << 40])
@pytest.mark.parametrize("yields", [False, True])
def test_no_stop_of_another_thread_is_lost(bench, limit, yields):
    """Thousands, each made as soon as the one before was heard: before, during and after the start of a run."""
    engine, tries = bench.engine, 1500
    bench.start(ADD_X0_1, 0xD503_205F if yields else NOP, branch(-2))
    engine.yields = yields
    heard, asked = threading.Semaphore(0), [0]

    def ask() -> None:
        for _ in range(tries):
            asked[0] += 1
            engine.request_stop()
            heard.acquire()

    asker = threading.Thread(target=ask)
    asker.start()
    stops, until = 0, time.monotonic() + 20
    while stops < tries and time.monotonic() < until:
        if engine.run(limit) is RunEnd.STOPPED:
            stops += 1
            assert asked[0] == stops
            heard.release()
    asker.join()
    engine.yields = False
    assert stops == tries
    assert bench.run(7) is RunEnd.LIMIT


def test_a_stop_is_for_one_run(bench):
    """However often it is asked for before, and whatever else ends the run."""
    bench.start(hvc(0), hvc(1), hvc(2), hvc(3))
    for _ in range(3):
        bench.engine.request_stop()
    assert (bench.run(), bench.engine.state.pc) == (RunEnd.STOPPED, CODE)
    assert (bench.run(), bench.engine.state.pc) == (RunEnd.LEFT, CODE + 4)
    bench.on_trap = lambda _seen: (bench.engine.request_stop(), bench.engine.leave())
    assert (bench.run(), bench.engine.state.pc) == (RunEnd.LEFT, CODE + 8)
    assert (bench.run(), bench.engine.state.pc) == (RunEnd.STOPPED, CODE + 8)
    assert (bench.run(), bench.engine.state.pc) == (RunEnd.LEFT, CODE + 12)


def test_a_stop_in_a_row_ends_the_run_before_the_next_block(bench):
    """The instruction is complete."""
    rows = RegisterRows()
    rows.reads[IAR] = lambda: (bench.engine.request_stop(), 7)[1]
    rows.shape = ((IAR, (PYTHON, PYTHON, 0)),)
    bench.engine.registers.use(rows)
    bench.start(MRS_IAR, branch(1), ADD_X0_1, branch(-1))
    assert (bench.run(), bench.gpr(0), bench.gpr(3)) == (RunEnd.STOPPED, 0, 7)


def test_stops_between_engines_don_t_mix(bench):
    """A stop of one is none of another's, in the same thread."""
    from armvcpu.engine.selftest_bench import Bench
    from armvcpu.engine.unicorn_engine import UnicornEngine

    other = Bench(UnicornEngine())
    for each in (bench, other):
        each.start(hvc(0))
    other.engine.request_stop()
    assert (bench.run(), other.run()) == (RunEnd.LEFT, RunEnd.STOPPED)
    other.engine.close()
    other.engine.request_stop()
