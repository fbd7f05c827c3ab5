"""The two register layouts of virtio-mmio: VIRTIO 1.2, section 4.2.2 (version 2) and the legacy 4.2.4 (version 1).

They differ in how a queue's place is told, in VIRTIO_F_VERSION_1 with FEATURES_OK, and in ConfigGeneration. Legacy
fields are in the guest's byte order (2.4.3); here that is little-endian always.
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING, Literal
from armvcpu.devices.device import Register
from armvcpu.devices.virtio.device import (
    VIRTIO_F_ANY_LAYOUT,
    VIRTIO_F_EVENT_IDX,
    VIRTIO_F_INDIRECT_DESC,
    VIRTIO_F_VERSION_1,
)
from armvcpu.devices.virtio.transport import STATUS, VirtioTransport

if TYPE_CHECKING:
    from armvcpu.devices.device import Wires
    from armvcpu.devices.virtio.device import VirtioDevice

ALL_ONES = 0xFFFF_FFFF
DEFAULT_ALIGN = 4096
"""QueueAlign of a legacy driver that says none: QEMU's board has it so, and 4.2.4 no value."""
RING_FEATURES = VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX
DRIVER_STATUS = STATUS.ACKNOWLEDGE | STATUS.DRIVER | STATUS.DRIVER_OK | STATUS.FAILED


class ModernVirtioMmio(VirtioTransport):
    """Version 2 (4.2.2). QueueReset and shared memory regions are not offered.

    A driver that does not accept VIRTIO_F_VERSION_1 goes on all the same, where 6.2 allows a device to refuse: so it
    does on QEMU's board, where small drivers accept nothing at all. Their requests have the legacy formats. Nor does a
    queue wait for FEATURES_OK there.
    """

    QueueReady = Register(0x044, mask=0x1)
    QueueDescLow = Register(0x080, wo=True)
    QueueDescHigh = Register(0x084, wo=True)
    QueueDriverLow = Register(0x090, wo=True)
    QueueDriverHigh = Register(0x094, wo=True)
    QueueDeviceLow = Register(0x0A0, wo=True)
    QueueDeviceHigh = Register(0x0A4, wo=True)
    SHMSel = Register(0x0AC, wo=True)
    # "no such region" reads as a length of 2**64 - 1 (4.2.2)
    SHMLenLow = Register(0x0B0, ro=True, reset=ALL_ONES)
    SHMLenHigh = Register(0x0B4, ro=True, reset=ALL_ONES)
    SHMBaseLow = Register(0x0B8, ro=True, reset=ALL_ONES)
    SHMBaseHigh = Register(0x0BC, ro=True, reset=ALL_ONES)
    ConfigGeneration = Register(0x0FC, ro=True)

    VERSION = 2
    TRANSPORT_FEATURES = RING_FEATURES | VIRTIO_F_VERSION_1
    STATUS_BITS = DRIVER_STATUS | STATUS.FEATURES_OK
    WAITS_FOR_DRIVER = True

    def read_QueueReady(self) -> int:
        """Is the selected queue in use?"""
        queue = self.selected
        return int(queue is not None and queue.ready)

    def write_QueueReady(self, value: int) -> None:
        """Start or stop using the selected queue."""
        queue = self.selected
        if queue is None or queue.ready == bool(value):
            return
        if value:
            self.enable(queue)
        else:
            queue.disable()

    def _place(self, area: str, value: int, shift: int) -> None:
        """Half of an area's address; a queue in use does not move (4.2.2.2)."""
        queue = self.selected
        if queue is not None and not queue.ready:
            setattr(queue, area, getattr(queue, area) & ~(ALL_ONES << shift) | value << shift)

    def write_QueueDescLow(self, value: int) -> None:
        """Descriptor area, bits 31:0."""
        self._place("desc", value, 0)

    def write_QueueDescHigh(self, value: int) -> None:
        """Descriptor area, bits 63:32."""
        self._place("desc", value, 32)

    def write_QueueDriverLow(self, value: int) -> None:
        """Driver area, bits 31:0."""
        self._place("driver", value, 0)

    def write_QueueDriverHigh(self, value: int) -> None:
        """Driver area, bits 63:32."""
        self._place("driver", value, 32)

    def write_QueueDeviceLow(self, value: int) -> None:
        """Device area, bits 31:0."""
        self._place("device", value, 0)

    def write_QueueDeviceHigh(self, value: int) -> None:
        """Device area, bits 63:32."""
        self._place("device", value, 32)

    def read_ConfigGeneration(self) -> int:
        """Differs when the configuration space may have changed between two reads."""
        return self._generation


class LegacyVirtioMmio(VirtioTransport):
    """Version 1 (4.2.4).

    Queues are served without DRIVER_OK as well: legacy drivers used their devices before they set it (3.1.2).
    """

    GuestPageSize = Register(0x028, wo=True)
    QueueAlign = Register(0x03C, wo=True)
    QueuePFN = Register(0x040)

    VERSION = 1
    TRANSPORT_FEATURES = RING_FEATURES | VIRTIO_F_ANY_LAYOUT
    STATUS_BITS = DRIVER_STATUS
    WAITS_FOR_DRIVER = False

    def driver_reset(self) -> None:
        """Reset all but GuestPageSize, which drivers write once, before the reset with which they begin (4.2.4)."""
        page = self.GuestPageSize
        super().driver_reset()
        self.GuestPageSize = page

    def read_QueuePFN(self) -> int:
        """The selected queue's page number; 0 while it is not in use."""
        queue = self.selected
        return queue.desc // self.GuestPageSize if queue is not None and queue.ready and self.GuestPageSize else 0

    def write_QueuePFN(self, value: int) -> None:
        """Place the selected queue at a page and use it, or with 0 stop using it.

        The areas follow each other, the device area aligned to QueueAlign (2.7.2).
        """
        queue = self.selected
        if queue is None:
            return
        queue.disable()
        if not value:
            return
        page, align = self.GuestPageSize, self.QueueAlign or DEFAULT_ALIGN
        if page & page - 1 or align & align - 1 or not page:
            self.needs_reset(f"GuestPageSize {page} and QueueAlign {align} must be powers of two")
            return
        queue.desc = value * page
        queue.driver = queue.desc + 16 * queue.size
        queue.device = queue.driver + 6 + 2 * queue.size + align - 1 & -align
        self.enable(queue)


def virtio_slot(version: Literal[1, 2], device: VirtioDevice, wires: Wires | None = None) -> VirtioTransport:
    """A slot of that register layout with this device in it."""
    layout = LegacyVirtioMmio if version == 1 else ModernVirtioMmio
    return layout(device, wires)
