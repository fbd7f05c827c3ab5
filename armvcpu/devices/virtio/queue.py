"""The split virtqueue, device side: Virtual I/O Device (VIRTIO) 1.2, section 2.7.

    descriptor area   size * (address 64, length 32, flags 16, next 16)     written by the driver
    driver area       flags, idx, size * head, used_event     ("available") written by the driver
    device area       flags, idx, size * (id 32, length 32), avail_event    written by the device ("used")

Everything the driver wrote is checked before it is used, and what breaks a rule is a `QueueError`: the transport
then asks for a reset. The rings may lie anywhere in RAM, even over each other or under a buffer, so a driver can
change its own rings through the device; therefore each walk is bounded by counts taken before it begins, and what one
notification does by a `Budget` (devices/budget.py). A request that is not finished with it stays in the available ring.
"""

from __future__ import annotations

import struct

from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.devices.dma import DmaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from armvcpu.devices.budget import Budget
    from armvcpu.devices.dma import DmaMemory

    Heard = Callable[[int, int | None], None]

DESCRIPTOR = struct.Struct("<QIHH")
U16 = struct.Struct("<H")
USED_ELEMENT = struct.Struct("<II")

VIRTQ_DESC_F_NEXT, VIRTQ_DESC_F_WRITE, VIRTQ_DESC_F_INDIRECT = 1, 2, 4
VIRTQ_AVAIL_F_NO_INTERRUPT = 1
MAX_SIZE = 1024
"""Entries of a queue, and buffers of a chain, at most: what QEMU's board offers for every queue of every device."""
MAX_CHAIN_BYTES = 1 << 32
"""A chain describes at most this many bytes (2.7.4.2)."""
WALK_COST = 4096
"""Units of a budget that one descriptor costs, beside its bytes."""


class QueueError(DmaError):
    """The driver broke a rule of the virtqueue or of the request in it; `str()` says which."""


class Chain(Row):
    """A descriptor chain: the buffers of one request, of which the readable ones come first (2.7.4.2).

    `writable` is to be written by `put` and `target` only, which have the guest's memory hear of it.
    """

    head: int
    readable: list[memoryview]
    writable: list[memoryview]
    places: list[int]
    """The guest-physical addresses of the writable buffers."""
    memory: DmaMemory

    @property
    def cost(self) -> int:
        """What finding its buffers has cost, in units of a budget."""
        return WALK_COST * (len(self.readable) + len(self.writable))

    def put(self, data: bytes) -> int:
        """Fill the writable buffers from their start on; how many bytes fitted."""
        return scatter(self.target(0, len(data)), data)

    def target(self, start: int, count: int) -> list[memoryview]:
        """`count` bytes of the writable buffers, or what there is, from byte `start` on: they are written now."""
        found = []
        for address, buffer in zip(self.places, self.writable, strict=True):
            size = min(len(buffer) - start, count)
            if size > 0:
                found.append(self.memory.view(address + start, size, is_written=True))
                count -= size
                if not count:
                    break
            start = max(0, start - len(buffer))
        return found


def length_of(buffers: Sequence[memoryview]) -> int:
    """Bytes in all of the buffers."""
    return sum(map(len, buffers))


def before(buffers: Sequence[memoryview], count: int) -> list[memoryview]:
    """The first `count` bytes of the buffers, or as many as there are."""
    for position, buffer in enumerate(buffers):
        if count < len(buffer):
            return [*buffers[:position], buffer[:count]] if count else list(buffers[:position])
        count -= len(buffer)
    return list(buffers)


def after(buffers: Sequence[memoryview], count: int) -> list[memoryview]:
    """The buffers without their first `count` bytes."""
    for position, buffer in enumerate(buffers):
        if count < len(buffer):
            return [buffer[count:], *buffers[position + 1 :]]
        count -= len(buffer)
    return []


def gather(buffers: Sequence[memoryview], limit: int) -> bytes:
    """A copy of the first `limit` bytes."""
    return b"".join(before(buffers, limit))


