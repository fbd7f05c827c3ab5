"""The run's own terminal as a place to ask from: the guest stands still while the prompt is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from armvcpu.debug.monitor.command import Then
from armvcpu.debug.monitor.points import stop
from armvcpu.errors import ArmvcpuError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from armvcpu.debug.monitor.desk import Desk
    from armvcpu.debug.monitor.monitor import Monitor
    from armvcpu.debug.monitor.prompt import Prompt

HINT = "continue (or Ctrl-D, Ctrl-A C) goes back to the guest, help lists the commands"


class LendsTerminal(Protocol):
    """A console on a terminal: `console.stdio.StdioConsole`."""

    is_at_line_start: bool

    def lent(self) -> AbstractContextManager[bytes]:
        """For a `with` block: the terminal is the monitor's. Gives what was typed for it already."""

    def type_ahead(self, data: bytes) -> None:
        """What was typed at the monitor for the guest."""


class TerminalTalk:
    """The prompt that Ctrl-A C gives, and a breakpoint."""

    def __init__(self, monitor: Monitor, console: LendsTerminal, is_over: Callable[[], bool]) -> None:
        self._monitor, self._console, self._is_over = monitor, console, is_over
        self._prompt: Prompt | None = None

    def converse(self, desk: Desk, said: str) -> Then:
        """Until somebody, here or at a socket, has the guest go on, or the run is to end."""
        with self._console.lent() as typed:
            prompt = self._prompt
            is_first = prompt is None
            if prompt is None:
                from armvcpu.debug.monitor.prompt import Prompt  # most runs have none

                prompt = self._prompt = Prompt(self._monitor.complete)
            prompt.say(
                ("" if self._console.is_at_line_start else "\n")
                + (said or stop(self._monitor.view).text)
                + (f"\n{HINT}" if is_first else "")
            )
            self._console.is_at_line_start = True
            prompt.type_ahead(typed)
            then = self._lines(prompt, desk)
            self._console.type_ahead(prompt.left())
            return then

    def _lines(self, prompt: Prompt, desk: Desk) -> Then:
        from armvcpu.debug.monitor.prompt import BACK, QUIT

        while True:
            line = prompt.line(lambda: desk.serve() or self._is_over())
            if line is None or line == BACK:
                return Then.GO_ON
            try:
                answer = self._monitor.ask("quit" if line == QUIT else line)
            except ArmvcpuError as refused:
                prompt.say(f"armvcpu: {refused}")
                continue
            prompt.say(answer.text)
            if answer.then in {Then.GO_ON, Then.QUIT}:
                return answer.then
