"""Commands that take the guest back in its history (`machine.keep_history`, `run --history`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.debug.monitor.command import Answer, Then
from armvcpu.debug.monitor.stops import describe_stop
from armvcpu.errors import UsageError, named
from armvcpu.machine.debugging.stop import StopKind

if TYPE_CHECKING:
    from armvcpu.debug.monitor.monitor import Monitor
    from armvcpu.machine.debugging.stop import Stop
    from armvcpu.machine.history.history import History


def _history(monitor: Monitor) -> History:
    kept = monitor.machine.history
    if kept is None:
        raise UsageError(f"no history is kept: a run has one with {named('history')}, in Python by keep_history()")
    return kept


def back(monitor: Monitor, count: int | None) -> Answer:
    """Before the last instruction, or so many instructions ago, those of all CPUs counted."""
    history = _history(monitor)
    if count is None:
        return _moved(monitor, history.step_back())
    history.go_to(max(history.count - count, 0))
    return _moved(monitor, monitor.machine.debugger.moved(StopKind.STEP))


def continue_back(monitor: Monitor) -> Answer:
    """To the last breakpoint or watchpoint before here."""
    return _moved(monitor, _history(monitor).continue_back())


def go_to(monitor: Monitor, count: int) -> Answer:
    """To the state after so many instructions since power-on, back or forth."""
    _history(monitor).go_to(count)
    return _moved(monitor, monitor.machine.debugger.moved(StopKind.STEP))


def _moved(monitor: Monitor, stop: Stop) -> Answer:
    monitor.has_moved, monitor.selected = True, None
    return Answer(describe_stop(monitor, stop), Then.HOLD)


def info_history(monitor: Monitor) -> str:
    """Where the guest is in it."""
    history = _history(monitor)
    begin = "nothing yet" if history.begin is None else f"instructions {history.begin} to {history.end}"
    return f"at {history.count}; kept: {begin}; checkpoints: {len(history.checkpoints)}, about {history.used >> 10} KiB"
