"""What a load or store accesses: its address, how many bytes, whether it reads, writes or does both.

DDI 0487 C4.1.94, "Loads and Stores", and DC ZVA: everything that the presented CPUs have. A syndrome has this of single
general registers only (ISV), and of an access that touches two pages only the part that faulted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.arch.rows import Row

if TYPE_CHECKING:
    from collections.abc import Callable

_U64 = 0xFFFF_FFFF_FFFF_FFFF
_DC_ZVA = 0xD50B_7420
_STRUCTURE_REGISTERS = {0b0000: 4, 0b0010: 4, 0b0100: 3, 0b0110: 3, 0b0111: 1, 0b1000: 2, 0b1010: 2}
"""By opcode: how many registers LD1 to LD4 (multiple structures) transfer."""


class MemoryAccess(Row):
    """One instruction's access; an atomic operation reads and writes."""

    address: int
    width: int
    reads: bool
    writes: bool
    status: int | None = None
    """Of a store-exclusive: the register that is 0 afterwards where it has written."""
    expected: int | None = None
    """Of a compare and swap: what memory must hold for it to write."""


class _Word:
    """An instruction word, with the registers that its address is made of."""

    def __init__(self, word: int, pc: int, gpr: Callable[[int], int], sp: int) -> None:
        self.word, self.pc, self.gpr, self._sp = word, pc, gpr, sp

    def bits(self, high: int, low: int) -> int:
        return self.word >> low & (1 << high - low + 1) - 1

    def signed(self, high: int, low: int) -> int:
        value = self.bits(high, low)
        return value - (1 << high - low + 1) if self.word >> high & 1 else value

    @property
    def base(self) -> int:
        n = self.bits(9, 5)
        return self._sp if n == 31 else self.gpr(n)

    def load(self, offset: int, width: int) -> MemoryAccess:
        return MemoryAccess(self.base + offset & _U64, width, True, False)

    def store(self, offset: int, width: int) -> MemoryAccess:
        return MemoryAccess(self.base + offset & _U64, width, False, True)


def memory_access(word: int, pc: int, gpr: Callable[[int], int], sp: int, zva_size: int = 64) -> MemoryAccess | None:
    """The access that `word` makes at `pc`, by its registers before it executes; None where it makes none.

    `gpr(31)` is XZR; `zva_size` is what DC ZVA clears (DCZID_EL0.BS), bytes.
    """
    found = _Word(word, pc, gpr, sp)
    for mask, value, decode in _CLASSES:
        if word & mask == value:
            return decode(found)
    if word & 0xFFFF_FFE0 == _DC_ZVA:
        return MemoryAccess(gpr(word & 31) & -zva_size & _U64, zva_size, False, True)
    return None


def _exclusive(w: _Word) -> MemoryAccess:
    """Exclusives, load-acquire and store-release, compare and swap."""
    width, ordered, pair, is_load = 1 << w.bits(31, 30), w.bits(23, 23), w.bits(21, 21), w.bits(22, 22)
    s = w.bits(20, 16)
    if pair and ordered:  # CAS
        return MemoryAccess(w.base, width, True, True, expected=w.gpr(s) & (1 << 8 * width) - 1)
    if pair and not w.bits(31, 31):  # CASP
        half = 4 << w.bits(30, 30)
        mask = (1 << 8 * half) - 1
        return MemoryAccess(
            w.base, 2 * half, True, True, expected=w.gpr(s) & mask | (w.gpr(s + 1 & 31) & mask) << 8 * half
        )
    access = w.load(0, width << pair) if is_load else w.store(0, width << pair)
    return access if is_load or ordered else access.replace(status=s)


def _rcpc(w: _Word) -> MemoryAccess:
    """LDAPUR and STLUR."""
    width = 1 << w.bits(31, 30)
    return w.load(w.signed(20, 12), width) if w.bits(23, 22) else w.store(w.signed(20, 12), width)


def _literal(w: _Word) -> MemoryAccess | None:
    opc, is_vector = w.bits(31, 30), w.bits(26, 26)
    if opc == 3 and not is_vector:  # PRFM
        return None
    width = 4 << opc if is_vector else (4, 8, 4)[opc]
    return MemoryAccess(w.pc + 4 * w.signed(23, 5) & _U64, width, True, False)


def _pair(w: _Word) -> MemoryAccess:
    opc = w.bits(31, 30)
    width = 4 << opc if w.bits(26, 26) else 4 << (opc >> 1)
    offset = 0 if w.bits(24, 23) == 1 else w.signed(21, 15) * width  # post-indexed: the base as it is
    return w.load(offset, 2 * width) if w.bits(22, 22) else w.store(offset, 2 * width)


def _register(w: _Word) -> MemoryAccess | None:
    """One register, by an immediate or a register; and the atomic operations."""
    size, opc, is_vector = w.bits(31, 30), w.bits(23, 22), w.bits(26, 26)
    scale = size | (opc >> 1) << 2 if is_vector else size
    mode = w.bits(11, 10)
    if w.bits(24, 24):
        offset = w.bits(21, 10) << scale
    elif not w.bits(21, 21):
        offset = 0 if mode == 1 else w.signed(20, 12)
    elif mode == 0:
        return _atomic(w, 1 << size)
    elif mode == 2:
        offset = _extended(w) << (scale if w.bits(12, 12) else 0)
    else:  # LDRAA, LDRAB
        return None
    if size == 3 and opc == 2 and not is_vector:  # PRFM
        return None
    is_load = opc & 1 if is_vector else opc
    return w.load(offset, 1 << scale) if is_load else w.store(offset, 1 << scale)


def _extended(w: _Word) -> int:
    """The register of an offset, as UXTW, SXTW or whole."""
    value, option = w.gpr(w.bits(20, 16)), w.bits(15, 13)
    if option & 1:
        return value
    value &= 0xFFFF_FFFF
    return value - (1 << 32) if option & 4 and value >> 31 else value


def _atomic(w: _Word, width: int) -> MemoryAccess | None:
    operation = w.bits(15, 12)
    if operation == 0b1100:  # LDAPR
        return w.load(0, width)
    if operation > 0b1000:  # LD64B and its like
        return None
    return MemoryAccess(w.base, width, True, True)


def _structures(w: _Word) -> MemoryAccess | None:
    registers = _STRUCTURE_REGISTERS.get(w.bits(15, 12))
    if registers is None:
        return None
    width = registers * (8 << w.bits(30, 30))
    return w.load(0, width) if w.bits(22, 22) else w.store(0, width)


def _one_structure(w: _Word) -> MemoryAccess:
    opcode, size = w.bits(15, 13), w.bits(11, 10)
    elements = (opcode & 1) << 1 | w.bits(21, 21)
    element = 1 << (size if opcode >> 1 == 3 else min(opcode >> 1, 2) + (opcode >> 1 == 2 and size & 1))
    width = (elements + 1) * element
    return w.load(0, width) if w.bits(22, 22) else w.store(0, width)


_CLASSES: tuple[tuple[int, int, Callable[[_Word], MemoryAccess | None]], ...] = (
    (0x3F00_0000, 0x0800_0000, _exclusive),
    (0x3F20_0C00, 0x1900_0000, _rcpc),
    (0x3B00_0000, 0x1800_0000, _literal),
    (0x3A00_0000, 0x2800_0000, _pair),
    (0x3A00_0000, 0x3800_0000, _register),
    (0xBF00_0000, 0x0C00_0000, _structures),
    (0xBF00_0000, 0x0D00_0000, _one_structure),
)
