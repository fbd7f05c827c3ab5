"""Ctrl-A C on the terminal of a run: what waits for it, and costs a run that never sees it next to nothing."""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.machine.outcome import Ending

if TYPE_CHECKING:
    from armvcpu.debug.monitor.desk import Desk
    from armvcpu.machine.console.stdio import StdioConsole
    from armvcpu.machine.debugging.stop import Stop
    from armvcpu.machine.machine import Machine
    from armvcpu.machine.outcome import Outcome


class Door:
    """A client of the debugger until somebody knocks, when the monitor is made, and its desk takes its place."""

    def __init__(self, machine: Machine, console: StdioConsole) -> None:
        self._machine, self._console = machine, console
        self._is_wanted = False
        self._desk: Desk | None = None
        machine.debugger.attach(self)

    def knock(self) -> None:
        """From the console's thread: the user wants the prompt."""
        if self._desk is None:
            self._is_wanted = True
            self._machine.debugger.pause()
        else:
            self._desk.want_prompt()

    def stopped(self, stop: Stop) -> None:
        """On the run's thread."""
        if self._is_wanted and self._desk is None:
            desk = self._open()
            desk.want_prompt()
            desk.stopped(stop)

    def _open(self) -> Desk:
        from armvcpu.debug.monitor.talk import TerminalTalk

        machine, end = self._machine, self._machine.parts.end
        machine.debugger.detach(self)
        self._desk = desk = machine.monitor.desk
        desk.talk = TerminalTalk(machine.monitor, self._console, lambda: end.is_wanted)
        return desk

    def ended(self, outcome: Outcome) -> bool:
        """The guest has ended: a crash can be looked at where there is a way back from it."""
        if self._desk is not None or outcome.ending is not Ending.CRASHED or self._machine.history is None:
            return False
        return self._open().ended(outcome)
