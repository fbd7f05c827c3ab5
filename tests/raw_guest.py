"""Raw guest images from instruction words, for tests that want a guest of a few instructions.

Encodings are those of DDI 0487 C6.2. The image is entered at its first byte, at EL1h with the MMU off.
"""

from __future__ import annotations

from struct import pack

from armvcpu.arch.registers import by_name

BASE = 0x4008_0000
UART = 0x0900_0000
HOLE = 0x0B00_0000
"""Guest-physical addresses where nothing is."""

SVC, HVC, HLT_SEMIHOSTING = 0xD400_0001, 0xD400_0002, 0xD45E_0000
NOP, WFI, ISB, ERET, UDF = 0xD503_201F, 0xD503_207F, 0xD503_3FDF, 0xD69F_03E0, 0
STP_PUSH = 0xA9BF_7BFD
"""STP X29, X30, [SP, #-16]!"""
CPU_OFF, SYSTEM_OFF, SYSTEM_RESET = 0x8400_0002, 0x8400_0008, 0x8400_0009
"""PSCI function identifiers, DEN 0022 5.1."""


def image(*words: int | list[int], vector: list[int] | None = None) -> bytes:
    """The words as an image; `vector` goes to offset 0xA00, the synchronous vector of VBAR_EL1 = BASE + 0x800."""
    code = flat(*words)
    data = pack(f"<{len(code)}I", *code)
    if vector is not None:
        assert len(data) <= 0xA00
        data = data.ljust(0xA00, b"\0") + pack(f"<{len(vector)}I", *vector)
    return data


def flat(*words: int | list[int]) -> list[int]:
    """One list of words."""
    return [word for part in words for word in (part if isinstance(part, list) else [part])]


def mov(rd: int, value: int) -> list[int]:
    """Xd = a value of 64 bits, always four words."""
    movz, movk = 0xD280_0000, 0xF280_0000
    return [(movk if hw else movz) | hw << 21 | (value >> 16 * hw & 0xFFFF) << 5 | rd for hw in range(4)]


def mov_sp(rn: int) -> int:
    """MOV SP, Xn."""
    return 0x9100_001F | rn << 5


def add(rd: int, rn: int, value: int) -> int:
    """ADD Xd, Xn, #value of 12 bits."""
    return 0x9100_0000 | value << 10 | rn << 5 | rd


def store(rt: int, rn: int, width: int = 8) -> int:
    """STR of `width` bytes from Rt at [Xn]."""
    return 0x3900_0000 | (width.bit_length() - 1) << 30 | rn << 5 | rt


def load(rt: int, rn: int, width: int = 8) -> int:
    """LDR of `width` bytes, zero-extended, into Rt from [Xn]."""
    return store(rt, rn, width) | 1 << 22


def msr(name: str, rt: int) -> int:
    """MSR name, Xt."""
    return 0xD500_0000 | by_name[name].encoding << 5 | rt


def mrs(rt: int, name: str) -> int:
    """MRS Xt, name."""
    return msr(name, rt) | 1 << 21


def lower(level: int, spsr: int, *words: int | list[int]) -> list[int]:
    """From `level`, go on with `words` at the level that SPSR_EL<level> says; X0 is lost."""
    behind = 0x1000_0000 | 8 << 5  # adr x0, #32: eight words on
    return [behind, msr(f"ELR_EL{level}", 0), *mov(0, spsr), msr(f"SPSR_EL{level}", 0), ERET, *flat(*words)]


def branch(words: int) -> int:
    """B to `words` instructions from here."""
    return 0x1400_0000 | words & 0x3FF_FFFF


def br(rn: int) -> int:
    """BR Xn."""
    return 0xD61F_0000 | rn << 5


def psci(function: int) -> list[int]:
    """Call PSCI by HVC."""
    return [*mov(0, function), HVC]


def print_text(text: str) -> list[int]:
    """Write to the UART."""
    return flat(mov(1, UART), *([*mov(2, ord(character)), store(2, 1, 1)] for character in text))


def set_vectors() -> list[int]:
    """VBAR_EL1 = BASE + 0x800, where `image` puts its vector."""
    return [*mov(9, BASE + 0x800), msr("VBAR_EL1", 9), ISB]


FOREVER = branch(0)
"""B ."""
