"""What the values of options are: how each kind is written on a command line, and what it may be in Python.

Importing this costs a start next to nothing: neither click nor `pathlib` is needed to read a value.
"""

from __future__ import annotations

import os

from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
LONGEST_NUMBER = 20
"""Digits of a number of 64 bits."""
_FOREVER = float("inf")
LONGEST = 1e9
"""Seconds that may be waited for: more than thirty years, and less than what the host's calls can't take."""


PathLike = str | os.PathLike[str]


class Kind(Row):
    """A kind of values."""

    words: str
    """What is to be given, for messages."""
    types: tuple[type, ...]
    parse: Callable[[str], Any]
    """The value that a text on a command line stands for; UsageError where it stands for none."""
    show: Callable[[Any], str] = str
    """The contrary of `parse`."""
    is_read_in_python: bool = False
    """Is the text of a command line as good in Python?"""
    is_name: bool = False
    """Does it name something on the host, where no name has a NUL character?"""

    def includes(self, value: object) -> bool:
        """Is this value, of Python, one of the kind? A bool is no number here."""
        if self.is_name and "\0" in str(value):
            return False
        return isinstance(value, self.types) and (not isinstance(value, bool) or bool in self.types)


def parse_size(given: str) -> int:
    """A number of bytes with K, M or G (powers of 1024); UsageError for what is none."""
    text = given.upper().removesuffix("IB").removesuffix("B")
    digits, unit = (text[:-1], text[-1]) if text[-1:] in {"K", "M", "G"} else (text, "")
    if not digits.isdecimal() or len(digits) > LONGEST_NUMBER:
        raise UsageError(f"{given!r} is no size: write 256M or 1G")
    return int(digits) * _UNITS[unit]


def format_size(size: int) -> str:
    """A number of bytes with the largest unit that leaves no rest."""
    for unit in ("G", "M", "K"):
        if size >= _UNITS[unit] and size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit}"
    return str(size)


def parse_seconds(text: str) -> float:
    """A time, more than zero; UsageError for what is none."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= LONGEST:
        raise UsageError(f"{text!r} is no time in seconds: write 10 or 0.5")
    return seconds


def parse_address(text: str) -> int:
    """A number of 64 bits, decimal or 0x hexadecimal; UsageError for what is none."""
    try:
        number = int(text, 0)
    except ValueError:
        raise UsageError(f"{text!r} is no address: write 0x40080000") from None
    if number < 0 or number >> 64:
        raise UsageError(f"{text} is no address of 64 bits")
    return number


def check_limits(timeout: float | None, max_instructions: int = 0) -> None:
    """UsageError for limits of a run that are none: a time-out in seconds, and a count, where 0 is no limit."""
    if timeout is not None and not (SECONDS.includes(timeout) and 0 <= timeout <= _FOREVER):  # which NaN is not
        raise UsageError(f"timeout = {timeout!r}: give seconds, or None")
    if type(max_instructions) is not int or max_instructions < 0:
        raise UsageError(f"max_instructions = {max_instructions!r}: give a number, or 0 for no limit")


def _parse_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{text!r} is no number: write 1 or 2") from None


def _parse_model(text: str) -> str:
    from armvcpu.arch.idregs import model  # who only looks at the options needs none of its registers

    return model(text).name


def _parse_nothing(text: str) -> bool:
    raise UsageError(f"it takes no value, and {text!r} is one")


def _parse_place(text: str) -> int | str:
    """An address where it begins as a number does, else the name of a symbol."""
    if text[:1].isdecimal() or text[:1] in ("+", "-"):
        return parse_address(text)
    if not text:
        raise UsageError("give an address, or a symbol of the image")
    return text


def _show_place(place: int | str) -> str:
    return place if isinstance(place, str) else hex(place)


FILE = Kind("the name of a file", (str, os.PathLike), str, is_name=True)
DIRECTORY = Kind("the name of a directory", (str, os.PathLike), str, is_name=True)
TEXT = Kind("text", (str,), str)
MODEL = Kind("the name of a CPU model", (str,), _parse_model, is_read_in_python=True)
"""As the table of models has it, whether or not `cortex-` stands before it."""
NUMBER = Kind("a number", (int,), _parse_number)
SIZE = Kind("a number of bytes, or text as 256M", (int,), parse_size, format_size, is_read_in_python=True)
ADDRESS = Kind("a number", (int,), parse_address, hex)
PLACE = Kind("an address, or the name of a symbol", (int, str), _parse_place, _show_place, is_read_in_python=True)
SECONDS = Kind("seconds", (int, float), parse_seconds, "{:g}".format)
FLAG = Kind("true or false", (bool,), _parse_nothing)
"""Without a value on a command line, where its name alone says the contrary of what is the case without it."""
