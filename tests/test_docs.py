"""The programs in docs/ run as they stand, from a checkout, and print what stands below them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import armvcpu.vcpu.hal
import armvcpu.vcpu.life

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)
PROGRAMS, VCPU_PROGRAMS = (
    [found.groups() for found in BLOCK.finditer((ROOT / "docs" / name).read_text())]
    for name in ("scripting.md", "vcpu.md")
)


@pytest.mark.parametrize(("program", "printed"), [*PROGRAMS, *VCPU_PROGRAMS])
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


def test_vcpu_layers_names_are_those_that_there_are() -> None:
    """Each name of the package in the tables' second column can be imported, or is a method of one that can."""
    rows = [row.split("|")[2] for row in (ROOT / "docs" / "vcpu.md").read_text().splitlines() if row.startswith("| `")]
    names = {name for cell in rows for name in re.findall(r"`([A-Z][A-Za-z0-9]+)\b", cell)}
    assert len(names) >= 10
    known = (armvcpu, armvcpu.Hal, armvcpu.vcpu.hal, armvcpu.vcpu.life)
    assert [name for name in sorted(names) if name != "X" and not any(hasattr(each, name) for each in known)] == []
