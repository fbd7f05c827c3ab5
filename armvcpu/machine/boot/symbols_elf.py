"""The symbol table of an ELF64 little-endian file: System V gABI chapter 4, IHI 0056.

Decoded here with `struct`: a kernel has 200,000 symbols, which a general ELF library takes seconds over.
"""

from __future__ import annotations

from struct import Struct, error

from armvcpu.machine.boot.symbol_table import (
    GLOBAL,
    HIGHEST,
    LOCAL,
    RANK_OF_CODE,
    RANK_OF_DATA,
    WEAK,
    Segment,
    Symbol,
    Table,
)

# Elf64_Ehdr: e_phoff, e_shoff, then e_phentsize, e_phnum, e_shentsize, e_shnum.
_EHDR = Struct("<32xQQ6xHHHH2x")
# Elf64_Phdr: p_type, p_vaddr, p_paddr, p_memsz.
_PHDR = Struct("<I12xQQ8xQ8x")
# Elf64_Shdr: sh_type, sh_addr, sh_offset, sh_size, sh_link.
_SHDR = Struct("<4xI8xQQQI20x")
# Elf64_Sym: st_name, st_info, st_other, st_shndx, st_value, st_size.
_SYM = Struct("<IBBHQQ")

PT_LOAD = 1
SHT_SYMTAB = 2
SHN_UNDEF, SHN_LORESERVE, SHN_ABS = 0, 0xFF00, 0xFFF1
STT_NOTYPE, STT_OBJECT, STT_FUNC, STT_GNU_IFUNC = 0, 1, 2, 10
STB_LOCAL, STB_GLOBAL, STB_WEAK = 0, 1, 2

MOST_SYMBOLS, MOST_CHARACTERS = 1 << 20, 1 << 28
"""Of one file: five times a kernel's. Names may share their bytes, so a small file could have gigabytes of them."""

_TYPE_RANK = {STT_NOTYPE: 0, STT_OBJECT: RANK_OF_DATA, STT_FUNC: RANK_OF_CODE, STT_GNU_IFUNC: RANK_OF_CODE}
_BIND_RANK = {STB_LOCAL: LOCAL, STB_WEAK: WEAK, STB_GLOBAL: GLOBAL}


def _read_headers(data: bytes) -> tuple[list[tuple[int, int, int, int]], list[tuple[int, int, int, int, int]]]:
    """The program headers and section headers of an ELF64 little-endian file, as _PHDR and _SHDR have them.

    Raises:
        struct.error, IndexError, ValueError: it is damaged.
    """
    phoff, shoff, phentsize, phnum, shentsize, shnum = _EHDR.unpack_from(data)
    if (phnum and phentsize != _PHDR.size) or (shoff and shentsize != _SHDR.size):
        raise ValueError("headers of another size")
    if max(shoff + _SHDR.size if shoff else 0, phoff + phnum * _PHDR.size) > len(data):
        raise ValueError("truncated")
    if shoff and not shnum:  # the count does not fit its field and is the first section's size
        shnum = _SHDR.unpack_from(data, shoff)[3]
    if shoff + shnum * _SHDR.size > len(data):
        raise ValueError("truncated")
    shnum = min(shnum, SHN_LORESERVE)  # st_shndx names no other
    headers = [_PHDR.unpack_from(data, phoff + i * _PHDR.size) for i in range(phnum)]
    return headers, [_SHDR.unpack_from(data, shoff + i * _SHDR.size) for i in range(shnum)]


def read_elf(data: bytes) -> Table:
    """Decode the headers and .symtab of an ELF64 little-endian file.

    Raises:
        struct.error, IndexError, ValueError: it is damaged.
    """
    headers, sections = _read_headers(data)
    file = Table([], {}, [Segment(vaddr, paddr, size) for kind, vaddr, paddr, size in headers if kind == PT_LOAD])
    symtab = next((section for section in sections if section[0] == SHT_SYMTAB), None)
    if symtab is not None:
        _, _, offset, size, link = symtab
        if size // _SYM.size > MOST_SYMBOLS:
            raise ValueError(f"more than {MOST_SYMBOLS} symbols")
        _, _, names_at, names_size, _ = sections[link]
        section_ends = [sh_addr + sh_size for _, sh_addr, _, sh_size, _ in sections]
        _read_symtab(data[offset : offset + size], data[names_at : names_at + names_size], section_ends, file)
    return file


def count_symbols(data: bytes) -> int | None:
    """Entries of an ELF64 file's .symtab; 0 if there is none, None if its section table is damaged."""
    try:
        _, sections = _read_headers(data)
    except (error, IndexError, ValueError):
        return None
    tables = [(offset, size) for kind, _, offset, size, _ in sections if kind == SHT_SYMTAB]
    for offset, size in tables[:1]:
        return size // _SYM.size if offset + size <= len(data) else None
    return 0


def _read_symtab(table: bytes, names: bytes, section_ends: list[int], file: Table) -> None:
    """Add what is defined in `table` to the values of `file`, and what is at an address to its symbols."""
    bindings: dict[str, int] = {}
    left = MOST_CHARACTERS
    for st_name, st_info, _, st_shndx, st_value, st_size in _SYM.iter_unpack(table):
        rank = _TYPE_RANK.get(st_info & 0xF)
        if rank is None or st_shndx == SHN_UNDEF:
            continue
        end_of_name = names.index(b"\0", st_name)
        left -= end_of_name - st_name
        if left < 0:
            raise ValueError(f"names of more than {MOST_CHARACTERS} bytes")
        name = names[st_name:end_of_name].decode(errors="replace")
        # $x and $d mark code and data (IHI 0056, "Mapping symbols"), .L is the compilers' prefix of their own labels.
        if not name or name.startswith(("$x", "$d", ".L")) or not name.isprintable() or " " in name:
            continue
        binding = _BIND_RANK.get(st_info >> 4, 0)
        if binding >= bindings.get(name, 0):
            bindings[name], file.values[name] = binding, st_value
        if st_shndx != SHN_ABS:  # a constant is no place
            section_end = section_ends[st_shndx] if st_shndx < len(section_ends) else HIGHEST
            end = st_value + st_size if st_size else section_end
            file.symbols.append(Symbol(st_value, (rank, binding), end, name, not st_size))
