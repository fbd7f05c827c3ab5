"""The virtio entropy device: VIRTIO 1.2, section 5.4."""

from __future__ import annotations

import os

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.devices.virtio.device import VirtioDevice
from armvcpu.devices.virtio.queue import length_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.devices.budget import Budget
    from armvcpu.devices.virtio.queue import Virtqueue

MOST = 0x1_0000
"""Bytes given to one request: the device may give less than was asked for, but at least one (5.4.6)."""


BYTE_COST = 16
"""Units of a budget: making a byte takes that much longer than copying one."""


class VirtioEntropy(VirtioDevice):
    """Random bytes from `source`, which gets the number of bytes; a seeded one makes a machine deterministic."""

    DEVICE_ID = 4
    QUEUE_SIZES = (8,)

    def __init__(self, source: Callable[[int], bytes] = os.urandom) -> None:
        super().__init__()
        self._source = source

    def serve(self, index: int, queue: Virtqueue, budget: Budget) -> None:
        """Fill the buffers that wait."""
        del index
        for chain in queue.chains(budget):
            size = min(MOST, length_of(chain.writable))
            queue.push(chain, chain.put(self._source(size)))
            budget.spend(BYTE_COST * size)