def scatter(buffers: Sequence[memoryview], data: bytes) -> int:
    """Put data into the buffers; how many bytes fitted."""
    done = 0
    for buffer in before(buffers, len(data)):
        buffer[:] = data[done : done + len(buffer)]
        done += len(buffer)
    return done


class Virtqueue:
    """One queue of `size` entries, a power of two up to `maximum`, with its areas at `desc`, `driver` and `device`.

    `default` is its size as long as the driver has chosen none.
    """

    def __init__(self, memory: DmaMemory, maximum: int = MAX_SIZE, default: int | None = None) -> None:
        self._memory = memory
        self.maximum = maximum
        self._default = maximum if default is None else default
        self.event_index = self.indirect = False  # VIRTIO_F_EVENT_IDX, VIRTIO_F_INDIRECT_DESC negotiated
        self._heard: Heard | None = None
        self.served = 0
        """Chains given back since the machine was made."""
        self.reset()

    def reset(self) -> None:
        """Back to an unused queue; what was negotiated stays."""
        self.size = self._default
        self.desc = self.driver = self.device = 0
        self.disable()

    def disable(self) -> None:
        """Touch the rings no more; the next `enable` starts at index 0."""
        self.ready = False
        self._next = self._used = self._signalled = self._told = 0
        self._descriptors = self._available = self._used_ring = memoryview(b"")
        self._written = (0, 0)

    def enable(self) -> None:
        """Start using the rings.

        Raises:
            DmaError: the size or an area's place or alignment is not allowed (2.7).
        """
        size = self.size
        if not 0 < size <= self.maximum or size & (size - 1):
            raise QueueError(f"queue size {size} is not a power of two up to {self.maximum}")
        self._descriptors = self._area("descriptor", self.desc, 16 * size, 16)
        self._available = self._area("driver", self.driver, 6 + 2 * size, 2)
        self._used_ring = self._area("device", self.device, 6 + 8 * size, 4)
        self._written = self.device, 6 + 8 * size
        self.ready = True

    def _area(self, name: str, address: int, size: int, alignment: int) -> memoryview:
        if address % alignment:
            raise QueueError(f"{name} area at {address:#x} is not aligned to {alignment} bytes")
        return self._memory.view(address, size)

    # --- taking chains from the driver

    def waiting(self) -> int:
        """How many chains the driver has made available that were not taken yet."""
        if not self.ready:
            return 0
        (index,) = U16.unpack_from(self._available, 2)
        waiting: int = index - self._next & 0xFFFF
        if waiting > self.size:
            raise QueueError(f"available index {index} is {waiting} ahead in a queue of {self.size}")
        if self._heard is not None:
            self._tell_new(index)
        return waiting

    def watch(self, heard: Heard | None) -> None:
        """Have `heard` get the head of each chain that is new, with None, and when it is given back, with its bytes."""
        self._heard, self._told = heard, self._next

    def _tell_new(self, index: int) -> None:
        """Of the chains that have not been told of: those behind `_told`, which a device may have taken already."""
        assert self._heard is not None
        if self._told - self._next & 0xFFFF > self.size:  # after a snapshot was loaded
            self._told = self._next
        while self._told != index:
            (head,) = U16.unpack_from(self._available, 4 + 2 * (self._told % self.size))
            self._told = self._told + 1 & 0xFFFF
            self._heard(head, None)

    def peek(self) -> Chain | None:
        """The next chain, which stays the next one, or None where there is none."""
        if not self.waiting():
            return None
        (head,) = U16.unpack_from(self._available, 4 + 2 * (self._next % self.size))
        return self._walk(head)

    def take(self) -> None:
        """Have the chain that `peek` gave behind: it goes back by `push`."""
        self._next = self._next + 1 & 0xFFFF
        if self.event_index:  # "notify me of the next one" (2.7.10); without the feature that needs no word
            U16.pack_into(self._used_ring, 4 + 8 * self.size, self._next)
            self._memory.noted.add(self._written)

    def pop(self) -> Chain | None:
        """Take the next chain, or None where there is none."""
        chain = self.peek()
        if chain is not None:
            self.take()
        return chain

    def chains(self, budget: Budget) -> Iterator[Chain]:
        """Take the chains that are available now, as long as the budget lasts."""
        for chain in self.requests(budget):
            self.take()
            yield chain

    def requests(self, budget: Budget) -> Iterator[Chain]:
        """The same where one may need several budgets: `take` it when it is finished, or make that the end."""
        for _ in range(self.waiting()):
            chain = None if budget.is_spent else self.peek()
            if chain is None:
                return
            budget.spend(chain.cost)
            yield chain

    def _walk(self, head: int) -> Chain:
        chain = Chain(head, [], [], [], self._memory)
        table, entries, index, total = self._descriptors, self.size, head, 0
        for _ in range(self.maximum + 2):  # the descriptor of an indirect table is none of the chain's buffers
            if index >= entries:
                raise QueueError(f"descriptor {index} in a table of {entries}")
            address, length, flags, index = DESCRIPTOR.unpack_from(table, 16 * index)
            if flags & VIRTQ_DESC_F_INDIRECT:
                table = self._indirect_table(table, address, length, flags)
                entries, index = length // 16, 0
                continue
            if not length:
                raise QueueError("a buffer has no bytes")
            total += length
            if flags & VIRTQ_DESC_F_WRITE:
                chain.writable.append(self._memory.view(address, length))
                chain.places.append(address)
            elif chain.writable:
                raise QueueError("a readable buffer comes after a writable one")
            else:
                chain.readable.append(self._memory.view(address, length))
            if not flags & VIRTQ_DESC_F_NEXT:
                break
        if len(chain.readable) + len(chain.writable) > self.maximum or total > MAX_CHAIN_BYTES:
            raise QueueError(f"a chain is circular, or has more than {self.maximum} buffers or 4 GiB")
        return chain

    def _indirect_table(self, table: memoryview, address: int, length: int, flags: int) -> memoryview:
        """The table in which the rest of a chain is (2.7.5.3)."""
        if not self.indirect:
            raise QueueError("an indirect descriptor though the feature was not negotiated")
        if table is not self._descriptors:
            raise QueueError("an indirect descriptor inside an indirect table")
        if flags & VIRTQ_DESC_F_NEXT or not length or length % 16:
            raise QueueError(f"an indirect descriptor with flags {flags:#x} and {length} bytes")
        return self._memory.view(address, length)

    # --- giving them back

    def push(self, chain: Chain, written: int) -> None:
        """Return a chain whose first `written` writable bytes were written."""
        USED_ELEMENT.pack_into(self._used_ring, 4 + 8 * (self._used % self.size), chain.head, written & 0xFFFF_FFFF)
        self._used = self._used + 1 & 0xFFFF
        U16.pack_into(self._used_ring, 2, self._used)
        self._memory.noted.add(self._written)
        self.served += 1
        if self._heard is not None:
            self._heard(chain.head, written)

    def wants_interrupt(self) -> bool:
        """Does the driver want to hear of the chains returned since the last call (2.7.7.2, 2.7.10)?"""
        new, old = self._used, self._signalled
        if new == old or not self.ready:
            return False
        self._signalled = new
        if not self.event_index:
            flags: int = U16.unpack_from(self._available, 0)[0]
            return not flags & VIRTQ_AVAIL_F_NO_INTERRUPT
        (used_event,) = U16.unpack_from(self._available, 4 + 2 * self.size)
        return bool((new - used_event - 1) & 0xFFFF < (new - old) & 0xFFFF)

    # --- snapshot

    _STORED = ("size", "desc", "driver", "device", "ready", "event_index", "indirect", "_next", "_used", "_signalled")

    def state(self) -> dict[str, Any]:
        """Everything but the rings, which are the guest's memory."""
        return {name: int(getattr(self, name)) for name in self._STORED}

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave, over the guest's memory of that time."""
        self.disable()
        for name in self._STORED:
            setattr(self, name, type(getattr(self, name))(state[name]))
        if self.ready:
            self.enable()
