"""Drivers that write garbage: no exception, no endless loop, and nothing on the disk that was not a valid write."""

from __future__ import annotations

import random
import socket
from typing import TYPE_CHECKING

import pytest
from virtio_driver import BASE, F_EVENT_IDX, F_INDIRECT, INDIRECT, NEXT, SIZE, WRITE, Driver, Version

from armvcpu.devices.stream import Stream
from armvcpu.devices.virtio.block import VirtioBlock
from armvcpu.devices.virtio.console import VirtioConsole
from armvcpu.devices.virtio.disk import DiskImage
from armvcpu.devices.virtio.entropy import VirtioEntropy
from armvcpu.devices.virtio.net import VirtioNet
from armvcpu.devices.virtio.socket_backend import SocketBackend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from armvcpu.devices.virtio.device import VirtioDevice
    from armvcpu.devices.virtio.net import Station

CONTENTS = random.Random(0).randbytes(64 * 512)
REGISTERS = (0x14, 0x20, 0x24, 0x28, 0x30, 0x38, 0x3C, 0x40, 0x44, 0x50, 0x64, 0x70, 0x80, 0x84, 0x90, 0x94, 0xA0, 0xA4)


class NoCable:
    is_up = can_send = True

    def attach(self, station: Station) -> None:
        """Nothing comes."""

    def resume(self) -> None:
        """Nothing waits."""

    def send(self, frame: bytes) -> None:
        assert 14 <= len(frame) <= 0x1_0011


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[DiskImage]:
    path = tmp_path / "disk.img"
    path.write_bytes(CONTENTS)
    with DiskImage(path) as disk:
        yield disk
    assert path.stat().st_size == len(CONTENTS)


def devices(disk: DiskImage) -> list[VirtioDevice]:
    console = VirtioConsole(Stream(lambda _byte: None))
    console.receive(bytes(1000))
    net = VirtioNet(NoCable())
    net.receive(bytes(60))
    return [VirtioBlock(disk), console, net, VirtioEntropy()]


def a_value(rng: random.Random) -> int:
    """What a driver might write, and what it must not."""
    return rng.choice((0, 1, 2, 4, 8, 11, 15, 16, 0x1000, rng.getrandbits(6), BASE + rng.randrange(SIZE), BASE // 4096,
                       0xFFFF_FFFF, rng.getrandbits(32)))  # fmt: skip


def some_garbage(driver: Driver, rng: random.Random) -> None:
    """Descriptors that are nearly right, in an area that rings, tables and buffers share."""
    for _ in range(40):
        address = BASE + rng.randrange(0, 0x3000, rng.choice((2, 16)))
        target = rng.choice((BASE + rng.randrange(SIZE), BASE + rng.randrange(0x3000), rng.getrandbits(64)))
        length = rng.choice((0, 1, 16, 32, 512, 513, 4096, rng.getrandbits(32)))
        flags = rng.choice((0, WRITE, NEXT, NEXT | WRITE, INDIRECT, rng.getrandbits(16)))
        driver.ram.put("<QIHH", address, target, length, flags, rng.randrange(9))
    driver.ram.put("<H", BASE + 128 + 2, rng.randrange(9))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_garbage_in_registers(disk: DiskImage, tmp_path: Path, version: Version, seed: int) -> None:
    """Any value in any register, over RAM in which no ring makes sense."""
    for device in devices(disk):
        rng, driver = random.Random(seed), Driver(device, version)
        for _ in range(1500):
            offset = rng.choice(REGISTERS) if rng.random() < 0.9 else rng.randrange(0x200)
            driver.slot.write(offset, width := rng.choice((1, 2, 4, 4, 4, 8)), a_value(rng) & (1 << 8 * width) - 1)
            assert driver.slot.read(rng.randrange(0x200), 4) < 1 << 32
    assert (tmp_path / "disk.img").read_bytes() == CONTENTS


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_garbage_in_rings(disk: DiskImage, version: Version, seed: int) -> None:
    """A proper driver until its rings turn to garbage; after a reset the device works again."""
    for device in devices(disk):
        rng, driver = random.Random(seed), Driver(device, version)
        sizes = (8,) * len(device.QUEUE_SIZES)
        for _ in range(40):
            driver.queues.clear()
            driver.start(rng.choice((0, F_INDIRECT, F_INDIRECT | F_EVENT_IDX)), sizes)
            for _ in range(3):
                some_garbage(driver, rng)
                driver.notify(rng.randrange(len(sizes)))
            assert driver.slot.fault is None or driver.broken
        driver.queues.clear()
        assert not driver.start(sizes=sizes).broken


def test_rings_and_buffers_over_each_other(disk: DiskImage) -> None:
    """All three areas in the same 64 bytes, and requests that the device itself makes from random bytes."""
    for seed in range(100):
        driver = Driver(VirtioEntropy(random.Random(seed).randbytes))
        driver.start_to_features(F_INDIRECT | F_EVENT_IDX)
        for area in (0x80, 0x90, 0xA0):
            driver[area] = BASE
        driver[0x38], driver[0x44], driver[0x70] = 2, 1, 15
        driver.ram.put("<QIHH", BASE, BASE, 64, WRITE, 1)
        driver.notify()


def test_a_closed_network_is_no_trouble() -> None:
    """Frames go nowhere when the other side has left."""
    ours, peer = socket.socketpair()
    backend = SocketBackend(ours)
    driver = Driver(VirtioNet(backend)).start(sizes=(8, 8))
    peer.close()
    driver.queues[1].add((BASE + 0x1_0000, 100, 0))
    driver.notify(1)
    assert (driver.queues[1].used(), driver[0x60]) == ([(0, 0)], 3)
