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


class Tally:
    """Of one program; `rows` is all of it, in plain values, which another process can add.

    A block's key is its linked address and its number of instructions, in one number.
    """

    def __init__(self) -> None:
        self._blocks: dict[int, list[int]] = {}
        """Times executed, times fallen through."""
        self._left: defaultdict[int, Counter[int]] = defaultdict(Counter)
        """Of those that were left before their end: behind how many instructions, how often."""

    def add(self, placed: Placed) -> None:
        """Add what was executed."""
        known = self._blocks
        for bias, blocks in placed:
            for pc, _, code, executed, fell, left in blocks:
                key = pc - bias << _BITS | len(code) >> 2
                if key in known:
                    known[key][0] += executed
                    known[key][1] += fell
                else:
                    known[key] = [executed, fell]
                if left:
                    self._note(key, left)

    def _note(self, key: int, left: Iterable[tuple[int, int]]) -> None:
        for place, times in left:
            self._left[key][place] += times

    def add_rows(self, rows: Iterable[Row]) -> None:
        """Add what another tally has."""
        for linked, instructions, executed, fell, left in rows:
            key = linked << _BITS | instructions
            before = self._blocks.get(key, (0, 0))
            self._blocks[key] = [before[0] + executed, before[1] + fell]
            if left:
                self._note(key, left)

    @property
    def rows(self) -> list[Row]:
        """Each block."""
        return [
            (key >> _BITS, key & _MASK, executed, fell, sorted(self._left[key].items()) if key in self._left else [])
            for key, (executed, fell) in sorted(self._blocks.items())
        ]

    def executed(self) -> Counter[int]:
        """How often each instruction was executed; one that took an exception counts."""
        times: Counter[int] = Counter()
        for key, (executed, _) in self._blocks.items():
            linked, left, now = key >> _BITS, self._left.get(key), executed
            for n in range(key & _MASK):
                now -= left[n] if left else 0
                if not now:
                    break
                times[linked + 4 * n] += now
        return times

    def branches(self, is_conditional: Iterable[int]) -> dict[int, Branch]:
        """Of those of the addresses that were executed."""
        wanted, found = set(is_conditional), dict[int, Branch]()
        for key, (executed, fell) in self._blocks.items():
            end = (key >> _BITS) + 4 * ((key & _MASK) - 1)
            if end not in wanted:
                continue
            taken = executed - (self._left[key].total() if key in self._left else 0) - fell
            before = found.get(end, Branch(0, 0))
            found[end] = Branch(before.taken + taken, before.not_taken + fell)
        return {address: each for address, each in found.items() if each.taken or each.not_taken}

    def blocks(self) -> list[tuple[int, int]]:
        """(linked address, instructions) of each, as far as it was executed."""
        reached: list[tuple[int, int]] = []
        for key in sorted(self._blocks):
            size = self._reached(key) if key in self._left else key & _MASK
            if size:
                reached.append((key >> _BITS, size))
        return reached

    def _reached(self, key: int) -> int:
        """How many instructions of a block that was left have been executed."""
        now = self._blocks[key][0]
        for n in range(key & _MASK):
            now -= self._left[key][n]
            if not now:
                return n
        return key & _MASK
