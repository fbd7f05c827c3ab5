"""The virtio network device (VIRTIO 1.2, 5.1), over a backend that only remembers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from virtio_driver import BASE, WRITE, Driver, Version

from armvcpu.devices.virtio.net import WAITING, VirtioNet

if TYPE_CHECKING:
    from armvcpu.devices.virtio.net import Station

DATA = BASE + 0x1_0000
RECEIVEQ, TRANSMITQ = 0, 1
F_MTU, F_MAC, F_STATUS = 1 << 3, 1 << 5, 1 << 16
FRAME = bytes(range(60))
HEADER = {1: bytes(10), 2: bytes(10) + b"\1\0"}
"""As received frames have it: num_buffers, 1, is in the modern one (5.1.6.1)."""


class Cable:
    """A backend whose frames the test sees."""

    station: Station

    def __init__(self) -> None:
        self.is_up = self.can_send = True
        self.sent, self.resumed = list[bytes](), 0

    def attach(self, station: Station) -> None:
        self.station = station

    def resume(self) -> None:
        self.resumed += 1

    def send(self, frame: bytes) -> None:
        self.sent.append(frame)


class Bench(Driver):
    """A network interface with eight buffers in each queue."""

    def __init__(self, version: Version = 2, *, starts: bool = True) -> None:
        self.cable = Cable()
        self.net = VirtioNet(self.cable, bytes.fromhex("020000000001"))
        super().__init__(self.net, version)
        if starts:
            self.start(F_MAC | F_STATUS | F_MTU, (8, 8))
        self.header = HEADER[version]

    def offer(self, size: int = 1526) -> None:
        self.queues[RECEIVEQ].add((DATA, size, WRITE))
        self.notify(RECEIVEQ)

    def send(self, data: bytes) -> None:
        self.ram.view(DATA, len(data))[:] = data
        self.queues[TRANSMITQ].add((DATA, len(data), 0))
        self.notify(TRANSMITQ)


@pytest.fixture(params=[1, 2], ids=["legacy", "modern"])
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(request.param)


def test_features_and_configuration(bench: Bench) -> None:
    """MAC, STATUS and MTU, no offload and no control queue (5.1.3, 5.1.4)."""
    assert bench.offered() & 0xFF_FFFF == F_MAC | F_STATUS | F_MTU
    assert bench.slot.device.config() == bytes.fromhex("020000000001 0100 0100 dc05")


def test_a_frame_is_sent_without_its_header(bench: Bench) -> None:
    """Whether or not the header has a buffer to itself (5.1.6.2)."""
    size = len(bench.header)
    bench.ram.view(DATA + 32, 60)[:] = FRAME
    bench.queues[TRANSMITQ].add((DATA, size, 0), (DATA + 32, 20, 0), (DATA + 52, 40, 0))
    bench.notify(TRANSMITQ)
    bench.send(bytes(size) + FRAME)
    assert bench.cable.sent == [FRAME, FRAME]
    assert bench.queues[TRANSMITQ].used() == [(0, 0), (3, 0)]


def test_a_modern_interface_waits_for_driver_ok() -> None:
    """As on QEMU's board."""
    bench = Bench(2, starts=False)
    bench.start_to_features(F_MAC)
    bench.set_up(RECEIVEQ, 8)
    bench.set_up(TRANSMITQ, 8)
    bench.send(bytes(len(bench.header)) + FRAME)
    assert bench.cable.sent == []
    bench[0x70] = 15
    assert bench.cable.sent == [FRAME]


@pytest.mark.parametrize("size", [0, 13, 0x1_0012])
def test_what_is_no_frame_is_not_sent(bench: Bench, size: int) -> None:
    """Too short for addresses and type, or longer than any frame."""
    bench.send(bench.header + bytes(size))
    assert (bench.cable.sent, len(bench.queues[TRANSMITQ].used())) == ([], 1)


def test_a_frame_without_a_header_needs_a_reset(bench: Bench) -> None:
    """The driver broke the format (2.1.2)."""
    bench.send(bytes(9))
    assert bench.broken


def test_a_frame_is_received_behind_a_header(bench: Bench) -> None:
    """No offload, one buffer (5.1.6.4)."""
    bench.offer()
    bench.cable.station.receive(FRAME)
    data = bench.header + FRAME
    assert bench.queues[RECEIVEQ].used() == [(0, len(data))]
    assert bench.ram.read(DATA, len(data)) == data
    assert bench.levels == [True]


def test_frames_wait_for_buffers_up_to_a_limit(bench: Bench) -> None:
    """What comes after that is dropped and counted."""
    for number in range(WAITING + 3):
        bench.cable.station.receive(number.to_bytes(2, "big") * 30)
    assert bench.net.dropped == 3
    for number in range(WAITING):
        bench.offer()
        assert bench.ram.read(DATA + len(bench.header), 2) == number.to_bytes(2, "big")
    bench.queues[RECEIVEQ].used()
    bench.offer()
    assert bench.queues[RECEIVEQ].used() == []


def test_a_frame_that_is_longer_than_the_buffer_is_dropped(bench: Bench) -> None:
    """The buffer comes back empty, and the next frame uses the next one."""
    bench.offer(len(bench.header) + 59)
    bench.offer(len(bench.header) + 60)
    for _ in range(2):
        bench.cable.station.receive(FRAME)
    assert bench.queues[RECEIVEQ].used() == [(0, 0), (1, len(bench.header) + 60)]
    assert bench.net.dropped == 1


def test_the_link_status_changes(bench: Bench) -> None:
    """With a configuration change interrupt (5.1.4.2)."""
    bench.cable.is_up = False
    bench.cable.station.link_changed()
    assert (bench.slot.read(0x106, 2), bench[0x60]) == (0, 2)


def test_a_reset_forgets_frames(bench: Bench) -> None:
    """They were for another driver."""
    bench.cable.station.receive(FRAME)
    bench.queues.clear()
    bench.start(sizes=(8, 8))
    bench.offer()
    assert bench.queues[RECEIVEQ].used() == []


def test_a_snapshot_keeps_the_frames_that_wait(bench: Bench) -> None:
    """In another device."""
    bench.cable.station.receive(FRAME)
    other = Bench()
    other.net.load_state(bench.net.state())
    other.offer()
    assert other.queues[RECEIVEQ].used() == [(0, 72)]


def test_a_flood_is_held_back_until_the_guest_takes_frames(bench: Bench) -> None:
    """Frames that nobody takes cost no time: the backend is told that there is no room, and when there is again."""
    while bench.cable.station.has_room():
        bench.cable.station.receive(FRAME)
    before = bench.cable.resumed
    bench.offer()
    assert (before, bench.cable.resumed, bench.cable.station.has_room(), bench.net.dropped) == (0, 1, True, 0)


def test_a_reset_makes_room(bench: Bench) -> None:
    """What waited is gone."""
    while bench.cable.station.has_room():
        bench.cable.station.receive(FRAME)
    bench.net.reset()
    assert (bench.cable.resumed, bench.cable.station.has_room()) == (1, True)


def test_what_the_network_does_not_take_stays_in_the_queue(bench: Bench) -> None:
    """Nothing of the guest's is lost, and no further notification is needed."""
    bench.cable.can_send = False
    bench.send(bench.header + FRAME)
    assert (bench.cable.sent, bench.queues[TRANSMITQ].used()) == ([], [])
    bench.cable.can_send = True
    bench.cable.station.drained()
    assert (bench.cable.sent, len(bench.queues[TRANSMITQ].used())) == ([FRAME], 1)
