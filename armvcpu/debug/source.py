"""Which line of the source an address is from: the line tables of an image's DWARF (DWARF 5, 6.2), by pyelftools.

Asked for reports only, and imported then. A kernel's tables take many seconds to read, so there is a limit of time, and
what is not found within it is not told.
"""

from __future__ import annotations

import os.path
import time
from contextlib import suppress
from functools import cached_property
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from armvcpu.machine.boot.symbols import Symbols

PATIENCE = 1.0
"""Seconds, for all addresses of a report."""


class _Row(NamedTuple):
    """What a row of a line table says: from this address to the next row's."""

    start: int
    end: int
    path: str
    line: int


class SourceLines:
    """Those of the ELF files that the symbols are from; `patience` seconds are for all that is asked."""

    def __init__(self, symbols: Symbols, patience: float = PATIENCE) -> None:
        self._symbols = symbols
        self._files: dict[int, _File] = {}
        self._end = time.monotonic() + patience

    def find(self, address: int) -> str:
        """`main.c:12` for the instruction at a 64-bit address; empty where no table has it."""
        found = self.locate(address)
        return "" if found is None else f"{os.path.basename(found[0])}:{found[1]}"

    def locate(self, address: int) -> tuple[str, int] | None:
        """The file's path, as far as the compiler has told, and the line; None where no table has it."""
        for data, linked in self._symbols.places(address):
            file = self._files.setdefault(id(data), _File(data))
            with suppress(Exception):  # whatever a damaged table makes of its reader: a report is due all the same
                if row := file.find(linked, self._end):
                    return row.path, row.line
        return None


class _File:
    """One ELF file's DWARF; units are read as far as they are needed."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._rows: dict[int, list[_Row]] = {}

    def find(self, address: int, end: float) -> _Row | None:
        for unit in self._units_of(address, end):
            for row in self._rows_of(unit):
                if row.start <= address < row.end:
                    return row
        return None

    @cached_property
    def _dwarf(self) -> Any:
        if b"debug_line" not in self._data:  # no section is called so, and its reader takes 50 ms to load
            return None
        from elftools.elf.elffile import ELFFile

        elf: Any = ELFFile(BytesIO(self._data))
        return elf.get_dwarf_info() if elf.has_dwarf_info() else None

    def _units_of(self, address: int, end: float) -> Iterator[Any]:
        """The unit that .debug_aranges names; else each whose own range has the address, or that tells none."""
        dwarf = self._dwarf
        if dwarf is None:
            return
        aranges = dwarf.get_aranges()
        offset = None if aranges is None else aranges.cu_offset_at_addr(address)
        if offset is not None:
            yield dwarf.get_CU_at(offset)
            return
        for unit in dwarf.iter_CUs():
            if time.monotonic() > end:
                return
            if _may_have(unit, address):
                yield unit

    def _rows_of(self, unit: Any) -> list[_Row]:
        rows = self._rows.get(unit.cu_offset)
        if rows is None:
            rows = self._rows[unit.cu_offset] = list(
                _read_rows(self._dwarf.line_program_for_CU(unit), _text(unit, "DW_AT_comp_dir"))
            )
        return rows


def _may_have(unit: Any, address: int) -> bool:
    attributes = unit.get_top_DIE().attributes
    if "DW_AT_ranges" in attributes or "DW_AT_low_pc" not in attributes or "DW_AT_high_pc" not in attributes:
        return True
    low, high = attributes["DW_AT_low_pc"].value, attributes["DW_AT_high_pc"]
    return bool(low <= address < (high.value if high.form == "DW_FORM_addr" else low + high.value))


def _text(unit: Any, name: str) -> str:
    attribute = unit.get_top_DIE().attributes.get(name)
    return "" if attribute is None else str(attribute.value.decode(errors="replace"))


def _read_rows(program: Any, directory: str) -> Iterator[_Row]:
    if program is None:
        return
    names = [_path(entry, program.header, directory) for entry in program.header.file_entry]
    first = 0 if program.header.version >= 5 else 1
    before: Any = None
    for entry in program.get_entries():
        state = entry.state
        if state is None:
            continue
        if before is not None and state.address > before.address:
            name = names[before.file - first] if 0 <= before.file - first < len(names) else "?"
            yield _Row(before.address, state.address, name, before.line)
        before = None if state.end_sequence else state


def _path(entry: Any, header: Any, directory: str) -> str:
    """Of a file in a line table: its directory is one of the table's, numbered from the compiler's own one on."""
    directories = [each.decode(errors="replace") for each in header.include_directory]
    if header.version < 5:
        directories.insert(0, "")
    inside = directories[entry.dir_index] if 0 <= entry.dir_index < len(directories) else ""
    return os.path.normpath(os.path.join(directory, inside, entry.name.decode(errors="replace")))
