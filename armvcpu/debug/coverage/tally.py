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


class _Count:
    __slots__ = ("executed", "fell", "left")

    def __init__(self) -> None:
        self.executed = self.fell = 0
        self.left: Counter[int] = Counter()


class Tally:
    """Of one program; `rows` is all of it, in plain values, which another process can add."""

    def __init__(self) -> None:
        self._blocks: defaultdict[tuple[int, int], _Count] = defaultdict(_Count)
        """By linked address and number of instructions."""

    def add(self, placed: Iterable[Placed]) -> None:
        """Add what was executed."""
        for linked, block in placed:
            self.add_rows([(linked, len(block.code) >> 2, block.executed, block.fell, list(block.left))])

    def add_rows(self, rows: Iterable[Row]) -> None:
        """Add what another tally has."""
        for linked, instructions, executed, fell, left in rows:
            count = self._blocks[linked, instructions]
            count.executed += executed
            count.fell += fell
            for place, times in left:
                count.left[place] += times

    @property
    def rows(self) -> list[Row]:
        """Each block."""
        return [
            (linked, instructions, count.executed, count.fell, sorted(count.left.items()))
            for (linked, instructions), count in sorted(self._blocks.items())
        ]

    def executed(self) -> Counter[int]:
        """How often each instruction was executed; one that took an exception counts."""
        times: Counter[int] = Counter()
        for (linked, instructions), count in self._blocks.items():
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
        for (linked, instructions), count in self._blocks.items():
            end = linked + 4 * (instructions - 1)
            if end not in wanted:
                continue
            taken = count.executed - sum(count.left.values()) - count.fell
            before = found.get(end, Branch(0, 0))
            found[end] = Branch(before.taken + taken, before.not_taken + count.fell)
        return {address: each for address, each in found.items() if each.taken or each.not_taken}

    def blocks(self) -> list[tuple[int, int]]:
        """(linked address, instructions) of each, as far as it was executed."""
        reached: list[tuple[int, int]] = []
        for (linked, instructions), count in sorted(self._blocks.items()):
            now, n = count.executed, 0
            while n < instructions and (now := now - count.left.get(n, 0)) > 0:
                n += 1
            if n:
                reached.append((linked, n))
        return reached
