"""The exception vector table: DDI 0487 D1.3.1, "Vector tables" (offsets from the vector base address)."""

from __future__ import annotations

from enum import IntEnum


class VectorGroup(IntEnum):
    """Where the exception came from: the offset of its four vectors from VBAR_ELx, in bytes."""

    CURRENT_SP0 = 0x000
    CURRENT_SPx = 0x200
    LOWER_AARCH64 = 0x400
    LOWER_AARCH32 = 0x600


class VectorKind(IntEnum):
    """Which exception it is: the offset inside its group, in bytes."""

    SYNCHRONOUS = 0x000
    IRQ = 0x080
    FIQ = 0x100
    SERROR = 0x180


VECTOR_TABLE_SIZE = 0x800
"""Bytes of a table; VBAR_ELx is aligned to it."""


def vector_offset(kind: VectorKind, *, source_el: int, target_el: int, spx: bool, aarch32: bool = False) -> int:
    """Bytes from VBAR of `target_el` to the vector of an exception from `source_el` (AArch64.TakeException).

    `spx` is PSTATE.SP before the exception; `aarch32` tells that the level below `target_el` runs AArch32.
    """
    if source_el < target_el:
        return (VectorGroup.LOWER_AARCH32 if aarch32 else VectorGroup.LOWER_AARCH64) + kind
    return (VectorGroup.CURRENT_SPx if spx else VectorGroup.CURRENT_SP0) + kind
