"""The ELF loader: an ELF64 AArch64 file to segments at physical addresses.

What loading does not use is not looked at: section headers, ABI, alignments. As on QEMU's board a file goes where it is
linked, whether it calls itself an executable (ET_EXEC) or position-independent (ET_DYN), and is not relocated.

System V ABI (gABI) chapters 4 and 5, and ELF for the Arm 64-bit Architecture (IHI 0056). The two headers are
decoded here with `struct`: the 20 lines cost microseconds, where importing a full ELF library would cost more
than all the rest of starting a guest. Symbols and DWARF are read elsewhere, when something asks for them.
"""

from __future__ import annotations

from struct import Struct

from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import ImageError
from armvcpu.machine.board.memory_map import MemoryMap, Region
from armvcpu.machine.boot.image import ImageKind, LoadedImage, Segment, check_disjoint

if TYPE_CHECKING:
    from collections.abc import Iterator

# Elf64_Ehdr behind e_ident: e_type, e_machine, e_version, e_entry, e_phoff, e_shoff, e_flags, e_ehsize,
# e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx.
_EHDR = Struct("<16xHHIQQQIHHHHHH")
# Elf64_Phdr: p_type, p_flags, p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align.
_PHDR = Struct("<IIQQQQQQ")

EI_CLASS, EI_DATA = 4, 5
ELFCLASS64, ELFDATA2LSB = 2, 1
ET_REL, ET_DYN, ET_CORE = 1, 3, 4
EM_AARCH64 = 183
PT_LOAD, PT_INTERP = 1, 3
PN_XNUM = 0xFFFF

MACHINES = {3: "x86", 62: "x86-64", 40: "32-bit Arm", 243: "RISC-V", 8: "MIPS", 21: "PowerPC64", 22: "S390"}
_NOT_LINKED = {
    ET_REL: ("a relocatable object file", "link it to an executable"),
    ET_CORE: ("a core dump", "use the executable"),
}


class ProgramHeader(Row):
    """One Elf64_Phdr, with the fields that loading needs."""

    p_type: int
    p_flags: int
    p_offset: int
    p_vaddr: int
    p_paddr: int
    p_filesz: int
    p_memsz: int
    p_align: int

    @property
    def is_loaded(self) -> bool:
        """Does it take memory?"""
        return self.p_type == PT_LOAD and self.p_memsz > 0


def load_elf(path: object, data: bytes, memory: MemoryMap) -> LoadedImage:
    """Decode the ELF file `data`.

    Raises:
        ImageError: it is damaged, not for AArch64, not linked, or does not fit the memory map.
    """
    entry, headers = read_headers(path, data)
    loads = [header for header in headers if header.is_loaded]
    if not loads:
        raise ImageError(path, "an ELF file with nothing to load", "link it with a PT_LOAD segment")
    if any(header.p_filesz and header.p_offset + header.p_filesz > len(data) for header in loads):
        raise _truncated(path, "its segments", data)
    sizes = [_memory_size(path, header, memory) for header in loads]
    check_disjoint(
        path,
        [Region(f"the segment at {h.p_paddr:#x}", h.p_paddr, size) for h, size in zip(loads, sizes, strict=True)],
    )
    segments = tuple(
        Segment(h.p_paddr, data[h.p_offset : h.p_offset + h.p_filesz], size)
        for h, size in zip(loads, sizes, strict=True)
    )
    return LoadedImage(ImageKind.ELF, _physical(entry, loads), segments, elf=data, notes=tuple(_notes(data, headers)))


def physical(data: bytes, address: int) -> int:
    """Where an address lies, physical or virtual, by the segments of a file that loads; itself where none has it."""
    _, headers = read_headers("", data)
    return _physical(address, [header for header in headers if header.is_loaded])


def _notes(data: bytes, headers: list[ProgramHeader]) -> Iterator[str]:
    """What will not be done for it."""
    e_type, *_ = _EHDR.unpack_from(data)
    if e_type == ET_DYN:
        yield "it is position-independent (ET_DYN): loaded where it is linked, and not relocated"
    if any(header.p_type == PT_INTERP for header in headers):
        yield "it names an interpreter, as a program for an operating system does: none is loaded"


def read_headers(path: object, data: bytes) -> tuple[int, list[ProgramHeader]]:
    """The entry point and the program headers of `data`.

    Raises:
        ImageError: it is truncated, or not an ELF64 little-endian AArch64 file that is linked.
    """
    _check_ident(path, data)
    if len(data) < _EHDR.size:
        raise _truncated(path, "the headers", data)
    e_type, e_machine, _, e_entry, e_phoff, _, _, _, e_phentsize, e_phnum, *_ = _EHDR.unpack_from(data)
    if e_machine != EM_AARCH64:
        name = MACHINES.get(e_machine, f"machine {e_machine}")
        raise ImageError(path, f"an ELF file for {name}, not AArch64", "build it for aarch64")
    if e_type in _NOT_LINKED:
        raise ImageError(path, *_NOT_LINKED[e_type])
    if e_phnum and (e_phentsize < _PHDR.size or e_phnum == PN_XNUM):
        raise ImageError(path, "an ELF file whose program headers are damaged", "link it again")
    if e_phoff + e_phnum * e_phentsize > len(data):
        raise _truncated(path, "its program headers", data)
    return e_entry, [ProgramHeader(*_PHDR.unpack_from(data, e_phoff + i * e_phentsize)) for i in range(e_phnum)]


def _check_ident(path: object, data: bytes) -> None:
    if len(data) <= EI_DATA:
        raise _truncated(path, "the headers", data)
    if data[EI_CLASS] != ELFCLASS64:
        raise ImageError(path, "a 32-bit ELF file", "build it for aarch64 (ELF64)")
    if data[EI_DATA] != ELFDATA2LSB:
        raise ImageError(path, "a big-endian ELF file", "build it little-endian (not aarch64_be)")


def _memory_size(path: object, header: ProgramHeader, memory: MemoryMap) -> int:
    """Bytes of memory the segment takes at its physical address, checked against file and memory map."""
    if header.p_filesz > header.p_memsz:
        raise ImageError(path, f"the segment at {header.p_paddr:#x} is larger in the file than in memory", "relink it")
    is_copied_out = memory.is_flash(header.p_paddr) and header.p_vaddr != header.p_paddr
    # .data that the guest copies out of flash itself, and clears its .bss in RAM too
    size = header.p_filesz if is_copied_out else header.p_memsz
    memory.place(path, "segment", header.p_paddr, size)
    return size


def _physical(address: int, loads: list[ProgramHeader]) -> int:
    """An entry point, virtual by definition (gABI chapter 4), as the physical address its segment gives it."""
    for header in loads:
        if header.p_vaddr <= address < header.p_vaddr + header.p_memsz:
            return header.p_paddr + (address - header.p_vaddr)
    return address  # some linker scripts name a physical entry point beside virtual segments


def _truncated(path: object, part: str, data: bytes) -> ImageError:
    return ImageError(
        path, f"a truncated ELF file: {part} end behind byte {len(data)}, its last", "copy or link it again"
    )
