"""Which line of which file each instruction is from, and which function: an ELF file's DWARF 4 or 5, by pyelftools.

Line tables are DWARF 5, 6.2; functions and their inlined copies 3.3. An unit whose tables are damaged is left out, and
told. What the linker has thrown away has rows too, of addresses at which nothing is, mostly 0 (`_is_dead`).
"""

from __future__ import annotations

import os.path
from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from armvcpu.debug.dwarf.ranges import ranges_of
from armvcpu.debug.dwarf.reader import name_of, number_of, origin_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from armvcpu.debug.coverage.program import Program

_SCOPES = {"DW_TAG_namespace", "DW_TAG_module", "DW_TAG_structure_type", "DW_TAG_class_type", "DW_TAG_lexical_block"}
_CODE = {"DW_TAG_subprogram", "DW_TAG_inlined_subroutine"}
_SPLIT = {"DW_AT_dwo_name", "DW_AT_GNU_dwo_name"}
"""What a unit's skeleton has (DWARF 5, 7.3.2)."""
DEEPEST = 200
"""Scopes in each other."""


class Row(NamedTuple):
    """From this address to `end` the code is a line's."""

    start: int
    end: int
    file: str
    line: int


class Copy(NamedTuple):
    """A function's code: the function itself, or where it has been inlined."""

    name: str
    file: str
    line: int
    entry: int
    """The address at which it begins."""
    ranges: tuple[tuple[int, int], ...]


class Source:
    """Of one program. `problems` are what is wrong with it, a few words each."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        """In the order of their addresses; none overlaps another."""
        self.copies: list[Copy] = []
        self.problems: list[str] = []


def read_source(program: Program) -> Source:
    """What its DWARF says; nothing, and why, where it can't be read."""
    source = Source()
    try:
        _Reader(program, source).read()
    except Exception as damage:  # whatever damaged DWARF makes of its reader
        source.problems.append(f"its DWARF is damaged: {type(damage).__name__}: {_short(damage)}")
    return source


def _short(damage: Exception) -> str:
    return " ".join(str(damage).split())[:100]


class _Reader:
    def __init__(self, program: Program, source: Source) -> None:
        from elftools.elf.elffile import ELFFile  # 50 ms

        self._program, self._source = program, source
        elf: Any = ELFFile(BytesIO(program.elf or b""))
        self._dwarf: Any = elf.get_dwarf_info(follow_links=False)
        self._has_begun_at_0 = False

    def read(self) -> None:
        rows: list[Row] = []
        damaged, why, units, split = 0, "", 0, 0
        for unit in self._dwarf.iter_CUs():
            units += 1
            try:
                names = _Files(self._dwarf, unit)
                split += not _SPLIT.isdisjoint(unit.get_top_DIE().attributes)
                rows += self._rows(names)
                self._source.copies += self._copies(unit.get_top_DIE(), names.path, 0)
            except Exception as damage:
                damaged, why = damaged + 1, f"{type(damage).__name__}: {_short(damage)}"
        if damaged:
            self._source.problems.append(f"the DWARF of {damaged} of its {units} units is damaged: {why}")
        elif not rows:
            self._source.problems.append("its DWARF has no line of code that is in it")
        if split:
            self._source.problems.append(
                f"{split} of its {units} units have their functions in other files (.dwo), which are not read: "
                "compile without -gsplit-dwarf"
            )
        self._source.rows = _without_overlaps(sorted(rows))

    def _rows(self, names: _Files) -> list[Row]:
        rows: list[Row] = []
        longest = self._program.end - self._program.base
        for sequence in _sequences(names.program):
            if self._is_dead(sequence[0].address):
                continue
            for state, following in pairwise(sequence):
                if following.address > state.address and state.line:
                    if following.address - state.address > longest:  # which a reader would walk for years
                        raise ValueError("a line is longer than the program")
                    rows.append(Row(state.address, following.address, names.path(state.file), state.line))
        return rows

    def _is_dead(self, start: int) -> bool:
        """Is it of code that the linker has thrown away? Of a program at 0 the first sequence there is its own."""
        if start == 0 and self._has_begun_at_0:
            return True
        self._has_begun_at_0 |= start == 0
        return self._program.code_at(start, 4) is None

    def _copies(self, die: Any, path: Callable[[int], str], depth: int) -> Iterator[Copy]:
        if depth > DEEPEST:
            return
        for child in die.iter_children():
            if child.tag in _CODE:
                if (copy := self._copy(child, path)) is None:
                    continue
                yield copy
            elif child.tag not in _SCOPES:
                continue
            if child.has_children:
                yield from self._copies(child, path, depth + 1)

    def _copy(self, die: Any, path: Callable[[int], str]) -> Copy | None:
        ranges = tuple((low, high) for low, high in ranges_of(self._dwarf, die) if low < high)
        if not ranges or self._program.code_at(ranges[0][0], 4) is None:
            return None
        origin = origin_of(die)
        file, line = number_of(origin, "DW_AT_decl_file"), number_of(origin, "DW_AT_decl_line")
        if origin.cu is not die.cu and origin.cu.cu_offset != die.cu.cu_offset:
            path = _Files(self._dwarf, origin.cu).path
        name = name_of(origin) or name_of(die)
        return Copy(name, path(file) if line else "", line, _entry_of(die, ranges), ranges) if name else None


def _entry_of(die: Any, ranges: tuple[tuple[int, int], ...]) -> int:
    """Where it is entered; of DW_AT_entry_pc one way is an offset (DWARF 5, 2.18)."""
    attribute = die.attributes.get("DW_AT_entry_pc")
    if attribute is None or not isinstance(attribute.value, int):
        return ranges[0][0]
    at = attribute.value + (0 if attribute.form.startswith("DW_FORM_addr") else ranges[0][0])
    return at if any(low <= at < high for low, high in ranges) else ranges[0][0]


class _Files:
    """The names of a unit's files."""

    def __init__(self, dwarf: Any, unit: Any) -> None:
        self.program: Any = dwarf.line_program_for_CU(unit)
        self._directory = _text(unit.get_top_DIE().attributes.get("DW_AT_comp_dir"))
        self._names: dict[int, str] = {}

    def path(self, number: int) -> str:
        """The file's path, as far as the compiler has told; numbers begin at 1, from DWARF 5 on at 0."""
        known = self._names.get(number)
        if known is None:
            known = self._names[number] = self._path(number)
        return known

    def _path(self, number: int) -> str:
        header = self.program.header
        first = 0 if header.version >= 5 else 1
        if not 0 <= number - first < len(header.file_entry):
            return "?"
        entry = header.file_entry[number - first]
        directories = header.include_directory
        index = entry.dir_index if header.version >= 5 else entry.dir_index - 1
        directory = directories[index].decode(errors="replace") if 0 <= index < len(directories) else ""
        return os.path.normpath(os.path.join(self._directory, directory, entry.name.decode(errors="replace")))


def _text(attribute: Any) -> str:
    return "" if attribute is None else str(attribute.value.decode(errors="replace"))


def _sequences(program: Any) -> Iterator[list[Any]]:
    """The states of each sequence of a line table, its end included."""
    sequence: list[Any] = []
    for entry in () if program is None else program.get_entries():
        if entry.state is None:
            continue
        sequence.append(entry.state)
        if entry.state.end_sequence:
            yield sequence
            sequence = []


def _without_overlaps(rows: list[Row]) -> list[Row]:
    """In the order of addresses; what two rows claim is the first one's."""
    kept: list[Row] = []
    end = 0
    for row in rows:
        if row.end <= end:
            continue
        kept.append(row._replace(start=max(row.start, end)))
        end = row.end
    return kept
