"""The virtio console (VIRTIO 1.2, 5.3), and the host's side of the line."""

from __future__ import annotations

import pytest
from virtio_driver import BASE, F_INDIRECT, WRITE, Driver, Version

from armvcpu.devices.stream import Stream
from armvcpu.devices.virtio.console import HELD, VirtioConsole

DATA = BASE + 0x1_0000
RECEIVEQ, TRANSMITQ = 0, 1
TEXT = bytes(range(256)) * 64


class Bench(Driver):
    """A console, what it has sent, and a host that types."""

    def __init__(self, version: Version = 2) -> None:
        self.sent = bytearray()
        self.console = VirtioConsole(Stream(self.sent.append))
        super().__init__(self.console, version)
        self.typed = b""

    def type(self, text: bytes) -> None:
        self.typed += text
        self.console.stream.watch(self.feed)
        self.feed()

    def feed(self) -> None:
        self.typed = self.typed[self.console.receive(self.typed) :]

    def offer(self, size: int) -> None:
        self.queues[RECEIVEQ].add((DATA, size, WRITE))
        self.notify(RECEIVEQ)

    def taken(self) -> list[bytes]:
        return [self.ram.read(DATA, written) for _, written in self.queues[RECEIVEQ].used()]


@pytest.fixture(params=[1, 2], ids=["legacy", "modern"])
def bench(request: pytest.FixtureRequest) -> Bench:
    bench = Bench(request.param)
    bench.start(sizes=(8, 8))
    return bench


def test_features_and_configuration(bench: Bench) -> None:
    """EMERG_WRITE alone; one port (5.3.3, 5.3.4)."""
    assert bench.offered() & 0xFFFF == 4
    assert [bench[0x100 + offset] for offset in (0, 4, 8)] == [0, 1, 0]


def test_output(bench: Bench) -> None:
    """All buffers in order, returned with nothing written (5.3.6.2)."""
    bench.ram.view(DATA, 5)[:] = b"hello"
    bench.queues[TRANSMITQ].add((DATA, 2, 0), (DATA + 2, 3, 0))
    bench.notify(TRANSMITQ)
    assert (bench.sent, bench.queues[TRANSMITQ].used()) == (b"hello", [(0, 0)])


def test_a_modern_console_shows_before_driver_ok_and_takes_input_after_it() -> None:
    """As on QEMU's board, where VIRTIO 3.1.1 is kept for input only."""
    bench = Bench(2)
    bench.set_up(RECEIVEQ, 8)
    bench.set_up(TRANSMITQ, 8)
    bench.ram.view(DATA, 5)[:] = b"hello"
    bench.queues[TRANSMITQ].add((DATA, 5, 0))
    bench.notify(TRANSMITQ)
    assert (bench.sent, bench.queues[TRANSMITQ].used(), bench[0x60]) == (b"hello", [(0, 0)], 1)
    bench.offer(8)
    bench.type(b"typed")
    assert bench.taken() == []
    bench[0x70] = 15
    assert bench.taken() == [b"typed"]


def test_the_size_is_offered_once_it_is_known() -> None:
    """VIRTIO_CONSOLE_F_SIZE, and cols and rows (5.3.3, 5.3.4); without it they are zero."""
    console = VirtioConsole(Stream(int))
    driver = Driver(console)
    assert (driver.offered() & 1, driver.slot.read(0x100, 4)) == (0, 0)
    console.show_size(132, 43)
    driver.start(1, sizes=(8, 8))
    assert (console.negotiated & 1, driver.slot.read(0x100, 2), driver.slot.read(0x102, 2)) == (1, 132, 43)
    assert driver[0x60] == 0


def test_the_first_output_has_the_driver_read_the_size() -> None:
    """Linux' driver does so at a configuration change only, and its console is there when it prints."""
    console = VirtioConsole(Stream(int))
    console.show_size(80, 24)
    driver = Driver(console).start(1, sizes=(8, 8))
    for expected in (3, 1):
        driver.queues[TRANSMITQ].add((DATA, 1, 0))
        driver.notify(TRANSMITQ)
        assert driver[0x60] == expected
        driver[0x64] = expected


def test_a_change_of_size_interrupts() -> None:
    """By a configuration change, and only where it is one (4.2.2.2, 5.3.5)."""
    console = VirtioConsole(Stream(int))
    console.show_size(80, 24)
    driver = Driver(console).start(1, sizes=(8, 8))
    console.show_size(80, 24)
    assert driver[0x60] == 0
    console.show_size(100, 24)
    assert (driver[0x60], driver.slot.read(0x100, 2)) == (2, 100)


def test_a_large_output_is_shown_in_pieces() -> None:
    """The run loop has its turn between them: a guest cannot have the host show all of RAM at once."""
    pieces: list[int] = []

    class Pieces(Stream):
        def write(self, data: bytes) -> None:
            pieces.append(len(data))

    driver = Driver(VirtioConsole(Pieces(int))).start(sizes=(8, 8))
    driver.queues[TRANSMITQ].add((DATA, 0x2_0001, 0))
    driver.notify(TRANSMITQ)
    assert pieces == [0x4000] * 2
    assert driver.turns() == 4
    assert pieces == [0x4000] * 8 + [1]
    assert driver.queues[TRANSMITQ].used() == [(0, 0)]


