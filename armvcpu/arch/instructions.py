"""A64 instruction words that an exception rule depends on: DDI 0487 C4.1, C5.3 and C6.2.

Traps ask whether the word at PC is one of them; nothing here decodes further than that.
"""

from __future__ import annotations

from armvcpu.arch.sysreg import op

IC_IALLUIS, IC_IALLU, IC_IVAU = op(1, 0, 7, 1, 0), op(1, 0, 7, 5, 0), op(1, 3, 7, 5, 1)
DC_CVAU = op(1, 3, 7, 11, 1)
"""Cache maintenance to the Point of Unification, as packed encodings (C5.3)."""


def has_writeback(word: int) -> bool:
    """Is it a load or store of one general register, pre- or post-indexed (C4.1.94), which also writes its base?

    ESR_ELx.ISS cannot describe it: ISV is 0 (D17.2.37, "ISS encoding for an exception from a Data Abort").
    """
    return word & 0x3F20_0400 == 0x3800_0400


def uses_sp(word: int) -> bool:
    """Is it a load or store (C4.1.94) by SP? Loads of a literal have no base register."""
    return word & 0x0A00_0000 == 0x0800_0000 and word & 0x3B00_0000 != 0x1800_0000 and word >> 5 & 31 == 31
