"""The Distributor of a GICv2 with Security Extensions. IHI 0048 4.3 and 3.5.

Interrupts of Group 0 are Secure ones. What Non-secure accesses see of the registers with a field for each interrupt
stands in `security.py`; here are the others, and GICD_NSACR, which opens Secure interrupts to them:

    1    GICD_ISPENDR, and GICD_SGIR
    2    as well GICD_ICPENDR, and reads of GICD_ISACTIVER and GICD_ICACTIVER
    3    as well GICD_ITARGETSR
"""

from __future__ import annotations

from armvcpu.arch.gic_registers import ALL_SGIS, GICD_CTLR, GICD_SGIR, GICD_TYPER
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.devices.gic.device import InterruptRegisters
from armvcpu.devices.gic.gicv2_distributor import Gicv2Distributor
from armvcpu.devices.gic.gicv2_sgi import PrivateInterrupts
from armvcpu.devices.gic.nsacr import NSACR, OpenedBank

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.devices.gic.gicv2 import Gicv2
    from armvcpu.devices.gic.security import Security

_FOR_SGIR, _FOR_TARGETS = 1, 3


class OpenedPrivate(OpenedBank, PrivateInterrupts):
    """The private interrupts of one CPU; PPIs have no NS_access (4.3.18)."""

    @property
    def openable(self) -> int:
        """Bitmap of the SGIs."""
        return ALL_SGIS


class SecureDistributor(Gicv2Distributor):
    """GICD with a Secure and a Non-secure view; the Secure one is that of a GIC without Security Extensions."""

    GICD_NSACR = InterruptRegisters(0xE00, NSACR)

    def __init__(self, gic: Gicv2, current_cpu: Callable[[], int], security: Security) -> None:
        super().__init__(gic, current_cpu, security)
        self._restricts = security.restricts

    def read_GICD_TYPER(self) -> int:
        """How many interrupts and CPUs there are; no SPI can be locked."""
        return super().read_GICD_TYPER() | GICD_TYPER.of(SecurityExtn=1)

    def read_GICD_CTLR(self) -> int:
        """Which groups are forwarded; Non-secure, the one bit is an alias of EnableGrp1 (4.3.1)."""
        return GICD_CTLR(self.GICD_CTLR).EnableGrp1 if self._restricts() else self.GICD_CTLR

    def write_GICD_CTLR(self, value: int) -> None:
        """Forward them."""
        if self._restricts():
            value = GICD_CTLR(self.GICD_CTLR).replace(EnableGrp1=value & 1)
        super().write_GICD_CTLR(value)

    def read_GICD_ITARGETSR(self, index: int) -> int:
        """The targets of four interrupts."""
        value = super().read_GICD_ITARGETSR(index)
        return value & self._open_targets(index) if self._restricts() else value

    def write_GICD_ITARGETSR(self, value: int, index: int) -> None:
        """Set the targets of four SPIs."""
        if self._restricts():
            opened = self._open_targets(index)
            value = value & opened | self.GICD_ITARGETSR[index] & ~opened
        super().write_GICD_ITARGETSR(value, index)

    def _open_targets(self, index: int) -> int:
        bank = self.bank(4 * index)
        opened = (bank.group1 | bank.opened_to_nonsecure(_FOR_TARGETS)) >> 4 * index
        return sum(0xFF << 8 * n for n in range(4) if opened >> n & 1)

    def write_GICD_SGIR(self, value: int, allowed: int = 0) -> None:
        """Send an SGI to those CPUs that have it in the group that NSATT names (4.3.15).

        From Non-secure software it goes to those that have it in Group 1, or opened.
        """
        sgir, banks = GICD_SGIR(value), [interface.private for interface in self._gic.interfaces]
        for cpu, bank in enumerate(banks):
            in_group1 = bank.group1 >> sgir.INTID & 1
            if self._restricts():
                reached = in_group1 | bank.opened_to_nonsecure(_FOR_SGIR) >> sgir.INTID & 1
            else:
                reached = in_group1 == sgir.NSATT
            allowed |= reached << cpu
        super().write_GICD_SGIR(value, allowed)
