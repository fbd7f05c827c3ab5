"""A frame that shows Secure and Non-secure accesses different registers: GICD and GICC with Security Extensions.

IHI 0048 4.1.1 "GICv2 register names" has such registers as Banked, Secure, or with a view of their own; a device for
each Security state says which of them it has and what they show. The state is in the first of them.
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.devices.device import Device

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.devices.dtnode import DtNode


class BankedFrame(Device):
    """The frame of two devices, of which `access_is_secure` chooses one during an access."""

    def __init__(self, secure: Device, nonsecure: Device, access_is_secure: Callable[[], bool]) -> None:
        self._secure, self._nonsecure, self._is_secure = secure, nonsecure, access_is_secure
        self.size = secure.size
        super().__init__()

    def reset(self) -> None:
        """Reset the device that has the state."""
        self._secure.reset()

    def read(self, offset: int, width: int) -> int:
        """Read what the Security state of the access sees there."""
        return (self._secure if self._is_secure() else self._nonsecure).read(offset, width)

    def write(self, offset: int, width: int, value: int) -> None:
        """Write it."""
        (self._secure if self._is_secure() else self._nonsecure).write(offset, width, value)

    def name_of(self, offset: int) -> str:
        """The register's name, which is the same in both."""
        return self._secure.name_of(offset)

    def dt_node(self, base: int, interrupts: tuple[int, ...]) -> DtNode | None:
        """That of the device that has the state."""
        return self._secure.dt_node(base, interrupts)

    def state(self) -> dict[str, Any]:
        """That of the device that has it."""
        return self._secure.state()

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to it."""
        self._secure.load_state(state)
