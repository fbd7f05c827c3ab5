"""Records of translated blocks: how often each was executed, fell through, was left in the middle (shim/records.c)."""

from __future__ import annotations

import ctypes as C

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.engine import native
from armvcpu.engine.api import PLACE_SIZE, RECORD_SIZE
from armvcpu.errors import StateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.engine.code import Code
    from armvcpu.engine.handle import Handle

_BLOCKS, _PLACES, _WORDS = range(3)
"""The arrays of shim/records.c."""
_ENTRIES = 8
"""Bytes before the entries of `struct block_trace` (shim/blocktrace.c)."""


class BlockRecords:
    """Those of one engine; see `armvcpu.engine.api.BlockRecords` for what each method promises."""

    def __init__(self, handle: Handle, code: Code) -> None:
        self._handle, self._code = handle, code
        self._users = 0
        self._buffer = 0
        """Where the buffer of a trace is; 0 while there is none."""
        self._hear: Callable[[bytes], None] = _ignore
        self.on_traced = native.TRACED(self._traced)

    def begin(self) -> None:
        """Keep records from the next run on, until as many have ended as began."""
        if not self._users:
            if not self._handle.shim.keep_records(self._handle.engine, 1):
                raise UsageError("the host has no memory for records of the guest's code")
            self._code.invalidate()
        self._users += 1

    def end(self) -> None:
        """One of those who began wants no more."""
        self._users -= 1
        if not self._users:
            self._handle.shim.keep_records(self._handle.engine, 0)
            self._code.invalidate()

    # --- in their order

    def trace(self, hear: Callable[[bytes], None]) -> None:
        """Have `hear` get the numbers of all blocks that begin from now on."""
        if self._buffer:
            raise StateError("the order of the guest's blocks is traced already")
        self.begin()
        self._buffer = self._handle.shim.trace_blocks(self._handle.engine, 1) or 0
        if not self._buffer:
            self.end()
            raise UsageError("the host has no memory for a trace of the guest's code")
        self._hear = hear
        self._code.invalidate()

    def take_trace(self) -> None:
        """Hand on those of the blocks that have begun since."""
        if self._buffer and self._handle.is_open:
            self._traced()
            C.c_uint64.from_address(self._buffer).value = self._buffer + _ENTRIES

    def end_trace(self) -> None:
        """Hand on the last ones, and trace no more."""
        if not self._buffer or not self._handle.is_open:  # whose memory is gone
            return
        self.take_trace()
        self._buffer = 0
        self._handle.shim.trace_blocks(self._handle.engine, 0)
        self._hear = _ignore
        self.end()

    def _traced(self) -> None:
        first = self._buffer + _ENTRIES
        size = C.c_uint64.from_address(self._buffer).value - first
        try:
            if size:
                self._hear(C.string_at(first, size))
        except BaseException as failure:  # it must not pass through C; `run` raises it again
            self._handle.fail(failure)

    def __len__(self) -> int:
        return int(self._handle.shim.record_count(self._handle.engine, _BLOCKS))

    def blocks(self) -> memoryview:
        """The memory of all records."""
        return self._memory(_BLOCKS, RECORD_SIZE)

    def places(self) -> memoryview:
        """The memory of all places."""
        return self._memory(_PLACES, PLACE_SIZE)

    def words(self) -> memoryview:
        """The memory of all words."""
        return self._memory(_WORDS, 4).cast("I")

    def _memory(self, what: int, size: int) -> memoryview:
        shim, engine = self._handle.shim, self._handle.engine
        count = shim.record_count(engine, what)
        if not count:
            return memoryview(b"")
        return memoryview((C.c_char * (count * size)).from_address(shim.records(engine, what))).cast("B")


def _ignore(_entries: bytes) -> None:
    """Nobody hears."""
