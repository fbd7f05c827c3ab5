"""Edges: how often the guest has gone from one block to another, as coverage-guided fuzzers want to know it.

with machine.edges() as edges:
    edges.clear(); machine.call("parse", address, size); print(edges.count)

The engine counts in the map itself, with four loads and stores for each block; nothing is called. Its bytes are those
of AFL's map: `map[hash(block before) ^ hash(block)]` is one more each time, and wraps. What a block is, the engine
decides: mostly it ends at a branch. Blocks of the guest's kernel and of its interrupts count as all others.
"""

from __future__ import annotations

import mmap
from contextlib import contextmanager

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.engine.api import COMPARE_WORDS, LOGGED_COMPARES
from armvcpu.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from armvcpu.engine.api import Engine

MAP_SIZE = 1 << 16


class EdgeMap:
    """The map of one machine. `memory` are its bytes, which a fuzzer may read and clear by itself."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.memory = memoryview(mmap.mmap(-1, MAP_SIZE, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS))
        self.log = memoryview(bytearray(8 * COMPARE_WORDS)).cast("Q")
        """What is compared, as `Engine.count_edges` has it."""

    def clear(self) -> None:
        """Begin anew: nothing has been counted, and the next block has none before it."""
        self.memory[:] = bytes(MAP_SIZE)
        self.begin_path()

    def begin_path(self) -> None:
        """The next block has none before it: the same path is the same edges, whatever ran before."""
        self._engine.forget_edge()

    @property
    def seen(self) -> frozenset[int]:
        """The edges that have been counted, by their place in the map."""
        return frozenset(at for at, count in enumerate(bytes(self.memory)) if count)

    def compared(self) -> list[tuple[int, int]]:
        """Two numbers each that the guest has compared and that differed: of the last 256 such, each pair once."""
        there = min(self.log[0], LOGGED_COMPARES)
        return sorted({(self.log[1 + 2 * n], self.log[2 + 2 * n]) for n in range(there)})

    def forget_compares(self) -> None:
        """There have been none."""
        self.log[0] = 0

    @property
    def count(self) -> int:
        """How many edges have been counted."""
        return MAP_SIZE - bytes(self.memory).count(0)


@contextmanager
def count_edges(engine: Engine, *, with_compares: bool) -> Iterator[EdgeMap]:
    """See `Machine.edges`: code is translated anew at the begin and at the end. StateError in another such block."""
    if engine.counts_edges:
        raise StateError("edges are counted already, in another map")
    edges = EdgeMap(engine)
    engine.count_edges(edges.memory, edges.log if with_compares else None)
    try:
        yield edges
    finally:
        engine.count_edges(None)
