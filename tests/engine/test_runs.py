"""Stops by other threads, and limits on instructions."""

from __future__ import annotations

import threading

import pytest

from armvcpu.engine.api import RunEnd
from armvcpu.engine.selftest_bench import ADD_X0_1, CODE, branch, hvc, svc
from armvcpu.engine.selftest_checks import check_counts, check_stop


def test_asynchronous_stops_leave_a_pointer_chase_intact(bench):
    """Twenty stops from other threads, none of which repeats or loses an access."""
    check_stop(bench)


def test_stop_before_the_run_is_not_lost(bench):
    """`request_stop` holds for the next run, and for that one only."""
    bench.start(hvc(1))
    bench.engine.request_stop()
    assert (bench.run(), bench.seen) == (RunEnd.STOPPED, [])
    assert bench.run() is RunEnd.LEFT


def test_stop_from_a_thread_ends_an_endless_loop(bench):
    """`b .` is stopped at its own block's start."""
    bench.start(branch(0))
    threading.Timer(0.005, bench.engine.request_stop).start()
    assert (bench.run(), bench.engine.state.pc) == (RunEnd.STOPPED, CODE)


def test_slices_of_any_size_equal_one_run(bench):
    """1, 2, 3, 5 and 7 instructions at a time, with exceptions on the way, end where one run of 210 does."""
    check_counts(bench)


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 10, 1001])
def test_limit_is_exact(bench, limit):
    """After N instructions of a loop of three, PC and the registers are those of the Nth."""
    bench.start(ADD_X0_1, ADD_X0_1, branch(-2))
    assert bench.run(limit) is RunEnd.LIMIT
    rounds, rest = divmod(limit, 3)
    assert (bench.gpr(0), bench.engine.state.pc) == (2 * rounds + rest, CODE + 4 * rest)


def test_a_stop_in_a_handler_comes_before_the_next_block(bench):
    """It does not wait for the limit, which is the next run's affair."""
    bench.start(svc(0), ADD_X0_1, branch(-2))
    bench.on_trap = lambda _seen: bench.engine.request_stop()
    assert (bench.run(limit=9), bench.engine.instructions, bench.engine.state.pc) == (RunEnd.STOPPED, 1, CODE + 4)
    bench.on_trap = bench.go_on
    assert (bench.run(limit=8), bench.engine.instructions, bench.gpr(0)) == (RunEnd.LIMIT, 9, 3)


def test_counting_changes_no_state(bench):
    """Registers and new states are the same after counting has begun, with the code that was translated before."""
    engine = bench.engine
    bench.start(ADD_X0_1, hvc(1), branch(-2))
    fresh = bytes(engine.new_state().raw)
    bench.run_to_trap()
    engine.count_instructions()
    assert (engine.instructions, bench.gpr(0), engine.state.pc, bytes(engine.new_state().raw)) == (
        0, 1, CODE + 8, fresh,
    )  # fmt: skip
    bench.run_to_trap()
    assert (engine.instructions, bench.gpr(0)) == (3, 2)
