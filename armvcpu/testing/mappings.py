"""All that a guest's own tables map: DDI 0487 D8.2, stage 1 of EL1 and EL0, with any granule."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, TypeAlias

from armvcpu.arch.controls import SCTLR_EL1
from armvcpu.devices.dma import BadAddress
from armvcpu.machine.watching.stage1 import tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from armvcpu.machine.watching.stage1 import Tables

    Memory: TypeAlias = Callable[[int, int], bytes]
    Piece: TypeAlias = tuple[int, int, int]


def mappings(registers: Mapping[str, int], memory: Memory) -> Iterator[Piece]:
    """(virtual, physical, bytes) of each range, neighbours together; none with the MMU off.

    `registers` are those of a CPU by their names; `memory(address, size)` raises BadAddress where there is none.
    """
    start: Piece | None = None
    for virtual, physical, size in _leaves(registers, memory):
        if start is not None and (start[0] + start[2], start[1] + start[2]) == (virtual, physical):
            start = start[0], start[1], start[2] + size
            continue
        if start is not None:
            yield start
        start = virtual, physical, size
    if start is not None:
        yield start


def _leaves(registers: Mapping[str, int], memory: Memory) -> Iterator[Piece]:
    if not registers["SCTLR_EL1"] & SCTLR_EL1.M.mask:
        return
    for upper in (False, True):
        ttbr = registers["TTBR1_EL1" if upper else "TTBR0_EL1"]
        if (there := tables(registers["TCR_EL1"], ttbr, is_upper=upper)) is not None:
            first = (1 << 64) - (1 << there.bits) if upper else 0
            yield from _table(memory, there, there.level, there.base, first, 1 << there.bits)


def _table(memory: Memory, there: Tables, level: int, base: int, virtual: int, covered: int) -> Iterator[Piece]:
    """What one table maps, of `covered` bytes from `virtual` on."""
    size = 1 << there.shift(level)
    count = min(covered // size, 1 << there.granule - 3)
    try:
        words = struct.unpack(f"<{count}Q", memory(base, 8 * count))
    except BadAddress:
        return
    for number, descriptor in enumerate(words):
        at = virtual + number * size
        if (table := there.next_table(descriptor, level)) is not None:
            yield from _table(memory, there, level + 1, table, at, size)
        elif (output := there.output(descriptor, level)) is not None:
            yield at, output, size
