"""Reads a block trace: what it describes, and what was executed, piece by piece."""

from __future__ import annotations

import json
from array import array
from collections import deque
from itertools import chain
from struct import error, unpack_from
from typing import TYPE_CHECKING, Any, NamedTuple

from armvcpu.debug.tracing.blocks.counting import Counter
from armvcpu.debug.tracing.blocks.format import (
    BLOCK,
    BLOCKS,
    CHUNK,
    COUNT,
    CUT,
    END,
    HEADER,
    LONGEST_CHUNK,
    MAGIC,
    RUN,
)
from armvcpu.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import IO


class Block(NamedTuple):
    """Code that has been executed from its beginning."""

    pc: int
    words: tuple[int, ...]
    symbol: str
    """At `pc`, as `main+0x10`; empty where none is known."""


class Run(NamedTuple):
    """What a vCPU has executed in one piece; `before`, all ones where instructions are not counted."""

    vcpu: int
    before: int
    payload: bytes
    """As in the file, behind the count."""

    @property
    def entries(self) -> array[int]:
        """Numbers of blocks, and CUTs."""
        found = array("I")
        found.frombytes(self.payload)
        return found


class Piece(NamedTuple):
    """The first `executed` instructions of a block."""

    vcpu: int
    block: Block
    executed: int


UNKNOWN = Block(0, (), "")
"""The block of number 0, which stands for code that there was no room to describe."""


class BlockFile:
    """An open block trace; `chunks` is read once.

    Raises:
        ImageError: it is none.
    """

    def __init__(self, path: str, file: IO[bytes]) -> None:
        self.path, self._file = path, file
        self.blocks: dict[int, Block] = {0: UNKNOWN}
        self.lengths: dict[int, int] = {0: 0}
        """Instructions of each."""
        self.is_cut_off = False
        """Has it been read to where it breaks off?"""
        if self._read(len(MAGIC)) != MAGIC:
            raise self._damaged("is no block trace")
        kind, _, payload = self._chunk() or (b"", 0, b"")
        if kind != HEADER:
            raise self._damaged("has no header")
        try:
            self.header: dict[str, Any] = dict(json.loads(payload))
        except (ValueError, TypeError) as problem:
            raise self._damaged("has a header that can't be read") from problem

    def chunks(self) -> Iterator[tuple[bytes, int, bytes]]:
        """(kind, vCPU, payload) of all that come, up to the end, or to where the file breaks off."""
        while (chunk := self._chunk()) is not None:
            kind, _, payload = chunk
            if kind == END:
                return
            if kind == BLOCKS:
                self._describe(payload)
            yield chunk
        self.is_cut_off = True

    def runs(self) -> Iterator[Run]:
        """What was executed."""
        for kind, vcpu, payload in self.chunks():
            if kind == RUN:
                yield self.run(vcpu, payload)

    def run(self, vcpu: int, payload: bytes) -> Run:
        """That of a chunk."""
        if len(payload) < COUNT.size or len(payload) % 4:
            raise self._damaged("has a chunk that is too short")
        return Run(vcpu, COUNT.unpack_from(payload)[0], payload[COUNT.size :])

    def runs_from(self, start: int) -> tuple[int, Iterator[Run]]:
        """The runs from one on that has instruction number `start` or comes before it, and how many are before that."""
        runs, counter = self.runs(), Counter(self)
        for run in runs:
            behind = [*counter.last, run]
            before = counter.before
            counter.pass_by(run)
            if counter.before > start:
                return before, chain(behind, runs)
        return counter.before, iter(counter.last)

    def last_runs(self, count: int) -> Iterable[Run]:
        """Those with the last `count` instructions, and some before them."""
        kept: deque[tuple[int, Run]] = deque()
        counter = Counter(self)
        for run in self.runs():
            counter.pass_by(run)
            kept.append((counter.before, run))
            while len(kept) > 1 and kept[1][0] <= counter.before - count:
                kept.popleft()
        return [run for _, run in kept]

    def pieces(self, runs: Iterable[Run]) -> Iterator[Piece]:
        """What was executed, with what was left in the middle; each comes when the next entry is known."""
        blocks, held, vcpu = self.blocks, UNKNOWN, -1
        for run in runs:
            for entry in run.entries:
                if entry & CUT:
                    if vcpu >= 0:
                        yield Piece(vcpu, held, min(entry ^ CUT, len(held.words)))
                    vcpu = -1
                    continue
                if vcpu >= 0:
                    yield Piece(vcpu, held, len(held.words))
                held, vcpu = blocks.get(entry, UNKNOWN), run.vcpu
        if vcpu >= 0:
            yield Piece(vcpu, held, len(held.words))

    def _chunk(self) -> tuple[bytes, int, bytes] | None:
        """None where the file breaks off."""
        head = self._read(CHUNK.size)
        if len(head) < CHUNK.size:
            return None
        kind, vcpu, size = CHUNK.unpack(head)
        if size > LONGEST_CHUNK:
            raise self._damaged("has a chunk that can't be so long")
        payload = self._read(size)
        return (kind, vcpu, payload) if len(payload) == size else None

    def _read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except EOFError:  # a gzip file that has been cut off
            return b""
        except Exception as problem:  # whatever a damaged file makes of its decompressor
            if isinstance(problem, OSError) and problem.errno is not None:
                raise
            raise self._damaged("is damaged") from problem

    def _describe(self, payload: bytes) -> None:
        at = 0
        try:
            while at < len(payload):
                number, pc, count, name_size = BLOCK.unpack_from(payload, at)
                words = unpack_from(f"<{count}I", payload, at := at + BLOCK.size)
                at += 4 * count
                name = payload[at : at + name_size].decode(errors="replace")
                at += name_size
                self.blocks[number] = Block(pc, words, name)
                self.lengths[number] = count
        except error as problem:
            raise self._damaged("describes a block that can't be") from problem

    def _damaged(self, what: str) -> ImageError:
        return ImageError(self.path, what, "name what `run --trace insn:FILE.blocks.zst` has written")
