"""Snapshots of what interrupt controllers have for EL2 and EL3: list registers, groups, what is open to whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest
from test_snapshot_contents import File, changed

from armvcpu import Machine, MemoryConsole
from armvcpu.errors import ImageError
from armvcpu.machine.board.copy_on_write import MIB
from armvcpu.machine.outcome import Ending
from armvcpu.machine.snapshots import snapshot_file

if TYPE_CHECKING:
    from pathlib import Path

HYPERVISOR = "guests/bin/el2.elf"
MEMORY, PIECE, TIMEOUT = 64 * MIB, 40_000, 60

Version = Literal[2, 3]
Level = Literal[2, 3]


def run_of_hypervisor(gic: Version) -> bytes:
    """What it prints, in one run."""
    console = MemoryConsole()
    with Machine(HYPERVISOR, console=console, el=2, gic=gic, memory=MEMORY, clock="instructions") as machine:
        machine.run(timeout=TIMEOUT)
    return bytes(console.output)


@pytest.mark.parametrize("gic", [2, 3])
def test_a_hypervisor_goes_on_from_files(tmp_path: Path, gic: Version) -> None:
    """Cut into pieces, each in a machine that has loaded the one before, a run says the same."""
    said, pieces, path = b"", 0, tmp_path / "hypervisor.snap"
    ending = Ending.LIMIT
    while ending is Ending.LIMIT:
        console = MemoryConsole()
        with Machine(HYPERVISOR, console=console, el=2, gic=gic, memory=MEMORY, clock="instructions") as machine:
            if pieces:
                machine.restore(snapshot_file.load(path))
            ending = machine.run(timeout=TIMEOUT, max_instructions=PIECE).ending
            if ending is Ending.LIMIT:
                snapshot_file.save(machine.snapshot(), path)
        said, pieces = said + bytes(console.output), pieces + 1
    assert pieces > 5
    assert said == run_of_hypervisor(gic)
    assert b"a virtual interrupt is taken" in said


@pytest.mark.parametrize("gic", [2, 3])
@pytest.mark.parametrize("el", [2, 3])
def test_a_file_is_taken_by_its_own_kind_only(tmp_path: Path, gic: Version, el: Level) -> None:
    """What a machine saves, it takes back; one of another level is told what differs."""
    path = tmp_path / "snap"
    with Machine(HYPERVISOR, el=el, gic=gic, memory=MEMORY) as machine:
        taken = machine.snapshot()
        snapshot_file.save(taken, path)
    with Machine(HYPERVISOR, el=el, gic=gic, memory=MEMORY, snapshot=path) as machine:
        assert machine.snapshot().gic == taken.gic
    with pytest.raises(ImageError, match="el"):
        Machine(HYPERVISOR, el=5 - el, gic=gic, memory=MEMORY, snapshot=path)


@pytest.mark.parametrize(
    ("el", "place", "value", "words"),
    [
        (2, "virtual", ..., "virtual is missing"),
        (2, "virtual", [], "virtual has 0 parts"),
        (2, "virtual.0.lrs", [0, 0, 0], "lrs has 3 parts"),
        (2, "virtual.0.lrs.1", 1 << 32, "lrs"),
        (2, "virtual.0.hcr", -1, "hcr"),
        (2, "virtual.0.ctlr", 1 << 11, "ctlr"),
        (2, "virtual.0.bpr0", 1, "bpr0"),
        (3, "distributor.spis.nsacr_low", 1, "nothing stands for"),
        (3, "distributor.private.0.nsacr_high", 1 << 16, "nsacr_high is 0x10000"),
        (3, "distributor.private.0.nsacr_low", ..., "nsacr_low is missing"),
        (3, "cpu_interface.interfaces.0.ctlr", 1 << 11, "ctlr"),
    ],
)  # fmt: skip
def test_a_field_of_a_gicv2_that_cannot_be_is_refused(
    tmp_path: Path, el: Level, place: str, value: object, words: str
) -> None:  # fmt: skip
    """Before anything is loaded."""
    path = tmp_path / "snap"
    with Machine(HYPERVISOR, el=el, gic=2, memory=MEMORY) as machine:
        snapshot_file.save(machine.snapshot(), path)
    file = File(path)
    file.say(changed(file.facts, f"gic.{place}", value))
    with pytest.raises(ImageError, match=words):
        Machine(HYPERVISOR, el=el, gic=2, memory=MEMORY, snapshot=path)
