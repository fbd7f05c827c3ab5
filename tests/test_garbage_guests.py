"""Guests that write garbage to every device of the board, or build virtqueues that make no sense: no harm is done.

Real guests on the whole machine, where tests/devices has the same for each device alone.
"""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack
from struct import pack

import pytest
from raw_guest import ERET, SYSTEM_OFF, add, branch, flat, image, load, mov, mrs, msr, psci, set_vectors, store

from armvcpu import Machine
from armvcpu.machine.board.virt import RAM_BASE, VIRTIO_BASE, VIRTIO_STRIDE

CONTENTS = random.Random(1).randbytes(64 * 512)
MIB = 1 << 20
SKIP = [mrs(10, "ELR_EL1"), add(10, 10, 4), msr("ELR_EL1", 10), ERET]
"""A vector that goes on behind an access which aborted."""
CODE = 0x1000
"""Offset of what is executed, behind the vectors."""
RINGS = RAM_BASE + 16 * MIB
BOARDS = [(gic, version) for gic in (2, 3) for version in (1, 2)]
every_board = pytest.mark.parametrize(("gic", "version"), BOARDS, ids=str)


def guest(*words: int | list[int]) -> bytes:
    """A guest that executes the words and powers off; what aborts is passed over."""
    start = flat(set_vectors())
    start.append(branch(CODE // 4 - len(start)))
    code = flat(*words, psci(SYSTEM_OFF))
    return image(start, vector=SKIP).ljust(CODE, b"\0") + pack(f"<{len(code)}I", *code)


@pytest.fixture
def boot(tmp_path):
    """Makes a machine with two disks, one read-only, a network and a virtio console; both disks stay as they are.

    The next one takes the place of the last one.
    """
    disks = [tmp_path / "disk", tmp_path / "read-only"]
    for disk in disks:
        disk.write_bytes(CONTENTS)
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket(socket.AF_UNIX))
        server.bind(str(tmp_path / "net"))
        server.listen()

        machines = stack.enter_context(ExitStack())

        def boot(data: bytes, **options) -> Machine:
            machines.close()
            (tmp_path / "guest.bin").write_bytes(data)
            plugged = {"disks": (disks[0], f"{disks[1]},ro"), "networks": (f"unix:{tmp_path}/net",)}
            machine = Machine(tmp_path / "guest.bin", virtio_console=True, memory=64 * MIB, **plugged, **options)
            return machines.enter_context(machine)

        yield boot
    assert [disk.read_bytes() == CONTENTS for disk in disks] == [True, True]


def a_value(rng: random.Random) -> int:
    """What a driver might write, and what it must not."""
    sensible = (0, 1, 2, 4, 8, 15, 0x1000, 0xFFFF_FFFF, RINGS, RINGS // 0x1000, rng.getrandbits(5))
    return rng.choice((*sensible, rng.getrandbits(64)))


def garbage(machine_slots, rng: random.Random, count: int) -> list[int]:
    """Stores and loads of every width all over the devices, most of them at the registers."""
    words = []
    for _ in range(count):
        slot = rng.choice(machine_slots)
        offset, width = (
            rng.randrange(min(slot.size, rng.choice((0x100, 0x1000, slot.size)))),
            rng.choice((1, 2, 4, 4, 8)),
        )
        access = store if rng.random() < 0.8 else load
        words += [*mov(0, slot.base + offset // width * width), *mov(1, a_value(rng)), access(1, 0, width)]
    return words


@every_board
def test_garbage_in_every_register_of_the_board(boot, gic, version):
    """The run ends as runs end, not with an exception of ours; the guest gets through it."""
    slots = boot(guest(), gic=gic, virtio_version=version).board.slots
    others = [slot for slot in slots if not slot.name.startswith("virtio")]
    plugged = [slot for slot in slots if slot.name.startswith("virtio")][-6:]
    for seed in range(3):
        words = garbage([*others, *plugged * 4], random.Random(seed), 4000)
        machine = boot(guest(words), gic=gic, virtio_version=version)
        outcome = machine.run(timeout=20)
        assert outcome.status == 0, outcome


def set_up_queue(version: int, slot: int, queue: int, status: int) -> list[int]:
    """Use the queue of 8 entries at RINGS, as a driver does, and notify; then read `Status` into x20 (4.2.2, 4.2.4)."""
    base = VIRTIO_BASE + slot * VIRTIO_STRIDE
    available, used = RINGS + 0x80, RINGS + 0x1000
    writes = [(0x70, 0), (0x28, 0x1000), (0x70, 3), (0x14, 0)]
    if version == 2:
        writes += [(0x24, 1), (0x20, 1), (0x70, 11)]
    writes += [(0x30, queue), (0x38, 8)]
    if version == 2:
        writes += [(0x80, RINGS), (0x90, available), (0xA0, used), (0x44, 1)]
    else:
        writes += [(0x3C, 0x1000), (0x40, RINGS // 0x1000)]
    writes += [(0x70, status), (0x50, queue)]
    words = [[*mov(0, base + offset), *mov(1, value), store(1, 0, 4)] for offset, value in writes]
    return flat(*words, mov(0, base + 0x70), load(20, 0, 4))


CIRCLES = {
    "one descriptor that follows itself": [(RINGS + 0x2000, 16, 1, 0)],
    "two that follow each other": [(RINGS + 0x2000, 16, 1, 1), (RINGS + 0x2000, 512, 1, 0)],
    "a descriptor beyond the table": [(RINGS + 0x2000, 16, 1, 8)],
    "an indirect table that was not negotiated": [(RINGS, 128, 4, 0)],
    "a buffer in no RAM": [(0x10_0000_0000, 16, 2, 0)],
    "a buffer beyond RAM": [(RAM_BASE + 64 * MIB - 8, 16, 2, 0)],
    "a buffer in a device": [(VIRTIO_BASE, 16, 2, 0)],
}


@pytest.mark.parametrize("descriptors", CIRCLES.values(), ids=CIRCLES)
@pytest.mark.parametrize("version", [1, 2], ids=["legacy", "modern"])
def test_senseless_virtqueues_are_refused(boot, version, descriptors):
    """DEVICE_NEEDS_RESET in every device's Status (VIRTIO 1.2, 2.1.2), and the guest goes on."""
    for slot, queue in zip(range(31, 26, -1), (0, 0, 1, 1, 0), strict=True):  # disks, network, console, entropy
        machine = boot(guest(set_up_queue(version, slot, queue, status=15)), virtio_version=version)
        table = b"".join(pack("<QIHH", *descriptor) for descriptor in descriptors)
        machine.write(RINGS, table)
        machine.write(RINGS + 0x80, pack("<HHH", 0, 1, 0))
        outcome = machine.run(timeout=20)
        assert (outcome.status, machine.vcpu.gpr(20) & 0x40) == (0, 0x40), slot
