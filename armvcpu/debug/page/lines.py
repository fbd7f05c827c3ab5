"""A guest's console by lines, each with the time at which it began; of a long one the first and the last lines."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Line = tuple[int, bytes]
    """Guest time in ns of its first character, and its characters."""

LONGEST = 1000
"""Characters after which a line goes on in another one."""
OVERHEAD = 64
"""Bytes that a line is counted with beside its own, so that empty ones fill no memory."""
_NEWLINE = 0x0A
_REST = 3
"""Bytes of a character in UTF-8 behind its first one, at most: a line goes on in another one between two characters."""


class ConsoleLines:
    """Hears characters (`hear`); keeps at most `kept` bytes of the beginning, and as many of the end."""

    def __init__(self, now: Callable[[], int], kept: int) -> None:
        self._now, self._kept = now, kept
        self.forget()

    def forget(self) -> None:
        """Begin anew: nothing has been printed."""
        self._line, self._began = bytearray(), 0
        self.first: list[Line] = []
        self.last: deque[Line] = deque()
        self._first_size = self._last_size = 0
        self.left_out = 0
        """Bytes of the guest's that are in neither."""

    def hear(self, byte: int) -> None:
        """One character of the guest's."""
        line = self._line
        if len(line) >= LONGEST and (byte & 0xC0 != 0x80 or len(line) >= LONGEST + _REST):
            self._end_line()
            line = self._line
        if not line:
            self._began = self._now()
        line.append(byte)
        if byte == _NEWLINE:
            self._end_line()

    def settle(self) -> None:
        """A line that has no end is one, too."""
        if self._line:
            self._end_line()

    def _end_line(self) -> None:
        line, self._line = (self._began, bytes(self._line)), bytearray()
        size = len(line[1]) + OVERHEAD
        if self._first_size + size <= self._kept:
            self._first_size += size
            self.first.append(line)
            return
        self._first_size = self._kept  # what is short must not come before what was long
        self.last.append(line)
        self._last_size += size
        while self._last_size > self._kept and len(self.last) > 1:
            gone = len(self.last.popleft()[1])
            self._last_size -= gone + OVERHEAD
            self.left_out += gone
