"""The virtio block device: VIRTIO 1.2, section 5.2, over a disk image.

A request is served when the driver notifies the queue, and one of ordinary size is complete before the guest goes on.
Of more than the budget allows, a piece is done at a time. Whatever the host cannot do, or the driver must not ask for,
is VIRTIO_BLK_S_IOERR in that request; only a request in which there is no room for header or status needs a reset.
Discard, write-zeroes and several queues are not offered.
"""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING, Any, Protocol

from armvcpu.devices.virtio.device import VirtioDevice
from armvcpu.devices.virtio.disk import SECTOR
from armvcpu.devices.virtio.queue import QueueError, after, before, gather, length_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from armvcpu.devices.budget import Budget
    from armvcpu.devices.virtio.queue import Chain, Virtqueue

HEADER = struct.Struct("<IIQ")  # type, reserved (legacy: priority), sector
# capacity, size_max, seg_max, geometry (cylinders, heads, sectors), blk_size
CONFIG = struct.Struct("<QIIHBBI")
ID_BYTES = 20
LEAST = 0x1_0000
"""Bytes that a piece of a long request has at least, also where finding its buffers has used the budget up."""


class FEATURE:
    """Feature bits (5.2.3)."""

    SEG_MAX = 1 << 2
    RO = 1 << 5
    BLK_SIZE = 1 << 6
    FLUSH = 1 << 9


class REQUEST:
    """Request types (5.2.6)."""

    IN = 0
    OUT = 1
    FLUSH = 4
    GET_ID = 8


S_OK, S_IOERR, S_UNSUPP = 0, 1, 2
"""The status byte that ends a request (5.2.6)."""


class Disk(Protocol):
    """What the device needs of an image; its methods raise OSError where the host cannot."""

    @property
    def sectors(self) -> int:
        """Size in sectors of 512 bytes."""

    @property
    def read_only(self) -> bool:
        """Must it not be written?"""

    def read_into(self, buffers: Sequence[memoryview], offset: int) -> None:
        """Fill the buffers from `offset`, bytes."""

    def write_from(self, buffers: Sequence[memoryview], offset: int) -> None:
        """Write the buffers at `offset`, bytes."""

    def flush(self) -> None:
        """Make durable what was written."""


class VirtioBlock(VirtioDevice):
    """A disk; `serial` is what GET_ID tells, at most 20 ASCII characters."""

    DEVICE_ID = 2
    QUEUE_SIZES = (256,)
    SERVED_EARLY = frozenset({0})

    def __init__(self, disk: Disk, serial: str = "") -> None:
        super().__init__()
        self._disk = disk
        self.failures: list[Callable[[int, int, int], bool]] = []
        """Faults to inject: asked with a request's type, first sector and sectors whether it fails."""
        self._done = 0
        """Bytes moved of the request at the head of the queue, which is not finished."""
        self._serial = serial.encode("ascii", "replace")[:ID_BYTES].ljust(ID_BYTES, b"\0")
        self.features = FEATURE.SEG_MAX | FEATURE.BLK_SIZE | FEATURE.FLUSH | (FEATURE.RO if disk.read_only else 0)

    def config(self) -> bytes:
        """Capacity in sectors, segments in a request (two descriptors are header and status), block size."""
        return CONFIG.pack(self._disk.sectors, 0, self.QUEUE_SIZES[0] - 2, 0, 0, 0, SECTOR)

    def serve(self, index: int, queue: Virtqueue, budget: Budget) -> None:
        """Carry out the requests that wait."""
        del index
        for chain in queue.requests(budget):
            written = self._request(chain, budget)
            if written is None:
                return
            self._done = 0
            queue.take()
            queue.push(chain, written)

    def reset(self) -> None:
        """Return to the state after power-on reset; of a request that is not finished the rest is not done."""
        self._done = 0

    def _request(self, chain: Chain, budget: Budget) -> int | None:
        """One request: how many of its writable bytes were written, or None where it is not finished."""
        room = length_of(chain.writable) - 1
        header = gather(chain.readable, HEADER.size)
        if len(header) < HEADER.size or room < 0:
            raise QueueError("a block request without room for header or status")
        kind, _, sector = HEADER.unpack(header)
        size = length_of(chain.readable) - HEADER.size if kind == REQUEST.OUT else room
        try:
            if self.failures and not self._done:
                self._fail(kind, sector, size // SECTOR)
            status, written = self._carry_out(kind, sector, chain, size, budget)
        except OSError:
            status, written = S_IOERR, 0
        if status is None:
            return None
        chain.target(room, 1)[0][0] = status
        # `written` counts from the first writable byte on (2.7.8.2): the status too only if nothing is left out.
        return room + 1 if written == room else written

    def _fail(self, kind: int, sector: int, sectors: int) -> None:
        if any(fails(kind, sector, sectors) for fails in self.failures):
            raise OSError(errno.EIO, "a fault that was injected")

    def _carry_out(self, kind: int, sector: int, chain: Chain, size: int, budget: Budget) -> tuple[int | None, int]:
        """(status, or None where it is not finished; bytes of what is writable written)."""
        match kind:
            case REQUEST.IN if self._allowed(sector, size):
                return (S_OK, size) if self._move(kind, sector, chain, size, budget) else (None, 0)
            case REQUEST.OUT if not self._disk.read_only and self._allowed(sector, size):
                if not self._move(kind, sector, chain, size, budget):
                    return None, 0
                if not self.negotiated & FEATURE.FLUSH:  # then each write must be durable (5.2.6.2)
                    self._flush(budget)
            case REQUEST.IN | REQUEST.OUT:
                return S_IOERR, 0
            case REQUEST.FLUSH if self._disk.read_only:
                pass
            case REQUEST.FLUSH:
                self._flush(budget)
            case REQUEST.GET_ID:
                return S_OK, chain.put(self._serial[:size])
            case _:
                return S_UNSUPP, 0
        return S_OK, 0

    def _move(self, kind: int, sector: int, chain: Chain, size: int, budget: Budget) -> bool:
        """The next bytes of a request, as many as the budget allows; is it finished?"""
        count = min(max(0, size - self._done), max(LEAST, budget.left // SECTOR * SECTOR))
        at = sector * SECTOR + self._done
        if kind == REQUEST.IN:
            self._disk.read_into(chain.target(self._done, count), at)
        else:
            self._disk.write_from(before(after(chain.readable, HEADER.size + self._done), count), at)
        self._done += count
        budget.spend(count)
        return self._done >= size

    def _flush(self, budget: Budget) -> None:
        budget.spend_all()
        self._disk.flush()

    def _allowed(self, sector: int, size: int) -> bool:
        """Whole sectors, all of them on the disk (5.2.6.1)?"""
        return size % SECTOR == 0 and sector + size // SECTOR <= self._disk.sectors

    def state(self) -> dict[str, Any]:
        """How much has been done of the request that is not finished."""
        return {"done": self._done}

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave."""
        self._done = state["done"]