def test_an_output_in_very_many_pieces_comes_to_its_end() -> None:
    """Finding its buffers alone takes more than one budget: something is shown each time all the same."""
    sent = bytearray()
    driver = Driver(VirtioConsole(Stream(sent.append))).start(F_INDIRECT, sizes=(8, 8))
    driver.queues[TRANSMITQ].add_indirect(DATA + 0x1000, *[(DATA, 40, 0)] * 1000)
    driver.notify(TRANSMITQ)
    assert driver.turns() == 3
    assert len(sent) == 40_000


def test_an_output_that_is_not_finished_goes_on_from_a_snapshot() -> None:
    """Each byte is shown once."""
    sent = bytearray()
    driver = Driver(VirtioConsole(Stream(sent.append))).start(sizes=(8, 8))
    text = bytes(range(256)) * 0x200
    driver.ram.view(DATA, len(text))[:] = text
    driver.queues[TRANSMITQ].add((DATA, len(text), 0))
    driver.notify(TRANSMITQ)
    other = Driver(VirtioConsole(Stream(sent.append)))
    other.ram.bytes[:] = driver.ram.bytes
    other.slot.load_state(driver.slot.state())
    other.turns()
    assert sent == text


def test_input_goes_into_waiting_buffers(bench: Bench) -> None:
    """At once, one buffer for what came together (5.3.6.1)."""
    bench.offer(16)
    assert bench.console.receive(b"ls\n") == 3
    assert bench.taken() == [b"ls\n"]
    assert bench.levels == [True]


def test_input_waits_for_buffers(bench: Bench) -> None:
    """Nothing is lost, nothing is duplicated, whatever size the buffers have."""
    bench.type(TEXT)
    assert len(bench.typed) == len(TEXT) - HELD
    got = b""
    for size in (1, 100, 4096, 7, 9000, 5000, 5000, 5000):
        bench.offer(size)
        got += b"".join(bench.taken())
    assert got == TEXT


def test_input_that_is_longer_than_the_device_holds_fills_all_buffers(bench: Bench) -> None:
    """`receive` goes on as long as there is room."""
    for _ in range(3):
        bench.offer(HELD)
    assert bench.console.receive(TEXT) == 4 * HELD
    assert [written for _, written in bench.queues[RECEIVEQ].used()] == [HELD] * 3


def test_a_host_that_feeds_when_there_is_room_delivers_each_character_once(bench: Bench) -> None:
    """`Stream.ready` is not called from within `receive`, whose caller still holds the input."""
    for _ in range(4):
        bench.offer(HELD)
    bench.type(TEXT)
    assert (bench.typed, [written for _, written in bench.queues[RECEIVEQ].used()]) == (b"", [HELD] * 4)


def test_input_outlasts_a_reset(bench: Bench) -> None:
    """A driver begins with a reset; what was typed before is for it."""
    bench.console.receive(b"early")
    bench.queues.clear()
    bench.start(sizes=(8, 8))
    bench.offer(16)
    assert bench.taken() == [b"early"]


@pytest.mark.parametrize("width", [1, 2, 4])
def test_emergency_write(bench: Bench, width: int) -> None:
    """One character, at any time, even after a reset (5.3.4, 5.3.5)."""
    bench[0x70] = 0
    bench.slot.write(0x108, width, ord("!"))
    bench.slot.write(0x100, width, ord("?"))
    assert bench.sent == b"!"


def test_an_input_buffer_must_be_writable(bench: Bench) -> None:
    """Otherwise the device could go through such buffers for ever (2.1.2)."""
    bench.queues[RECEIVEQ].add((DATA, 8, 0))
    assert bench.console.receive(b"x") == 1
    assert bench.broken


def test_a_snapshot_keeps_the_input_that_waits(bench: Bench) -> None:
    """In another console."""
    bench.console.receive(b"kept")
    other = Bench()
    other.start(sizes=(8, 8))
    other.console.load_state(bench.console.state())
    other.offer(16)
    assert other.taken() == [b"kept"]


def test_the_first_output_says_that_the_console_is_in_use(bench: Bench) -> None:
    """The host is asked for input then, and hears the same after a reset; buffers for input alone say nothing."""
    asked: list[bool] = []
    bench.console.stream.watch(lambda: asked.append(bench.console.is_in_use))
    bench.offer(16)
    assert (bench.console.is_in_use, bench.console.can_interrupt(), asked) == (False, False, [])
    for _ in range(2):
        bench.queues[TRANSMITQ].add((DATA, 1, 0))
        bench.notify(TRANSMITQ)
    assert (asked, bench.console.can_interrupt()) == ([True], True)
    bench[0x70] = 0
    assert not bench.console.is_in_use
