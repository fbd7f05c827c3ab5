"""drcov files, version 2, as DynamoRIO's tool of that name writes them: which blocks of which modules were executed.

A table of modules and then, for each block, its offset from its module's base (32 bits), its size in bytes (16) and its
module's number (16). Disassemblers show them, for which a program needs no symbols.
"""

from __future__ import annotations

from struct import pack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from armvcpu.debug.coverage.program import Program

    Executed = Iterable[tuple[Program, list[tuple[int, int]]]]
    """Each program, with (linked address, instructions) of its blocks."""

FURTHEST = 1 << 32
"""Bytes behind a module's base that an offset has bits for."""


def render(executed: Executed) -> bytes:
    """The file; the addresses of modules are those that they were linked at."""
    modules: list[str] = []
    blocks: list[bytes] = []
    for number, (program, there) in enumerate(executed):
        path = program.path.replace("\n", "?")
        modules.append(f"{number:3}, {program.base:#018x}, {program.end:#018x}, {program.entry:#018x}, {path}\n")
        for linked, instructions in there:
            if linked - program.base < FURTHEST:
                blocks.append(pack("<IHH", linked - program.base, 4 * instructions, number))
    head = "DRCOV VERSION: 2\nDRCOV FLAVOR: drcov\n"
    head += f"Module Table: version 2, count {len(modules)}\nColumns: id, base, end, entry, path\n"
    head += "".join(modules) + f"BB Table: {len(blocks)} bbs\n"
    return head.encode(errors="replace") + b"".join(blocks)
