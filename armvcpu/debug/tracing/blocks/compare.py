"""Where two block traces part."""

from __future__ import annotations

from collections import deque
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, NamedTuple

from armvcpu.debug.tracing.blocks.counting import Counter
from armvcpu.debug.tracing.blocks.format import RUN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from armvcpu.debug.tracing.blocks.reader import Block, BlockFile, Piece, Run

    Step = tuple[int, Block, int]
    """A vCPU, a block, and which of its instructions."""


class Difference(NamedTuple):
    """The first one: what was the same before it, and what comes then in each."""

    same: int
    """Instructions."""
    before: list[Step]
    after: tuple[list[Step], list[Step]]


def first_difference(one: BlockFile, other: BlockFile, context: int) -> Difference | None:
    """Compare instruction by instruction: vCPU, PC and word; None where there is none.

    Chunks that are the same, byte by byte, from the beginning on are not looked into: in two runs that repeat, nearly
    all are.
    """
    same, kept, rest_of_one, rest_of_other = _skip(one, other)
    before: deque[Step] = deque(maxlen=max(context, 1))
    ours = _steps(one.pieces(chain(kept, rest_of_one)))
    theirs = _steps(other.pieces(chain(kept, rest_of_other)))
    for left, right in zip_longest(ours, theirs):
        if left is None or right is None or _what(left) != _what(right):
            after = tuple(_next(first, steps, context) for first, steps in ((left, ours), (right, theirs)))
            return Difference(same, list(before)[-context:] if context else [], (after[0], after[1]))
        before.append(left)
        same += 1
    return None


def _skip(one: BlockFile, other: BlockFile) -> tuple[int, list[Run], Iterator[Run], Iterator[Run]]:
    """How many instructions are surely the same, the last pieces of those, and what comes behind in each."""
    counter = Counter(one)
    left, right = one.chunks(), other.chunks()
    for ours, theirs in zip_longest(left, right):
        if ours is None or theirs is None or ours != theirs:
            heads = [[] if chunk is None else [chunk] for chunk in (ours, theirs)]
            runs = (_runs(one, chain(heads[0], left)), _runs(other, chain(heads[1], right)))
            return counter.before, counter.last, *runs
        if ours[0] == RUN:
            counter.pass_by(one.run(ours[1], ours[2]))
    return counter.before, counter.last, iter(()), iter(())


def _runs(file: BlockFile, chunks: Iterator[tuple[bytes, int, bytes]]) -> Iterator[Run]:
    return (file.run(vcpu, payload) for kind, vcpu, payload in chunks if kind == RUN)


def _steps(pieces: Iterator[Piece]) -> Iterator[Step]:
    for vcpu, block, executed in pieces:
        for number in range(executed):
            yield vcpu, block, number


def _what(step: Step) -> tuple[int, int, int]:
    vcpu, block, number = step
    return vcpu, block.pc + 4 * number, block.words[number]


def _next(first: Step | None, steps: Iterator[Step], count: int) -> list[Step]:
    found = [] if first is None else [first]
    for step in steps:
        if len(found) >= max(count, 1):
            break
        found.append(step)
    return found
