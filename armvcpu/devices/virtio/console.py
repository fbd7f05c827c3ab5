"""The virtio console: VIRTIO 1.2, section 5.3, with one port. MULTIPORT is not offered; SIZE is where it is known."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from armvcpu.devices.virtio.device import VirtioDevice
from armvcpu.devices.virtio.queue import QueueError, after, gather, length_of

if TYPE_CHECKING:
    from armvcpu.devices.budget import Budget
    from armvcpu.devices.stream import Stream
    from armvcpu.devices.virtio.queue import Virtqueue

RECEIVEQ, TRANSMITQ = 0, 1
F_SIZE, F_EMERG_WRITE = 1 << 0, 1 << 2
CONFIG = struct.Struct("<HHII")  # cols, rows, max_nr_ports, emerg_wr
EMERG_WR = 8
HELD = 4096
"""Bytes of input that wait in the device until the driver offers buffers."""
PIECE = 0x4000
"""The most bytes that are shown at once."""
BYTE_COST = 64
"""Units of a budget: showing a byte takes that much longer than copying one."""


class VirtioConsole(VirtioDevice):
    """A console whose characters go to `stream`, in pieces as they come, and come from there."""

    DEVICE_ID = 3
    QUEUE_SIZES = (128, 128)
    SERVED_EARLY = frozenset({TRANSMITQ})
    features = F_EMERG_WRITE

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self.stream = stream
        self.is_in_use = False
        """Has the guest sent anything since the last reset? Input that comes before may be for another console."""
        self._held = bytearray()
        self._receiving = False
        self._sent = 0
        self._size = 0, 0

    def reset(self) -> None:
        """Return to the state after power-on reset; input that waits goes on waiting."""
        self.is_in_use, self._sent = False, 0

    def receive(self, data: bytes) -> int:
        """Take characters for the guest; how many there was room for, so that the host keeps the rest.

        They wait for a driver, also through a reset: drivers begin with one.
        """
        self._receiving = True
        taken = 0
        while taken < len(data) and len(self._held) < HELD:
            piece = data[taken : taken + HELD - len(self._held)]
            self._held += piece
            taken += len(piece)
            self.transport.kick(RECEIVEQ)
        self._receiving = False
        return taken

    def show_size(self, columns: int, rows: int) -> None:
        """Tell the guest how large its window is; SIZE is offered from then on, so first before it looks (5.3.4)."""
        self.features |= F_SIZE
        if self._size != (columns, rows):
            self._size = columns, rows
            self.transport.config_changed()

    def can_interrupt(self) -> bool:
        """Could a character that comes now interrupt the guest: has it a driver?"""
        return self.is_in_use

    def serve(self, index: int, queue: Virtqueue, budget: Budget) -> None:
        """Move characters between queue and host."""
        if index == RECEIVEQ:
            self._deliver(queue, budget)
        else:
            self._send(queue, budget)

    def _deliver(self, queue: Virtqueue, budget: Budget) -> None:
        moved = 0
        for chain in queue.chains(budget) if self._held else ():
            if not chain.writable:
                raise QueueError("a buffer for input cannot be written")
            count = chain.put(bytes(self._held))
            del self._held[:count]
            moved += count
            queue.push(chain, count)
            if not self._held:
                break
        if moved and not self._receiving:
            self.stream.ready()

    def _send(self, queue: Virtqueue, budget: Budget) -> None:
        for chain in queue.requests(budget):
            size = length_of(chain.readable)
            while self._sent < size:
                piece = gather(after(chain.readable, self._sent), PIECE)
                self.stream.write(piece)
                self._sent += len(piece)
                budget.spend(BYTE_COST * len(piece))
                if budget.is_spent and self._sent < size:
                    return
            self._sent = 0
            queue.take()
            queue.push(chain, 0)
            if not self.is_in_use:
                self.is_in_use = True
                self.stream.ready()
                if self.negotiated & F_SIZE:  # Linux reads the size when it has changed, and not before
                    self.transport.config_changed()

    def config(self) -> bytes:
        """The size, zero where it is not known; one port; emerg_wr reads as zero."""
        return CONFIG.pack(*self._size, 1, 0)

    def write_config(self, offset: int, data: bytes) -> None:
        """A character sent without a queue, as early code does (5.3.4, emerg_wr)."""
        if offset == EMERG_WR:
            self.stream.write(data[:1])

    def state(self) -> dict[str, Any]:
        """The input that waits, and how much of the guest's next buffer has been shown."""
        return {"held": bytes(self._held), "is_in_use": self.is_in_use, "sent": self._sent}

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave."""
        self._held, self.is_in_use, self._sent = bytearray(state["held"]), state["is_in_use"], state["sent"]
