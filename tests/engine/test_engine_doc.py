"""docs/engine.md has the tables that the code has: what the shim answers and calls, and the checks of the self-test."""

from __future__ import annotations

from pathlib import Path

from armvcpu.engine.native import shim
from armvcpu.engine.selftest_checks import CHECKS

DOCUMENT = Path(__file__).parents[2] / "docs" / "engine.md"


def rows_below(header: str) -> list[list[str]]:
    """The cells of the one table with this header."""
    lines = DOCUMENT.read_text().splitlines()
    assert lines.count(header) == 1, f"{DOCUMENT.name} has no table, or two, with the header {header!r}"
    rows = []
    for line in lines[lines.index(header) + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_symbols_are_those_of_the_library():
    """Every row of SYMBOLS in shim/slots.c, in its order: name, answered or called, purpose."""
    symbols = shim().symbols()
    assert rows_below("| symbol | | what for |") == [
        [
            f"`{symbol.name.removesuffix('_aarch64')}`",
            "answered" if symbol.is_answered else "called",
            symbol.purpose,
        ]
        for symbol in symbols
    ]


def test_checks_are_those_of_the_self_test():
    """By name, in their order."""
    assert [row[0] for row in rows_below("| check | what it shows |")] == [check.name for check in CHECKS]
