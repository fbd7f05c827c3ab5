"""Snapshots: a machine goes back to what it was, as often as one likes, and another one can take its place."""

from __future__ import annotations

import time

import pytest
import raw_guest as raw

from armvcpu import Machine, MemoryConsole
from armvcpu.devices.virtio.disk import DiskImage
from armvcpu.errors import StateError, UsageError
from armvcpu.machine.outcome import Ending

MIB = 1 << 20
DATA = 0x4020_0000
COUNT = 0xC600_0001
ADDI_X1, ADDI_X2 = raw.add(1, 1, 1), raw.add(2, 2, 1)


@pytest.fixture
def counter(tmp_path):
    """A guest that counts in x1 and in memory at DATA, and makes a hypercall each time."""
    words = [raw.mov(0, COUNT), raw.mov(3, DATA), ADDI_X1, raw.store(1, 3), raw.HVC, 0x17FF_FFFD]  # b to the ADD
    image = tmp_path / "counter.bin"
    image.write_bytes(raw.image(*words))
    return image


def counting(image, **options) -> Machine:
    """A machine whose run ends after the next hypercall."""
    machine = Machine(image, **options)

    @machine.on_hypercall(COUNT)
    def count(_vcpu):
        machine.quit("counted")

    return machine


def numbers(machine: Machine) -> tuple[int, int]:
    return machine.vcpu.gpr(1), int.from_bytes(machine.read(DATA, 8), "little")


def test_registers_and_memory_return(counter):
    """However far the guest has gone meanwhile, and more than once."""
    with counting(counter) as machine:
        machine.run(timeout=5)
        snapshot, before = machine.snapshot(), numbers(machine)
        for _ in range(3):
            for _ in range(5):
                machine.run(timeout=5)
            after = numbers(machine)
            machine.restore(snapshot)
            assert after[0] > before[0]
            assert numbers(machine) == before
        machine.run(timeout=5)
        assert numbers(machine)[1] > before[1]


def test_another_machine_goes_on_from_there(counter):
    """With its own memory: neither sees what the other does then."""
    with counting(counter) as first, counting(counter) as second:
        first.run(timeout=5)
        snapshot, before = first.snapshot(), numbers(first)
        second.restore(snapshot)
        assert numbers(second) == before
        second.run(timeout=5)
        assert numbers(first) == before
        assert numbers(second)[1] > before[1]


def test_a_snapshot_outlives_its_machine(counter):
    """Its memory is its own."""
    with counting(counter) as machine:
        machine.run(timeout=5)
        snapshot, before = machine.snapshot(), numbers(machine)
    with counting(counter) as other:
        other.restore(snapshot)
        assert numbers(other) == before


def test_code_is_that_of_the_moment(tmp_path):
    """What was translated from other code does not run after the return."""
    image = tmp_path / "image.bin"
    image.write_bytes(raw.image(raw.mov(0, COUNT), raw.add(1, 31, 1), raw.HVC, 0x17FF_FFFE))
    with counting(image) as machine:
        machine.run(timeout=5)
        snapshot = machine.snapshot()
        machine.write(raw.BASE + 16, raw.add(1, 31, 2).to_bytes(4, "little"))
        machine.run(timeout=5)
        changed = machine.vcpu.gpr(1)
        machine.restore(snapshot)
        machine.run(timeout=5)
        assert (changed, machine.vcpu.gpr(1)) == (2, 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"memory": 128 * MIB}, "memory"),
        ({"cpus": 2}, "cpus"),
        ({"gic": 2}, "gic"),
        ({"cpu_model": "max"}, "cpu-model"),
    ],
)
def test_another_kind_of_machine_refuses_it(counter, options, words):
    """One line with what differs, and nothing has changed."""
    with counting(counter) as first, counting(counter, **options) as second:
        first.run(timeout=5)
        second.run(timeout=5)
        before = numbers(second)
        with pytest.raises(UsageError, match=f"its {words} is .*, here it is "):
            second.restore(first.snapshot())
        assert numbers(second) == before


def test_not_while_it_runs(counter):
    """A half-done instruction is no state."""
    with Machine(counter) as machine:
        seen = []

        @machine.on_hypercall(COUNT)
        def count(_vcpu):
            with pytest.raises(StateError, match="while the guest runs"):
                machine.snapshot()
            seen.append(1)
            machine.quit()

        machine.run(timeout=5)
        assert seen


def test_the_virtual_count_stands_still_meanwhile(counter):
    """CNTVCT_EL0 goes on from where it was, whatever time has passed (CNTVOFF_EL2)."""
    with counting(counter) as machine:
        machine.run(timeout=5)
        before = machine.cpus[0].time.count()
        snapshot = machine.snapshot()
        machine.restore(snapshot)
        later = time.monotonic_ns()
        while time.monotonic_ns() < later + 50_000_000:
            machine.run(timeout=0.001)
        machine.restore(snapshot)
        assert before <= machine.cpus[0].time.count() < before + 40_000_000 // 16


def test_every_cpu_and_every_interrupt_returns():
    """The SMP guest, stopped in its middle and returned to, still passes: on the same machine and on another."""
    image = "guests/bin/smp.elf"
    with Machine(image, cpus=4) as machine:
        assert machine.run(max_instructions=300_000).ending is Ending.LIMIT
        snapshot = machine.snapshot()
        first = machine.run(timeout=60)
        machine.restore(snapshot)
        again = machine.run(timeout=60)
    with Machine(image, cpus=4, console=MemoryConsole()) as other:
        other.restore(snapshot)
        elsewhere = other.run(timeout=60)
        said = other.console.output
    assert (first.status, again.status, elsewhere.status) == (0, 0, 0)
    assert b" 0 failed" in said


# --- disks ----------------------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / "disk"
    path.write_bytes(bytes(range(256)) * 64)
    with DiskImage(path) as image:
        yield image


def contents(disk: DiskImage) -> bytes:
    return disk.read(0, disk.size)


def test_a_disk_returns_to_what_it_held(disk):
    """Only what was overwritten is written back."""
    before, log = contents(disk), disk.new_undo_log()
    disk.write_from([memoryview(bytes(512)), memoryview(b"x" * 512)], 4096 - 512)
    disk.write_from([memoryview(b"y" * 512)], 0)
    changed = contents(disk)
    log.undo()
    assert changed != before
    assert contents(disk) == before


def test_two_moments_of_a_disk(disk):
    """Returning to one keeps the other."""
    first, log = contents(disk), disk.new_undo_log()
    disk.write_from([memoryview(b"a" * 512)], 0)
    second, later = contents(disk), disk.new_undo_log()
    disk.write_from([memoryview(b"b" * 512)], 0)
    log.undo()
    at_first = contents(disk)
    later.undo()
    assert (at_first, contents(disk)) == (first, second)


def test_what_the_host_refuses_to_put_back_is_not_forgotten(disk, monkeypatch):
    """A return that fails half-way can be made again."""
    before, log = contents(disk), disk.new_undo_log()
    for piece in range(3):
        disk.write_from([memoryview(b"z" * 512)], piece * 4096)
    write, writes = disk.write_from, []

    def refuse(buffers, offset):
        writes.append(offset)
        if len(writes) == 2:
            raise OSError(28, "No space left on device")
        write(buffers, offset)

    monkeypatch.setattr(disk, "write_from", refuse)
    with pytest.raises(OSError, match="No space"):
        log.undo()
    assert contents(disk) != before
    log.undo()
    assert contents(disk) == before
