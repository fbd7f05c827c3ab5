"""A machine with a GICv3 of EL2, and of EL3, goes on from a snapshot amid a script as if nothing had been."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from gic_random import Script
from gic_script import CODE, RECORD, TABLES, program

from armvcpu.machine.console.port import MemoryConsole
from armvcpu.machine.machine import Machine
from armvcpu.machine.snapshots import snapshot_file

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any, Literal

STEPS, HALF = 300, 6000
"""Accesses, and the instructions after which about half of them are done."""


def new_machine(image: Path, el: Literal[2, 3], **more: Any) -> tuple[Machine, MemoryConsole]:
    console = MemoryConsole()
    options: dict[str, Any] = {"load_address": TABLES, "entry": CODE, "el": el, "semihosting": True}
    return Machine(image, console=console, clock="instructions", **options, **more), console


@pytest.mark.parametrize("el", [2, 3])
def test_a_snapshot_has_all_of_it(tmp_path: Path, el: Literal[2, 3]) -> None:
    """The records that are sent at the end are those of the run that went on, from memory and from a file."""
    image, file = tmp_path / "program.bin", tmp_path / "snapshot"
    image.write_bytes(program(el, Script(el, 3, STEPS).steps))
    machine, console = new_machine(image, el)
    with machine:
        machine.run(max_instructions=HALF)
        snapshot = machine.snapshot()
        snapshot_file.save(snapshot, file)
        assert machine.run(timeout=60).ok
        records = bytes(console.output)
        assert len(records) == STEPS * RECORD.size
        machine.restore(snapshot)
        assert machine.run(timeout=60).ok
        assert bytes(console.output) == records * 2
    machine, console = new_machine(image, el, snapshot=file)
    with machine:
        assert machine.run(timeout=60).ok
        assert bytes(console.output) == records
