"""The virtio network device: VIRTIO 1.2, section 5.1, with one pair of queues, no offloads and no control queue.

Frames that the guest has no buffer for wait in a queue of WAITING frames; while that is full the backend is asked to
hold back, so that a network that floods a guest which takes nothing costs no time. A frame that comes all the same is
dropped, as a network does, and so is one that is longer than the guest's buffer. What the guest sends stays in its
queue while the backend can't take it.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from armvcpu.devices.virtio.device import VirtioDevice
from armvcpu.devices.virtio.queue import QueueError, gather, length_of

if TYPE_CHECKING:
    from armvcpu.devices.budget import Budget
    from armvcpu.devices.virtio.queue import Virtqueue

RECEIVEQ, TRANSMITQ = 0, 1
F_MTU, F_MAC, F_STATUS = 1 << 3, 1 << 5, 1 << 16
S_LINK_UP = 1
CONFIG = struct.Struct("<6sHHH")  # mac, status, max_virtqueue_pairs, mtu
HEADER = struct.Struct("<BBHHHH")  # flags, gso_type, hdr_len, gso_size, csum_start, csum_offset
MODERN_HEADER = struct.Struct("<BBHHHHH")  # the same and num_buffers, which legacy has only with MRG_RXBUF (5.1.6.1)
DEFAULT_MAC = bytes.fromhex("525400123456")
MTU = 1500
"""Told to the driver, since without VIRTIO_NET_F_MRG_RXBUF its buffers are no larger than that needs."""
LONGEST, SHORTEST = 14 + 4 + 0xFFFF, 14
WAITING = 256


class Station(Protocol):
    """Who is at this end of the cable: a network interface."""

    def receive(self, frame: bytes) -> None:
        """A frame arrives."""

    def has_room(self) -> bool:
        """Is there room for a frame? To be asked before `receive`; `NetBackend.resume` says when there is again."""

    def link_changed(self) -> None:
        """The link went up or down."""

    def drained(self) -> None:
        """`NetBackend.can_send` has become true."""


class NetBackend(Protocol):
    """The network behind the device: a cable to whatever carries Ethernet frames."""

    def attach(self, station: Station) -> None:
        """Plug the cable into a network interface, once and for all."""

    def resume(self) -> None:
        """There is room again."""

    @property
    def is_up(self) -> bool:
        """Is there a link?"""

    @property
    def can_send(self) -> bool:
        """May a frame be sent now?"""

    def send(self, frame: bytes) -> None:
        """Send a frame, from the destination address on and without frame check sequence."""


class VirtioNet(VirtioDevice):
    """A network interface with address `mac`."""

    DEVICE_ID = 1
    QUEUE_SIZES = (256, 256)
    features = F_MAC | F_STATUS | F_MTU

    def __init__(self, backend: NetBackend, mac: bytes = DEFAULT_MAC) -> None:
        super().__init__()
        self._backend, self._mac = backend, mac
        self._waiting: deque[bytes] = deque()
        self.dropped = 0
        """Frames from the network that the guest never saw."""
        backend.attach(self)

    def config(self) -> bytes:
        """Address, link status, MTU."""
        return CONFIG.pack(self._mac, S_LINK_UP if self._backend.is_up else 0, 1, MTU)

    def receive(self, frame: bytes) -> None:
        """A frame arrives from the network."""
        if len(self._waiting) >= WAITING:
            self.dropped += 1
            return
        self._waiting.append(frame)
        self.transport.kick(RECEIVEQ)

    def has_room(self) -> bool:
        """Is there room for a frame from the network?"""
        return len(self._waiting) < WAITING

    def link_changed(self) -> None:
        """The link went up or down: the driver is told."""
        self.transport.config_changed()

    def drained(self) -> None:
        """The network takes frames again."""
        self.transport.kick(TRANSMITQ)

    def serve(self, index: int, queue: Virtqueue, budget: Budget) -> None:
        """Move frames between queue and network."""
        if index == RECEIVEQ:
            self._deliver(queue, budget)
        else:
            self._send(queue, budget)

    def _deliver(self, queue: Virtqueue, budget: Budget) -> None:
        was_full = len(self._waiting) >= WAITING
        header = MODERN_HEADER.pack(0, 0, 0, 0, 0, 0, 1) if self.is_modern else bytes(HEADER.size)
        for chain in queue.chains(budget) if self._waiting else ():
            data = header + self._waiting.popleft()
            written = 0
            if length_of(chain.writable) >= len(data):
                written = chain.put(data)
            else:
                self.dropped += 1
            queue.push(chain, written)
            budget.spend(len(data))
            if not self._waiting:
                break
        if was_full and len(self._waiting) < WAITING:
            self._backend.resume()

    def _send(self, queue: Virtqueue, budget: Budget) -> None:
        header = MODERN_HEADER.size if self.is_modern else HEADER.size
        for chain in queue.chains(budget) if self._backend.can_send else ():
            size = length_of(chain.readable) - header
            if size < 0:
                raise QueueError("a frame to send has no complete header")
            if SHORTEST <= size <= LONGEST:
                self._backend.send(gather(chain.readable, header + size)[header:])
                budget.spend(size)
            queue.push(chain, 0)
            if not self._backend.can_send:
                return

    def reset(self) -> None:
        """Return to the state after power-on reset; frames that wait are lost."""
        was_full = len(self._waiting) >= WAITING
        self._waiting.clear()
        if was_full:
            self._backend.resume()

    def state(self) -> dict[str, Any]:
        """The frames that wait."""
        return {"waiting": list(self._waiting)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave."""
        self._waiting = deque(state["waiting"])
