"""One machine's monitor: it reads a line, finds its command in the table, and has it done with a view.View."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from armvcpu.debug.monitor.command import Answer, Then
from armvcpu.debug.monitor.stops import describe_stop
from armvcpu.debug.monitor.table import COMMANDS, find
from armvcpu.debug.monitor.traces import trace_off
from armvcpu.debug.monitor.view import View
from armvcpu.errors import UsageError, kind_in
from armvcpu.machine.debugging.stop import Stop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from armvcpu.debug.monitor.command import Argument, Command
    from armvcpu.debug.monitor.desk import Desk
    from armvcpu.debug.monitor.subject import Subject


class Monitor:
    """Of one machine; on the thread that runs it, between two instructions of the guest or between two runs."""

    def __init__(self, machine: Subject) -> None:
        self.view = View(machine)
        """What its commands see."""
        self._desk: Desk | None = None

    def __call__(self, line: str) -> str:
        """What is said to a line, between two runs, or in a handler for commands that only look.

        `continue` runs the guest to its next stop, or to its end.

        Raises:
            UsageError, StateError: there is no such command, or it can't be done; one line says why.
        """
        kind_in("a line for the monitor", line, str)
        answer = self.ask(line)
        return self._go() if answer.then is Then.GO_ON and not answer.text else answer.text

    def _go(self) -> str:
        machine = self.view.machine
        debugger = machine.debugger
        if debugger.asks_clients or machine.is_running:
            raise UsageError("continue is not for here: whoever has stopped the guest lets it go on")
        what = debugger.go()
        return describe_stop(self.view, what) if isinstance(what, Stop) else what.reason

    def ask(self, line: str) -> Answer:
        """Do what a line says.

        Raises:
            ArmvcpuError: it can't be done; one line says why, and nothing has changed.
        """
        words = line.split()
        if not words:
            return Answer("")
        command, length = find(words)
        answer = command.function(self.view, *self._values(command, words[length - 1], line, length))
        return Answer(answer) if isinstance(answer, str) else answer

    @property
    def desk(self) -> Desk:
        """Where other threads ask: the machine's debugger stops the guest for it, from the first time on."""
        if self._desk is None:
            from armvcpu.debug.monitor.desk import Desk  # who asks between two runs needs none

            machine = self.view.machine
            self._desk = Desk(self.view, self.ask, machine.debugger.pause, machine.parts.end.patience)
            machine.debugger.attach(self._desk)
        return self._desk

    def close(self) -> None:
        """Give back what snapshots hold, end traces, and answer nobody any more; UsageError where a trace was lost."""
        if self._desk is not None:
            self._desk.close()
        snapshots = self.view.snapshots
        while snapshots:
            snapshots.popitem()[1].close()
        trace_off(self.view)

    def _values(self, command: Command, name: str, line: str, length: int) -> Iterator[Any]:
        """The arguments behind the first `length` words of a line, read."""
        _, slash, form = name.partition("/")
        if command.has_format:
            yield form
        elif slash or "/" in line.split(None, length)[0]:
            raise UsageError(f"{command.name} has no /FORMAT: {command.usage}")
        rest = line.split(None, length)[length:]
        left = rest[0].strip() if rest else ""
        for argument in command.arguments:
            word, left = _cut(left, argument)
            if not word:
                if not argument.is_optional:
                    raise UsageError(f"{command.name}: {argument.name.upper()} is missing: {command.usage}")
                yield None
            else:
                yield argument.kind.read(self.view, word)
        if left:
            raise UsageError(f"{command.name}: {left!r} is too much: {command.usage}")

    def complete(self, text: str) -> tuple[int, list[str]]:
        """What may stand where a text ends: where the word begins that is being typed, and the words, in order."""
        words = text.split()
        if not words or text[-1].isspace():
            words.append("")
        start = len(text) - len(words[-1])
        found = {command.name.split()[len(words) - 1] for command in COMMANDS if _begins(command, words)}
        if found or len(words) == 1:  # the beginning of no command, or its /FORMAT
            return start, sorted(found)
        try:
            command, length = find(words[:-1])
        except UsageError:
            return start, []
        at = len(words) - 1 - length
        if at >= len(command.arguments):
            return start, []
        offered = set(command.arguments[at].kind.complete(self.view, words[-1]))
        return start, sorted(word for word in offered if word.lower().startswith(words[-1].lower()))


def _cut(left: str, argument: Argument) -> tuple[str, str]:
    if argument.is_rest or not left:
        return left, ""
    word, *rest = left.split(None, 1)
    return word, rest[0] if rest else ""


def _begins(command: Command, words: list[str]) -> bool:
    """Is the last word a part of the command's name, and are those before it that name's beginning?"""
    name, before = command.name.split(), len(words) - 1
    return len(name) > before and name[:before] == words[:-1] and name[before].startswith(words[-1])
