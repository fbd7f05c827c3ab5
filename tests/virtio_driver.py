"""A small virtio-mmio driver for the device tests, written from VIRTIO 1.2 without using the device's own code.

It builds its rings in a bytearray that stands for RAM, in either register layout, and reads the used ring back.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Literal

from armvcpu.devices.deadline import NEVER, Schedule
from armvcpu.devices.dma import BadAddress
from armvcpu.devices.virtio.layouts import virtio_slot
from armvcpu.devices.wires import Wires

if TYPE_CHECKING:
    from armvcpu.devices.virtio.device import VirtioDevice

BASE, SIZE = 0x4000_0000, 0x10_0000
PAGE = 4096
NEXT, WRITE, INDIRECT = 1, 2, 4
F_INDIRECT, F_EVENT_IDX, F_VERSION_1 = 1 << 28, 1 << 29, 1 << 32
NEEDS_RESET = 0x40
Version = Literal[1, 2]


class Ram:
    """One mebibyte at 0x4000_0000, or more."""

    def __init__(self, size: int = SIZE) -> None:
        self.bytes = bytearray(size)
        self.noted: set[tuple[int, int]] = set()

    def view(self, address: int, size: int, *, is_written: bool = False) -> memoryview:
        if not BASE <= address <= address + size <= BASE + len(self.bytes):
            raise BadAddress(address, size)
        return memoryview(self.bytes)[address - BASE : address - BASE + size]

    def get(self, layout: str, address: int) -> tuple[int, ...]:
        return struct.unpack_from(layout, self.bytes, address - BASE)

    def put(self, layout: str, address: int, *values: int) -> None:
        struct.pack_into(layout, self.bytes, address - BASE, *values)

    def read(self, address: int, size: int) -> bytes:
        return bytes(self.view(address, size))


class Queue:
    """The driver's side of one queue: its areas one after the other from a page on, as the legacy layout has them."""

    def __init__(self, ram: Ram, place: int, size: int, *, event_index: bool = False) -> None:
        self.ram, self.size, self.event_index = ram, size, event_index
        self.desc = place
        self.driver = place + 16 * size
        self.device = (self.driver + 6 + 2 * size + PAGE - 1) // PAGE * PAGE
        end = self.device + 6 + 8 * size
        ram.view(place, end - place)[:] = bytes(end - place)
        self.added = self.seen = self.free = 0

    def describe(self, index: int, address: int, length: int, flags: int = 0, following: int = 0) -> None:
        """Write one descriptor of the table."""
        self.ram.put("<QIHH", self.desc + 16 * index, address, length, flags, following)

    def offer(self, head: int) -> None:
        """Put a chain into the available ring."""
        self.ram.put("<H", self.driver + 4 + 2 * (self.added % self.size), head)
        self.added = (self.added + 1) % 0x10000
        self.ram.put("<H", self.driver + 2, self.added)

    def add(self, *buffers: tuple[int, int, int]) -> int:
        """Offer a chain of (address, length, flags: 0 or WRITE); its head."""
        slots = [(self.free + i) % self.size for i in range(len(buffers))]
        self.free = (slots[-1] + 1) % self.size
        for i, (slot, (address, length, flags)) in enumerate(zip(slots, buffers, strict=True)):
            last = i == len(slots) - 1
            self.describe(slot, address, length, flags | (0 if last else NEXT), 0 if last else slots[i + 1])
        self.offer(slots[0])
        return slots[0]

    def add_indirect(self, table: int, *buffers: tuple[int, int, int]) -> int:
        """Offer the same chain through a table at `table`."""
        for i, (address, length, flags) in enumerate(buffers):
            more = NEXT if i < len(buffers) - 1 else 0
            self.ram.put("<QIHH", table + 16 * i, address, length, flags | more, i + 1)
        return self.add((table, 16 * len(buffers), INDIRECT))

    def used(self) -> list[tuple[int, int]]:
        """(head, bytes written) of the chains that came back since the last call."""
        (index,) = self.ram.get("<H", self.device + 2)
        came = []
        while self.seen != index:
            came.append(self.ram.get("<II", self.device + 4 + 8 * (self.seen % self.size)))
            self.seen = (self.seen + 1) % 0x10000
        return came  # type: ignore[return-value]

    @property
    def avail_event(self) -> int:
        return self.ram.get("<H", self.device + 4 + 8 * self.size)[0]

    def set_used_event(self, index: int) -> None:
        self.ram.put("<H", self.driver + 4 + 2 * self.size, index)

    def set_flags(self, flags: int) -> None:
        self.ram.put("<H", self.driver, flags)


class Driver:
    """A slot with a device in it, the RAM, and what the driver does to them."""

    def __init__(self, device: VirtioDevice, version: Version = 2) -> None:
        self.ram, self.version = Ram(), version
        self.levels: list[bool] = []
        self.schedule = Schedule()
        self.slot = virtio_slot(version, device, Wires(self.levels.append, memory=self.ram, schedule=self.schedule))
        self.queues: list[Queue] = []

    def __getitem__(self, offset: int) -> int:
        return self.slot.read(offset, 4)

    def __setitem__(self, offset: int, value: int) -> None:
        self.slot.write(offset, 4, value)

    def offered(self) -> int:
        words = []
        for word in (0, 1):
            self[0x14] = word
            words.append(self[0x10])
        return words[0] | words[1] << 32

    def accept(self, features: int) -> None:
        for word in (0, 1):
            self[0x24] = word
            self[0x20] = features >> 32 * word & 0xFFFF_FFFF

    def start(self, features: int = 0, sizes: tuple[int, ...] = (8,)) -> Driver:
        """All of the initialization (3.1.1), accepting only these features."""
        self.start_to_features(features)
        for number, size in enumerate(sizes):
            self.set_up(number, size, event_index=bool(features & F_EVENT_IDX))
        self[0x70] = self[0x70] | 4
        return self

    def start_to_features(self, features: int = 0) -> None:
        if self.version == 1:
            self[0x28] = PAGE
        self[0x70] = 0
        self[0x70] = 1
        self[0x70] = 3
        self.accept(features | (F_VERSION_1 if self.version == 2 else 0))
        if self.version == 2:
            self[0x70] = 11
            assert self[0x70] == 11

    def set_up(self, number: int, size: int, *, event_index: bool = False) -> Queue:
        """Place a queue; each has 0x4000 bytes."""
        queue = Queue(self.ram, BASE + 0x4000 * number, size, event_index=event_index)
        self[0x30] = number
        self[0x38] = size
        if self.version == 2:
            for register, address in ((0x80, queue.desc), (0x90, queue.driver), (0xA0, queue.device)):
                self[register], self[register + 4] = address & 0xFFFF_FFFF, address >> 32
            self[0x44] = 1
        else:
            self[0x3C] = PAGE
            self[0x40] = queue.desc // PAGE
        self.queues.append(queue)
        return queue

    def notify(self, number: int = 0) -> None:
        self[0x50] = number

    def turns(self) -> int:
        """Give the run loop its turn until the device has nothing left to do; how many it took."""
        count = 0
        while self.schedule.next() < NEVER:
            self.schedule.run_due(self.schedule.next())
            count += 1
        return count

    @property
    def broken(self) -> bool:
        return bool(self[0x70] & NEEDS_RESET)
