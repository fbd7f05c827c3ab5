"""What a page says of coverage: for each source file, how much of it was executed, and which functions were not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypedDict

from armvcpu.debug.coverage.program import programs_of, read_program
from armvcpu.debug.page.text import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from armvcpu.debug.coverage.coverage import Coverage
    from armvcpu.debug.coverage.lines import FileCoverage
    from armvcpu.machine.kinds import PathLike
    from armvcpu.machine.parts import Parts

LARGEST = 32 << 20
"""Bytes of ELF files whose line tables are read for a page."""
MOST_FILES = 500
MOST_FUNCTIONS = 200
"""Of each file."""


class FileFacts(TypedDict):
    """One file: (executed, all) lines, functions and ways of branches; (line, name, calls) of functions."""

    path: str
    lines: tuple[int, int]
    functions: tuple[int, int]
    branches: tuple[int, int]
    by_function: list[tuple[int, str, int]]


class CoverageFacts(TypedDict):
    """All files, those with the most lines first; what is left out is counted."""

    lines: tuple[int, int]
    functions: tuple[int, int]
    branches: tuple[int, int]
    files: list[FileFacts]
    left_out: int
    problems: list[str]


def has_readable_lines(parts: Parts, elf_files: Iterable[PathLike] = ()) -> bool:
    """Has a program of this machine, or one of these files, line tables, and is it no kernel's that take minutes?"""
    programs = [*programs_of(parts.config, parts.boot, parts.board.memory_map()), *map(read_program, elf_files)]
    readable = [program for program in programs if program.has_lines]
    return bool(readable) and sum(len(program.elf or b"") for program in readable) <= LARGEST


def coverage_facts(coverage: Coverage) -> CoverageFacts | None:
    """None where no program has lines."""
    if not any(program.has_lines for program in coverage.programs):
        return None
    files = coverage.files()
    if not files:
        return None
    root = os.path.commonpath([os.path.dirname(path) for path in files]) if _are_alike(list(files)) else ""
    found = [_file(os.path.relpath(path, root) if root else path, files[path]) for path in files]
    found.sort(key=lambda file: (-file["lines"][1], file["path"]))
    return CoverageFacts(
        lines=_sum(file["lines"] for file in found),
        functions=_sum(file["functions"] for file in found),
        branches=_sum(file["branches"] for file in found),
        files=found[:MOST_FILES],
        left_out=max(0, len(found) - MOST_FILES),
        problems=[plain(problem) for problem in coverage.problems],
    )


def _are_alike(paths: list[str]) -> bool:
    return len({os.path.isabs(path) for path in paths}) == 1


def _file(path: str, file: FileCoverage) -> FileFacts:
    functions = sorted((each.line, plain(name), each.calls) for name, each in file.functions.items())
    ways = [count for branch in file.branches.values() for count in (branch.taken, branch.not_taken)]
    return FileFacts(
        path=plain(path),
        lines=(sum(count > 0 for count in file.lines.values()), len(file.lines)),
        functions=(sum(calls > 0 for _, _, calls in functions), len(functions)),
        branches=(sum(count > 0 for count in ways), len(ways)),
        by_function=functions[:MOST_FUNCTIONS],
    )


def _sum(pairs: Iterable[tuple[int, int]]) -> tuple[int, int]:
    executed, there = 0, 0
    for one, other in pairs:
        executed, there = executed + one, there + other
    return executed, there
