"""Pages that are written: by the guest, by devices and by the host; and snapshots, which are made of them."""

from __future__ import annotations

import os

import pytest
import raw_guest as raw

from armvcpu import Machine
from armvcpu.devices.virtio.queue import Virtqueue
from armvcpu.machine.board.copy_on_write import MIB
from armvcpu.machine.board.dirty_pages import DirtyPages
from armvcpu.machine.board.ram import RamLayout
from armvcpu.machine.snapshots import snapshot_file

PAGE, RAM, MEMORY = 4096, 0x4000_0000, 64 * MIB
DATA, COUNT = 0x4200_0000, 0xC600_0001
STORE_ON = 0xF800_8400
"""STR X0, [X0], #8."""


def fill(first: int, last: int) -> list[int]:
    """Every doubleword of a range becomes its own address, by the guest."""
    return raw.flat(raw.mov(0, first), raw.mov(1, last), STORE_ON, 0xEB01_001F, 0x54FF_FFC3)  # cmp; b.lo to the store


@pytest.fixture
def stopping(tmp_path):
    """Makes a machine whose run ends at each hypercall of its guest, or that a handler hears of."""
    made: list[Machine] = []

    def make(*words, handler=None, **options) -> Machine:
        image = tmp_path / f"guest{len(made)}.bin"
        image.write_bytes(raw.image(*words))
        machine = Machine(image, memory=MEMORY, **options)
        machine.on_hypercall(COUNT)(handler or (lambda _vcpu: machine.quit("stopped")))
        made.append(machine)
        return machine

    yield make
    for machine in made:
        machine.close()


STOP = [*raw.mov(9, 0), 0xAA00_03E9, *raw.mov(0, COUNT), raw.HVC]


def pages(ranges: list[tuple[int, int]]) -> set[int]:
    return {page for address, size in ranges for page in range(address, address + size, PAGE)}


def test_what_the_guest_writes(stopping):
    """Ascending ranges of whole pages, each once; the image itself was written before the guest ran."""
    machine = stopping(fill(DATA, DATA + 3 * PAGE), STOP, fill(DATA + 8 * PAGE - 8, DATA + 8 * PAGE + 8), STOP)
    assert raw.BASE in pages(machine.dirty_pages())
    machine.run(timeout=5)
    assert machine.dirty_pages() == [(DATA, 3 * PAGE)]
    machine.run(timeout=5)
    assert machine.dirty_pages() == [(DATA + 7 * PAGE, 2 * PAGE)]
    assert machine.dirty_pages() == []


def test_what_the_host_writes(stopping):
    """By the machine's memory, and through a device's view; reading is no writing."""
    machine = stopping(STOP)
    machine.dirty_pages()
    machine.write(DATA + PAGE - 1, b"ab")
    machine.memory.view(DATA + 4 * PAGE, 8, is_written=True)
    machine.memory.view(DATA + 6 * PAGE, 8)
    machine.read(DATA + 6 * PAGE, 8)
    assert machine.dirty_pages() == [(DATA, 2 * PAGE), (DATA + 4 * PAGE, PAGE)]


def test_a_handler_may_look(stopping):
    """In the trap: what has been written up to there."""
    looks: list[list[tuple[int, int]]] = []
    words = fill(DATA, DATA + 8), STOP, fill(DATA + PAGE, DATA + PAGE + 8), STOP, raw.psci(raw.SYSTEM_OFF)
    machine = stopping(*words, handler=lambda _vcpu: looks.append(machine.dirty_pages()))
    machine.dirty_pages()
    assert machine.run(timeout=5).ok
    assert looks == [[(DATA, PAGE)], [(DATA + PAGE, PAGE)]]


