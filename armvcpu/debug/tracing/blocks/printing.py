"""What `armvcpu trace` prints of block traces: instructions from one on, those that match, and where two runs part."""

from __future__ import annotations

from collections import deque
from itertools import islice, zip_longest
from typing import TYPE_CHECKING

from armvcpu.debug.tracing.blocks.compare import first_difference
from armvcpu.debug.tracing.blocks.format import CUT
from armvcpu.debug.tracing.blocks.lines import Lines

if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Iterator

    from armvcpu.debug.tracing.blocks.compare import Step
    from armvcpu.debug.tracing.blocks.lines import Source
    from armvcpu.debug.tracing.blocks.reader import BlockFile

    Matching = list[tuple[int, str]]
    """Instructions of a block, by their number, and their lines."""

LONGEST = 1 << 16
"""More instructions than a block has."""


def shown(file: BlockFile, source: Source | None, start: int) -> Iterator[str]:
    """A line for each instruction, from number `start` on; those before are counted, and not looked at."""
    lines = Lines(source)
    before, runs = file.runs_from(start)
    start -= before
    for vcpu, block, executed in file.pieces(runs):
        if start >= executed:
            start -= executed
            continue
        for line in lines.of(block)[start:executed]:
            yield f"cpu{vcpu} {line}"
        start = 0


def shown_last(file: BlockFile, source: Source | None, count: int) -> Iterable[str]:
    """The last `count` lines; those before are counted, and not looked at."""
    lines = Lines(source)
    pieces = file.pieces(file.last_runs(count))
    return deque((f"cpu{vcpu} {line}" for vcpu, block, done in pieces for line in lines.of(block)[:done]), count)


def found(file: BlockFile, source: Source | None, pattern: re.Pattern[str]) -> Iterator[str]:
    """Those lines in which the pattern is found, which is looked for once in each block."""
    matches = _Matches(file, Lines(source), pattern)
    held: Matching | None = None  # of a block of which the next entry says how much of it was executed
    for run in file.runs():
        matching = matches.of(run.vcpu)
        entries = run.entries
        if held is not None and entries:
            yield from _executed(held, entries[0])
        held = None
        for at, entry in enumerate(entries):
            if entry in matching:
                held = matching[entry]
                if at + 1 < len(entries):
                    yield from _executed(held, entries[at + 1])
                    held = None
    if held is not None:
        yield from _executed(held, 0)


def _executed(matching: Matching, following: int) -> Iterator[str]:
    left = following ^ CUT if following & CUT else LONGEST
    return (line for number, line in matching if number < left)


class _Matches:
    """The blocks that have a line in which the pattern is found, by their numbers."""

    def __init__(self, file: BlockFile, lines: Lines, pattern: re.Pattern[str]) -> None:
        self._file, self._lines, self._pattern = file, lines, pattern
        self._known: dict[int, tuple[int, dict[int, Matching]]] = {}

    def of(self, vcpu: int) -> dict[int, Matching]:
        """As far as blocks have been described by now."""
        seen, matching = self._known.get(vcpu, (0, {}))
        for number, block in islice(self._file.blocks.items(), seen, None):
            there = (f"cpu{vcpu} {line}" for line in self._lines.of(block))
            if found := [(n, line) for n, line in enumerate(there) if self._pattern.search(line)]:
                matching[number] = found
        self._known[vcpu] = len(self._file.blocks), matching
        return matching


def block_difference(one: BlockFile, other: BlockFile, source: Source | None, context: int) -> list[str]:
    """What was the same, and what comes then in each; nothing where they do not part."""
    difference = first_difference(one, other, context)
    if difference is None:
        return []
    lines = Lines(source)

    def told(mark: str, steps: list[Step]) -> Iterator[str]:
        for vcpu, block, number in steps:
            yield f"{mark} cpu{vcpu} {lines.of(block)[number]}"

    return _told(
        f"{difference.same} instructions are the same",
        list(told(" ", difference.before)),
        list(told("-", difference.after[0])),
        list(told("+", difference.after[1])),
    )


def line_difference(one: Iterable[str], other: Iterable[str], context: int) -> list[str]:
    """The same of lines."""
    ours, theirs = iter(one), iter(other)
    before: deque[str] = deque(maxlen=context)
    for number, (left, right) in enumerate(zip_longest(ours, theirs)):
        if left != right:
            after = [
                [f"{mark} {line}" for line in ([] if first is None else [first, *islice(rest, max(context - 1, 0))])]
                for mark, first, rest in (("-", left, ours), ("+", right, theirs))
            ]
            return _told(f"{number} lines are the same", [f"  {line}" for line in before], *after)
        before.append(left)
    return []


def _told(same: str, before: list[str], ours: list[str], theirs: list[str]) -> list[str]:
    return [f"{same}; then", *before, *(ours or ["- (the end)"]), *(theirs or ["+ (the end)"])]
