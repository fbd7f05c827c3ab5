"""The blocks that an engine has executed since a moment, out of its records (`armvcpu.engine.api.BlockRecords`)."""

from __future__ import annotations

from struct import iter_unpack
from typing import TYPE_CHECKING, NamedTuple

from armvcpu.engine.api import PLACE, RECORD, Place, Record

if TYPE_CHECKING:
    from armvcpu.engine.api import BlockRecords


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
    """Reads what has been executed since it was made, or since it was asked last."""

    def __init__(self, records: BlockRecords) -> None:
        self._records = records
        self._counts: list[tuple[int, int]] = []
        """By number: executed and fell, at the last reading."""
        self._times: list[int] = []
        """Of each place likewise."""
        self.lost = 0
        """How often a block was executed that there was no record for, since this was made."""
        self._passed = self._lost_in_all()
        self._read()

    def take(self) -> list[Block]:
        """What has been executed since the last time."""
        self.lost = self._lost_in_all() - self._passed
        return self._read()

    def _lost_in_all(self) -> int:
        first = next(iter_unpack(RECORD, self._records.blocks()[:64]), None)
        return 0 if first is None else Record(*first).executed

    def _read(self) -> list[Block]:
        left = self._new_places()
        known = [Record(*fields) for fields in iter_unpack(RECORD, self._records.blocks().tobytes())]
        before, self._counts = self._counts, [(record.executed, record.fell) for record in known]
        words = self._records.words().cast("B")
        blocks: list[Block] = []
        for record in known[1:]:
            was = before[record.number] if record.number < len(before) else (0, 0)
            if record.executed == was[0]:
                continue
            code = words[4 * record.words : 4 * (record.words + record.instructions)].tobytes()
            executed, fell = record.executed - was[0], record.fell - was[1]
            blocks.append(Block(record.pc, record.physical, code, executed, fell, tuple(left.get(record.number, ()))))
        return blocks

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
