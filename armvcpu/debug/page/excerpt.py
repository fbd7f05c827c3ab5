"""Lines of the source around the places of a crash, where their files are on this host.

An image names its files itself. So that a page, which people send around, can't be made to have something else of the
host, a name has to end as source code's does.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, TypedDict

from armvcpu.debug.page.text import plain
from armvcpu.debug.source import SourceLines

if TYPE_CHECKING:
    from armvcpu.debug.report import CrashReport
    from armvcpu.machine.boot.symbols import Symbols

_ENDINGS = frozenset((".c", ".h", ".s", ".cc", ".cpp", ".cxx", ".hpp", ".hh", ".rs", ".zig", ".go", ".adb", ".ads"))
_LARGEST = 4 << 20
_AROUND, _AROUND_CALL = 4, 2
"""Lines before and after the instruction, and a call that led to it."""
_PLACES = 3
"""How many places a page has."""


class Excerpt(TypedDict):
    """Some lines of a file: (number, text, is it the one?)."""

    file: str
    lines: list[tuple[int, str, bool]]


def excerpts(report: CrashReport, symbols: Symbols) -> list[Excerpt]:
    """Where the guest was, and where those were that had called it; each place once."""
    source, found = SourceLines(symbols), list[Excerpt]()
    seen: set[tuple[str, int]] = set()
    for number, frame in enumerate(report.backtrace):
        place = source.locate(frame.pc - 4 if number else frame.pc)  # a return address is behind the call
        if place is None or place in seen or len(found) == _PLACES:
            continue
        seen.add(place)
        if lines := _lines(*place, _AROUND if not found else _AROUND_CALL):
            name = frame.symbol.partition("+")[0]
            found.append(Excerpt(file=plain(f"{_shown(place[0])}:{place[1]}, {name}"), lines=lines))
    return found


def _shown(path: str) -> str:
    """From here, where it is below."""
    here = os.getcwd()
    return os.path.relpath(path, here) if path.startswith(here + os.sep) else path


def _lines(path: str, line: int, around: int) -> list[tuple[int, str, bool]]:
    if os.path.splitext(path)[1].lower() not in _ENDINGS:
        return []
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode) or about.st_size > _LARGEST:
                return []
            text = file.read().splitlines()
    except (OSError, ValueError):  # ValueError: a NUL character in the name
        return []
    first = max(line - around, 1)
    return [(first + at, plain(words), first + at == line) for at, words in enumerate(text[first - 1 : line + around])]
