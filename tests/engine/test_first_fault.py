"""Exceptions that the guest has not returned from: which one began, and loops that never end (shim/faults.c)."""

from __future__ import annotations

import pytest

from armvcpu.engine.api import LOOP_LIMIT, STORM_LIMIT, RunEnd
from armvcpu.engine.selftest_bench import CODE, ERET, NOP, RAM, UDF, UNMASK_IRQ, VECTORS, branch, hvc, svc

SYNC, IRQ = VECTORS + 0x200, VECTORS + 0x280
HANDLER = RAM + 0x1800
STR_X3_SP, SUBS_X3, B_NE = 0xF900_03E3, 0xF100_0463, 0x5400_0001  # str x3, [sp]; subs x3, x3, #1; b.ne
NOWHERE = 1 << 60


def started(bench, *words: int):
    """The bench's engine with a program, whose exceptions Python hears of once they are endless, and not before."""
    bench.start(*words)
    bench.engine.listen.hear_exceptions(0)
    bench.engine.set_trap_handler(lambda *_: bench.engine.leave(), bench.engine.leave)
    return bench.engine


def to_handler(at: int) -> int:
    """B HANDLER, at an address."""
    return branch((HANDLER - at) // 4)


def test_the_first_fault_is_kept_with_what_the_cpu_was_at(bench):
    """A store by SP that leads nowhere, and then the handler's own: the first, as it was."""
    engine = started(bench, NOP, STR_X3_SP)
    bench.put(SYNC, svc(1))
    engine.state.frame[31] = NOWHERE
    bench.set_gpr(29, 0x1122)
    bench.set_gpr(30, (1 << 64) - 8)
    assert engine.run() is RunEnd.LEFT
    assert engine.first_fault == (0x9600_0040, NOWHERE, CODE + 4, 5, NOWHERE, 0x1122, (1 << 64) - 8, 1)


def test_a_level_below_and_its_own_stack_are_told(bench):
    """PSTATE says that it was EL0, and SP is SP_EL0."""
    engine = started(bench, svc(1))
    bench.put(VECTORS + 0x400, hvc(0))
    engine.registers.write_pstate(0x3C0)
    engine.state.frame[31] = 0x1110
    assert engine.run() is RunEnd.LEFT
    assert (engine.first_fault.pstate >> 2 & 3, engine.first_fault.sp, engine.is_endless) == (0, 0x1110, False)


@pytest.mark.parametrize(
    "handler", [[UDF], [NOP, svc(2), UDF], [svc(2), NOP, branch(-2)]], ids=["one", "two", "branch"]
)
def test_a_handler_that_faults_for_ever_is_endless(bench, handler):
    """From one address or two outside of the vector, with no ERET in between; with what began it."""
    engine = started(bench, NOP, svc(7))
    bench.put(SYNC, to_handler(SYNC))
    bench.put(HANDLER, *handler)
    assert (engine.run(), engine.is_endless) == (RunEnd.LEFT, True)
    assert (engine.first_fault.esr, engine.first_fault.elr) == (0x5600_0007, CODE + 8)


def test_two_addresses_in_turn_are_endless(bench):
    """X3 says which of two instructions of the handler faults."""
    engine = started(bench, svc(7))
    bench.put(SYNC, to_handler(SYNC))
    bench.put(HANDLER, 0xD240_0063, 0xB400_0043, UDF, svc(3))  # eor x3, x3, #1; cbz x3, .+8; udf; svc #3
    assert (engine.run(), engine.is_endless) == (RunEnd.LEFT, True)
    assert (engine.first_fault.esr, engine.first_fault.elr) == (0x5600_0007, CODE + 4)


@pytest.mark.parametrize("count", [LOOP_LIMIT - 2, LOOP_LIMIT + 2])
def test_a_handler_that_is_left_by_a_jump_has_patience(bench, count):
    """A test that takes the same exception again and again, without ERET, may have some ten thousands of it."""
    engine = started(bench, svc(5), hvc(0))
    bench.put(SYNC, to_handler(SYNC))
    bench.put(HANDLER, SUBS_X3, B_NE | ((CODE - HANDLER - 4) // 4 & 0x7_FFFF) << 5, hvc(0))
    bench.set_gpr(3, count)
    assert (engine.run(), engine.is_endless) == (RunEnd.LEFT, count > LOOP_LIMIT)


def test_many_that_are_left_by_a_jump_are_an_older_story(bench):
    """After more exceptions than are kept, what the loop began with is told, and not the first of all."""
    engine = started(bench, *[svc(n) for n in range(9)], hvc(0))
    bench.put(CODE + 4 * 8, UDF)
    bench.put(SYNC, 0xD538_4025, 0xD538_5206, 0xD35A_FCC6, 0xB400_0046, 0xD61F_00A0, UDF)
    # mrs x5, elr_el1; mrs x6, esr_el1; lsr x6, x6, #26; cbz x6, .+8; br x5; udf
    assert (engine.run(), engine.is_endless) == (RunEnd.LEFT, True)
    assert (engine.first_fault.esr, engine.first_fault.elr) == (0x0200_0000, CODE + 4 * 8)


def test_eret_is_a_return_from_all(bench):
    """Nothing is left to tell of; what comes after is the first."""
    engine = started(bench, svc(1), UDF)
    bench.put(SYNC, 0xD538_5206, 0xD35A_FCC6, 0xB400_0046, ERET, hvc(0))  # as above; cbz x6, .+8
    assert engine.run() is RunEnd.LEFT
    assert (engine.first_fault.esr, engine.first_fault.elr) == (0x0200_0000, CODE + 4)


def test_return_of_an_interrupt_leads_back_into_the_handler(bench):
    """An interrupt comes inside of it; the exception that it handles is still the first."""
    engine = started(bench, svc(1))
    bench.put(SYNC, UNMASK_IRQ, NOP, NOP, hvc(0))
    bench.put(IRQ, 0xD538_4003, 0xB279_0063, 0xD518_4003, ERET)  # mrs x3, spsr_el1; orr x3, x3, #0x80; msr; eret
    engine.set_lines(irq=True, fiq=False)
    assert engine.run() is RunEnd.LEFT
    engine.set_lines(irq=False, fiq=False)
    assert (bench.gpr(3) & 0x80, engine.first_fault.esr) == (0x80, 0x5600_0001)


def test_history_goes_with_the_state(bench):
    """Another state has none of it, and it can be put back."""
    engine = started(bench, svc(1))
    bench.put(SYNC, hvc(0))
    engine.run()
    state, history, first = engine.state, engine.fault_history, engine.first_fault
    engine.load(engine.new_state())
    assert engine.first_fault is None
    engine.load(state)
    engine.fault_history = history
    assert engine.first_fault == first
    engine.fault_history = b""
    assert engine.first_fault is None


def test_endless_loops_go_on_over_switches(bench):
    """A loop that is told after its STORM_LIMIT in pieces of an instruction, with another state loaded in between."""
    engine = started(bench, svc(5))
    bench.put(SYNC, UDF)
    mine, other = engine.state, engine.new_state()
    for _ in range(STORM_LIMIT + 1):
        engine.step()
        history = engine.fault_history
        engine.load(other)
        engine.load(mine)
        engine.fault_history = history
    assert (engine.is_endless, engine.first_fault.elr) == (True, CODE + 4)