def test_rings_are_written_by_their_queues():
    """A used ring is a view that is kept, so each entry says that it has been written."""

    class Ram:
        def __init__(self):
            self.bytes, self.noted = bytearray(4 * PAGE), set()

        def view(self, address, size, *, is_written=False):
            return memoryview(self.bytes)[address : address + size]

    ram = Ram()
    queue = Virtqueue(ram, 8)
    queue.desc, queue.driver, queue.device = 0, PAGE, 2 * PAGE
    queue.enable()
    assert not ram.noted
    ram.bytes[8:12] = (16).to_bytes(4, "little")
    ram.bytes[PAGE + 2] = 1
    chain = queue.pop()
    assert not ram.noted
    queue.push(chain, 0)
    assert ram.noted == {(2 * PAGE, 6 + 8 * 8)}


def test_a_disk_writes_what_it_reads(tmp_path):
    """The buffers and the used ring of a request, and nothing that was only read."""
    disk = tmp_path / "disk"
    disk.write_bytes(b"\xa5" * MIB)
    image = tmp_path / "image.bin"
    image.write_bytes(raw.image(raw.FOREVER))
    with Machine(image, memory=MEMORY, disks=(disk,), virtio_version=2) as machine:
        slot = next(
            slot for slot in machine.board.slots if getattr(slot.device, "queues", None) and slot.device.read(8, 4) == 2
        )
        device, base = slot.device, DATA
        header, status, buffer = base + 3 * PAGE, base + 4 * PAGE, base + 5 * PAGE
        memory = machine.memory
        descriptors = ((header, 16, 1, 1), (buffer, 2 * PAGE, 3, 2), (status, 1, 2, 0))
        for index, (address, size, flags, following) in enumerate(descriptors):
            entry = address.to_bytes(8, "little") + size.to_bytes(4, "little")
            memory.write(base + 16 * index, entry + flags.to_bytes(2, "little") + following.to_bytes(2, "little"))
        memory.write(base + PAGE + 2, (1).to_bytes(2, "little"))
        for step in (1, 3):
            device.write(0x70, 4, step)
        device.write(0x24, 4, 1)
        device.write(0x20, 4, 1)
        device.write(0x70, 4, 11)
        device.write(0x38, 4, 8)
        for offset, address in ((0x80, base), (0x90, base + PAGE), (0xA0, base + 2 * PAGE)):
            device.write(offset, 4, address)
        device.write(0x44, 4, 1)
        machine.dirty_pages()
        device.write(0x70, 4, 15)
        device.write(0x50, 4, 0)
        assert machine.read(buffer, 2) == b"\xa5\xa5"
        assert pages(machine.dirty_pages()) == {base + 2 * PAGE, status, buffer, buffer + PAGE}


@pytest.mark.parametrize("clock", ["host", "instructions"])
def test_everything_that_is_no_zero_has_been_written(clock):
    """Of a guest with four CPUs, MMU and interrupts, at many moments."""
    with Machine("guests/bin/smp.elf", cpus=4, memory=MEMORY, clock=clock) as machine:
        for _ in range(5):
            machine.run(max_instructions=160_000)
            rest = bytearray(machine.memory.ram)
            for start, end in machine.memory.dirty.used():
                rest[start:end] = bytes(end - start)
            assert rest.count(0) == len(rest)


# --- snapshots ------------------------------------------------------------------------------------------------


def contents(path) -> bytes:
    snapshot = snapshot_file.load(path)
    data = snapshot.ram.read(0, snapshot.ram.size)
    snapshot.close()
    return data


