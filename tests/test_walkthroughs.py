"""docs/first-program.md: what a newcomer types works, and prints what the page says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from walkthrough import ROOT, environment, pieces, steps, walk

if TYPE_CHECKING:
    from pathlib import Path

FIRST_PROGRAM = (ROOT / "docs" / "first-program.md").read_text()


def test_first_program(tmp_path: Path) -> None:
    """Every file and command of the page, in its order."""
    work = tmp_path / "work"
    work.mkdir()
    walk(steps(FIRST_PROGRAM), work, environment(tmp_path))


def test_a_page_that_says_something_else_is_found(tmp_path: Path) -> None:
    """The command, what it prints and what it should."""
    with pytest.raises(AssertionError, match=r"(?s)echo yes\nprints\nyes\n\nand not\nno"):
        walk(pieces("$ echo yes\nno\n"), tmp_path, environment(tmp_path))


def test_a_page_that_ends_its_shell_is_found(tmp_path: Path) -> None:
    """No step is passed over."""
    with pytest.raises(AssertionError, match="ended early, at: exit 3"):
        walk(pieces("$ exit 3\n$ echo never\n"), tmp_path, environment(tmp_path))
