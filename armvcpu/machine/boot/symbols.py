"""Names for the guest's addresses, from the symbol tables of its image and of files that a user names.

The tables are read at the first question and not before, so a run that names nothing pays nothing.

A kernel is linked at virtual addresses and runs at physical ones until it turns its MMU on. An address is therefore
looked up as it stands, and where that finds nothing, as the physical address of a segment (p_paddr for p_vaddr).
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import accumulate
from struct import error
from typing import TYPE_CHECKING

from armvcpu.errors import ImageError, UsageError, did_you_mean, kind_in, named
from armvcpu.machine.boot.image import GIB
from armvcpu.machine.boot.image_elf import EM_AARCH64, MACHINES
from armvcpu.machine.boot.symbol_table import HIGHEST, Symbol, Table
from armvcpu.machine.boot.symbols_elf import read_elf
from armvcpu.machine.boot.symbols_text import is_listing, read_listing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from armvcpu.machine.boot.symbols_kallsyms import KernelImage
    from armvcpu.machine.kinds import PathLike

_LOG = logging.getLogger(__name__)
_ELF = b"\x7fELF"
_ELF64_LITTLE = _ELF + b"\x02\x01"
_BEGINNING = 1 << 16
"""Bytes that tell what a file is."""


class Symbols:
    """The symbols of any number of files, asked in the order they were added; none is fine too."""

    def __init__(self) -> None:
        self._images: list[_Image | KernelImage] = []

    @classmethod
    def from_elf(cls, data: bytes) -> Symbols:
        """The symbols of one ELF64 little-endian file; of a file that has none, or damaged ones, no symbols."""
        symbols = cls()
        symbols.add_elf(data)
        return symbols

    def add_elf(self, data: bytes) -> None:
        """Know the symbols of another ELF file as well, a kernel's beside its firmware's."""
        self._images.append(_Image(data))

    def and_of(self, elf: bytes | None) -> Symbols:
        """These, and behind them those of an ELF file, where there is one."""
        return self._and(_Image(elf)) if elf else self._and()

    def and_of_kernel(self, data: bytes, address: int) -> Symbols:
        """These, and behind them those that a Linux kernel's `Image` has in itself, which is loaded there."""
        from armvcpu.machine.boot.symbols_kallsyms import KernelImage  # most guests are something else

        return self._and(KernelImage(data, address))

    def _and(self, *images: _Image | KernelImage) -> Symbols:
        both = Symbols()
        both._images = [*self._images, *images]
        return both

    @classmethod
    def from_file(cls, path: PathLike, offset: int = 0) -> Symbols:
        """Those of a file that a user names: an ELF file, System.map, or what nm printed, told apart by content.

        `offset` bytes behind the addresses that the file has: a program that moves itself, as U-Boot does.

        Raises:
            ImageError: it can't be read, or is none of these.
        """
        return cls()._and(_Image(_open(path), offset))

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

    def names(self) -> Iterator[str]:
        """Every symbol's, once for each file that has one of it."""
        for image in self._images:
            yield from image.by_name

    def places(self, address: int) -> Iterator[tuple[bytes, int]]:
        """(ELF file, address as it was linked) of all that may have an address: for who reads more of the files."""
        for image in self._images:
            for linked in image.linked(address):
                if isinstance(image, _Image) and image.is_elf:
                    yield image.data, linked - image.offset & HIGHEST - 1

    def elf_files(self) -> Iterator[bytes]:
        """The contents of each file that is an ELF file."""
        return (image.data for image in self._images if image.is_elf)

    def size(self, name: str) -> int:
        """How many bytes a symbol covers, as its ELF file says; 0 where it does not, or there is no such symbol."""
        return next((size for image in self._images if (size := image.size(name))), 0)

    def ranges(self, pattern: str) -> list[tuple[int, int]]:
        """(begin, end) of every symbol whose name matches (`*`, `?`), as linked and, where that differs, as loaded."""
        return [found for image in self._images for found in image.ranges(pattern)]

    def starts(self, name: str) -> list[int]:
        """Where the symbols of this very name are, as they were linked: several, of static functions."""
        return sorted({start for image in self._images for start in image.starts(name)})

    def _unknown(self, name: str) -> str:
        names = [known for image in self._images for known in image.by_name]
        if not names:
            remedy = f"use an ELF file that is not stripped, or give {named('symbols')}"
            return f"no symbol {name!r}: the guest's image has no symbol table; {remedy}"
        return f"no symbol {name!r} in the guest's image{did_you_mean(name, names, 3)}"


