"""Builds small image files for the tests of this directory: ELF by the gABI, Image by booting.rst."""

from __future__ import annotations

from struct import pack

from armvcpu.machine.board.memory_map import MemoryMap, Region
from armvcpu.machine.boot.image import MIB

RAM = 0x4000_0000
BOARD = MemoryMap(
    Region("RAM", RAM, 64 * MIB),
    (Region("flash bank 0", 0, 64 * MIB), Region("flash bank 1", 64 * MIB, 64 * MIB)),
    (Region("pl011", 0x0900_0000, 0x1000),),
)


def load(paddr: int, data: bytes = b"code", *, vaddr: int | None = None, memsz: int | None = None, p_type: int = 1):
    """A program header's fields, with the bytes it loads."""
    return p_type, paddr if vaddr is None else vaddr, paddr, data, len(data) if memsz is None else memsz


def make_elf(*loads, entry: int = RAM, e_type: int = 2, machine: int = 183, bits: int = 2, order: int = 1) -> bytes:
    """An ELF64 file with these program headers."""
    ident = b"\x7fELF" + bytes([bits, order, 1]) + bytes(9)
    offset = 64 + 56 * len(loads)
    headers, body = b"", b""
    for p_type, vaddr, paddr, data, memsz in loads:
        headers += pack("<IIQQQQQQ", p_type, 7, offset + len(body), vaddr, paddr, len(data), memsz, 4)
        body += data
    ehdr = pack("<HHIQQQIHHHHHH", e_type, machine, 1, entry, 64, 0, 0, 64, 56, len(loads), 64, 0, 0)
    return ident + ehdr + headers + body


def make_linux(text_offset: int = 0, image_size: int = 0x10000, flags: int = 0xA, size: int = 4096) -> bytes:
    """A Linux arm64 Image of `size` bytes."""
    return (pack("<IIQQQ24x4sI", 0, 0, text_offset, image_size, flags, b"ARM\x64", 0)).ljust(size, b"\x5a")


def make_zboot(payload: bytes, compression: bytes = b"gzip") -> bytes:
    """An EFI zboot wrapper around a compressed payload."""
    return pack("<4s4sII8x32s4xI", b"MZ\0\0", b"zimg", 64, len(payload), compression, 0) + payload
