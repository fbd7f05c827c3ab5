"""Physical address ranges to be had and given back: the frames of one VM, and the VMs' places among each other.

First fit over the list of what is free, which is in order of address and never has two neighbours that touch.
"""

from __future__ import annotations

from bisect import bisect_left
from operator import itemgetter

from armvcpu.arch.stage2 import PAGE_SIZE
from armvcpu.errors import InternalError, UsageError

_BLOCKS = (1 << 30, 1 << 21)
"""The sizes of stage-2 blocks: a range that holds one begins at a multiple of it, so that blocks can map it."""
_start = itemgetter(0)


class Frames:
    """Whole pages of [base, base + size)."""

    def __init__(self, what: str, base: int, size: int) -> None:
        self._what, self.base, self.size = what, base, size
        self._free = [(base, size)]

    @property
    def free(self) -> int:
        """How many bytes are left, perhaps not in one piece."""
        return sum(size for _, size in self._free)

    def allocate(self, size: int) -> int:
        """The first address of `size` bytes in a row; UsageError where there are not so many."""
        align = next((block for block in _BLOCKS if size >= block), PAGE_SIZE)
        for index, (start, length) in enumerate(self._free):
            first = (start + align - 1) & -align
            if first + size <= start + length:
                before, after = (start, first - start), (first + size, start + length - first - size)
                self._free[index : index + 1] = [piece for piece in (before, after) if piece[1]]
                return first
        raise UsageError(f"{self._what}: no {size:#x} bytes in a row left of {self.size:#x}; {self.free:#x} are free")

    def release(self, start: int, size: int) -> None:
        """Take back a range, or a part of one, that `allocate` gave."""
        index = bisect_left(self._free, start, key=_start)
        before = self._free[index - 1] if index else None
        after = self._free[index] if index < len(self._free) else None
        if (before and sum(before) > start) or (after and after[0] < start + size):
            raise InternalError(f"{self._what}: {start:#x}, {size:#x} bytes, is free already")
        first, last = index, index
        if before and sum(before) == start:
            first, start, size = index - 1, before[0], size + before[1]
        if after and after[0] == start + size:
            last, size = index + 1, size + after[1]
        self._free[first:last] = [(start, size)]