class _Index:
    """Finds the innermost symbol that covers an address."""

    def __init__(self, symbols: list[Symbol]) -> None:
        self._symbols = symbols
        self._starts = [symbol.start for symbol in symbols]
        # How far the symbols until each one reach: where to stop looking for an enclosing one.
        self._reach = list(accumulate((symbol.end for symbol in symbols), max))

    def find(self, address: int) -> Symbol | None:
        at = bisect_right(self._starts, address) - 1
        while at >= 0 and self._reach[at] > address:
            if address < self._symbols[at].end:
                return self._symbols[at]
            at -= 1
        return None


class _Image:
    """One file, decoded on first use."""

    def __init__(self, data: bytes, offset: int = 0) -> None:
        self.data, self.offset = data, offset
        self.is_elf = data.startswith(_ELF)

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

    def ranges(self, pattern: str) -> Iterator[tuple[int, int]]:
        """(begin, end) of the symbols that match."""
        for symbol in self._ended:
            if symbol.end > symbol.start and fnmatchcase(symbol.name, pattern):
                yield symbol.start, symbol.end
                for segment in self._file.segments:
                    if segment.vaddr != segment.paddr and 0 <= symbol.start - segment.vaddr < segment.size:
                        moved = segment.paddr - segment.vaddr
                        yield symbol.start + moved, symbol.end + moved

    def starts(self, name: str) -> Iterator[int]:
        """Of all that have this very name."""
        return (symbol.start for symbol in self._ended if symbol.name == name)

    @cached_property
    def by_name(self) -> dict[str, int]:
        """Every name's value; of several symbols that share a name, the global one's."""
        return self._file.values

    @cached_property
    def _file(self) -> Table:
        table = self._table()
        return table.moved(self.offset) if self.offset else table

    def _table(self) -> Table:
        if not self.is_elf and is_listing(self.data[:_BEGINNING]):
            return read_listing(self.data)
        try:
            return read_elf(self.data)
        except (error, IndexError, ValueError) as damage:
            _LOG.warning("the symbol table of an ELF file cannot be used: %s", damage)
            return Table([], {}, [])

    @cached_property
    def _ended(self) -> list[Symbol]:
        """All of them, sorted, labels with an end."""
        sized = sorted(symbol for symbol in self._file.symbols if not symbol.is_label)
        covering = _Index(sized)
        # A label inside a symbol that has a size is a place in a function, not a function.
        labels = [s for s in self._file.symbols if s.is_label and covering.find(s.start) is None]
        return _end_labels(sorted(sized + labels))

    @cached_property
    def _index(self) -> _Index:
        return _Index(self._ended)


def _end_labels(symbols: list[Symbol]) -> list[Symbol]:
    """The symbols, each label among them ended where the next address with a symbol begins."""
    ended: list[Symbol] = []
    following, start = HIGHEST, HIGHEST
    for symbol in reversed(symbols):
        if symbol.start != start:
            start, following = symbol.start, start
        ended.append(symbol._replace(end=min(symbol.end, following)) if symbol.is_label else symbol)
    return ended[::-1]


def _open(path: PathLike) -> bytes:
    """A symbol file's contents, which may come through a pipe."""
    try:
        with open(path, "rb") as file:
            data = file.read(_BEGINNING)
            if data.startswith(_ELF64_LITTLE) or is_listing(data):
                data += file.read(GIB)
    except OSError as problem:
        raise ImageError(path, f"cannot be read: {problem.strerror}", "name a file with symbols") from problem
    if not data.startswith(_ELF64_LITTLE) and (data.startswith(_ELF) or not is_listing(data[:_BEGINNING])):
        raise ImageError(
            path, "has no symbols", "give an ELF file for AArch64 that is not stripped, a System.map, or what nm prints"
        )
    if data.startswith(_ELF) and (machine := int.from_bytes(data[18:20], "little")) != EM_AARCH64:
        name = MACHINES.get(machine, f"machine {machine}")
        raise ImageError(path, f"its symbols are those of a program for {name}", "give the AArch64 guest's own file")
    return data
