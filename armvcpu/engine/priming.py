"""The engine's two modes, and how to change between them through the public API alone.

Unicorn emits a check for a stop request after every load and store. It is slow, and a stop taken there repeats an
access that has already happened. Its translator leaves the check out while a flag says so, and only the Thumb
translator ever writes that flag: set for an instruction inside an IT block, cleared for one outside. So translating
one Thumb instruction chooses the mode: *primed* (prompt and safe stops at block boundaries, fast loads and stores)
or *counting* (exact instruction limits, no asynchronous stops). It holds until Thumb code is translated again.
docs/engine.md, "Two modes"; the self-test proves both.

The instruction runs in EL2's private memory, shown at address 0 by a stage 2 of its own.
"""

from __future__ import annotations

import struct

from armvcpu.arch.registers import op

HCR_EL2, VTTBR_EL2, VTCR_EL2 = op(3, 4, 1, 1, 0), op(3, 4, 2, 1, 0), op(3, 4, 2, 1, 2)
SCTLR_EL1, SPSR_EL1 = op(3, 0, 1, 0, 0), op(3, 0, 4, 0, 0)
HCR_VM, HCR_RW = 1, 1 << 31
VTCR_39_BITS = (
    25 | 1 << 6 | 1 << 8 | 1 << 10 | 3 << 12 | 4 << 16 | 1 << 31
)  # T0SZ, start level 1, WB, IS, 4 KiB, 44 bits

ERET = 0xD69F_03E0
IT_AL, THUMB_NOP, SVC_0 = 0xBFE8, 0xBF00, 0xDF00
AARCH32_USER_THUMB = 0x1F0  # SPSR: T, A, I and F masked, mode User

CODE_OFFSET, L1_OFFSET, L2_OFFSET = 0x0, 0x1000, 0x2000
"""In the scratch memory: a page for code, and two tables that map it at address 0."""


def scratch_tables(base: int) -> bytes:
    """Tables for L1_OFFSET and L2_OFFSET: address 0 to 2 MiB is the scratch memory at `base` (DDI 0487 D8.3)."""
    block = base | 1 | 0xF << 2 | 3 << 6 | 3 << 8 | 1 << 10
    l1, l2 = bytearray(0x1000), bytearray(0x1000)
    struct.pack_into("<Q", l1, 0, base + L2_OFFSET | 3)
    struct.pack_into("<Q", l2, 0, block)
    return bytes(l1 + l2)


def program(primed: bool) -> bytes:
    """Drop to AArch32 User and execute SVC, inside an IT block to prime and outside one to count."""
    return struct.pack("<IIHH", ERET, 0, IT_AL if primed else THUMB_NOP, SVC_0)


THUMB_ENTRY = 8
"""Offset of the Thumb instructions in `program`."""
