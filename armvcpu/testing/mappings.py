"""All that a guest's own tables map: DDI 0487 D8.2, stage 1 of EL1 and EL0, with any granule."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, TypeAlias

from armvcpu.arch.controls import SCTLR_EL1, TCR_EL1
from armvcpu.devices.dma import BadAddress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Memory: TypeAlias = Callable[[int, int], bytes]
    Piece: TypeAlias = tuple[int, int, int]

_GRANULES = {0: 12, 1: 16, 2: 14}, {1: 14, 2: 12, 3: 16}
"""log2 of the granule by TCR_EL1.TG0 and TG1."""
_VALID, _TABLE_OR_PAGE = 1, 2
_LAST_LEVEL = 3
_OUTPUT = (1 << 48) - 1
_EPD = TCR_EL1.EPD0, TCR_EL1.EPD1


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
    tcr = TCR_EL1(registers["TCR_EL1"])
    for upper in (False, True):
        granule = _GRANULES[upper].get(tcr.TG1 if upper else tcr.TG0)
        bits = 64 - (tcr.T1SZ if upper else tcr.T0SZ)
        if granule is None or bits <= granule or tcr & _EPD[upper].mask:
            continue
        level = _LAST_LEVEL + 1 + (granule - bits) // (granule - 3)
        base = registers["TTBR1_EL1" if upper else "TTBR0_EL1"] & _OUTPUT & ~1
        first = (1 << 64) - (1 << bits) if upper else 0
        yield from _table(memory, granule, level, base, first, 1 << bits)


def _table(memory: Memory, granule: int, level: int, base: int, virtual: int, covered: int) -> Iterator[Piece]:
    """What one table maps, of `covered` bytes from `virtual` on."""
    size = 1 << granule + (granule - 3) * (_LAST_LEVEL - level)
    count = min(covered // size, 1 << granule - 3)
    try:
        words = struct.unpack(f"<{count}Q", memory(base, 8 * count))
    except BadAddress:
        return
    for number, descriptor in enumerate(words):
        if not descriptor & _VALID:
            continue
        at = virtual + number * size
        if level < _LAST_LEVEL and descriptor & _TABLE_OR_PAGE:
            yield from _table(memory, granule, level + 1, descriptor & _OUTPUT & -1 << granule, at, size)
        elif level < _LAST_LEVEL or descriptor & _TABLE_OR_PAGE:
            yield at, descriptor & _OUTPUT & -size, size
