"""Distributor and Redistributors of a GICv3 with two Security states, IHI 0069 12.9 and 12.11.

What they have more than those of one Security state: GICD_CTLR with three enables and DS, whose Non-secure view has one
of them; the registers of Secure groups; and Non-secure accesses, which see Non-secure interrupts only (`security.py`).
"""

from __future__ import annotations

from armvcpu.arch.gic_registers import FIRST_SPI, GICD_CTLR_NONSECURE, GICD_CTLR_SECURE, GICD_TYPER, SGIS
from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.devices.device import Register
from armvcpu.devices.gic.device import InterruptRegisters
from armvcpu.devices.gic.gicv3_distributor import Gicv3Distributor
from armvcpu.devices.gic.gicv3_groups import IGRPMODR, GroupedBank
from armvcpu.devices.gic.gicv3_redistributor import SGI_BASE, Redistributor
from armvcpu.devices.gic.nsacr import NSACR

if TYPE_CHECKING:
    from armvcpu.devices.gic.gicv3 import Gicv3
    from armvcpu.devices.gic.security import Security

_ENABLES = GICD_CTLR_SECURE.of(EnableGrp0=1, EnableGrp1NS=1, EnableGrp1S=1)
_ARE = GICD_CTLR_SECURE.of(ARE_S=1, ARE_NS=1)
_DS = GICD_CTLR_SECURE.DS.mask
_OPEN_ROUTE = 3
"""The value of GICD_NSACR that lets Non-secure software route a Secure interrupt."""


class SecureDistributor(Gicv3Distributor):
    """GICD of `gic`."""

    enables = _ENABLES

    GICD_CTLR = Register(0x0000, reset=_ARE, mask=_ENABLES | _DS)
    GICD_IGRPMODR = InterruptRegisters(0x0D00, IGRPMODR)
    GICD_NSACR = InterruptRegisters(0x0E00, NSACR)

    security: Security

    def __init__(self, gic: Gicv3, security: Security) -> None:
        super().__init__(gic, security)

    def reset(self) -> None:
        """There are two Security states again; nothing is enabled, and all SPIs go to the CPU of affinity 0.0.0.0."""
        self.security.is_disabled = False
        super().reset()

    def read_GICD_TYPER(self) -> int:
        """As with one Security state, but for SecurityExtn."""
        return super().read_GICD_TYPER() | (0 if self.security.is_disabled else GICD_TYPER.SecurityExtn.mask)

    def read_GICD_CTLR(self) -> int:
        """The enables; a Non-secure access sees that of its own group."""
        if not self.security.restricts():
            return self.GICD_CTLR
        return self.GICD_CTLR & GICD_CTLR_SECURE.EnableGrp1NS.mask | GICD_CTLR_NONSECURE.ARE_NS.mask

    def write_GICD_CTLR(self, value: int) -> None:
        """Forward the groups whose bit is set. DS, once set, stays so until the next reset."""
        if self.security.restricts():
            own = GICD_CTLR_NONSECURE.EnableGrp1A.mask
            value = self.GICD_CTLR & ~own | value & own
        if self.security.is_disabled:
            value = value & GICD_CTLR_SECURE.of(EnableGrp0=1, EnableGrp1NS=1) | _DS
        elif value & _DS:
            value &= ~GICD_CTLR_SECURE.of(EnableGrp1S=1)
        self.GICD_CTLR = value & (_ENABLES | _DS) | (GICD_CTLR_SECURE.ARE_S.mask if value & _DS else _ARE)
        if value & _DS and not self.security.is_disabled:
            self.security.is_disabled = True
            self._have_states()
        self._gic.forward_groups(self.GICD_CTLR & _ENABLES)

    def read_GICD_IROUTER(self, index: int) -> int:
        """The route of SPI `index`; that of a Secure one reads as zero."""
        return self.GICD_IROUTER[index] if self._may_route(index) else 0

    def write_GICD_IROUTER(self, value: int, index: int) -> None:
        """Route SPI `index`; not a Secure one."""
        if self._may_route(index):
            super().write_GICD_IROUTER(value, index)

    def _may_route(self, index: int) -> bool:
        bank, intid = self._gic.shared, FIRST_SPI + index
        seen = bank.group1 | bank.opened_to_nonsecure(_OPEN_ROUTE)
        return not self.security.restricts() or bool(seen >> intid & 1)

    def _have_states(self) -> None:
        for bank in (self._gic.shared, *(interface.private for interface in self._gic.interfaces)):
            assert isinstance(bank, GroupedBank)
            bank.have_states(1 if self.security.is_disabled else 2)

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave; the CPUs' lines follow."""
        self.security.is_disabled = bool(state["values"]["GICD_CTLR"] & _DS)
        self._have_states()
        super().load_state(state)


class SecureRedistributor(Redistributor):
    """GICR of the CPU with this index. Non-secure software leaves the CPU awake or asleep as it is."""

    GICR_IGRPMODR = InterruptRegisters(SGI_BASE + 0xD00, IGRPMODR, FIRST_SPI)
    GICR_NSACR = InterruptRegisters(SGI_BASE + 0xE00, NSACR, SGIS)

    security: Security

    def __init__(self, gic: Gicv3, cpu: int, security: Security) -> None:
        super().__init__(gic, cpu, security)

    def read_GICR_WAKER(self) -> int:
        """RAZ to Non-secure accesses."""
        return 0 if self.security.restricts() else self.GICR_WAKER

    def write_GICR_WAKER(self, value: int) -> None:
        """WI to them."""
        if not self.security.restricts():
            super().write_GICR_WAKER(value)
