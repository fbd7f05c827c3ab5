"""What the two virtio-mmio register layouts share: VIRTIO 1.2, sections 2.1 (status), 2.2 (features) and 4.2.

    Status written 0          reset, of the device too
    ACKNOWLEDGE, DRIVER       remembered
    FEATURES_OK               stays clear when the driver asks for what is not offered (2.2.1, 3.1.1)
    DRIVER_OK                 from now on queues are served, some even before (`VirtioDevice.SERVED_EARLY`)
    FAILED                    the driver gave up: nothing is served
    DEVICE_NEEDS_RESET        set by the device when a queue breaks a rule: nothing is served, and the driver is
                              interrupted with "configuration change" (2.1.2)

Bits once set stay until the reset, since a driver must not clear any (2.1.1).

A device that has spent its budget goes on after a pause (devices/budget.py).
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING, Any, ClassVar, Literal
from armvcpu.devices.budget import Budget, Pause
from armvcpu.devices.device import Register
from armvcpu.devices.dma import DmaError
from armvcpu.devices.virtio.device import VIRTIO_F_EVENT_IDX, VIRTIO_F_INDIRECT_DESC
from armvcpu.devices.virtio.mmio import VirtioMmio
from armvcpu.devices.virtio.queue import MAX_SIZE, Virtqueue

if TYPE_CHECKING:
    from armvcpu.devices.device import Wires
    from armvcpu.devices.virtio.device import VirtioDevice

CONFIG = 0x100
"""Where the device-specific configuration space begins."""


class STATUS:
    """Device status bits (2.1)."""

    ACKNOWLEDGE = 1
    DRIVER = 2
    DRIVER_OK = 4
    FEATURES_OK = 8
    DEVICE_NEEDS_RESET = 64
    FAILED = 128


class INTERRUPT:
    """Bits of InterruptStatus and InterruptACK (4.2.2)."""

    USED_BUFFER = 1
    CONFIGURATION_CHANGE = 2


class VirtioTransport(VirtioMmio):
    """A slot with a device in it, whose interrupt line is asserted as long as InterruptStatus is not zero.

    The legacy interface calls DeviceFeatures HostFeatures and DriverFeatures GuestFeatures (4.2.4).
    """

    DeviceFeatures = Register(0x010, ro=True)
    DeviceFeaturesSel = Register(0x014, wo=True)
    DriverFeatures = Register(0x020, wo=True)
    DriverFeaturesSel = Register(0x024, wo=True)
    QueueSel = Register(0x030, wo=True)
    QueueNumMax = Register(0x034, ro=True)
    QueueNum = Register(0x038, wo=True)
    QueueNotify = Register(0x050, wo=True)
    InterruptStatus = Register(0x060, ro=True)
    InterruptACK = Register(0x064, wo=True, mask=0x3)
    Status = Register(0x070, mask=0xFF)

    VERSION: ClassVar[Literal[1, 2]]
    TRANSPORT_FEATURES: ClassVar[int]
    """Feature bits offered for every device."""
    STATUS_BITS: ClassVar[int]
    """Status bits that the driver can set."""
    WAITS_FOR_DRIVER: ClassVar[bool]
    """Must DRIVER_OK be set before queues are served, but for those that the device serves early?"""

    def __init__(self, device: VirtioDevice, wires: Wires | None = None) -> None:
        self.device = device
        self.fault: str | None = None
        """Why the device needs a reset, for whoever debugs the driver."""
        self._level = False
        self._generation = 0
        device.attach(self)
        super().__init__(self.VERSION, wires)

    def connect(self, wires: Wires) -> None:
        """An interrupt line, memory for the queues, and a pause after which what is unfinished goes on."""
        self.irq = wires.irq
        self.queues = [Virtqueue(wires.memory, MAX_SIZE, size) for size in self.device.QUEUE_SIZES]
        self._pause = Pause(wires, self._go_on)

    def reset(self) -> None:
        """Return to the state after power-on reset."""
        super().reset()
        self.fault = None
        self._unfinished = 0
        self._pause.end()
        self._negotiate(0)
        for queue in self.queues:
            queue.reset()
        self.device.reset()
        self._drive_irq()

    def read_DeviceID(self) -> int:
        """Which kind of device (section 5)."""
        return self.device.DEVICE_ID

    # --- features (2.2)

    @property
    def offered(self) -> int:
        """All feature bits of this device on this transport."""
        return self.device.features | self.TRANSPORT_FEATURES

    def read_DeviceFeatures(self) -> int:
        """32 of the offered bits, chosen by DeviceFeaturesSel."""
        return self.offered >> 32 * self.DeviceFeaturesSel & 0xFFFF_FFFF if self.DeviceFeaturesSel < 2 else 0

    def write_DriverFeatures(self, value: int) -> None:
        """32 of the bits that the driver accepts, chosen by DriverFeaturesSel; final once FEATURES_OK is set."""
        if self.Status & STATUS.FEATURES_OK or self.DriverFeaturesSel > 1:
            return
        shift = 32 * self.DriverFeaturesSel
        self._negotiate(self.driver_features & ~(0xFFFF_FFFF << shift) | value << shift)

    def _negotiate(self, driver_features: int) -> None:
        self.driver_features = driver_features
        negotiated = driver_features & self.offered
        self.device.negotiate(negotiated)
        for queue in self.queues:
            queue.event_index = bool(negotiated & VIRTIO_F_EVENT_IDX)
            queue.indirect = bool(negotiated & VIRTIO_F_INDIRECT_DESC)

    def features_acceptable(self) -> bool:
        """May the driver go on with the bits it accepted?"""
        return not self.driver_features & ~self.offered

    # --- status (2.1)

    def write_Status(self, value: int) -> None:
        """Set status bits, or reset."""
        if not value:
            self.driver_reset()
            return
        new = value & ~self.Status & self.STATUS_BITS
        if new & STATUS.FEATURES_OK and not self.features_acceptable():
            new &= ~STATUS.FEATURES_OK
        self.Status |= new
        if new & STATUS.DRIVER_OK:  # buffers may have been offered before
            for index in range(len(self.queues)):
                self.kick(index)

    def driver_reset(self) -> None:
        """The reset that a driver asks for by writing 0 to Status (2.1.2, 4.2.2)."""
        self.reset()

    def needs_reset(self, why: str) -> None:
        """Stop serving and tell the driver (2.1.2)."""
        self.fault = why
        self.Status |= STATUS.DEVICE_NEEDS_RESET
        if self.Status & STATUS.DRIVER_OK:
            self._interrupt(INTERRUPT.CONFIGURATION_CHANGE)

    # --- queues

    @property
    def selected(self) -> Virtqueue | None:
        """The queue that QueueSel names, if the device has it."""
        return self.queues[self.QueueSel] if self.QueueSel < len(self.queues) else None

    def read_QueueNumMax(self) -> int:
        """The largest size of the selected queue; 0 when there is no such queue."""
        queue = self.selected
        return queue.maximum if queue is not None else 0

    def write_QueueNum(self, value: int) -> None:
        """The size of the selected queue, checked when the queue is enabled."""
        queue = self.selected
        if queue is not None and not queue.ready:
            queue.size = value

    def enable(self, queue: Virtqueue) -> None:
        """Start using a queue's rings, or need a reset when they cannot be."""
        try:
            queue.enable()
        except DmaError as error:
            self.needs_reset(str(error))

    def write_QueueNotify(self, value: int) -> None:
        """The driver made buffers available in a queue."""
        if value < len(self.queues):
            self.kick(value)

    def kick(self, index: int) -> None:
        """Have the device serve a queue, if the driver is ready and the queue is not broken."""
        self._serve(index, Budget())

    def _serve(self, index: int, budget: Budget) -> None:
        stopped = STATUS.FAILED | STATUS.DEVICE_NEEDS_RESET
        queue = self.queues[index]
        waits = self.WAITS_FOR_DRIVER and index not in self.device.SERVED_EARLY
        if not queue.ready or self.Status & stopped or (waits and not self.Status & STATUS.DRIVER_OK):
            return
        try:
            self.device.serve(index, queue, budget)
        except DmaError as error:
            self.needs_reset(f"queue {index}: {error}")
        if queue.wants_interrupt():
            self._interrupt(INTERRUPT.USED_BUFFER)
        if budget.is_spent:
            self._go_on_with(index)

    def _go_on_with(self, index: int) -> None:
        """Serve a queue again when the run loop has had its turn."""
        self._unfinished |= 1 << index
        self._pause.begin()

    def _go_on(self) -> None:
        queues, budget = self._unfinished, Budget()
        self._unfinished = 0
        for index in range(len(self.queues)):
            if queues >> index & 1:
                if budget.is_spent:
                    self._go_on_with(index)
                else:
                    self._serve(index, budget)

    # --- interrupt

    def write_InterruptACK(self, value: int) -> None:
        """Clear interrupts."""
        self.InterruptStatus &= ~value
        self._drive_irq()

    def _interrupt(self, bit: int) -> None:
        self.InterruptStatus |= bit
        self._drive_irq()

    def _drive_irq(self) -> None:
        level = self.InterruptStatus != 0
        if level != self._level:
            self._level = level
            self.irq(level)

    # --- configuration space (2.5, 4.2.2.2)

    def unclaimed_read(self, offset: int, width: int) -> int:
        """Read configuration space in any width; zero beyond the device's fields and outside it."""
        if offset < CONFIG:
            return 0
        return int.from_bytes(self.device.config()[offset - CONFIG : offset - CONFIG + width], "little")

    def unclaimed_write(self, offset: int, width: int, value: int) -> None:
        """Write configuration space."""
        if offset >= CONFIG:
            self.device.write_config(offset - CONFIG, value.to_bytes(width, "little"))

    def config_changed(self) -> None:
        """Tell the driver that the device's configuration space differs, once it is ready."""
        self._generation = self._generation + 1 & 0xFFFF_FFFF
        if self.Status & STATUS.DRIVER_OK:
            self._interrupt(INTERRUPT.CONFIGURATION_CHANGE)

    # --- snapshot

    def state(self) -> dict[str, Any]:
        """The registers, the queues' places and indices, and what the device itself keeps."""
        return {
            **super().state(),
            "driver_features": self.driver_features,
            "generation": self._generation,
            "fault": self.fault,
            "unfinished": self._unfinished,
            "pause": self._pause.state(),
            "queues": [queue.state() for queue in self.queues],
            "device": self.device.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave; guest memory must be that of the snapshot already."""
        super().load_state(state)
        self.fault, self._generation = state["fault"], state["generation"]
        self._negotiate(state["driver_features"])
        for queue, stored in zip(self.queues, state["queues"], strict=True):
            queue.load_state(stored)
        self.device.load_state(state["device"])
        self._unfinished = state["unfinished"]
        self._pause.load_state(state["pause"])
        self._drive_irq()
