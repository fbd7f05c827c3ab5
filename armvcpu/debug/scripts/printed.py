"""What the guest prints, for scripts: line by line, and as far as a line has come, for prompts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol, cast

from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from re import Match, Pattern

    from armvcpu.debug.scripts.hook import Remove
    from armvcpu.machine.console.port import Console

    Heard = Callable[["Match[str]"], "str | bytes | None"]

LONGEST_LINE = 4096
"""Characters; of a longer line the last ones count."""
_NEWLINE = 0x0A


class _Typing(Protocol):
    """A console that a script can listen to and type on."""

    def hear(self, listener: Callable[[int], object]) -> Callable[[], None]: ...
    def feed(self, data: bytes) -> None: ...


class Printed:
    """The console of one machine."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lines: list[tuple[Pattern[str], Heard]] = []
        self._prompts: list[tuple[Pattern[str], Heard]] = []
        self._line = bytearray()
        self._end: Remove | None = None
        """Ends the listening, while somebody wants that."""

    def on_line(self, pattern: Pattern[str], heard: Heard) -> Remove:
        """Have a function called with each line in which a pattern is found."""
        return self._add(self._lines, (pattern, heard))

    def on_prompt(self, pattern: Pattern[str], heard: Heard) -> Remove:
        """Have a function called as soon as the pattern is found in a line that has not ended, once for each place."""
        return self._add(self._prompts, (pattern, heard))

    def _add(self, to: list[tuple[Pattern[str], Heard]], what: tuple[Pattern[str], Heard]) -> Remove:
        if self._end is None:
            if not hasattr(self._console, "hear") or not hasattr(self._console, "feed"):
                raise UsageError("this machine's console tells nobody what the guest prints")
            self._end = cast("_Typing", self._console).hear(self._byte)
        to.append(what)
        return partial(self._remove, to, what)

    def _remove(self, to: list[tuple[Pattern[str], Heard]], what: tuple[Pattern[str], Heard]) -> None:
        to.remove(what)
        if self._end is not None and not self._lines and not self._prompts:
            self._end()
            self._end = None

    def type(self, text: str | bytes) -> None:
        """As if a user typed it."""
        cast("_Typing", self._console).feed(text.encode() if isinstance(text, str) else text)

    def _byte(self, byte: int) -> None:
        if byte == _NEWLINE:
            line, self._line = self._line, bytearray()
            if self._lines:
                self._tell(self._lines, line.decode(errors="replace").rstrip("\r"))
            return
        self._line.append(byte)
        if len(self._line) > LONGEST_LINE:
            del self._line[:-LONGEST_LINE]
        if self._prompts and self._tell(self._prompts, self._line.decode(errors="replace")):
            self._line.clear()  # what has been answered is not looked at again

    def _tell(self, whom: list[tuple[Pattern[str], Heard]], text: str) -> bool:
        told = False
        for pattern, heard in list(whom):
            found = pattern.search(text)
            if found is not None:
                told = True
                if answer := heard(found):
                    self.type(answer)
        return told
