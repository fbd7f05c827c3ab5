"""How many instructions come before a place in a block trace, without a look at each block where that can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.debug.tracing.blocks.format import CUT, NOT_COUNTED

if TYPE_CHECKING:
    from array import array

    from armvcpu.debug.tracing.blocks.reader import BlockFile, Run


class Counter:
    """Of the runs that have been passed by, in their order from the first one on."""

    def __init__(self, file: BlockFile) -> None:
        self._file = file
        self._first = NOT_COUNTED
        self.last: list[Run] = []
        """The last one, where there is one."""
        self.before = 0
        """How many instructions there are before that."""

    def pass_by(self, run: Run) -> None:
        """The next one."""
        missing = self._missing(run.entries[:1]) if self.last else 0
        if not self.last:
            self._first = run.before
        elif NOT_COUNTED in (run.before, self._first):
            self.before += self._length(self.last[0].entries) - missing
        else:
            self.before = run.before - self._first - missing
        self.last = [run]

    def _missing(self, head: array[int]) -> int:
        """What a CUT at a run's beginning says that the last block of the one before has not executed."""
        if not head or not head[0] & CUT:
            return 0
        entries = self.last[0].entries
        return max(0, self._file.lengths.get(entries[-1], 0) - (head[0] ^ CUT)) if entries else 0

    def _length(self, entries: array[int]) -> int:
        length = self._file.lengths.get
        whole = sum([length(entry, 0) for entry in entries])
        cuts = [at for at, entry in enumerate(entries) if entry & CUT]
        return whole - sum(max(0, length(entries[at - 1], 0) - (entries[at] ^ CUT)) for at in cuts if at)
