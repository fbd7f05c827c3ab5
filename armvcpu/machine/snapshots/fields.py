"""Kinds of fields: what a value from a file may be, said of each before anything of it is used.

A kind is a function that raises UsageError, with the field's place in the file and what is wrong, or returns. Kinds are
made of kinds, as the state that they describe is made of states: `record({"offset": number(32), "queues": ...})`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Callable[[object, str], None]
"""Called with a value and its place, as `cpus[0].timers`."""


def anything(_value: object, _place: str) -> None:
    """Somebody else looks at it."""


def between(least: int, most: int) -> Kind:
    """A whole number of this range."""

    def check(value: object, place: str) -> None:
        if type(value) is not int:
            raise UsageError(f"{place} is {_short(value)}, and no number")
        if not least <= value <= most:
            raise UsageError(f"{place} is {value:#x}, not between {least:#x} and {most:#x}")

    return check


def number(bits: int) -> Kind:
    """A whole number of so many bits."""
    return between(0, (1 << bits) - 1)


def bitmap(allowed: int) -> Kind:
    """A number with no other bits than these."""

    def check(value: object, place: str) -> None:
        number(max(allowed.bit_length(), 1))(value, place)
        assert isinstance(value, int)
        if value & ~allowed:
            raise UsageError(f"{place} is {value:#x}, which has bits that nothing stands for")

    return check


def one_of(*values: object) -> Kind:
    """One of these, of the same type."""

    def check(value: object, place: str) -> None:
        if not any(type(value) is type(each) and value == each for each in values):
            raise UsageError(f"{place} is {_short(value)}, which it can't be")

    return check


flag = one_of(False, True)
"""True or false."""
bit = one_of(0, 1)
"""0 or 1."""


def text(value: object, place: str) -> None:
    """Text."""
    if not isinstance(value, str):
        raise UsageError(f"{place} is {_short(value)}, and no text")


def data(most: int, least: int = 0) -> Kind:
    """So many bytes."""

    def check(value: object, place: str) -> None:
        if not isinstance(value, bytes):
            raise UsageError(f"{place} is {_short(value)}, and no bytes")
        if not least <= len(value) <= most:
            raise UsageError(f"{place} has {len(value)} bytes, not {least} to {most}")

    return check


def maybe(kind: Kind) -> Kind:
    """Nothing, or that."""

    def check(value: object, place: str) -> None:
        if value is not None:
            kind(value, place)

    return check


def several(kind: Kind, most: int, least: int = 0) -> Kind:
    """A list of up to so many."""

    def check(value: object, place: str) -> None:
        if not isinstance(value, list | tuple):
            raise UsageError(f"{place} is {_short(value)}, and no list")
        if not least <= len(value) <= most:
            raise UsageError(f"{place} has {len(value)} parts, not {least} to {most}")
        for index, each in enumerate(value):
            kind(each, f"{place}[{index}]")

    return check


def exactly(*kinds: Kind) -> Kind:
    """A list of one for each of these."""

    def check(value: object, place: str) -> None:
        several(anything, len(kinds), len(kinds))(value, place)
        assert isinstance(value, list | tuple)
        for index, (kind, each) in enumerate(zip(kinds, value, strict=True)):
            kind(each, f"{place}[{index}]")

    return check


def record(kinds: Mapping[str, Kind]) -> Kind:
    """Named fields, just these."""

    def check(value: object, place: str) -> None:
        if not isinstance(value, dict):
            raise UsageError(f"{place or 'it'} is {_short(value)}, and has no fields")
        for name in kinds.keys() - value.keys():
            raise UsageError(f"{_within(place, name)} is missing")
        for name in value.keys() - kinds.keys():
            raise UsageError(f"{_within(place, name)} is no field")
        for name, kind in kinds.items():
            kind(value[name], _within(place, name))

    return check


def table(key: Kind, kind: Kind) -> Kind:
    """Any number of entries, by a key."""

    def check(value: object, place: str) -> None:
        if not isinstance(value, dict):
            raise UsageError(f"{place} is {_short(value)}, and has no entries")
        for name, each in value.items():
            key(name, f"a key of {place}")
            kind(each, f"{place}[{_short(name)}]")

    return check


def _within(place: str, name: object) -> str:
    name = name if isinstance(name, str) and name.isprintable() and len(name) < 40 else _short(name)
    return f"{place}.{name}" if place else name


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) < 40 else f"{shown[:36]}..."