def test_a_snapshot_of_what_came_from_a_file_has_all_of_it(stopping, tmp_path):
    """Also what the host has dropped from its memory since, because nobody has looked at it."""
    words = fill(DATA, DATA + 16 * MIB), STOP, fill(DATA + MIB, DATA + MIB + PAGE), STOP
    first, second = tmp_path / "first", tmp_path / "second"
    machine = stopping(*words)
    machine.run(timeout=10)
    snapshot_file.save(machine.snapshot(), first)
    before = contents(first)
    assert before[DATA - RAM + MIB : DATA - RAM + MIB + 8] == (DATA + MIB).to_bytes(8, "little")
    other = stopping(*words, snapshot=first)
    fd = os.open(first, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
    other.write(DATA + 2 * MIB, b"changed!")
    snapshot_file.save(other.snapshot(), second)
    expected = bytearray(before)
    expected[DATA - RAM + 2 * MIB : DATA - RAM + 2 * MIB + 8] = b"changed!"
    assert contents(second) == expected


def test_snapshots_of_snapshots(stopping):
    """Written, saved, restored, written, saved: each has all of its own moment, and nothing that was given up."""
    machine = stopping(*(part for n in range(4) for part in (fill(DATA + n * MIB, DATA + n * MIB + 8 * PAGE), STOP)))
    moments = []
    for n in range(4):
        machine.run(timeout=5)
        snapshot = machine.snapshot()
        moments.append((snapshot, bytes(machine.memory.ram)))
        if n == 1:
            machine.restore(moments[0][0])
            assert bytes(machine.memory.ram) == moments[0][1]
    for snapshot, ram in reversed(moments):
        machine.restore(snapshot)
        again = machine.snapshot()
        assert bytes(machine.memory.ram) == ram == again.ram.read(0, again.ram.size)


def test_a_return_writes_what_it_replaces(stopping):
    """For `dirty_pages` as for whoever keeps a copy: what was there, and what is there now."""
    machine = stopping(fill(DATA, DATA + 8), STOP, fill(DATA + PAGE, DATA + PAGE + 8), STOP)
    machine.run(timeout=5)
    snapshot = machine.snapshot()
    machine.run(timeout=5)
    machine.dirty_pages()
    machine.restore(snapshot)
    assert {DATA, DATA + PAGE, raw.BASE} <= pages(machine.dirty_pages())
    machine.run(timeout=5)
    assert machine.dirty_pages() == [(DATA + PAGE, PAGE)]


def test_reading_what_is_empty_makes_no_snapshot_larger(stopping):
    """A read of a hole takes memory in some file systems, and is still nothing that was written."""
    machine = stopping(STOP)
    machine.restore(machine.snapshot())
    assert not any(machine.memory.ram[MEMORY - MIB :])
    used = sum(end - start for start, end in machine.memory.dirty.used())
    machine.restore(machine.snapshot())
    assert sum(end - start for start, end in machine.memory.dirty.used()) == used < MIB


class Log:
    """An engine's memory that has been written as a test says."""

    def __init__(self):
        self.bits = 0

    def track_dirty(self, address, size):
        assert (address, size) == (RAM, 64 * PAGE)

    def take_dirty(self):
        bits, self.bits = self.bits, 0
        return bits.to_bytes(8, "little")


@pytest.mark.parametrize(
    ("bits", "ranges"),
    [
        (0, []),
        (1, [(RAM, PAGE)]),
        (1 << 63, [(RAM + 63 * PAGE, PAGE)]),
        ((1 << 64) - 1, [(RAM, 64 * PAGE)]),
        (0b1101_1000, [(RAM + 3 * PAGE, 2 * PAGE), (RAM + 6 * PAGE, 2 * PAGE)]),
    ],
)
def test_a_bitmap_as_ranges(bits, ranges):
    log = Log()
    dirty = DirtyPages(log, RamLayout(RAM, 64 * PAGE), set())
    log.bits = bits
    assert (dirty.take(), dirty.take()) == (ranges, [])


def test_two_who_ask_take_nothing_from_each_other():
    """A snapshot looks at all, and `take` at what is new; ranges that devices have noted are in both."""
    log, noted = Log(), {(RAM + 9 * PAGE - 1, 2)}
    dirty = DirtyPages(log, RamLayout(RAM, 64 * PAGE), noted)
    log.bits = 1
    assert dirty.used() == [(0, PAGE), (8 * PAGE, 10 * PAGE)]
    assert (dirty.take(), noted) == ([(RAM, PAGE), (RAM + 8 * PAGE, 2 * PAGE)], set())
    log.bits = 2
    assert (dirty.take(), dirty.used()) == ([(RAM + PAGE, PAGE)], [(0, 2 * PAGE), (8 * PAGE, 10 * PAGE)])
