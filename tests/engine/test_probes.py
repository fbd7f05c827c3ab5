"""Probes: Python is called before the instruction at an address, and nowhere else (shim/probes.c)."""

from __future__ import annotations

from armvcpu.engine.api import RunEnd
from armvcpu.engine.selftest_bench import ADD_X0_1, CODE, NOP, hvc

LOOP = (ADD_X0_1, 0xF100_281F, 0x54FF_FFC1, hvc(0))
"""add x0, x0, #1; cmp x0, #10; b.ne .-8; hvc #0"""


def test_a_probe_that_is_removed_is_not_called(bench):
    """It may be removed in its own call, and twice; others at the address are still called."""
    engine, reached, others = bench.engine, [], []
    probe = engine.listen.probe(CODE + 4, lambda pc: (reached.append(pc), probe.remove()))
    other = engine.listen.probe(CODE + 4, others.append)
    bench.start(*LOOP)
    bench.run_to_trap()
    probe.remove()
    assert (reached, len(others)) == ([CODE + 4], 10)
    other.remove()
    bench.start(*LOOP)
    bench.run_to_trap()
    assert len(others) == 10


def test_code_that_has_been_translated_is_heard_too(bench):
    """Also where a probe comes in a call out of the block that it is in, and after one that was removed."""
    engine, reached = bench.engine, []
    bench.start(*LOOP)
    bench.run_to_trap()
    engine.listen.probe(CODE, lambda _pc: engine.listen.probe(CODE + 8, reached.append) if not reached else None)
    bench.start(*LOOP)
    bench.run_to_trap()
    assert set(reached) == {CODE + 8}
    assert len(reached) >= 9


def test_a_run_that_was_left_goes_on_with_the_instruction(bench):
    """Without hearing of it again, but each time that the guest comes back to it."""
    engine, seen = bench.engine, []
    engine.listen.probe(CODE + 4, lambda _pc: (seen.append(bench.gpr(0)), engine.leave()))
    bench.start(*LOOP)
    while engine.run() is RunEnd.LEFT and engine.state.pc == CODE + 4:
        pass
    assert seen == list(range(1, 11))


def test_many_probes_are_told_apart(bench):
    """More than the table begins with, most of them where no code is."""
    reached = []
    for at in range(CODE - 0x4000, CODE + 0x4000, 4):
        bench.engine.listen.probe(at, reached.append)
    bench.start(NOP, NOP, hvc(0))
    bench.run_to_trap()
    assert reached == [CODE, CODE + 4, CODE + 8]


def test_a_handler_may_write_registers_and_go_elsewhere(bench):
    """In the middle of a block."""
    engine = bench.engine
    probe = engine.listen.probe(CODE + 4, lambda _pc: (bench.set_gpr(0, 40), engine.state.set_pc(CODE + 12)))
    bench.start(NOP, ADD_X0_1, ADD_X0_1, ADD_X0_1, hvc(0))
    bench.run_to_trap()
    probe.remove()
    assert bench.gpr(0) == 41
