"""The file that a gdb reads which has been given none: the guest's ELF file, or one made of the names that are known.

So `target remote` alone knows a kernel's functions, by the names that its Image or `--symbols` has. System V gABI,
chapter 4 (Object Files).
"""

from __future__ import annotations

from struct import pack, unpack_from
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from armvcpu.machine.boot.symbols import Symbols

_EXECUTABLE = 2
_LARGEST = 64 << 20
"""A larger file takes gdb longer to read this way than its user wants to wait."""
_HEADER, _SECTION, _SYMBOL = 64, 64, 24
_PROGBITS_ABSENT, _SYMTAB, _STRTAB = 8, 2, 3
_ALLOCATED_CODE = 6
_GLOBAL = 1 << 4
_NAMES = (".text", ".symtab", ".strtab", ".shstrtab")


def symbol_file(symbols: Symbols) -> bytes | None:
    """The guest's file, where it is linked at the addresses that it runs at; else one of names; None without names."""
    for elf in symbols.elf_files():
        is_linked = len(elf) > _HEADER and unpack_from("<H", elf, 16)[0] == _EXECUTABLE
        if is_linked and len(elf) <= _LARGEST:
            return elf
    names = {name: symbols.address(name) for name in symbols.names()}
    return _made(names) if names else None


def _made(names: dict[str, int]) -> bytes:
    """An ELF file without contents: one section of code over all addresses, and the symbols."""
    strings, table = bytearray(1), bytearray(_SYMBOL)
    for name, value in names.items():
        table += pack("<IBBHQQ", len(strings), _GLOBAL, 0, 1, value, 0)
        strings += name.encode("utf-8", "surrogateescape") + b"\0"
    first = min(names.values())
    size = max(names.values()) - first + 4
    titles = b"\0" + b"".join(name.encode() + b"\0" for name in _NAMES)
    title = [titles.index(name.encode()) for name in _NAMES]
    at = [_HEADER, _HEADER + len(table), _HEADER + len(table) + len(strings)]
    sections = (
        bytes(_SECTION)
        + pack("<IIQQQQIIQQ", title[0], _PROGBITS_ABSENT, _ALLOCATED_CODE, first, _HEADER, size, 0, 0, 4, 0)
        + pack("<IIQQQQIIQQ", title[1], _SYMTAB, 0, 0, at[0], len(table), 3, 1, 8, _SYMBOL)
        + pack("<IIQQQQIIQQ", title[2], _STRTAB, 0, 0, at[1], len(strings), 0, 0, 1, 0)
        + pack("<IIQQQQIIQQ", title[3], _STRTAB, 0, 0, at[2], len(titles), 0, 0, 1, 0)
    )
    where = at[2] + len(titles)
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header += pack("<HHIQQQIHHHHHH", _EXECUTABLE, 183, 1, 0, 0, where, 0, _HEADER, 56, 0, _SECTION, 5, 4)
    return b"".join((header, table, strings, titles, sections))
