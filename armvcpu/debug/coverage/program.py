"""A program that a guest may execute: an ELF file, or bytes that are loaded somewhere, as firmware or an Image."""

from __future__ import annotations

import hashlib
import os
from functools import cached_property
from struct import Struct, error
from typing import TYPE_CHECKING, NamedTuple

from armvcpu.errors import ImageError
from armvcpu.machine.boot.image import GIB
from armvcpu.machine.boot.image_elf import EM_AARCH64
from armvcpu.machine.boot.image_file import read_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from armvcpu.machine.board.memory_map import MemoryMap
    from armvcpu.machine.boot.boot import Boot
    from armvcpu.machine.config import MachineConfig
    from armvcpu.machine.kinds import PathLike

# Elf64_Ehdr: e_type, e_machine, e_entry, e_phoff, e_phentsize, e_phnum.
_EHDR = Struct("<16xHH4xQQ14xHH6x")
_E_SHOFF = slice(0x28, 0x30)
# Elf64_Phdr: p_type, p_flags, p_offset, p_vaddr, p_filesz.
_PHDR = Struct("<IIQQ8xQ16x")
_PT_LOAD, _PF_X = 1, 1
_ET_REL = 1
FILLER = 1 << 16
_ELF64_LITTLE = b"\x7fELF\x02\x01"


class Piece(NamedTuple):
    """Code, at the address that it was linked at, or, of what has none, loaded at."""

    start: int
    code: bytes


class Program:
    """One file. Two with the same contents are the same program."""

    def __init__(self, path: str, pieces: Iterable[Piece], entry: int = 0, elf: bytes | None = None) -> None:
        self.path = path
        self.file = os.path.abspath(path)
        """The same, wherever the process is by then."""
        self.pieces = tuple(piece for piece in pieces if len(piece.code) >= 4)
        self.entry = entry
        self.elf = elf
        self.base = min((piece.start for piece in self.pieces), default=0)
        self.end = max((piece.start + len(piece.code) for piece in self.pieces), default=0)

    @cached_property
    def key(self) -> str:
        """The same for the same contents, in any process."""
        digest = hashlib.sha1(usedforsecurity=False)
        for piece in self.pieces:
            digest.update(piece.start.to_bytes(8, "little"))
            digest.update(piece.code)
        if self.elf is not None:
            digest.update(len(self.elf).to_bytes(8, "little"))
        return digest.hexdigest()

    @cached_property
    def _ends(self) -> list[int]:
        """Of each piece the bytes before what it is filled up with, as flash is."""
        return [_without_filler(code) for _, code in self.pieces]

    @property
    def text_size(self) -> int:
        """How many bytes `find` looks through."""
        return sum(self._ends)

    @property
    def has_lines(self) -> bool:
        """Has it line tables, as far as can be seen at once? No section is called so, compressed ones neither.

        Section headers are what they are found by.
        """
        return self.elf is not None and self.elf[_E_SHOFF] != bytes(8) and b"debug_line" in self.elf

    def code_at(self, address: int, size: int) -> bytes | None:
        """The bytes at a linked address; None where it has none there, not all of them at least."""
        for start, code in self.pieces:
            if start <= address and address + size <= start + len(code):
                return code[address - start : address - start + size]
        return None

    def find(self, code: bytes) -> int | None:
        """The linked address of the only place that has these bytes; None where there is none, or more than one."""
        found: int | None = None
        for (start, text), end in zip(self.pieces, self._ends, strict=True):
            at = -1
            while (at := text.find(code, at + 1, end)) >= 0:
                if (start + at) % 4:
                    continue
                if found is not None:
                    return None
                found = start + at
        return found


def _without_filler(code: bytes) -> int:
    """How many bytes there are before those of the end that are all the same, in large pieces."""
    end, all_ = len(code), memoryview(code)
    filler = code[-1:] * FILLER
    while end > FILLER and all_[end - FILLER : end] == filler:
        end -= FILLER
    return end


def elf_program(path: str, data: bytes) -> Program:
    """Of an ELF file that is linked: its executable segments.

    Raises:
        ImageError: it is no linked ELF file for AArch64, or damaged.
    """
    if not data.startswith(_ELF64_LITTLE):
        raise ImageError(path, "is no ELF file for AArch64", "give the guest's program as it was linked")
    try:
        kind, machine, entry, phoff, phentsize, phnum = _EHDR.unpack_from(data)
        if machine != EM_AARCH64 or kind == _ET_REL or (phnum and phentsize != _PHDR.size):
            raise ImageError(path, "is no linked program for AArch64", "give the guest's program as it was linked")
        headers = [_PHDR.unpack_from(data, phoff + i * _PHDR.size) for i in range(phnum)]
    except error as damage:
        raise ImageError(path, "is a damaged ELF file", "build or copy it again") from damage
    pieces = [
        Piece(vaddr, data[offset : offset + size])
        for kind, flags, offset, vaddr, size in headers
        if kind == _PT_LOAD and flags & _PF_X
    ]
    return Program(path, pieces, entry, data)


def read_program(path: PathLike) -> Program:
    """That of a file; ImageError where it can't be read, or is none."""
    return elf_program(str(path), read_file(path, GIB, "what is read at all"))


def programs_of(config: MachineConfig, boot: Boot, memory: MemoryMap) -> Iterator[Program]:
    """Those that a machine begins with: image, firmware, further files, and the ELF file that its symbols are from."""
    plan, starts = boot.plan, {}
    image = None if plan.image is None else plan.image.elf
    if image is not None:
        yield elf_program(str(config.image), image)
    elif plan.image is not None:
        pieces = [Piece(segment.addr, segment.data) for segment in plan.image.segments]
        yield Program(str(config.image), pieces, plan.image.entry)
    if config.firmware is not None:
        starts[memory.flash[0].base] = str(config.firmware)
    starts.update((load.address, load.path) for load in boot.loads())
    for segment in plan.segments:
        if segment.addr in starts:
            yield Program(starts[segment.addr], [Piece(segment.addr, segment.data)], segment.addr)
    for data in boot.symbols().elf_files():
        if data is not image:
            yield elf_program(str(config.symbols), data)
