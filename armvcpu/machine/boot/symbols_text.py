"""Symbols as text: the System.map of a Linux kernel, and what nm prints, with -S, -P, -C or without.

ffff800008010000 T _text
0000000040080000 0000000000000040 T main
main T 40080000 40                       (nm -P: POSIX)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from armvcpu.machine.boot.symbol_table import GLOBAL, HIGHEST, LOCAL, RANK_OF_CODE, RANK_OF_DATA, WEAK, Symbol, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEX = rb"(?:0x)?([0-9a-fA-F]{1,16})"
_BSD = re.compile(rb"%s(?: +%s)? +([a-zA-Z?-]) +(\S[^\r\n]*?)" % (_HEX, _HEX))
_POSIX = re.compile(rb"(\S+) +([a-zA-Z?-]) +%s(?: +%s)? *" % (_HEX, _HEX))
_NOTHING = re.compile(rb" *[UwvN] +\S.*|\S+ +[Uwv] *|\S+:|\s*")
"""Lines that place nothing: undefined symbols, the names of files, empty ones."""
_LOOKED_AT = 100
_LONGEST = 1 << 20
"""Bytes that a symbol of unknown size covers at most: behind the last one there is something else."""
_KINDS = {"t": RANK_OF_CODE, "w": RANK_OF_CODE, "i": RANK_OF_CODE}
_ABSOLUTE = "aA"


def is_listing(data: bytes) -> bool:
    """Are the first lines of a file those of a symbol table in text?"""
    lines = data[: _LOOKED_AT * 100].splitlines()[:_LOOKED_AT]
    if len(lines) > 1 and not data[: _LOOKED_AT * 100].endswith(b"\n"):
        lines.pop()  # cut
    return all(_is_known(line) for line in lines) and any(_is_somewhere(line) for line in lines)


def read_listing(data: bytes) -> Table:
    """The table; what is no line of one is passed over."""
    table, bindings = Table([], {}, []), dict[str, int]()
    for start, size, kind, name in _symbols(data):
        binding = WEAK if kind in "wWvV" else GLOBAL if kind.isupper() else LOCAL
        if binding >= bindings.get(name, 0):
            bindings[name], table.values[name] = binding, start
        if kind not in _ABSOLUTE:
            rank = (_KINDS.get(kind.lower(), RANK_OF_DATA), binding)
            table.symbols.append(Symbol(start, rank, start + (size or _LONGEST), name, not size))
    return table


def _symbols(data: bytes) -> Iterator[tuple[int, int, str, str]]:
    """(address, size or 0, letter of its kind, name) of each."""
    for line in data.splitlines():
        found = _symbol_in(line)
        if found is None:
            continue
        address, size, kind, given = found
        name = given.decode(errors="replace").replace(" ", "")  # C++'s, by nm -C: a name is one word of a trace
        # $x and $d mark code and data (IHI 0056, "Mapping symbols"), .L is the compilers' prefix of their own labels.
        if name and not name.startswith(("$x", "$d", ".L")) and name.isprintable():
            yield int(address, 16), int(size or b"0", 16), kind.decode(), name


def _symbol_in(line: bytes) -> tuple[bytes, bytes | None, bytes, bytes] | None:
    if found := _BSD.fullmatch(line.rstrip()):
        return found[1], found[2], found[3], found[4]
    if found := _POSIX.fullmatch(line.rstrip()):
        return found[3], found[4], found[2], found[1]
    return None


def _is_somewhere(line: bytes) -> bool:
    """Debian's System.map has one line, at the last address of all, which says in which package the real one is."""
    found = _symbol_in(line)
    return found is not None and int(found[0], 16) != HIGHEST - 1


def _is_known(line: bytes) -> bool:
    return _symbol_in(line) is not None or _NOTHING.fullmatch(line) is not None
