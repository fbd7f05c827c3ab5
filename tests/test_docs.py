"""The programs in docs/scripting.md run as they stand, from a checkout, and print what stands below them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)
PROGRAMS = [found.groups() for found in BLOCK.finditer((ROOT / "docs" / "scripting.md").read_text())]


@pytest.mark.parametrize(("program", "printed"), PROGRAMS, ids=range(1, len(PROGRAMS) + 1))
def test_program_runs_and_prints_what_it_says(program: str, printed: str | None) -> None:
    """Status 0 and nothing on stderr; some output, where the document shows none."""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
    if printed is not None:
        assert done.stdout == printed


def test_every_method_is_shown() -> None:
    """Those by which a machine calls Python."""
    shown = "\n".join(program for program, _ in PROGRAMS)
    assert [
        name for name in ("on_sysreg", "on_mmio", "on_symbol", "observe", "call") if f"machine.{name}(" not in shown
    ] == []
