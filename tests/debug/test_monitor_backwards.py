"""The monitor takes the guest back in its history."""

from __future__ import annotations

import re

import pytest
from raw_guest import BASE, FOREVER, add, image, mov, store

from armvcpu import Machine
from armvcpu.errors import UsageError

RAM = 0x4400_0000


@pytest.fixture
def machine(tmp_path):
    """A guest that counts to 4 in memory, and then loops; its history is kept."""
    path = tmp_path / "guest.bin"
    path.write_bytes(image(mov(1, RAM), *[word for _ in range(4) for word in (add(2, 2, 1), store(2, 1))], FOREVER))
    with Machine(path, clock="instructions") as machine:
        machine.keep_history()
        machine.run(max_instructions=30)
        yield machine


def test_back_and_forth(machine):
    """By an instruction, by several, to a count."""
    assert machine.monitor("info history").startswith("at 30; kept: instructions 0 to 30")
    assert machine.monitor("goto 6").startswith(f"=> {BASE + 24:#018x}")
    assert machine.monitor("print x2") == "0x1 = 1"
    assert machine.monitor("back").startswith(f"=> {BASE + 20:#018x}")
    assert machine.monitor("back 2").startswith(f"=> {BASE + 12:#018x}")
    assert machine.monitor("step").startswith(f"=> {BASE + 16:#018x}")
    assert machine.monitor("goto 30").startswith(f"=> {BASE + 48:#018x}")


def test_who_wrote_this(machine):
    """A watchpoint on the way back."""
    machine.monitor(f"watch {RAM:#x}")
    for value in (4, 3):
        assert "cpu0 has come to a watchpoint, before a write to 0x44000000" in machine.monitor("rcontinue")
        assert machine.monitor("print x2") == f"{value:#x} = {value}"
    machine.monitor("delete")
    assert machine.monitor("rc").startswith("cpu0 has come to the beginning of the history")


def test_without_a_history_a_line_says_how(tmp_path):
    """And where the history begins."""
    path = tmp_path / "guest.bin"
    path.write_bytes(image(FOREVER))
    with Machine(path) as machine:
        for line in ("back", "rcontinue", "goto 5", "info history"):
            with pytest.raises(UsageError, match=re.escape("no history is kept: a run has one with")):
                machine.monitor(line)
