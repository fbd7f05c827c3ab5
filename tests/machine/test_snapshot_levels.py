"""Snapshots of guests that have EL2 and EL3 to themselves: in memory and in a file, wherever they are taken.

The guests switch between levels, Security states and a guest of their own all the time, so each moment is at another.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from armvcpu import Machine
from armvcpu.machine.snapshots.snapshot_file import save

if TYPE_CHECKING:
    from armvcpu.machine.snapshots.snapshot import Snapshot

GUESTS = Path(__file__).parents[2] / "guests" / "bin"
RUNS = (("el2", 2, "a57", 541_000), ("el2", 2, "max", 940_000), ("el3", 3, "a57", 544_000))
MOMENTS = 8


def made(guest: str, el: int, model: str, snapshot: Path | None = None) -> Machine:
    return Machine(GUESTS / f"{guest}.elf", el=el, cpu_model=model, clock="instructions", snapshot=snapshot)


def finish(machine: Machine) -> bytes:
    """What it still prints until it powers off."""
    before = len(machine.console.output)
    outcome = machine.run(timeout=60)
    assert outcome.ok, outcome
    return bytes(machine.console.output[before:])


def moments(machine: Machine, last: int) -> list[tuple[Snapshot, dict[str, int]]]:
    """Snapshots at MOMENTS places on the way, and the registers that the CPU then has."""
    found = []
    for _ in range(MOMENTS):
        machine.run(max_instructions=last // (MOMENTS + 1))
        found.append((machine.snapshot(), machine.vcpu.registers.save()))
    return found


@pytest.mark.parametrize(("guest", "el", "model", "last"), RUNS)
def test_a_guest_goes_on_from_any_moment(tmp_path: Path, guest: str, el: int, model: str, last: int) -> None:
    """Back on the same machine, last first, and from a file on a new one: as if nothing had been."""
    with made(guest, el, model) as machine:
        whole = finish(machine)
    with made(guest, el, model) as machine:
        taken = moments(machine, last)
        assert {registers["PSTATE"] >> 2 & 3 for _, registers in taken} >= {1, 2}
        for number, (snapshot, registers) in enumerate(reversed(taken)):
            machine.restore(snapshot)
            assert machine.vcpu.registers.save() == registers
            rest = finish(machine)
            assert whole.endswith(rest)
            if number % 3:
                continue
            save(snapshot, tmp_path / "snapshot")
            with made(guest, el, model, tmp_path / "snapshot") as other:
                assert other.vcpu.registers.save() == registers
                assert finish(other) == rest
