"""Which events a trace keeps: the values of --trace-filter, `KEY=VALUE,...`.

    key           values                                   an event is kept where
    symbol        names of functions, `*` and `?` in them  its PC is in one of them
    address       A..B, A+SIZE, or A                       its PC is from A up to B, B excluded
    vcpu          numbers                                  one of these CPUs is where it happens
    level         EL0 to EL3                               it happens there; an exception, is taken there
    device        names, `*` and `?` in them               its device, or its device.REGISTER, is one of them
    class         exception classes, `*` and `?` in them   its ec is one of them
    instructions  A..B, A.. or ..B                         so many have been executed since power-on, B excluded
    skip          a number                                 so many have been left out before it
    first         a number                                 fewer than so many have been kept before it

Values of one key, and a key given again, add up; every key that is given must be satisfied, `skip` and `first` last.
What only some kinds of events have, a device or an exception class, holds back those alone.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING

from armvcpu.arch.esr import ExceptionClass
from armvcpu.errors import UsageError, did_you_mean, named
from armvcpu.machine.kinds import parse_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from armvcpu.debug.tracing.event import Event
    from armvcpu.machine.boot.symbols import Symbols
    from armvcpu.machine.parts import Parts

    Keeps = Callable[[Event], bool]

KEYS = ("symbol", "address", "vcpu", "level", "device", "class", "instructions", "skip", "first")
LEVELS = {f"EL{level}": level for level in range(4)}
HIGHEST = 1 << 64
MOST_NEAR = 4
"""Exception classes that are named for one that is none."""
MOST_PROBES = 4096
"""Instructions that are listened to one by one; more than that are heard by listening everywhere."""
_WITH_DEVICES, _WITH_CLASSES = frozenset({"mmio", "irq", "request"}), frozenset({"exception"})


class Filters:
    """The values of all --trace-filter of a run; without any, everything is kept.

    Raises:
        UsageError: one has no such key, or a value that is none.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._given: dict[str, list[str]] = {}
        for text in texts:
            key, equals, values = text.partition("=")
            if key not in KEYS or not equals:
                raise UsageError(
                    f"{named('trace_filter')} {text!r}: write KEY=VALUE; the keys are {', '.join(KEYS)}"
                    f"{did_you_mean(key, KEYS)}"
                )
            self._given.setdefault(key, []).extend(values.split(","))
            if inner := next((value for value in values.split(",") if value.partition("=")[0] in KEYS), None):
                raise UsageError(
                    f"{named('trace_filter')} {text}: one key each; give {named('trace_filter')} {inner}, too"
                )
            if not all(self._given[key]):
                raise UsageError(f"{named('trace_filter')} {text}: there is no value; write {key}=VALUE,...")
        self._addresses = [_range(text) for text in self._given.get("address", ())]
        self._vcpus = [_number("vcpu", text) for text in self._given.get("vcpu", ())]
        self._levels = [_level(text) for text in self._given.get("level", ())]
        self._classes = [_class(text) for text in self._given.get("class", ())]
        self._counts = [_counts(text) for text in self._given.get("instructions", ())]
        self._skip, self._first = (self._one(key) for key in ("skip", "first"))

    def _one(self, key: str) -> int | None:
        values = self._given.get(key, [])
        if len(values) > 1:
            raise UsageError(f"{named('trace_filter')} {key}={','.join(values)}: give it one number")
        return _number(key, values[0]) if values else None

    @property
    def timed(self) -> bool:
        """Do they ask for moments?"""
        return bool(self._counts)

    def for_guest(self, parts: Parts, symbols: Symbols, on_last: Callable[[], None]) -> Keeps | None:
        """The function that tells whether an event is kept; None where all are.

        It calls `on_last` with the last one that is, where `first` says which that is.

        Raises:
            UsageError: a symbol or a device is not there, or no instructions are counted.
        """
        if not self._given:
            return None
        if self._counts and not parts.clock.repeats:
            raise UsageError(f"{named('trace_filter')} instructions: they are counted with --clock instructions")
        for vcpu in self._vcpus:
            if vcpu >= (count := len(parts.turns.cpus)):
                there = "CPU 0" if count == 1 else f"CPUs 0 to {count - 1}"
                raise UsageError(f"{named('trace_filter')} vcpu={vcpu}: the machine has {there}")
        tests = [*self._of_places(symbols), *self._of_circumstances(), *self._of_devices(parts)]

        def keeps(event: Event) -> bool:
            return all(test(event) for test in tests)

        if self._skip is None and self._first is None:
            return keeps
        return _counted(keeps, self._skip or 0, self._first, on_last)

    def instructions(self, symbols: Symbols) -> list[int] | None:
        """The addresses of all instructions that are kept; None where that are too many to name."""
        ranges = list(self._addresses)
        if not ranges:
            ranges = [found for pattern in self._given.get("symbol", ()) for found in symbols.ranges(pattern)]
        if not ranges or sum(end - begin for begin, end in ranges) > 4 * MOST_PROBES:
            return None
        return sorted({pc for begin, end in ranges for pc in range(begin + 3 & ~3, end, 4)})

    def entries(self, symbols: Symbols) -> list[int] | None:
        """Where the functions that are kept begin; None where that is not said by their names, or of too many."""
        if self._addresses or not (patterns := self._given.get("symbol")):
            return None
        found = sorted({begin for pattern in patterns for begin, _ in symbols.ranges(pattern)})
        return found if len(found) <= MOST_PROBES else None

    def _of_places(self, symbols: Symbols) -> Iterator[Keeps]:
        if self._addresses:
            yield lambda event: any(begin <= event.pc < end for begin, end in self._addresses)
        if patterns := self._given.get("symbol"):
            for pattern in patterns:
                _check_symbol(symbols, pattern)
            is_wanted = lru_cache(1 << 16)(lambda name: any(fnmatchcase(name, pattern) for pattern in patterns))
            yield lambda event: is_wanted(event.symbol.partition("+")[0])

    def _of_circumstances(self) -> Iterator[Keeps]:
        if self._vcpus:
            yield lambda event: event.vcpu in self._vcpus
        if self._levels:
            yield lambda event: event.el in self._levels
        if self._classes:
            yield lambda event: event.kind not in _WITH_CLASSES or _is_one(event.keys.get("ec", ""), self._classes)
        if self._counts:
            yield lambda event: any(begin <= (event.instructions or 0) < end for begin, end in self._counts)

    def _of_devices(self, parts: Parts) -> Iterator[Keeps]:
        patterns = self._given.get("device")
        if not patterns:
            return
        names = sorted({slot.name for slot in parts.board.slots})
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern.partition(".")[0]) for name in names):
                hint = did_you_mean(pattern, names) or f"; there are {', '.join(names)}"
                raise UsageError(f"{named('trace_filter')} device={pattern}: the board has no such device{hint}")

        def keeps(event: Event) -> bool:
            device = str(event.keys.get("device", ""))
            return (
                event.kind not in _WITH_DEVICES
                or _is_one(device, patterns)
                or _is_one(device.partition(".")[0], patterns)
            )

        yield keeps


