"""Returning to a snapshot again, the short way, comes to what the full return comes to, whatever was in between."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest
import raw_guest as raw

from armvcpu import Machine
from armvcpu.engine.native import TRANSLATIONS
from armvcpu.errors import UsageError
from armvcpu.machine.outcome import Ending
from armvcpu.machine.snapshots.snapshot import take
from armvcpu.testing.target.target import Target

MIB = 1 << 20
RAM = 0x4000_0000
GUESTS = {"hello": 1, "selfmod": 1, "mmu": 1, "exceptions": 1, "lazyfp": 1, "gic": 1, "timer": 2, "smp": 2}
"""With how many CPUs: self-modifying code, page tables, EL0, FP, interrupts, time, and code that others patch."""
COUNT = 0xC600_0001


def state(machine: Machine) -> dict[str, object]:
    """All that a snapshot has of it, and whether that is short or full: but not the count of time, which goes on."""
    taken = take(machine.parts)
    cpus = [{**cpu.as_dict(), "virtual_count": None} for cpu in taken.cpus]
    taken.close()
    for cpu in cpus:  # what is counted goes on, by the host's clock
        cpu["pmu"] = cpu["pmu"][:7]
    levels = [(each.irq, each.fiq) for each in machine.parts.turns.cpu._lines.inputs]
    ram = hashlib.sha256(machine.memory.ram).hexdigest()
    return {
        "cpus": cpus, "devices": taken.devices, "gic": taken.gic, "ram": ram, "levels": levels, "time": taken.time,
        "instructions": taken.instructions, "current": taken.current,
    }  # fmt: skip


def disturb(machine: Machine, chance: random.Random) -> None:
    """Something random, of the guest's or of a user's."""
    match chance.randrange(7):
        case 0 | 1 | 2:
            machine.run(timeout=20, max_instructions=chance.randrange(1, 60_000))
        case 3:
            machine.write(RAM + chance.randrange(16 * MIB // 8) * 8, chance.randbytes(chance.randrange(1, 9000)))
        case 4:
            slot = chance.choice(machine.board.slots)
            for _ in range(20):
                offset, width = chance.randrange(0x1000 // 8) * 8, chance.choice((1, 2, 4, 8))
                slot.device.write(offset, width, chance.randrange(256))
                slot.device.read(offset, width)
        case 5:
            machine.press_power_key()
            machine.vcpu.registers["TPIDR_EL1"] = chance.randrange(1 << 64)
        case 6:
            machine.board.gic.pend(40 + chance.randrange(20))


@pytest.mark.parametrize("clock", ["instructions", "host"])
@pytest.mark.parametrize("guest", GUESTS)
def test_the_short_way_comes_to_the_same(guest, clock):
    """After random work of the guest, accesses of devices, writes of memory, registers and interrupts."""
    chance = random.Random(f"{guest} {clock}")
    with Machine(f"guests/bin/{guest}.elf", clock=clock, cpus=GUESTS[guest], memory=64 * MIB) as machine:
        machine.run(timeout=20, max_instructions=chance.randrange(30_000))
        snapshot = machine.snapshot()
        machine.restore(snapshot)
        assert machine._mark is not None
        for _ in range(5):
            for _ in range(chance.randrange(1, 4)):
                disturb(machine, chance)
            machine.restore(snapshot)
            short = state(machine)
            machine._mark = None
            machine.restore(snapshot)
            assert state(machine) == short
            machine.restore(snapshot)
            assert state(machine) == short


@pytest.mark.parametrize("clock", ["instructions", "host"])
@pytest.mark.parametrize("guest", GUESTS)
def test_a_guest_goes_on_from_there_as_if_nothing_had_been(guest, clock):
    """Translated code that is kept is that of the memory that is there: every check passes after many returns."""
    chance = random.Random(f"{clock} {guest}")
    with Machine(f"guests/bin/{guest}.elf", clock=clock, cpus=GUESTS[guest], memory=64 * MIB) as machine:
        machine.run(timeout=20, max_instructions=chance.randrange(1, 5_000 if guest == "hello" else 100_000))
        snapshot = machine.snapshot()
        for _ in range(4):
            machine.restore(snapshot)
            machine.run(timeout=20, max_instructions=chance.randrange(3_000_000))
        machine.restore(snapshot)
        outcome = machine.run(timeout=60)
        lines = machine.console.output.decode().splitlines()
        assert (outcome.ending, [line for line in lines if line.startswith("FAIL")]) == (Ending.POWERED_OFF, [])
        assert lines[-1].endswith(", 0 failed")


def test_each_run_from_there_is_the_same_by_the_instruction_clock():
    """To the instruction, and to the bytes of memory."""
    ends = []
    with Machine("guests/bin/timer.elf", clock="instructions", memory=64 * MIB) as machine:
        machine.run(timeout=20, max_instructions=200_000)
        snapshot = machine.snapshot()
        for _ in range(4):
            machine.restore(snapshot)
            machine.run(timeout=30, max_instructions=2_000_000)
            ends.append(state(machine))
    assert ends == ends[:1] * 4


@pytest.fixture
def parser():
    with Target("guests/bin/parser.elf", record=False, memory=64 * MIB) as target:
        target.run_until(symbol="main", timeout=10)
        yield target


PACKET = b"AVM\x03\x02\x01\x05hello\x02\x02\x39\x30"


def test_code_is_kept(parser):
    """Nothing is translated from the second call on, though data lies on pages that are put back."""
    snapshot, made = parser.snapshot(), []
    for _ in range(5):
        parser.restore(snapshot)
        before = parser.engine._shared[TRANSLATIONS]
        parser.write(0x4100_0000, PACKET)
        assert parser.call("parse", 0x4100_0000, len(PACKET)) == 2
        made.append(parser.engine._shared[TRANSLATIONS] - before)
    assert made[0] > 0
    assert made[2:] == [0, 0, 0]


def test_memory_between_the_calls_is_that_of_the_snapshot(parser):
    snapshot, sums = parser.snapshot(), []
    for _ in range(4):
        parser.restore(snapshot)
        parser.write(0x4100_0000, PACKET)
        parser.call("parse", 0x4100_0000, len(PACKET))
        sums.append(parser.symbol("sum").u64)
    assert sums == [12345] * 4


def test_code_that_was_changed_is_what_it_was(tmp_path):
    """Written by the host and by the guest, executed, and put back."""
    image = tmp_path / "image.bin"
    image.write_bytes(raw.image(raw.mov(0, COUNT), raw.add(1, 31, 1), raw.HVC, raw.branch(-3)))
    seen = []
    with Machine(image) as machine:
        machine.on_hypercall(COUNT)(lambda _vcpu: machine.quit())
        machine.run(timeout=5)
        snapshot = machine.snapshot()
        for value in (2, 3, 4):
            machine.restore(snapshot)
            machine.run(timeout=5)
            seen.append(machine.vcpu.gpr(1))
            machine.write(machine.plan.entry + 8 * 2, raw.add(1, 31, value).to_bytes(4, "little"))
            machine.run(timeout=5)
            seen.append(machine.vcpu.gpr(1))
    assert seen == [1, 2, 1, 3, 1, 4]


def test_two_snapshots_in_turn(parser):
    """Each is what it was, whichever the machine has returned to before."""
    first = parser.snapshot()
    parser.write(0x4100_0000, b"second")
    second = parser.snapshot()
    for snapshot, there in ((first, bytes(6)), (second, b"second"), (second, b"second"), (first, bytes(6))) * 2:
        parser.write(0x4100_0000, b"xxxxxx")
        parser.restore(snapshot)
        assert parser.read(0x4100_0000, 6) == there


def test_what_a_return_has_written_is_dirty(parser):
    """Also where somebody has asked between the guest's write and the return."""
    snapshot = parser.snapshot()
    parser.restore(snapshot)
    parser.dirty_pages()
    parser.write(0x4100_0000, b"written")
    assert parser.dirty_pages() == [(0x4100_0000, 4096)]
    parser.restore(snapshot)
    assert parser.dirty_pages() == [(0x4100_0000, 4096)]


