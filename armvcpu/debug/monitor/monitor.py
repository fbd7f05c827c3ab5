"""One machine's monitor: it reads a line, finds the command in the table, and has it done.

It knows which CPU the commands are about, and has what they leave behind: named snapshots, and where `x` goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from armvcpu.debug.monitor.command import Answer
from armvcpu.debug.monitor.table import COMMANDS, find
from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from armvcpu.debug.monitor.command import Argument, Command
    from armvcpu.debug.monitor.subject import Subject
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

    def close(self) -> None:
        """Give back what snapshots hold."""
        for snapshot in self.snapshots.values():
            snapshot.close()
        self.snapshots.clear()

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
