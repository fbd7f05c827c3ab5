"""What every virtio device is built from, whatever transport carries it: VIRTIO 1.2, sections 2.1 to 2.5 and 6.

A device has an identity, features, a configuration space and queues. It touches its queues in `serve` only, which the
transport calls while the driver allows it; whatever the host side does (a frame arrives, a key is typed) is kept in
the device and followed by `Transport.kick`. So there is one path to guest memory, with one place that handles broken
queues.
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from armvcpu.devices.budget import Budget
    from armvcpu.devices.virtio.queue import Virtqueue

VIRTIO_F_ANY_LAYOUT = 1 << 27  # legacy only (6.3): no device here cares how a request is cut into buffers
VIRTIO_F_INDIRECT_DESC = 1 << 28
VIRTIO_F_EVENT_IDX = 1 << 29
VIRTIO_F_VERSION_1 = 1 << 32


class Transport(Protocol):
    """What a device asks of the transport that carries it."""

    def kick(self, index: int, /) -> None:
        """Have queue number `index` served, if the driver is ready."""

    def config_changed(self) -> None:
        """Tell the driver that `config()` differs."""


class NoTransport:
    """That of a device in no slot: nobody drives it."""

    def kick(self, _index: int) -> None:
        """Nothing waits in a queue."""

    def config_changed(self) -> None:
        """Nobody reads it."""


class VirtioDevice:
    """Base of the virtio devices; a subclass sets the class variables and `features` and overrides what it has."""

    DEVICE_ID: ClassVar[int]
    """Section 5."""
    QUEUE_SIZES: ClassVar[tuple[int, ...]]
    """The size of each queue, a power of two, until the driver chooses another one."""

    SERVED_EARLY: ClassVar[frozenset[int]] = frozenset()
    """The queues that are served as soon as they are ready, whatever the driver has said of itself: without DRIVER_OK
    and FEATURES_OK a device must not work (3.1.1), but on QEMU's board these do, and software made for it relies on it.
    """

    features: int = 0
    """Device-specific feature bits that are offered."""

    def __init__(self) -> None:
        self.transport: Transport = NoTransport()
        self.negotiated = 0
        """Feature bits that the driver has accepted."""

    def attach(self, transport: Transport) -> None:
        """Be carried by a transport, once and for all."""
        self.transport = transport

    def negotiate(self, features: int) -> None:
        """The driver has accepted these of the feature bits that were offered; 0 after a reset."""
        self.negotiated = features

    @property
    def is_modern(self) -> bool:
        """Was VIRTIO_F_VERSION_1 negotiated?"""
        return bool(self.negotiated & VIRTIO_F_VERSION_1)

    def config(self) -> bytes:
        """The device-specific configuration space."""
        return b""

    def write_config(self, offset: int, data: bytes) -> None:
        """The driver writes its configuration space; ignored unless the device has writable fields."""
        del offset, data

    def serve(self, index: int, queue: Virtqueue, budget: Budget) -> None:
        """Work on queue number `index` as far as it goes, and the budget; called again where that is spent.

        Raises:
            QueueError: the driver broke a rule; the device needs a reset.
        """
        raise NotImplementedError

    def reset(self) -> None:
        """Return to the state after power-on reset."""

    def state(self) -> dict[str, Any]:
        """What a snapshot must keep besides the transport, as plain values."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave."""
        del state
