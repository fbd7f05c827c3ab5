"""`armvcpu trace show|grep|diff`: looks at what `run --trace` has written.

A block trace is printed as `--trace insn` would have. Other traces are lines already, and are unpacked, searched and
compared as such.
"""

from __future__ import annotations

import re
import sys
from collections import deque
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from armvcpu.debug.tracing.blocks.format import MAGIC
from armvcpu.debug.tracing.compressed import open_to_read
from armvcpu.errors import ImageError, UsageError, words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import IO

    from armvcpu.debug.tracing.blocks.reader import BlockFile

DIFFERENT = 1
"""The status where two traces part, as of diff(1)."""
MOST = 1 << 61
"""Lines: twice as many are still a number of Python's own."""
MANY = 10_000_000
"""Lines that may be held in memory."""
SOURCE_PATIENCE = 60.0
"""Seconds for the line tables of a kernel, which take long to read."""


@click.group()
def trace() -> None:
    """Look at traces: print one, search in it, find where two runs part."""


_SYMBOLS = click.option(
    "--symbols", metavar="F", help="The guest's ELF file, for lines of the source; unless given, what the run had."
)
_SOURCE = click.option("--source", is_flag=True, help="Show the lines of the source, by the guest's DWARF.")


@trace.command()
@click.argument("file", metavar="F")
@click.option(
    "--from", "start", type=click.IntRange(0, MOST), default=0, metavar="N", help="Leave out the first N lines."
)
@click.option("--count", type=click.IntRange(1, MOST), metavar="N", help="Show N lines at most.")
@click.option("--last", type=click.IntRange(1, MANY), metavar="N", help="Show the last N lines.")
@_SOURCE
@_SYMBOLS
def show(file: str, start: int, count: int | None, last: int | None, source: bool, symbols: str | None) -> None:
    """Print the trace F: a line for each instruction or event."""
    from armvcpu.debug.tracing.blocks.printing import shown, shown_last

    if last is not None and (start or count is not None):
        raise UsageError("--last N is for the end of F: leave out --from and --count")
    with _lines_or_blocks(file) as (lines, blocks):
        if last is not None:
            _print(deque(lines, last) if blocks is None else shown_last(blocks, _source(source, symbols, blocks), last))
        elif blocks is not None:
            _print(islice(shown(blocks, _source(source, symbols, blocks), start), count))
        else:
            _print(islice(lines, start, None if count is None else start + count))


@trace.command()
@click.argument("pattern", metavar="PATTERN")
@click.argument("file", metavar="F")
@click.option("--count", type=click.IntRange(1, MOST), metavar="N", help="Show N lines at most.")
@_SOURCE
@_SYMBOLS
def grep(pattern: str, file: str, count: int | None, source: bool, symbols: str | None) -> None:
    """Print the lines of the trace F in which PATTERN, a regular expression of Python's, is found."""
    from armvcpu.debug.tracing.blocks.printing import found

    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"PATTERN {pattern}: {error}") from None
    with _lines_or_blocks(file) as (lines, blocks):
        if blocks is not None:
            matching: Iterable[str] = found(blocks, _source(source, symbols, blocks), expression)
        else:
            matching = (line for line in lines if expression.search(line))
        _print(islice(matching, count))


@trace.command()
@click.argument("file", metavar="F")
@click.argument("other", metavar="F2")
@click.option(
    "--context", type=click.IntRange(0, MOST), default=5, metavar="N", help="Lines before and after it, else 5."
)
@_SOURCE
@_SYMBOLS
def diff(file: str, other: str, context: int, source: bool, symbols: str | None) -> None:
    """Find where the traces F and F2 part: status 1, and the lines around it; 0 where they do not."""
    from armvcpu.debug.tracing.blocks.printing import block_difference, line_difference

    with _lines_or_blocks(file) as (lines, blocks), _lines_or_blocks(other) as (other_lines, other_blocks):
        if (blocks is None) != (other_blocks is None):
            raise UsageError(f"{file} and {other}: one is a block trace, and the other one is not")
        if blocks is not None and other_blocks is not None:
            told = block_difference(blocks, other_blocks, _source(source, symbols, blocks), context)
        else:
            told = line_difference(lines, other_lines, context)
        if told:
            _print(told)
            sys.exit(DIFFERENT)


@contextmanager
def _lines_or_blocks(path: str) -> Iterator[tuple[Iterator[str], BlockFile | None]]:
    """The lines of a trace, or a block trace, whatever it is compressed by; says where it has been cut off."""
    from armvcpu.debug.tracing.blocks.reader import BlockFile

    try:
        file = open_to_read(path)
    except OSError as problem:
        raise ImageError(path, f"cannot be read: {words_of(problem)}", "name a file of `run --trace`") from problem
    with file:
        if _begins_with(path, file, MAGIC):
            blocks = BlockFile(path, file)
            yield iter(()), blocks
            if blocks.is_cut_off:
                _say_cut(path)
        else:
            yield _text(path, file), None


def _begins_with(path: str, file: IO[bytes], magic: bytes) -> bool:
    try:
        return bool(file.peek(len(magic))[: len(magic)] == magic)  # type: ignore[attr-defined]
    except EOFError:  # which comes again when it is read
        return False
    except Exception as problem:  # whatever a damaged file makes of its decompressor
        raise ImageError(path, "is damaged", "name a file of `run --trace`") from problem


def _text(path: str, file: IO[bytes]) -> Iterator[str]:
    try:
        line = b"\n"
        for line in file:
            yield line.decode("utf-8", "replace").rstrip("\n")
        if not line.endswith(b"\n"):
            _say_cut(path)
    except EOFError:
        _say_cut(path)
    except Exception as problem:  # whatever a damaged file makes of its decompressor
        raise ImageError(path, "is damaged", "name a file of `run --trace`") from problem


def _source(wanted: bool, symbols: str | None, blocks: BlockFile) -> Callable[[int], str] | None:
    """Lines of the source, by the file that is named, else by those that the run had and that are still there."""
    if not wanted:
        return None
    from armvcpu.cli.standard import say
    from armvcpu.debug.source import SourceLines
    from armvcpu.machine.boot.symbols import Symbols

    paths = [symbols] if symbols else [blocks.header.get(name) for name in ("symbols", "image")]
    known = Symbols()
    for path in paths:
        try:
            known = known if not isinstance(path, str) else known.and_of(Path(path).read_bytes())
        except OSError as problem:
            if symbols:
                raise ImageError(path, f"cannot be read: {words_of(problem)}", "name the guest's ELF file") from problem
            say(f"{path}, which the run had, cannot be read: {words_of(problem)}; lines of the source need --symbols F")
    return SourceLines(known, patience=SOURCE_PATIENCE).find


def _say_cut(path: str) -> None:
    from armvcpu.cli.standard import say

    say(f"{path}: the trace has been cut off: its run was ended, or its disk was full")


def _print(lines: Iterable[str]) -> None:
    write = sys.stdout.write
    for line in lines:
        write(line + "\n")
    sys.stdout.flush()
