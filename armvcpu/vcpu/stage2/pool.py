"""The pool of 4 KiB frames that translation tables live in, in memory the CPU can walk.

In this layer, apart from the tables themselves, because several address spaces may share one pool.
"""

from __future__ import annotations

from armvcpu.arch.stage2 import PAGE_SIZE, TABLE_ENTRIES
from armvcpu.errors import UsageError

CLEAR_TABLE = bytes(PAGE_SIZE)
ENTRY_BYTES = PAGE_SIZE // TABLE_ENTRIES


class TablePool:
    """Table frames at physical address `base`, kept in `memory` (writable, contiguous, whole pages).

    A table is known by its slot: the index of its first 64-bit descriptor in `entries`. Descriptors are
    little-endian (SCTLR_EL2.EE = 0), as is every host the engine runs on.
    """

    def __init__(self, base: int, memory: memoryview) -> None:
        if base % PAGE_SIZE or memory.nbytes % PAGE_SIZE or not memory.nbytes or memory.readonly:
            raise UsageError(f"the stage 2 table pool at {base:#x} must be whole writable pages of 4 KiB")
        self.base = base
        self._bytes = memory.cast("B")
        self.entries = self._bytes.cast("Q")
        self._frames = memory.nbytes // PAGE_SIZE
        self._unused = 0  # the first frame that was never taken
        self._free: list[int] = []  # frames below it, taken from the end

    @property
    def free_frames(self) -> int:
        """How many tables can still be allocated."""
        return len(self._free) + self._frames - self._unused

    def address(self, slot: int) -> int:
        """The physical address of the entry at `slot`."""
        return self.base + slot * ENTRY_BYTES

    def slot(self, address: int) -> int:
        """The slot of the entry at a physical address in the pool."""
        return (address - self.base) // ENTRY_BYTES

    def allocate(self) -> int:
        """The slot of a cleared table; UsageError when the pool is used up."""
        if self._free:
            frame = self._free.pop()
        elif self._unused < self._frames:
            frame = self._unused
            self._unused += 1
        else:
            raise UsageError(f"all {self._frames} stage 2 table frames are in use; enlarge the pool")
        self._bytes[frame * PAGE_SIZE : (frame + 1) * PAGE_SIZE] = CLEAR_TABLE
        return frame * TABLE_ENTRIES

    def allocate_root(self, tables: int) -> int:
        """The slot of `tables` (a power of two) cleared tables in a row, aligned to their size for VTTBR_EL2.

        UsageError when there is no such row.
        """
        free = set(self._free)
        start = -(self.base // PAGE_SIZE) % tables
        for first in range(start, self._frames - tables + 1, tables):
            run = range(first, first + tables)
            if all(frame in free or frame >= self._unused for frame in run):
                if run.stop > self._unused:
                    self._free += range(first - 1, self._unused - 1, -1)
                    self._unused = run.stop
                self._free = [frame for frame in self._free if frame not in run]
                self._bytes[first * PAGE_SIZE : run.stop * PAGE_SIZE] = CLEAR_TABLE * tables
                return first * TABLE_ENTRIES
        raise UsageError(f"no {tables} aligned table frames in a row for a stage 2 root; enlarge the pool")

    def release(self, slot: int) -> None:
        """Take a table back; nothing may walk it any more."""
        self._free.append(slot // TABLE_ENTRIES)

    def is_clear(self, first: int, stop: int) -> bool:
        """Whether the entries from slot `first` up to `stop` are all invalid."""
        return self._bytes[first * ENTRY_BYTES : stop * ENTRY_BYTES] == bytes((stop - first) * ENTRY_BYTES)
