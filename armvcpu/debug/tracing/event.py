"""One row of a trace, whatever it is written as."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.machine.boot.symbols import Symbols

    Moment = Callable[[], tuple[int, int | None]]
    """Nanoseconds of the guest's time since power-on, and the instructions executed since, where they are counted."""


class Event(NamedTuple):
    """What has happened, where and when."""

    vcpu: int
    el: int
    """The Exception level; of an exception, the one that it is taken to."""
    pc: int
    """64 bits, virtual."""
    symbol: str
    """As `main+0x10`; empty where none is known."""
    kind: str
    what: str
    """The event itself, in one word."""
    keys: dict[str, str | int]
    """More of it: decimal numbers are integers, all else is text without a space, hexadecimal numbers `0x...` too."""
    words: str = ""
    """The same for people."""
    ns: int = 0
    """Nanoseconds of the guest's time since power-on; 0 unless whoever writes it wants moments."""
    instructions: int | None = None
    """How many were executed since power-on, where they are counted."""


class Places:
    """Names of addresses, found once each."""

    def __init__(self, symbols: Symbols) -> None:
        self.symbols = symbols
        self.name = lru_cache(maxsize=1 << 16)(symbols.format)
        """`main+0x10` for a 64-bit address; empty where no symbol covers it."""


def no_moment() -> tuple[int, int | None]:
    """For who does not ask for the time."""
    return 0, None
