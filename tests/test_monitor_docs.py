"""docs/monitor.md: its sessions say what the monitor says, and its table has every command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from armvcpu import Machine
from armvcpu.debug.monitor.table import COMMANDS
from armvcpu.errors import ArmvcpuError

PAGE = (Path(__file__).parents[1] / "docs" / "monitor.md").read_text()
SESSION = re.compile(r"^```text\n(\(armvcpu\) .*?)^```$", re.DOTALL | re.MULTILINE)
FIRST, SECOND = PAGE.split("## A guest's guest")


@pytest.mark.parametrize(
    ("part", "guest", "el"), [(FIRST, "hello", 1), (SECOND, "el2", 2)], ids=["a guest", "a guest's guest"]
)
def test_sessions_say_what_the_monitor_says(part, guest, el):
    """In order, with one machine; what is refused is shown as at the prompt."""
    sessions = SESSION.findall(part)
    assert sessions
    with Machine(f"guests/bin/{guest}.elf", el=el, clock="instructions") as machine:
        machine.keep_history()
        for session in sessions:
            said = ""
            for line in re.findall(r"^\(armvcpu\) (.*)$", session, re.MULTILINE):
                said += f"(armvcpu) {line}\n"
                try:
                    text = machine.monitor(line)
                except ArmvcpuError as refused:
                    text = f"armvcpu: {refused}"
                said += f"{text}\n" if text else ""
            assert said == session


def test_the_table_has_every_command():
    """As `help` has it, in its order."""
    rows = re.findall(r"^\| `(.*?)` \| .* \|$", PAGE.split("## Commands")[1], re.MULTILINE)
    assert [row.replace("\\|", "|") for row in rows] == [command.usage for command in COMMANDS]
    assert [command.name for command in COMMANDS if command.help not in PAGE.replace("\\|", "|")] == []
