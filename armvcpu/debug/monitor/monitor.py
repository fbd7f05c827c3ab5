"""One machine's monitor: it reads a line, finds the command in the table, and has it done.

It knows which CPU the commands are about, and has what they leave behind: named snapshots, and where `x` goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from armvcpu.debug.monitor.command import Answer, Then
from armvcpu.debug.monitor.stops import describe_stop
from armvcpu.debug.monitor.table import COMMANDS, find
from armvcpu.debug.monitor.traces import trace_off
from armvcpu.errors import UsageError, kind_in
from armvcpu.machine.debugging.stop import Stop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from armvcpu.debug.monitor.command import Argument, Command
    from armvcpu.debug.monitor.desk import Desk
    from armvcpu.debug.monitor.points import Point
    from armvcpu.debug.monitor.subject import Subject
    from armvcpu.debug.monitor.traces import RunningTrace
    from armvcpu.machine.running.cpu import Cpu
    from armvcpu.machine.snapshots.snapshot import Snapshot
    from armvcpu.vcpu.registers import Registers


class Monitor:
    """Of one machine; on the thread that runs it, between two instructions of the guest or between two runs."""

    def __init__(self, machine: Subject) -> None:
        self.machine = machine
        self.selected: int | None = None
        """The CPU that `cpu N` has chosen; None: the one that the engine has loaded."""
        self.snapshots: dict[str, Snapshot] = {}
        """Those of `snapshot NAME`, by name."""
        self.has_moved = False
        """Has a command taken the guest to another moment? After its end it may go on then."""
        self.traces: list[RunningTrace] = []
        """Those of `trace on`."""
        self.points: dict[int, Point] = {}
        """Breakpoints and watchpoints by their numbers, which go up and are not used again."""
        self.points_made = 0
        self._desk: Desk | None = None
        self.next_address = 0
        """Where `x`, `xp` and `disassemble` go on without an address."""

    @property
    def cpu(self) -> Cpu:
        """The CPU that commands are about."""
        return self.machine.current_cpu if self.selected is None else self.machine.cpus[self.selected]

    @property
    def registers(self) -> Registers:
        """Its registers by name."""
        return self.cpu.vcpu.registers

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
        debugger = self.machine.debugger
        if debugger.asks_clients or self.machine.is_running:
            raise UsageError("continue is not for here: whoever has stopped the guest lets it go on")
        what = debugger.go()
        return describe_stop(self, what) if isinstance(what, Stop) else what.reason

    def ask(self, line: str) -> Answer:
        """Do what a line says.

        Raises:
            ArmvcpuError: it can't be done; one line says why, and nothing has changed.
        """
        words = line.split()
        if not words:
            return Answer("")
        command, length = find(words)
        answer = command.function(self, *self._values(command, words[length - 1], line, length))
        return Answer(answer) if isinstance(answer, str) else answer

    def has_point(self, stop: Stop) -> bool:
        """Is a stop at a breakpoint or a watchpoint of the monitor's?"""
        return any(point.covers(stop) for point in self.points.values())

    def forget_point(self, number: int) -> None:
        """Take a breakpoint or watchpoint away."""
        self.points.pop(number).remove()

    @property
    def desk(self) -> Desk:
        """Where other threads ask: the machine's debugger stops the guest for it, from the first time on."""
        if self._desk is None:
            from armvcpu.debug.monitor.desk import Desk  # who asks between two runs needs none

            machine = self.machine
            end = machine.parts.end
            self._desk = Desk(self, machine.debugger.pause, lambda: end.is_wanted)
            machine.debugger.attach(self._desk)
        return self._desk

    def close(self) -> None:
        """Give back what snapshots hold, end traces, and answer nobody any more; UsageError where a trace was lost."""
        if self._desk is not None:
            self._desk.close()
        for snapshot in self.snapshots.values():
            snapshot.close()
        self.snapshots.clear()
        trace_off(self)

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
                yield argument.kind.read(self, word)
        if left:
            raise UsageError(f"{command.name}: {left!r} is too much: {command.usage}")

    def complete(self, text: str) -> tuple[int, list[str]]:
        """What may stand where a text ends: where the word begins that is being typed, and the words, in order."""
        words = text.split()
        if not words or text[-1].isspace():
            words.append("")
        start = len(text) - len(words[-1])
        found = {command.name.split()[len(words) - 1] for command in COMMANDS if _begins(command, words)}
        if found:
            return start, sorted(found)
        try:
            command, length = find(words[:-1])
        except UsageError:
            return start, []
        at = len(words) - 1 - length
        if at >= len(command.arguments):
            return start, []
        offered = set(command.arguments[at].kind.complete(self, words[-1]))
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
