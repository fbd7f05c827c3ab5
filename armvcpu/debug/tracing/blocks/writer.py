"""Writes a block trace. The engine tells numbers of its records; they go to the file as they are."""

from __future__ import annotations

import json
from struct import iter_unpack, unpack_from
from typing import TYPE_CHECKING, Any

from armvcpu.debug.tracing.blocks.format import (
    BLOCK,
    BLOCKS,
    CHUNK,
    COUNT,
    END,
    HEADER,
    MAGIC,
    NOT_COUNTED,
    RUN,
)
from armvcpu.engine.api import CUT, RECORD, RECORD_SIZE, TRACED_AT_ONCE, Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.machine.boot.symbols import Symbols
    from armvcpu.machine.parts import Parts


FULL_CHUNK = 1 << 20
"""Bytes of descriptions after which another chunk begins."""


class BlockTrace:
    """Of a machine, from now until `close()`; `write` gets bytes, and raises nothing."""

    def __init__(self, parts: Parts, symbols: Symbols, write: Callable[[bytes], object]) -> None:
        self._parts, self._symbols, self._write = parts, symbols, write
        self._known = 0
        self._is_open = True
        write(MAGIC)
        self._chunk(HEADER, json.dumps(_header(parts)).encode())
        self._before = self._count()
        parts.engine.records.trace(self._heard)
        parts.turns.watch(parts.engine.records.take_trace)
        self._forget = parts.held.callback(self.close)

    def close(self) -> None:
        """Write what is left, and the end. May be called twice; the machine's end does it, too."""
        if not self._is_open:
            return
        self._is_open = False
        self._forget()
        self._parts.turns.ignore(self._parts.engine.records.take_trace)
        self._parts.engine.records.end_trace()
        self._chunk(END, b"")

    def _count(self) -> int:
        value = self._parts.count.value
        return NOT_COUNTED if value is None else value

    def _heard(self, entries: bytes) -> None:
        """In a run, at the start of a block, which is the last one of the entries; or between two runs."""
        self._describe()
        self._chunk(RUN, COUNT.pack(self._before) + entries, self._parts.turns.cpu.index)
        self._before = self._count()
        if len(entries) == 4 * TRACED_AT_ONCE and self._before != NOT_COUNTED:  # the last one has only begun
            self._before += self._length(entries[-4:])

    def _length(self, entry: bytes) -> int:
        number = int.from_bytes(entry, "little")
        rows = self._parts.engine.records.blocks()
        return 0 if number & CUT else Record(*unpack_from(RECORD, rows, number * RECORD_SIZE)).instructions

    def _describe(self) -> None:
        """The blocks that are new."""
        records = self._parts.engine.records
        count = len(records)
        if count == self._known:
            return
        rows = records.blocks()[self._known * RECORD_SIZE : count * RECORD_SIZE]
        words, told = records.words(), bytearray()
        for row in iter_unpack(RECORD, rows):
            record = Record(*row)
            name = self._symbols.format(record.pc).encode()[:0xFFFF]
            told += BLOCK.pack(record.number, record.pc, record.instructions, len(name))
            told += words[record.words : record.words + record.instructions].tobytes() + name
            if len(told) >= FULL_CHUNK:  # who began to keep records long before has many of them
                self._chunk(BLOCKS, bytes(told))
                told.clear()
        self._known = count
        self._chunk(BLOCKS, bytes(told))

    def _chunk(self, kind: bytes, payload: bytes, vcpu: int = 0) -> None:
        self._write(CHUNK.pack(kind, vcpu, len(payload)))
        self._write(payload)


def _header(parts: Parts) -> dict[str, Any]:
    config = parts.config
    names = {"image": config.image, "firmware": config.firmware, "symbols": config.symbols}
    return {
        **{name: None if path is None else str(path) for name, path in names.items()},
        "clock": config.clock,
        "vcpus": config.cpus,
    }