def test_a_snapshot_taken_after_a_return_has_all_memory(parser, tmp_path):
    """What was put back to zeroes is no longer kept, and all else is."""
    snapshot = parser.snapshot()
    parser.restore(snapshot)
    used = parser.memory.dirty.used()
    parser.write(0x4200_0000, b"written")
    parser.restore(snapshot)
    assert parser.memory.dirty.used() == used
    parser.write(0x4200_0000, b"once more")
    again = parser.snapshot()
    with Machine("guests/bin/parser.elf", memory=64 * MIB) as other:
        other.restore(again)
        assert other.read(0x4200_0000, 9) == b"once more"


def test_a_snapshot_that_is_gone_is_no_longer_there(parser):
    """Closed, it is refused; let go of, its memory is free, though the machine has returned to it."""
    snapshot = parser.snapshot()
    parser.restore(snapshot)
    image = snapshot.ram
    snapshot.close()
    assert image.is_closed
    with pytest.raises(UsageError, match="closed"):
        parser.restore(snapshot)
    snapshot = parser.snapshot()
    parser.restore(snapshot)
    fd = snapshot.ram.fd
    del snapshot
    assert not Path(f"/proc/self/fd/{fd}").exists()


@pytest.mark.parametrize("clock", ["instructions", "host"])
def test_a_watchpoint_of_the_guest_is_there_again(clock):
    """A CPU that watches something is returned to the full way."""
    with Machine("guests/bin/hello.elf", clock=clock, memory=64 * MIB) as machine:
        registers = machine.vcpu.registers
        registers["DBGWVR0_EL1"], registers["DBGWCR0_EL1"] = 0x4100_0000, 0xFF << 5 | 3 << 3 | 3 << 1 | 1
        registers["MDSCR_EL1"] = 1 << 15
        snapshot = machine.snapshot()
        machine.restore(snapshot)
        assert machine._mark is None
        registers["MDSCR_EL1"] = 0
        machine.restore(snapshot)
        assert registers["MDSCR_EL1"] == 1 << 15


def test_flash_is_what_it_was(tmp_path):
    """Programmed by the device in between, though its registers are then as before."""
    with Machine("guests/bin/hello.elf", memory=64 * MIB) as machine:
        snapshot = machine.snapshot()
        flash = next(slot.device for slot in machine.board.slots if slot.name.startswith("flash"))
        for _ in range(3):
            machine.restore(snapshot)
            before = bytes(flash.contents[0x1000:0x1004])
            for value in (0x40, 0x1234, 0xFF):
                flash.write(0x1000, 4, value)
            assert bytes(flash.contents[0x1000:0x1004]) != before
            machine.restore(snapshot)
            assert bytes(flash.contents[0x1000:0x1004]) == before
