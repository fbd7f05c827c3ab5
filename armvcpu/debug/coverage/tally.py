"""What has been executed of one program, by the addresses that it was linked at."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from armvcpu.debug.coverage.placing import Placed

Row = tuple[int, int, int, int, list[tuple[int, int]]]
"""Of a block: linked address, instructions, times executed, times fallen through, (instructions, times) where left."""


class Branch(NamedTuple):
    """How often a conditional branch was taken, and not."""

    taken: int
    not_taken: int


_BITS = 10
_MASK = (1 << _BITS) - 1
"""Of a key: a block has 512 instructions at most."""
_NOWHERE: dict[int, int] = {}


class _Count:
    __slots__ = ("executed", "fell", "left")

    def __init__(self) -> None:
        self.executed = self.fell = 0
        self.left: dict[int, int] = _NOWHERE

    def note(self, left: Iterable[tuple[int, int]]) -> None:
        """It was left before its end."""
        counts = Counter(self.left)
        for place, times in left:
            counts[place] += times
        self.left = counts


class Tally:
    """Of one program; `rows` is all of it, in plain values, which another process can add."""

    def __init__(self) -> None:
        self._blocks: defaultdict[int, _Count] = defaultdict(_Count)
        """By linked address and number of instructions, in one number."""

    def add(self, placed: Iterable[Placed]) -> None:
        """Add what was executed."""
        for linked, block in placed:
            count = self._blocks[linked << _BITS | len(block.code) >> 2]
            count.executed += block.executed
            count.fell += block.fell
            if block.left:
                count.note(block.left)

    def add_rows(self, rows: Iterable[Row]) -> None:
        """Add what another tally has."""
        for linked, instructions, executed, fell, left in rows:
            count = self._blocks[linked << _BITS | instructions]
            count.executed += executed
            count.fell += fell
            count.note(left)

    @property
    def rows(self) -> list[Row]:
        """Each block."""
        return [
            (key >> _BITS, key & _MASK, count.executed, count.fell, sorted(count.left.items()))
            for key, count in sorted(self._blocks.items())
        ]

    def executed(self) -> Counter[int]:
        """How often each instruction was executed; one that took an exception counts."""
        times: Counter[int] = Counter()
        for key, count in self._blocks.items():
            linked, instructions = key >> _BITS, key & _MASK
            now = count.executed
            for n in range(instructions):
                now -= count.left.get(n, 0)
                if not now:
                    break
                times[linked + 4 * n] += now
        return times

    def branches(self, is_conditional: Iterable[int]) -> dict[int, Branch]:
        """Of those of the addresses that were executed."""
        wanted, found = set(is_conditional), dict[int, Branch]()
        for key, count in self._blocks.items():
            end = (key >> _BITS) + 4 * ((key & _MASK) - 1)
            if end not in wanted:
                continue
            taken = count.executed - sum(count.left.values()) - count.fell
            before = found.get(end, Branch(0, 0))
            found[end] = Branch(before.taken + taken, before.not_taken + count.fell)
        return {address: each for address, each in found.items() if each.taken or each.not_taken}

    def blocks(self) -> list[tuple[int, int]]:
        """(linked address, instructions) of each, as far as it was executed."""
        reached: list[tuple[int, int]] = []
        for key in sorted(self._blocks):
            linked, instructions, count = key >> _BITS, key & _MASK, self._blocks[key]
            if not count.left:
                reached.append((linked, instructions))
                continue
            now, n = count.executed, 0
            while n < instructions and (now := now - count.left.get(n, 0)) > 0:
                n += 1
            if n:
                reached.append((linked, n))
        return reached
