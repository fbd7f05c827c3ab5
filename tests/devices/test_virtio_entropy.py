"""The virtio entropy device (VIRTIO 1.2, 5.4)."""

from __future__ import annotations

import random

import pytest
from virtio_driver import BASE, WRITE, Driver, Version

from armvcpu.devices.virtio.entropy import VirtioEntropy

DATA = BASE + 0x1_0000


@pytest.mark.parametrize("version", [1, 2])
def test_buffers_are_filled_from_the_source(version: Version) -> None:
    """In order, however they are cut (5.4.6)."""
    driver = Driver(VirtioEntropy(random.Random(1).randbytes), version).start()
    driver.queues[0].add((DATA, 3, WRITE), (DATA + 3, 30, WRITE))
    driver.queues[0].add((DATA + 33, 7, WRITE))
    driver.notify()
    again = random.Random(1).randbytes
    assert driver.queues[0].used() == [(0, 33), (2, 7)]
    assert driver.ram.read(DATA, 41) == again(33) + again(7) + b"\0"


def test_a_modern_source_waits_for_driver_ok() -> None:
    """As on QEMU's board, which has no such rule for FEATURES_OK."""
    driver = Driver(VirtioEntropy(), 2)
    driver[0x70] = 3
    queue = driver.set_up(0, 8)
    queue.add((DATA, 8, WRITE))
    driver.notify()
    assert queue.used() == []
    driver[0x70] = 7
    assert queue.used() == [(0, 8)]


def test_the_host_is_the_source_unless_told_otherwise() -> None:
    """Two fillings differ."""
    driver = Driver(VirtioEntropy()).start()
    driver.queues[0].add((DATA, 32, WRITE))
    driver.queues[0].add((DATA + 32, 32, WRITE))
    driver.notify()
    assert driver.ram.read(DATA, 32) != driver.ram.read(DATA + 32, 32)


def test_a_huge_request_is_answered_in_part() -> None:
    """No more is made at once than the device says (5.4.6.2 allows it)."""
    asked: list[int] = []
    driver = Driver(VirtioEntropy(lambda size: asked.append(size) or bytes(size))).start()  # type: ignore[func-returns-value]
    driver.queues[0].add(*[(DATA, 0x8_0000, WRITE)] * 3)
    driver.notify()
    assert (driver.queues[0].used(), asked) == ([(0, 0x1_0000)], [0x1_0000])


def test_a_request_without_room_comes_back_empty() -> None:
    """Nothing is written."""
    driver = Driver(VirtioEntropy()).start()
    driver.queues[0].add((DATA, 8, 0))
    driver.notify()
    assert (driver.queues[0].used(), driver.broken) == ([(0, 0)], False)
