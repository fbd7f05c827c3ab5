"""A frame that shows Secure and Non-secure accesses different registers: GICC with Security Extensions. IHI 0048 4.4.

Most of its registers are Banked, Secure, or have a view of their own; a device for each Security state says which of
them it has and what they show. The state is in the first of them.
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.devices.device import Device

if TYPE_CHECKING:
    from armvcpu.devices.gic.security import Security


class BankedFrame(Device):
    """The frame of two devices, of which `security` chooses one during an access."""

    def __init__(self, secure: Device, nonsecure: Device, security: Security) -> None:
        self._secure, self._nonsecure, self._restricts = secure, nonsecure, security.restricts
        self.size = secure.size
        super().__init__()

    def reset(self) -> None:
        """Reset the device that has the state."""
        self._secure.reset()

    def read(self, offset: int, width: int) -> int:
        """Read what the Security state of the access sees there."""
        return (self._nonsecure if self._restricts() else self._secure).read(offset, width)

    def write(self, offset: int, width: int, value: int) -> None:
        """Write it."""
        (self._nonsecure if self._restricts() else self._secure).write(offset, width, value)

    def name_of(self, offset: int) -> str:
        """The register's name, which is the same in both."""
        return self._secure.name_of(offset)

    def state(self) -> dict[str, Any]:
        """That of the device that has it."""
        return self._secure.state()

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to it."""
        self._secure.load_state(state)
