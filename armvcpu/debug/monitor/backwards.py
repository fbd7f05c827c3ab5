"""Commands that take the guest back in its history (`machine.keep_history`, `run --history`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.debug.monitor.command import Answer, Then
from armvcpu.debug.monitor.stops import describe_stop
from armvcpu.errors import UsageError, named
from armvcpu.machine.debugging.stop import StopKind

if TYPE_CHECKING:
    from armvcpu.debug.monitor.view import View
    from armvcpu.machine.debugging.stop import Stop
    from armvcpu.machine.history.history import History


def _history(view: View) -> History:
    kept = view.machine.history
    if kept is None:
        raise UsageError(f"no history is kept: a run has one with {named('history')}, in Python by keep_history()")
    return kept


def back(view: View, count: int | None) -> Answer:
    """Before the last instruction, or so many instructions ago, those of all CPUs counted."""
    history = _history(view)
    if count is None:
        return _moved(view, history.step_back())
    history.go_to(max(history.count - count, 0))
    return _moved(view, view.machine.debugger.moved(StopKind.STEP))


def continue_back(view: View) -> Answer:
    """To the last breakpoint or watchpoint before here."""
    return _moved(view, _history(view).continue_back())


def go_to(view: View, count: int) -> Answer:
    """To the state after so many instructions since power-on, back or forth."""
    _history(view).go_to(count)
    return _moved(view, view.machine.debugger.moved(StopKind.STEP))


def _moved(view: View, stop: Stop) -> Answer:
    view.has_moved, view.selected = True, None
    return Answer(describe_stop(view, stop), Then.HOLD)


def info_history(view: View) -> str:
    """Where the guest is in it."""
    history = _history(view)
    begin = "nothing yet" if history.begin is None else f"instructions {history.begin} to {history.end}"
    return f"at {history.count}; kept: {begin}; checkpoints: {len(history.checkpoints)}, about {history.used >> 10} KiB"
