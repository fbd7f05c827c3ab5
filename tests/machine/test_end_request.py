"""Who wants a run to end: what comes from other threads and from signals is not lost, whenever it comes."""

from __future__ import annotations

import sys
from itertools import count

import pytest

from armvcpu.machine.console.patience import Patience
from armvcpu.machine.outcome import STOPPED, Ending, Outcome
from armvcpu.machine.running.end_request import EndRequest

QUIT = Outcome.of(Ending.POWERED_OFF, "quit")
FAILED = Outcome.of(Ending.STOPPED, "a script failed", 1)


class Nobody:
    """Attention that is called for in vain."""

    def call(self):
        pass


def interrupted(function, at, act):
    """Call a function, and `act` before its bytecode number `at`: what it gives, and whether it has so many."""
    left = at

    def trace(frame, event, _argument):
        nonlocal left
        frame.f_trace_opcodes = frame.f_code is function.__code__
        if event == "opcode":
            left -= 1
            if left == -1:
                act()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        given = function()
    finally:
        sys.settrace(before)
    return given, left < 0


@pytest.mark.parametrize("before", [None, STOPPED])
def test_a_quit_is_not_lost_whenever_it_comes(before):
    """It is taken, or the next look finds it."""
    for at in count():
        end = EndRequest(Nobody(), Patience())
        if before is not None:
            end.by_host(before)
        taken, has_come = interrupted(end.take, at, lambda end=end: end.by_host(QUIT))
        if not has_come:
            break
        assert taken is QUIT or (end.is_wanted and end.take() is QUIT), at
    assert at > 5


def test_a_quit_as_a_run_begins_keeps_nobody_waiting():
    """The run's patience is over, at the latest when it has begun."""
    for at in count():
        patience = Patience()
        end = EndRequest(Nobody(), patience)
        _, has_come = interrupted(end.begin, at, lambda end=end: end.by_host(QUIT))
        if not has_come:
            break
        assert patience.is_over, at
    assert at > 5


def test_an_end_goes_before_a_debuggers_stop():
    """Also one of a script, which is an end as others are; the first one that was asked for counts."""
    for outcome in QUIT, FAILED:
        end = EndRequest(Nobody(), Patience())
        end.by_host(STOPPED)
        assert not end.is_wanted
        end.by_host(outcome)
        end.by_host(QUIT)
        end.by_host(STOPPED)
        assert (end.is_wanted, end.take(), end.take()) == (True, outcome, None)


def test_a_stop_of_the_run_that_is_over_is_no_stop_of_the_next():
    """But a slice of a longer run, which a limit has ended, leaves it; and no stop takes an end away."""
    for outcome, left in ((QUIT, None), (STOPPED, None), (Outcome.of(Ending.LIMIT, "so many"), STOPPED)):
        end = EndRequest(Nobody(), Patience())
        end.by_host(STOPPED)
        end.note(outcome)
        assert end.take() is left
    end.by_host(FAILED)
    end.note(STOPPED)
    assert end.take() is FAILED
