"""The split virtqueue (VIRTIO 1.2, 2.7): chains, indirect tables, event index, and every rule a driver may break."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from virtio_driver import BASE, INDIRECT, NEXT, SIZE, WRITE, Queue, Ram

from armvcpu.devices.budget import Budget
from armvcpu.devices.dma import DmaError
from armvcpu.devices.virtio.queue import QueueError, Virtqueue, after, before, gather, length_of, scatter

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = BASE + 0x8000
TABLE = BASE + 0xC000


class Bench:
    """Both sides of one queue of four entries, of at most eight."""

    def __init__(self, *, indirect: bool = True, event_index: bool = False) -> None:
        self.ram = Ram()
        self.driver = Queue(self.ram, BASE, 4)
        self.device = Virtqueue(self.ram, 8)
        self.device.indirect, self.device.event_index = indirect, event_index
        self.place()
        self.device.enable()

    def place(self) -> None:
        self.device.size = self.driver.size
        self.device.desc, self.device.driver = self.driver.desc, self.driver.driver
        self.device.device = self.driver.device


@pytest.fixture
def bench() -> Bench:
    return Bench()


def shape(queue: Virtqueue) -> list[tuple[int, list[int], list[int]]]:
    """Heads and buffer lengths of the chains that wait."""
    return [(c.head, [len(b) for b in c.readable], [len(b) for b in c.writable]) for c in queue.chains(Budget())]


def test_a_chain_has_readable_then_writable_buffers(bench: Bench) -> None:
    """The buffers are guest memory itself (2.7.4.2, 2.7.5)."""
    bench.driver.add((DATA, 3, 0), (DATA + 16, 5, 0), (DATA + 32, 7, WRITE))
    chain = bench.device.pop()
    assert chain is not None
    assert [len(b) for b in chain.readable] == [3, 5]
    chain.writable[0][0] = 0x5A
    assert bench.ram.read(DATA + 32, 1) == b"\x5a"


def test_chains_come_in_the_order_of_the_available_ring(bench: Bench) -> None:
    """The ring, not the table, gives the order (2.7.6)."""
    bench.driver.describe(0, DATA, 1)
    bench.driver.describe(3, DATA, 2)
    bench.driver.offer(3)
    bench.driver.offer(0)
    assert shape(bench.device) == [(3, [2], []), (0, [1], [])]
    assert bench.device.pop() is None


def test_the_indices_wrap(bench: Bench) -> None:
    """Ring positions are taken modulo the size, indices modulo 2**16 (2.7.6, 2.7.8)."""
    for turn in range(0x10000 + 3):
        head = bench.driver.add((DATA, 1, WRITE))
        chain = bench.device.pop()
        assert chain is not None
        bench.device.push(chain, turn)
        assert bench.driver.used() == [(head, turn)]


def test_an_indirect_table_holds_the_chain(bench: Bench) -> None:
    """One descriptor of the queue, more of them in the table (2.7.5.3)."""
    bench.driver.add_indirect(TABLE, *[(DATA, 1, 0)] * 5, (DATA, 9, WRITE))
    assert shape(bench.device) == [(0, [1] * 5, [9])]


def test_the_last_descriptor_of_a_chain_may_be_indirect(bench: Bench) -> None:
    """Direct buffers before an indirect table are allowed for the device (2.7.5.3.2)."""
    bench.ram.put("<QIHH", TABLE, DATA, 6, WRITE, 0)
    bench.driver.add((DATA, 5, 0), (TABLE, 16, INDIRECT))
    assert shape(bench.device) == [(0, [5], [6])]


MALFORMED = {
    "head out of range": ("descriptor 4 in a table of 4", lambda q: q.offer(4)),
    "next out of range": ("descriptor 4 in", lambda q: (q.describe(0, DATA, 1, NEXT, 4), q.offer(0))),
    "chain to itself": ("circular", lambda q: (q.describe(0, DATA, 1, NEXT, 0), q.offer(0))),
    "circular chain": (
        "circular",
        lambda q: ([q.describe(i, DATA, 1, NEXT, (i + 1) % 4) for i in range(4)], q.offer(0)),
    ),
    "no bytes": ("no bytes", lambda q: q.add((DATA, 0, 0))),
    "readable after writable": ("comes after", lambda q: q.add((DATA, 1, WRITE), (DATA, 1, 0))),
    "below RAM": ("not all RAM", lambda q: q.add((0, 1, 0))),
    "ends beyond RAM": ("not all RAM", lambda q: q.add((BASE + SIZE - 1, 2, WRITE))),
    "address overflow": ("not all RAM", lambda q: q.add(((1 << 64) - 1, 2, 0))),
    "4 GiB": ("not all RAM", lambda q: q.add((BASE, 0xFFFF_FFFF, WRITE))),
    "index too far ahead": ("5 ahead in a queue of 4", lambda q: q.ram.put("<H", q.driver + 2, 5)),
    "index behind": ("65535 ahead", lambda q: q.ram.put("<H", q.driver + 2, 0xFFFF)),
    "indirect and next": ("flags 0x5", lambda q: (q.describe(0, TABLE, 16, INDIRECT | NEXT, 1), q.offer(0))),
    "indirect in indirect": ("inside", lambda q: q.add_indirect(TABLE, (TABLE, 16, INDIRECT))),
    "empty indirect table": ("and 0 bytes", lambda q: q.add((TABLE, 0, INDIRECT))),
    "half an entry": ("and 24 bytes", lambda q: q.add((TABLE, 24, INDIRECT))),
    "huge indirect table": ("not all RAM", lambda q: q.add((TABLE, 0xFFFF_FFF0, INDIRECT))),
    "indirect table outside RAM": ("not all RAM", lambda q: q.add((0x1000, 16, INDIRECT))),
    "too many buffers": ("more than 8 buffers", lambda q: q.add_indirect(TABLE, *[(DATA, 1, 0)] * 9)),
    "next beyond the indirect table": (
        "descriptor 1 in a table of 1",
        lambda q: (q.ram.put("<QIHH", TABLE, DATA, 1, NEXT, 1), q.add((TABLE, 16, INDIRECT))),
    ),
    "circular indirect table": (
        "circular",
        lambda q: (
            q.add_indirect(TABLE, (DATA, 1, 0), (DATA, 1, 0)),
            q.ram.put("<QIHH", TABLE + 16, DATA, 1, NEXT, 0),
        ),
    ),
}


@pytest.mark.parametrize(("message", "fault"), MALFORMED.values(), ids=MALFORMED)
def test_a_broken_rule_is_a_queue_error(bench: Bench, message: str, fault: Callable[[Queue], object]) -> None:
    """No other exception, no endless loop (2.7.4 to 2.7.6)."""
    fault(bench.driver)
    with pytest.raises(DmaError, match=message):
        shape(bench.device)


def test_an_indirect_table_must_be_negotiated() -> None:
    """The flag means an error without VIRTIO_F_INDIRECT_DESC (2.7.5.3.1)."""
    bench = Bench(indirect=False)
    bench.driver.add_indirect(TABLE, (DATA, 1, 0))
    with pytest.raises(QueueError, match="not negotiated"):
        bench.device.pop()


def test_a_chain_is_at_most_4_gib(bench: Bench) -> None:
    """Many descriptors of the same RAM do not make a longer chain (2.7.4.2)."""

    class HugeRam(Ram):
        def view(self, address: int, size: int, *, is_written: bool = False) -> memoryview:
            return memoryview(b"") if size == 0x8000_0000 else super().view(address, size)

    bench.device._memory = HugeRam()
    bench.driver.add(*[(BASE, 0x8000_0000, WRITE)] * 3)
    with pytest.raises(QueueError, match="4 GiB"):
        bench.device.pop()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("size", size) for size in (0, 3, 16, 1 << 31)),
        *(("desc", address) for address in (BASE + 8, BASE + SIZE - 48, 0, 1 << 63)),
        *(("driver", address) for address in (BASE + 1, BASE + SIZE - 12)),
        *(("device", address) for address in (BASE + 2, BASE + SIZE - 36)),
    ],
)
def test_a_queue_in_an_impossible_place_is_not_enabled(bench: Bench, field: str, value: int) -> None:
    """Size, alignment, and all of each area in RAM (2.7)."""
    bench.device.disable()
    setattr(bench.device, field, value)
    with pytest.raises(DmaError):
        bench.device.enable()
    assert not bench.device.ready
    assert bench.device.pop() is None


def test_rings_over_each_other_do_not_make_work_forever(bench: Bench) -> None:
    """Where a used element lies on the available index, each chain given back makes another one available."""
    device = bench.device
    device.disable()
    device.size, device.driver, device.device = 1, BASE + 0x102, BASE + 0xFC
    device.enable()
    bench.driver.describe(0, DATA, 1, WRITE)
    bench.ram.put("<H", device.driver + 2, 1)
    taken = 0
    for chain in device.chains(Budget()):
        taken += 1
        device.push(chain, taken + 1)
        assert device.waiting() == 1
        if taken == 10:
            break
    assert taken == 1


@pytest.mark.parametrize(("flags", "expected"), [(0, True), (1, False)])
def test_the_driver_may_suppress_interrupts_by_flag(bench: Bench, flags: int, *, expected: bool) -> None:
    """VIRTQ_AVAIL_F_NO_INTERRUPT, without the event index (2.7.7.2)."""
    bench.driver.set_flags(flags)
    bench.driver.add((DATA, 1, WRITE))
    for chain in bench.device.chains(Budget()):
        bench.device.push(chain, 1)
    assert bench.device.wants_interrupt() is expected
    assert bench.device.wants_interrupt() is False


@pytest.mark.parametrize(("used_event", "expected"), [(0, True), (1, True), (2, False), (0xFFFF, False)])
def test_the_event_index_says_which_used_buffer_interrupts(used_event: int, *, expected: bool) -> None:
    """When the used index passes used_event; flags do not count (2.7.7.2, 2.7.10)."""
    bench = Bench(event_index=True)
    bench.driver.set_flags(1)
    bench.driver.set_used_event(used_event)
    for _ in range(2):
        bench.driver.add((DATA, 1, WRITE))
    for chain in bench.device.chains(Budget()):
        bench.device.push(chain, 1)
    assert bench.device.wants_interrupt() is expected


def test_the_event_index_asks_for_the_next_notification() -> None:
    """avail_event is the first entry that the device has not taken (2.7.10)."""
    bench = Bench(event_index=True)
    for count in range(1, 7):
        bench.driver.add((DATA, 1, WRITE))
        bench.device.pop()
        assert bench.driver.avail_event == count


def test_a_snapshot_continues_where_it_was(bench: Bench) -> None:
    """Indices included; the rings are in guest memory."""
    bench.driver.add((DATA, 1, WRITE))
    chain = bench.device.pop()
    assert chain is not None
    bench.device.push(chain, 1)
    other = Virtqueue(bench.ram, 8)
    other.load_state(bench.device.state())
    bench.driver.add((DATA, 2, 0))
    assert shape(other) == [(1, [2], [])]


BUFFERS = [memoryview(bytearray(b"abc")), memoryview(bytearray(b"d")), memoryview(bytearray(b"efgh"))]


@pytest.mark.parametrize("count", range(10))
def test_buffers_are_cut_at_any_byte(count: int) -> None:
    """What is before and what is after a place, without empty buffers."""
    assert gather(BUFFERS, count) == b"abcdefgh"[:count]
    assert b"".join(before(BUFFERS, count)) == b"abcdefgh"[:count]
    assert b"".join(after(BUFFERS, count)) == b"abcdefgh"[count:]
    assert all(len(b) for b in before(BUFFERS, count) + after(BUFFERS, count))


def test_scatter_stops_where_the_room_ends() -> None:
    """Only as much as fits, and it says how much."""
    room = [memoryview(bytearray(3)), memoryview(bytearray(4))]
    assert scatter(room, b"12345") == 5
    assert b"".join(room) == b"12345\0\0"
    assert (scatter(room, bytes(9)), length_of(room)) == (7, 7)
