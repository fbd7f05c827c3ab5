"""The prompt mode and the counting mode; docs/engine.md, "Two modes"."""

from __future__ import annotations

import threading
import time

import pytest

from armvcpu.engine.api import RunEnd
from armvcpu.engine.selftest_bench import ADD_X0_1, CODE, branch, hvc, svc
from armvcpu.engine.selftest_checks import check_counts, check_stop
from armvcpu.errors import InternalError


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


def test_a_stop_need_not_be_waited_for(bench, monkeypatch):
    """Whoever has something else to do repeats it later; once a run has heard it, that stops nothing any more."""
    heard = []
    bench.start(branch(0))

    def stop():
        bench.engine.request_stop(wait=False)
        while bench.engine.repeat_stop():
            time.sleep(0.001)
        heard.append(bench.engine.repeat_stop())

    monkeypatch.setattr("armvcpu.engine.unicorn_engine._STOP_AGAIN", 60)
    stopper = threading.Timer(0.01, stop)
    stopper.start()
    assert bench.run() is RunEnd.STOPPED
    stopper.join(10)
    assert heard == [False]
    bench.start(hvc(1))
    assert bench.run() is RunEnd.LEFT


def test_slices_of_any_size_equal_one_run(bench):
    """1, 2, 3, 5 and 7 instructions at a time, with exceptions on the way, end where one run of 210 does."""
    check_counts(bench)


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 10, 1001])
def test_limit_is_exact(bench, limit):
    """After N instructions of a loop of three, PC and the registers are those of the Nth."""
    bench.engine.set_counting(True)
    bench.start(ADD_X0_1, ADD_X0_1, branch(-2))
    assert bench.run(limit) is RunEnd.LIMIT
    rounds, rest = divmod(limit, 3)
    assert (bench.gpr(0), bench.engine.state.pc) == (2 * rounds + rest, CODE + 4 * rest)


def test_limit_in_the_prompt_mode_is_refused(bench):
    """Limits are not exact there, so asking for one is a bug."""
    with pytest.raises(InternalError, match="counting mode"):
        bench.run(limit=1)


def test_stop_while_counting_waits_for_the_limit(bench):
    """A stop comes after the slice's own end, which still counts: earlier ones would repeat accesses."""
    bench.engine.set_counting(True)
    bench.start(svc(0), ADD_X0_1, branch(-2))
    bench.on_trap = lambda _seen: bench.engine.request_stop()
    assert (bench.run(limit=9), bench.gpr(0)) == (RunEnd.LIMIT, 3)
    assert (bench.run(limit=9), bench.gpr(0)) == (RunEnd.STOPPED, 3)


def test_modes_change_whatever_is_asked_meanwhile(bench):
    """A count that has been reached, and a stop that comes late, are a run's affair; the limit after is still exact."""
    engine = bench.engine
    engine.count_instructions()
    bench.start(ADD_X0_1, ADD_X0_1, branch(-2))
    engine.stop_at(0)
    engine._counter.stop_now()
    for counting in (True, False):
        engine.set_counting(counting)
        assert engine.counting == counting
    engine.stop_at(None)
    engine._counter.stop_now()
    assert (bench.run(limit=100), bench.gpr(0)) == (RunEnd.LIMIT, 67)


def test_modes_change_in_microseconds_and_keep_the_state(bench):
    """Registers and new states are the same after changing there and back."""
    engine = bench.engine
    bench.start(ADD_X0_1, hvc(1))
    bench.set_gpr(0, 41)
    fresh = bytes(engine.new_state().raw)
    for counting in (True, False, True, False):
        engine.set_counting(counting)
        assert (engine.counting, bench.gpr(0), engine.state.pc) == (counting, 41, CODE)
    assert bytes(engine.new_state().raw) == fresh
    bench.run_to_trap()
    assert bench.gpr(0) == 42
