"""Builds small ELF files with a symbol table, by the gABI, for the tests of this directory."""

from __future__ import annotations

from struct import pack

FUNC, OBJECT, NOTYPE, SECTION = 2, 1, 0, 3
LOCAL, GLOBAL = 0, 1
UNDEF, TEXT, ABS = 0, 1, 0xFFF1


def symbol(name: str, value: int, size: int = 0, kind: int = FUNC, bind: int = GLOBAL, section: int = TEXT):
    """One row of the table."""
    return name, value, size, kind, bind, section


def make_elf(*symbols, vaddr: int = 0x4000_0000, paddr: int | None = None, size: int = 0x1000) -> bytes:
    """An ELF64 file with one segment and one section, both `size` bytes at `vaddr`, and these symbols."""
    names, table = b"\0", bytes(24)
    for name, value, st_size, kind, bind, section in symbols:
        table += pack("<IBBHQQ", len(names), bind << 4 | kind, 0, section, value, st_size)
        names += name.encode() + b"\0"
    segment = pack("<IIQQQQQQ", 1, 5, 0, vaddr, vaddr if paddr is None else paddr, 0, size, 4)
    at = 64 + len(segment)
    sections = (
        bytes(64)
        + pack("<IIQQQQIIQQ", 0, 1, 6, vaddr, 0, size, 0, 0, 4, 0)
        + pack("<IIQQQQIIQQ", 0, 2, 0, 0, at, len(table), 3, 0, 8, 24)
        + pack("<IIQQQQIIQQ", 0, 3, 0, 0, at + len(table), len(names), 0, 0, 1, 0)
    )
    shoff = at + len(table) + len(names)
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header = ident + pack("<HHIQQQIHHHHHH", 2, 183, 1, vaddr, 64, shoff, 0, 64, 56, 1, 64, 4, 0)
    return header + segment + table + names + sections
