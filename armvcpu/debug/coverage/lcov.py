"""lcov's tracefiles (geninfo(1), "FILES"), which genhtml makes pages of and most services read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from armvcpu.debug.coverage.lines import FileCoverage


def render(files: Mapping[str, FileCoverage]) -> str:
    """The file; of each branch instruction, branch 0 is that it was taken, and 1 that it was not."""
    return "".join(line + "\n" for path in sorted(files) for line in _file(path, files[path]))


def _file(path: str, file: FileCoverage) -> Iterator[str]:
    yield "TN:"
    yield f"SF:{_plain(path)}"
    functions = sorted((function.line, name, function.calls) for name, function in file.functions.items())
    yield from (f"FN:{line},{_plain(name)}" for line, name, _ in functions)
    yield from (f"FNDA:{calls},{_plain(name)}" for _, name, calls in functions)
    yield f"FNF:{len(functions)}"
    yield f"FNH:{sum(calls > 0 for _, _, calls in functions)}"
    for (line, place), (taken, not_taken) in sorted(file.branches.items()):
        was_reached = taken or not_taken
        for branch, times in enumerate((taken, not_taken)):
            yield f"BRDA:{line},{place},{branch},{times if was_reached else '-'}"
    counts = [times for branch in file.branches.values() for times in branch]
    yield f"BRF:{len(counts)}"
    yield f"BRH:{sum(times > 0 for times in counts)}"
    yield from (f"DA:{line},{count}" for line, count in sorted(file.lines.items()))
    yield f"LF:{len(file.lines)}"
    yield f"LH:{sum(count > 0 for count in file.lines.values())}"
    yield "end_of_record"


def _plain(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
