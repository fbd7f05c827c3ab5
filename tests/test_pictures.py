"""The documentation's pictures: each is small, is shown, and is what `make pictures` makes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
PICTURES = sorted((ROOT / "docs" / "pictures").glob("*.png"))
LARGEST = 150_000


def test_there_are_pictures_of_gdb_lcov_a_profile_and_reports() -> None:
    """By these names, which pages link to."""
    assert [path.stem for path in PICTURES] == ["flame-graph", "gdb-backwards", "lcov", "report-crash", "report"]


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_a_picture_is_small_and_shown(path: Path) -> None:
    """A page has it, with words for who can't see it."""
    assert path.stat().st_size < LARGEST
    with Image.open(path) as picture:
        assert picture.width <= 1200
    shown = [
        words
        for page in (ROOT / "docs").glob("*.md")
        for words in re.findall(rf"!\[([^\]]+)\]\(pictures/{path.name}\)", page.read_text())
    ]
    assert shown
    assert all(len(words) > 20 for words in shown)


@pytest.mark.slow
@pytest.mark.firmware
def test_they_are_made_by_the_projects_own_command(tmp_path: Path) -> None:
    """All of them, as large as those that are there, within a few pixels of what another font takes."""
    command = [sys.executable, ROOT / "docs" / "site" / "pictures.py", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [path.name for path in PICTURES]
    for path in PICTURES:
        with Image.open(path) as there, Image.open(tmp_path / path.name) as made:
            assert abs(there.width - made.width) + abs(there.height - made.height) < 100
            assert len(made.getcolors() or []) > 10
