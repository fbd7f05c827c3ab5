"""Counts of a program's instructions as those of its lines, functions and branches.

A line has code in several places: a loop's head before the loop and at its end, an inlined function wherever it is
called. Of the places in one copy of a function the one that was executed most often counts, as a `for` is executed once
more than its body; copies are added. A function was called as often as its copies were entered. The branches of a line
are its conditional branch instructions, of each copy in the order of their addresses; those of copies are added, too.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from armvcpu.debug.coverage.tally import Branch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from armvcpu.debug.coverage.program import Program
    from armvcpu.debug.coverage.source import Copy, Row, Source
    from armvcpu.debug.coverage.tally import Tally


class Function(NamedTuple):
    """Where a function is declared, and how often it was called."""

    line: int
    calls: int


class FileCoverage:
    """Of one source file."""

    def __init__(self) -> None:
        self.lines: dict[int, int] = {}
        """How often each line that has code was executed."""
        self.functions: dict[str, Function] = {}
        self.branches: dict[tuple[int, int], Branch] = {}
        """By line and the branch's place among the line's: 0, 0 where it was never executed."""

    def add(self, other: FileCoverage) -> None:
        """Add what was executed elsewhere."""
        for line, count in other.lines.items():
            self.lines[line] = self.lines.get(line, 0) + count
        for name, function in other.functions.items():
            known = self.functions.get(name, Function(function.line, 0))
            self.functions[name] = Function(known.line, known.calls + function.calls)
        for place, branch in other.branches.items():
            before = self.branches.get(place, Branch(0, 0))
            self.branches[place] = Branch(before.taken + branch.taken, before.not_taken + branch.not_taken)


def is_conditional(word: int) -> bool:
    """B.cond; CBZ and CBNZ; TBZ and TBNZ (DDI 0487 C4.1.65)."""
    return word & 0xFF000010 == 0x54000000 or word & 0x7C000000 == 0x34000000


def branches_of(program: Program) -> list[int]:
    """The linked addresses of what are conditional branches, where there is code."""
    found: list[int] = []
    for start, code in program.pieces:
        words = array("I", code[: len(code) & ~3])
        found += [start + 4 * n for n, word in enumerate(words) if is_conditional(word)]
    return found


def by_file(program: Program, source: Source, tally: Tally) -> dict[str, FileCoverage]:
    """What was executed of each file, and what was not."""
    files: defaultdict[str, FileCoverage] = defaultdict(FileCoverage)
    executed, copies = tally.executed(), _Copies(source.copies)
    for (file, line, _), count in _lines(source.rows, executed, copies).items():
        files[file].lines[line] = files[file].lines.get(line, 0) + count
    for copy in source.copies:
        _add_function(files, source, copy, executed[copy.entry])
    conditional = branches_of(program)
    for (file, line, place), branch in _branches(source.rows, conditional, tally.branches(conditional), copies):
        known = files[file].branches.get((line, place), Branch(0, 0))
        both = Branch(known.taken + branch.taken, known.not_taken + branch.not_taken)
        files[file].branches[line, place] = both
    return dict(files)


def _add_function(files: Mapping[str, FileCoverage], source: Source, copy: Copy, calls: int) -> None:
    """An assembler does not say where a function is declared: then it is where its first instruction is."""
    file, line = copy.file, copy.line
    if not file:
        row = _row_at(source.rows, copy.entry)
        if row is None:
            return
        file, line = row.file, row.line
    functions = files[file].functions
    known = functions.get(copy.name, Function(line, 0))
    functions[copy.name] = Function(known.line, known.calls + calls)


def _row_at(rows: list[Row], address: int) -> Row | None:
    at = bisect_right(rows, address, key=lambda row: row.start) - 1
    return rows[at] if at >= 0 and address < rows[at].end else None


class _Copies:
    """Finds the innermost copy of a function that an address is in."""

    def __init__(self, copies: Iterable[Copy]) -> None:
        ranges = sorted(
            (low, -high, number) for number, copy in enumerate(copies) for low, high in copy.ranges
        )  # fmt: skip
        self._starts: list[int] = []
        self._numbers: list[int] = []
        open_: list[tuple[int, int]] = []
        for low, negative, number in ranges:
            self._close(open_, low)
            self._begin(low, number)
            open_.append((-negative, number))
        self._close(open_, None)

    def _close(self, open_: list[tuple[int, int]], until: int | None) -> None:
        while open_ and (until is None or open_[-1][0] <= until):
            end, _ = open_.pop()
            while open_ and open_[-1][0] <= end:
                open_.pop()
            self._begin(end, open_[-1][1] if open_ else -1)

    def _begin(self, address: int, number: int) -> None:
        self._starts.append(address)
        self._numbers.append(number)

    def at(self, address: int) -> int:
        """Its number; -1 for none."""
        at = bisect_right(self._starts, address) - 1
        return self._numbers[at] if at >= 0 else -1


def _lines(
    rows: list[Row], executed: Counter[int], copies: _Copies
) -> dict[tuple[str, int, int], int]:  # fmt: skip
    """By file, line and copy: the most that an instruction was executed."""
    counts: dict[tuple[str, int, int], int] = {}
    for start, end, file, line in rows:
        key = file, line, copies.at(start)
        most = max((executed.get(address, 0) for address in range(start, end, 4)), default=0)
        counts[key] = max(counts.get(key, 0), most)
    return counts


def _branches(
    rows: list[Row], conditional: Iterable[int], executed: Mapping[int, Branch], copies: _Copies
) -> Iterator[tuple[tuple[str, int, int], Branch]]:
    """Each branch with its file, line and place among those of its line and copy."""
    places: Counter[tuple[str, int, int]] = Counter()
    for address in sorted(conditional):
        row = _row_at(rows, address)
        if row is not None:
            key = row.file, row.line, copies.at(address)
            yield (row.file, row.line, places[key]), executed.get(address, Branch(0, 0))
            places[key] += 1
