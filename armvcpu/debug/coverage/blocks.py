"""The blocks that an engine has executed since a moment, out of its records (`armvcpu.engine.api.BlockRecords`)."""

from __future__ import annotations

from struct import iter_unpack
from typing import TYPE_CHECKING, NamedTuple

from armvcpu.engine.api import PLACE, RECORD_SIZE, Place

if TYPE_CHECKING:
    from armvcpu.engine.api import BlockRecords


_WORDS = RECORD_SIZE // 8
_PC, _PHYSICAL, _EXECUTED, _FELL = range(4)
"""Words of a record (`armvcpu.engine.api.RECORD`)."""
_SIZE, _CODE = 10, 11
"""Halves of words."""
_WITHOUT_ROOM = 0


class Block(NamedTuple):
    """A block as it was executed: its addresses, its code, and how often."""

    pc: int
    physical: int
    code: bytes
    """Its instructions, four bytes each."""
    executed: int
    fell: int
    """How often the conditional branch that it ends in was not taken."""
    left: tuple[tuple[int, int], ...]
    """(instructions executed, times): how often it was left before its end."""


class BlockReader:
    """Reads what has been executed since it was made, or since it was asked last.

    A kernel has 60,000 blocks when it has booted: the columns of their records are taken out all at once.
    """

    def __init__(self, records: BlockRecords) -> None:
        self._records = records
        self._executed: list[int] = []
        """By number, at the last reading; and the others likewise."""
        self._fell: list[int] = []
        self._times: list[int] = []
        self._passed = 0
        self._read()
        self._passed = self._executed[_WITHOUT_ROOM] if self._executed else 0

    @property
    def lost(self) -> int:
        """How often a block was executed that there was no record for, since this was made."""
        return self._executed[_WITHOUT_ROOM] - self._passed if self._executed else 0

    def take(self) -> list[Block]:
        """What has been executed since the last time."""
        return self._read()

    def _read(self) -> list[Block]:
        left = self._new_places()
        columns = self._records.blocks().tobytes()
        words, halves = memoryview(columns).cast("Q"), memoryview(columns).cast("I")
        pc, physical = words[_PC::_WORDS].tolist(), words[_PHYSICAL::_WORDS].tolist()
        sizes, places = halves[_SIZE :: 2 * _WORDS].tolist(), halves[_CODE :: 2 * _WORDS].tolist()
        was, self._executed = self._executed, words[_EXECUTED::_WORDS].tolist()
        had_fallen, self._fell = self._fell, words[_FELL::_WORDS].tolist()
        new = [0] * (len(pc) - len(was))
        code, nowhere = self._records.words().cast("B").tobytes(), ()
        return [
            Block(
                pc[n], physical[n], code[4 * places[n] : 4 * (places[n] + sizes[n])], now - before, fell - fallen,
                tuple(left.get(n, nowhere)),
            )
            for n, (now, before, fell, fallen) in enumerate(
                zip(self._executed, [*was, *new], self._fell, [*had_fallen, *new], strict=True)
            )
            if now != before and n != _WITHOUT_ROOM
        ]  # fmt: skip

    def _new_places(self) -> dict[int, list[tuple[int, int]]]:
        """By the number of a record: where it was left since the last reading."""
        places = [Place(*fields) for fields in iter_unpack(PLACE, self._records.places().tobytes())]
        before, self._times = self._times, [place.times for place in places]
        left: dict[int, list[tuple[int, int]]] = {}
        for number, place in enumerate(places):
            times = place.times - (before[number] if number < len(before) else 0)
            if times:
                left.setdefault(place.record, []).append((place.executed, times))
        return left
