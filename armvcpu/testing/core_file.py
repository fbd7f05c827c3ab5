"""A machine's state as an ELF core file, which gdb, lldb and readelf open: RAM, and the registers of each CPU.

    gdb-multiarch image.elf core

ELF: the System V ABI's generic part and IHI 0056 (ELF for AArch64). The notes are Linux's, as its elf_core_dump()
writes them: NT_PRSTATUS with `struct elf_prstatus` and NT_FPREGSET with `struct user_fpsimd_state`. A CPU is a thread.

RAM is in the file once. Program headers show it at the virtual addresses that the current CPU's stage 1 gives it, and
behind those at its physical ones, for which a debugger looks last.
"""

from __future__ import annotations

import struct
from itertools import islice
from typing import TYPE_CHECKING

from armvcpu.machine.board.ram import RamLayout
from armvcpu.machine.board.virt import RAM_BASE
from armvcpu.machine.files import appearing, private
from armvcpu.testing.mappings import mappings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from armvcpu.machine.board.ram import Piece as RamPiece
    from armvcpu.machine.snapshots.snapshot import Snapshot
    from armvcpu.testing.mappings import Memory, Piece

EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
PHDR = struct.Struct("<IIQQQQQQ")
NOTE = struct.Struct("<III")
IDENT = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")  # 64 bits, little-endian
ET_CORE, EM_AARCH64, PT_LOAD, PT_NOTE = 4, 183, 1, 4
NT_PRSTATUS, NT_FPREGSET = 1, 2
READ_WRITE_EXECUTE = 7
PRSTATUS = struct.Struct("<32xI76x34QI4x")
"""pr_pid, then pr_reg: X0 to X30, SP, PC, PSTATE; signals, times and the rest are 0."""
FPSIMD = struct.Struct("<" + "16s" * 32 + "II8x")
PAGE = 4096
MIB = 1 << 20
MOST_MAPPINGS = 20_000
"""e_phnum has 16 bits."""


def write_core(path: Path, snapshot: Snapshot, memory: Memory, layout: RamLayout | None = None) -> None:
    """Write a snapshot of the machine whose memory it is; OSError where the host can't.

    `layout` says where its RAM is: at the board's place, unless another is given.
    """
    notes = b"".join(_notes(snapshot))
    pieces = (layout or RamLayout(RAM_BASE, snapshot.ram.size)).pieces
    loads = [*_virtual(snapshot, memory, pieces), *((each.base, each.base, each.size) for each in pieces)]
    notes_at = EHDR.size + PHDR.size * (len(loads) + 1)
    ram_at = -(-(notes_at + len(notes)) // PAGE) * PAGE
    headers = EHDR.pack(
        IDENT, ET_CORE, EM_AARCH64, 1, 0, EHDR.size, 0, 0, EHDR.size, PHDR.size, len(loads) + 1, 0, 0, 0
    )  # fmt: skip
    headers += PHDR.pack(PT_NOTE, 0, notes_at, 0, 0, len(notes), 0, 4)
    for virtual, physical, size in loads:
        offset = ram_at + next(at.offset + physical - at.base for at in pieces if at.base <= physical < at.end)
        headers += PHDR.pack(PT_LOAD, READ_WRITE_EXECUTE, offset, virtual, physical, size, size, PAGE)
    with appearing(path) as temporary, open(temporary, "xb", opener=private) as file:
        file.write(headers + notes)
        for start, end in snapshot.ram.extents:
            for at in range(start, end, MIB):
                file.seek(ram_at + at)
                file.write(snapshot.ram.read(at, min(MIB, end - at)))
        file.truncate(ram_at + snapshot.ram.size)


def _virtual(snapshot: Snapshot, memory: Memory, pieces: Sequence[RamPiece]) -> Iterator[Piece]:
    """What the current CPU's tables show of RAM."""
    registers = snapshot.cpus[snapshot.current].registers
    if registers is None:
        return
    for virtual, physical, size in islice(mappings(registers, memory), MOST_MAPPINGS):
        for each in pieces:
            start, end = max(physical, each.base), min(physical + size, each.end)
            if start < end:
                yield virtual + start - physical, start, end - start


def _notes(snapshot: Snapshot) -> Iterator[bytes]:
    """Of each CPU that was ever on, the current one first, where debuggers begin."""
    order = sorted(range(len(snapshot.cpus)), key=lambda index: index != snapshot.current)
    for index in order:
        if (registers := snapshot.cpus[index].registers) is not None:
            yield _note(NT_PRSTATUS, _prstatus(index, registers))
            yield _note(NT_FPREGSET, _fpsimd(registers))


def _note(kind: int, description: bytes) -> bytes:
    return (
        NOTE.pack(5, len(description), kind) + b"CORE\0\0\0\0" + description.ljust(-(-len(description) // 4) * 4, b"\0")
    )


def _prstatus(index: int, registers: dict[str, int]) -> bytes:
    pstate = registers["PSTATE"]
    el, uses_spx = pstate >> 2 & 3, pstate & 1
    sp = registers.get(f"SP_EL{el if uses_spx else 0}", 0)
    general = [registers[f"X{number}"] for number in range(31)]
    return PRSTATUS.pack(index + 1, *general, sp, registers["PC"], pstate, 1)


def _fpsimd(registers: dict[str, int]) -> bytes:
    vectors = [registers[f"V{number}"].to_bytes(16, "little") for number in range(32)]
    return FPSIMD.pack(*vectors, registers["FPSR"], registers["FPCR"])