def _counted(keeps: Keeps, skip: int, first: int | None, on_last: Callable[[], None]) -> Keeps:
    seen = 0

    def counted(event: Event) -> bool:
        nonlocal seen
        if not keeps(event):
            return False
        seen += 1
        if first is not None and seen == skip + first:
            on_last()
        return seen > skip and (first is None or seen <= skip + first)

    return counted


def _is_one(value: object, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(str(value), pattern) for pattern in patterns)


def _check_symbol(symbols: Symbols, pattern: str) -> None:
    """UsageError where nothing is called so."""
    if not any(char in pattern for char in "*?["):
        symbols.address(pattern)
    elif not symbols.ranges(pattern):
        raise UsageError(f"{named('trace_filter')} symbol={pattern}: no symbol of the guest's is called so")


def ambiguous(texts: Iterable[str], symbols: Symbols) -> Iterator[str]:
    """A line for each symbol of filters that is the name of several functions: all of them are meant."""
    for text in texts:
        key, _, values = text.partition("=")
        for name in values.split(",") if key == "symbol" else ():
            places = [] if "*" in name or "?" in name else symbols.starts(name)
            if len(places) > 1:
                where = ", ".join(f"{place:#x}" for place in places[:4]) + (", ..." if len(places) > 4 else "")
                yield f"{named('trace_filter')} symbol={name}: all {len(places)} called so are traced ({where})"


def _number(key: str, text: str) -> int:
    if not text.isdecimal() or len(text) > 19:
        raise UsageError(f"{named('trace_filter')} {key}={text}: give a number")
    return int(text)


def _level(text: str) -> int:
    if text not in LEVELS:
        raise UsageError(f"{named('trace_filter')} level={text}: give {', '.join(LEVELS)}")
    return LEVELS[text]


def _class(text: str) -> str:
    names = [known.name for known in ExceptionClass]
    if not any(fnmatchcase(name, text) for name in names):
        near = [name for name in names if text.upper() in name][:MOST_NEAR]
        hint = f"; did you mean {', '.join(near)}?" if near else did_you_mean(text.upper(), names, MOST_NEAR)
        hint = hint or "; they are named as in ESR_ELx.EC: SVC64, HVC64, DABT_LOWER, FP, ..."
        raise UsageError(f"{named('trace_filter')} class={text}: no exception class is called so{hint}")
    return text


def _range(text: str) -> tuple[int, int]:
    """A..B, A+SIZE or A."""
    for mark in ("..", "+"):
        first, found, second = text.partition(mark)
        if found:
            begin, number = _address(text, first), _address(text, second)
            end = number if mark == ".." else begin + number
            break
    else:
        begin = _address(text, text)
        end = begin + 4
    if not begin < end <= HIGHEST:
        raise UsageError(f"{named('trace_filter')} address={text}: it ends before it begins")
    return begin, end


def _address(whole: str, text: str) -> int:
    try:
        return parse_address(text)
    except UsageError:
        raise UsageError(
            f"{named('trace_filter')} address={whole}: write 0x40080000..0x40090000, 0x40080000+0x100 or 0x40080000"
        ) from None


def _counts(text: str) -> tuple[int, int]:
    first, dots, last = text.partition("..")
    if not dots or not first + last:
        raise UsageError(f"{named('trace_filter')} instructions={text}: write 1000..2000, 1000.. or ..2000")
    begin, end = (_number("instructions", part) if part else limit for part, limit in ((first, 0), (last, HIGHEST)))
    if begin >= end:
        raise UsageError(f"{named('trace_filter')} instructions={text}: it ends before it begins")
    return begin, end
