"""The virtio console: VIRTIO 1.2, section 5.3, with one port. MULTIPORT and SIZE are not offered."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from armvcpu.devices.virtio.device import VirtioDevice
from armvcpu.devices.virtio.queue import QueueError, scatter

if TYPE_CHECKING:
    from armvcpu.devices.stream import Stream
    from armvcpu.devices.virtio.queue import Virtqueue

RECEIVEQ, TRANSMITQ = 0, 1
F_EMERG_WRITE = 1 << 2
CONFIG = struct.Struct("<HHII")  # cols, rows, max_nr_ports, emerg_wr
EMERG_WR = 8
HELD = 4096
"""Bytes of input that wait in the device until the driver offers buffers."""
PIECE = 0x1_0000
"""The most bytes that are copied out of the guest at once."""


class VirtioConsole(VirtioDevice):
    """A console whose characters go to `stream`, in pieces as they come, and come from there."""

    DEVICE_ID = 3
    QUEUE_SIZES = (128, 128)
    features = F_EMERG_WRITE

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self.stream = stream
        self.is_in_use = False
        """Has the guest sent anything since the last reset? Input that comes before may be for another console."""
        self._held = bytearray()
        self._receiving = False

    def reset(self) -> None:
        """Return to the state after power-on reset; input that waits goes on waiting."""
        self.is_in_use = False

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

    def can_interrupt(self) -> bool:
        """Could a character that comes now interrupt the guest: has it a driver?"""
        return self.is_in_use

    def serve(self, index: int, queue: Virtqueue) -> None:
        """Move characters between queue and host."""
        if index == RECEIVEQ:
            self._deliver(queue)
        else:
            self._send(queue)

    def _deliver(self, queue: Virtqueue) -> None:
        moved = 0
        while self._held and (chain := queue.pop()) is not None:
            if not chain.writable:
                raise QueueError("a buffer for input cannot be written")
            count = scatter(chain.writable, bytes(self._held))
            del self._held[:count]
            moved += count
            queue.push(chain, count)
        if moved and not self._receiving:
            self.stream.ready()

    def _send(self, queue: Virtqueue) -> None:
        for chain in queue.chains():
            for buffer in chain.readable:
                for start in range(0, len(buffer), PIECE):
                    self.stream.write(bytes(buffer[start : start + PIECE]))
            queue.push(chain, 0)
            if not self.is_in_use:
                self.is_in_use = True
                self.stream.ready()

    def config(self) -> bytes:
        """No size, one port; emerg_wr reads as zero."""
        return CONFIG.pack(0, 0, 1, 0)

    def write_config(self, offset: int, data: bytes) -> None:
        """A character sent without a queue, as early code does (5.3.4, emerg_wr)."""
        if offset == EMERG_WR:
            self.stream.write(data[:1])

    def state(self) -> dict[str, Any]:
        """The input that waits."""
        return {"held": bytes(self._held), "is_in_use": self.is_in_use}

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave."""
        self._held, self.is_in_use = bytearray(state["held"]), state["is_in_use"]
