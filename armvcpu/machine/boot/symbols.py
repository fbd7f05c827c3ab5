"""Names for the guest's addresses, from the symbol tables of its ELF files: System V gABI chapter 4, IHI 0056.

The tables are read at the first question and not before, so a run that names nothing pays nothing. They are decoded
here with `struct`: a kernel has 200,000 symbols, which a general ELF library takes seconds over.

A kernel is linked at virtual addresses and runs at physical ones until it turns its MMU on. An address is therefore
looked up as it stands, and where that finds nothing, as the physical address of a segment (p_paddr for p_vaddr).
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from functools import cached_property
from itertools import accumulate
from struct import Struct, error
from typing import TYPE_CHECKING, NamedTuple

from armvcpu.errors import UsageError, kind_in

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOG = logging.getLogger(__name__)

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
SHN_UNDEF, SHN_ABS = 0, 0xFFF1
STT_NOTYPE, STT_OBJECT, STT_FUNC, STT_GNU_IFUNC = 0, 1, 2, 10
STB_LOCAL, STB_GLOBAL, STB_WEAK = 0, 1, 2

_TYPE_RANK = {STT_NOTYPE: 0, STT_OBJECT: 1, STT_FUNC: 2, STT_GNU_IFUNC: 2}
_BIND_RANK = {STB_LOCAL: 0, STB_WEAK: 1, STB_GLOBAL: 2}


class Symbols:
    """The symbols of any number of ELF files, asked in the order they were added; none is fine too."""

    def __init__(self) -> None:
        self._images: list[_Image] = []

    @classmethod
    def from_elf(cls, data: bytes) -> Symbols:
        """The symbols of one ELF64 little-endian file; of a file that has none, or damaged ones, no symbols."""
        symbols = cls()
        symbols.add_elf(data)
        return symbols

    def add_elf(self, data: bytes) -> None:
        """Know the symbols of another ELF file as well, a kernel's beside its firmware's."""
        self._images.append(_Image(data))

    def find(self, address: int) -> tuple[str, int] | None:
        """The symbol that covers a 64-bit address, virtual or physical, and the offset into it in bytes."""
        for image in self._images:
            if found := image.find(address):
                return found
        return None

    def format(self, address: int) -> str:
        """The address as `main` or `main+0x1c`; empty where no symbol covers it."""
        found = self.find(address)
        if found is None:
            return ""
        name, offset = found
        return f"{name}+{offset:#x}" if offset else name

    def address(self, name: str) -> int:
        """Where a symbol is, as it was linked (a kernel's are virtual).

        Raises:
            UsageError: there is none of that name; says which are called nearly so.
        """
        kind_in("a symbol's name", name, str)
        for image in self._images:
            if name in image.by_name:
                return image.by_name[name]
        raise UsageError(self._unknown(name))

    def places(self, address: int) -> Iterator[tuple[bytes, int]]:
        """(ELF file, address as it was linked) of all that may have an address: for who reads more of the files."""
        for image in self._images:
            for linked in image.linked(address):
                yield image.data, linked

    def size(self, name: str) -> int:
        """How many bytes a symbol covers, as its ELF file says; 0 where it does not, or there is no such symbol."""
        return next((size for image in self._images if (size := image.size(name))), 0)

    def _unknown(self, name: str) -> str:
        from difflib import get_close_matches  # needed for this message only

        names = [known for image in self._images for known in image.by_name]
        if not names:
            return f"no symbol {name!r}: the guest's image has no symbol table; use an ELF file that is not stripped"
        close = get_close_matches(name, names, n=3)
        return f"no symbol {name!r} in the guest's image" + (f"; did you mean {', '.join(close)}?" if close else "")


class _Symbol(NamedTuple):
    """Sorted by where it starts; of several at one address, the best to show is the last."""

    start: int
    rank: tuple[int, int]  # type, binding
    end: int  # of one without a size, a label: as far as its section reaches, until `_end_labels`
    name: str
    is_label: bool


class _Segment(NamedTuple):
    vaddr: int
    paddr: int
    size: int


class _Index:
    """Finds the innermost symbol that covers an address."""

    def __init__(self, symbols: list[_Symbol]) -> None:
        self._symbols = symbols
        self._starts = [symbol.start for symbol in symbols]
        # How far the symbols until each one reach: where to stop looking for an enclosing one.
        self._reach = list(accumulate((symbol.end for symbol in symbols), max))

    def find(self, address: int) -> _Symbol | None:
        at = bisect_right(self._starts, address) - 1
        while at >= 0 and self._reach[at] > address:
            if address < self._symbols[at].end:
                return self._symbols[at]
            at -= 1
        return None


class _Image:
    """One ELF file, decoded on first use."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def linked(self, address: int) -> Iterator[int]:
        """What a virtual address may have been linked as, or a physical one."""
        yield address
        for segment in self._file.segments:
            if segment.vaddr != segment.paddr and 0 <= address - segment.paddr < segment.size:
                yield address - segment.paddr + segment.vaddr

    def find(self, address: int) -> tuple[str, int] | None:
        """The symbol and the offset into it, of a virtual address or else of a physical one."""
        for candidate in self.linked(address):
            if symbol := self._index.find(candidate):
                return symbol.name, candidate - symbol.start
        return None

    def size(self, name: str) -> int:
        """How many bytes the symbol of this name covers; 0 where that is not said."""
        start = self.by_name.get(name)
        return next(
            (s.end - s.start for s in self._file.symbols if s.name == name and s.start == start and not s.is_label), 0
        )

    @cached_property
    def by_name(self) -> dict[str, int]:
        """Every name's value; of several symbols that share a name, the global one's."""
        return self._file.values

    @cached_property
    def _file(self) -> _ElfFile:
        try:
            return _read(self.data)
        except (error, IndexError, ValueError) as damage:
            _LOG.warning("the symbol table of an ELF file cannot be used: %s", damage)
            return _ElfFile([], {}, [])

    @cached_property
    def _index(self) -> _Index:
        sized = sorted(symbol for symbol in self._file.symbols if not symbol.is_label)
        covering = _Index(sized)
        # A label inside a symbol that has a size is a place in a function, not a function.
        labels = [s for s in self._file.symbols if s.is_label and covering.find(s.start) is None]
        return _Index(_end_labels(sorted(sized + labels)))


def _end_labels(symbols: list[_Symbol]) -> list[_Symbol]:
    """The symbols, each label among them ended where the next address with a symbol begins."""
    ended: list[_Symbol] = []
    following, start = _HIGHEST, _HIGHEST
    for symbol in reversed(symbols):
        if symbol.start != start:
            start, following = symbol.start, start
        ended.append(symbol._replace(end=min(symbol.end, following)) if symbol.is_label else symbol)
    return ended[::-1]


_HIGHEST = 1 << 64


class _ElfFile(NamedTuple):
    """What is wanted of an ELF file: the symbols at addresses, the value of every name, the PT_LOAD segments."""

    symbols: list[_Symbol]
    values: dict[str, int]
    segments: list[_Segment]


def _read(data: bytes) -> _ElfFile:
    """Decode the headers and .symtab of an ELF64 little-endian file.

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
    headers = [_PHDR.unpack_from(data, phoff + i * _PHDR.size) for i in range(phnum)]
    sections = [_SHDR.unpack_from(data, shoff + i * _SHDR.size) for i in range(shnum)]
    file = _ElfFile([], {}, [_Segment(vaddr, paddr, size) for kind, vaddr, paddr, size in headers if kind == PT_LOAD])
    symtab = next((section for section in sections if section[0] == SHT_SYMTAB), None)
    if symtab is not None:
        _, _, offset, size, link = symtab
        _, _, names_at, names_size, _ = sections[link]
        section_ends = [sh_addr + sh_size for _, sh_addr, _, sh_size, _ in sections]
        _read_symtab(data[offset : offset + size], data[names_at : names_at + names_size], section_ends, file)
    return file


def _read_symtab(table: bytes, names: bytes, section_ends: list[int], file: _ElfFile) -> None:
    """Add what is defined in `table` to the values of `file`, and what is at an address to its symbols."""
    bindings: dict[str, int] = {}
    for st_name, st_info, _, st_shndx, st_value, st_size in _SYM.iter_unpack(table):
        rank = _TYPE_RANK.get(st_info & 0xF)
        if rank is None or st_shndx == SHN_UNDEF:
            continue
        name = names[st_name : names.index(b"\0", st_name)].decode(errors="replace")
        # $x and $d mark code and data (IHI 0056, "Mapping symbols"), .L is the compilers' prefix of their own labels.
        if not name or name.startswith(("$x", "$d", ".L")) or not name.isprintable() or " " in name:
            continue
        binding = _BIND_RANK.get(st_info >> 4, 0)
        if binding >= bindings.get(name, 0):
            bindings[name], file.values[name] = binding, st_value
        if st_shndx != SHN_ABS:  # a constant is no place
            section_end = section_ends[st_shndx] if st_shndx < len(section_ends) else _HIGHEST
            end = st_value + st_size if st_size else section_end
            file.symbols.append(_Symbol(st_value, (rank, binding), end, name, not st_size))
