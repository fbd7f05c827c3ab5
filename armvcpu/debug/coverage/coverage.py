"""Coverage of a machine, or of many: what of which programs has been executed, by line, or by block.

with machine.coverage() as coverage:
    machine.run(timeout=10)
coverage.write("hello.info")
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from armvcpu.debug.coverage import drcov
from armvcpu.debug.coverage.pauses import few_pauses
from armvcpu.debug.coverage.program import Program, read_program
from armvcpu.debug.coverage.tally import Tally
from armvcpu.errors import ArmvcpuError, ImageError, UsageError, named, words_of
from armvcpu.machine.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from armvcpu.debug.coverage.lines import FileCoverage
    from armvcpu.debug.coverage.source import Source
    from armvcpu.machine.kinds import PathLike

LCOV, DRCOV = ".info", ".drcov"


class CoverageProblem(ArmvcpuError):
    """Coverage can't be written."""


class _Known:
    """A program, what has been executed of it, and its source once somebody asks for that."""

    def __init__(self, program: Program) -> None:
        self.program, self.tally = program, Tally()

    @cached_property
    def source(self) -> Source:
        from armvcpu.debug.coverage.source import read_source  # blocks need no lines

        return read_source(self.program)


class Coverage:
    """Of any number of programs; those with the same contents are one."""

    def __init__(self, update: Callable[[], None] | None = None) -> None:
        self._known: dict[str, _Known] = {}
        self._update = update or _nothing
        """Brings it up to date, before each answer."""
        self._missing: list[str] = []

    def know(self, program: Program) -> str:
        """Count a program's code from now on; its key."""
        key = program.key
        if key not in self._known:
            self._known[key] = _Known(program)
        return key

    def tally(self, key: str) -> Tally:
        """What has been executed of a program that is known."""
        return self._known[key].tally

    def add(self, other: Coverage) -> None:
        """Add what was executed elsewhere, of another machine or in another test."""
        other._update()
        for known in other._known.values():
            self.tally(self.know(known.program)).add_rows(known.tally.rows)

    # --- what it is about -------------------------------------------------------------------------------------

    @property
    def programs(self) -> list[Program]:
        """All of them, whether something of them was executed or not."""
        return [known.program for known in self._known.values()]

    def executed(self, program: Program) -> Mapping[int, int]:
        """How often each instruction was executed, by the address that it was linked at."""
        self._update()
        return self.tally(self.know(program)).executed()

    def files(self) -> dict[str, FileCoverage]:
        """By the path of each source file that DWARF tells of: its lines, functions and branches."""
        from armvcpu.debug.coverage.lines import FileCoverage, by_file

        self._update()
        files: dict[str, FileCoverage] = {}
        for known in self._known.values():
            if not known.program.has_lines:
                continue
            for path, file in by_file(known.program, known.source, known.tally).items():
                files.setdefault(path, FileCoverage()).add(file)
        return files

    @property
    def problems(self) -> list[str]:
        """What is wrong with the programs, a line for each; to be asked for once there are `files`."""
        return [f"coverage of {problem}" for problem in self._missing] + [
            f"coverage of {known.program.path}: {problem}"
            for known in self._known.values()
            if known.program.has_lines
            for problem in known.source.problems
        ]

    # --- files ------------------------------------------------------------------------------------------------

    def write(self, path: PathLike) -> None:
        """Write a file whose name ends in .info, for lcov, or in .drcov.

        Raises:
            UsageError: its name ends otherwise.
            CoverageProblem: it can't be written, or no program has lines. It is whole, or as it was.
        """
        data = self.lcov().encode() if check_name(path) == LCOV else self.drcov()
        try:
            write_whole(Path(path), data)
        except (OSError, ValueError) as error:
            raise CoverageProblem(f"coverage file {path}: {words_of(error)}; name another") from error

    def check_lines(self) -> None:
        """CoverageProblem where no program has lines, as far as can be seen without reading all of them."""
        if any(program.has_lines for program in self.programs):
            return
        elf = [program.path for program in self.programs if program.elf is not None]
        if self._missing:
            raise CoverageProblem(f"no lines to tell of: {'; '.join(self._missing)}")
        why = f"{elf[0]} has no DWARF: compile it with -g, and do not strip it" if elf else "no program is an ELF file"
        raise CoverageProblem(
            f"no lines to tell of: {why}; give one by {named('symbols')}, or a coverage file that ends in {DRCOV}"
        )

    def lcov(self) -> str:
        """A tracefile for lcov; CoverageProblem where no program has lines."""
        from armvcpu.debug.coverage import lcov

        self.check_lines()
        files = self.files()
        if not files:
            raise CoverageProblem(f"no lines to tell of: {'; '.join(self.problems)}")
        if self.problems:
            import logging  # 7 ms

            for problem in self.problems:
                logging.getLogger(__name__).warning("%s", problem)
        return lcov.render(files)

    def drcov(self) -> bytes:
        """A drcov file."""
        self._update()
        with few_pauses():
            return drcov.render((known.program, known.tally.blocks()) for known in self._known.values())

    # --- other processes --------------------------------------------------------------------------------------

    def pack(self) -> bytes:
        """All of it, for `unpack`, but for the programs, which are read again by their paths."""
        self._update()
        whole = {
            key: (known.program.file, known.program.elf is not None, known.program.base, known.program.end,
                  known.program.entry, known.tally.rows)
            for key, known in self._known.items()
        }  # fmt: skip
        return _packed(whole)

    def unpack(self, packed: bytes) -> None:
        """Add what another process has packed. An ELF file that is not there any more is one of the `problems`."""
        for key, (path, is_elf, base, end, entry, rows) in _unpacked(packed).items():
            if key not in self._known:
                self._known[key] = _Known(self._again(path, key) if is_elf else Unread(path, base, end, entry))
            self.tally(key).add_rows(tuple(row) for row in rows)

    def _again(self, path: str, key: str) -> Program:
        try:
            program = read_program(path)
        except ImageError as problem:
            self._missing.append(str(problem))
        else:
            if program.key == key:
                return program
            self._missing.append(f"{path}: it has changed since it was executed")
        return Unread(path, 0, 0, 0)


def renamed(packed: bytes, names: Mapping[str, str]) -> bytes:
    """What `pack` has given, with other paths for those that are in `names`."""
    whole = _unpacked(packed)
    for about in whole.values():
        about[0] = names.get(about[0], about[0])
    return _packed(whole)


def _packed(whole: dict[str, Any]) -> bytes:
    import json  # these are for tests in processes of their own
    import zlib

    return zlib.compress(json.dumps(whole).encode(), 1)


def _unpacked(packed: bytes) -> dict[str, Any]:
    import json
    import zlib

    whole: dict[str, Any] = json.loads(zlib.decompress(packed))
    return whole


def _nothing() -> None:
    """It is up to date."""


class Unread(Program):
    """A program of another process: where it lies, without its code."""

    def __init__(self, path: str, base: int, end: int, entry: int) -> None:
        super().__init__(path, (), entry)
        self.base, self.end = base, end


def check_name(path: PathLike) -> str:
    """How a file's name ends; UsageError where that says no format."""
    ending = os.path.splitext(os.fspath(path))[1]
    if ending not in {LCOV, DRCOV}:
        raise UsageError(f"coverage file {path}: its name ends in {LCOV} (for lcov) or {DRCOV}")
    return ending
