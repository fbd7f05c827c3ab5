"""The GICv3 Distributor, IHI 0069 12.9: SPIs, their routing, and which groups are forwarded at all.

Affinity routing is always on (GICD_CTLR.ARE is RAO/WI), so the registers of SGIs and PPIs, GICD_ITARGETSR and
GICD_SGIR are RAZ/WI here; each CPU's Redistributor has its private interrupts.
"""

from __future__ import annotations

from armvcpu.arch.gic_registers import FIRST_SPI, GICD_CTLR, GICD_IROUTER, GICD_TYPER, IMPLEMENTER, MAX_SPIS
from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.devices.device import Register
from armvcpu.devices.gic import device as fields
from armvcpu.devices.gic.device import GicDevice, InterruptRegisters

if TYPE_CHECKING:
    from armvcpu.devices.dtnode import DtNode
    from armvcpu.devices.gic.gicv3 import Gicv3
    from armvcpu.devices.gic.security import Security
    from armvcpu.devices.gic.state import InterruptBank

_ENABLES = GICD_CTLR.of(EnableGrp0=1, EnableGrp1=1)
_ROUTE = GICD_IROUTER.of(Aff0=0xFF, Aff1=0xFF, Aff2=0xFF, Aff3=0xFF, Interrupt_Routing_Mode=1)
_INTID_BITS = 10  # without LPIs


class Gicv3Distributor(GicDevice):
    """GICD of `gic`."""

    size = 0x1_0000
    enables: int = _ENABLES
    """The bits of GICD_CTLR that are the groups to forward."""

    GICD_CTLR = Register(0x0000, reset=GICD_CTLR.of(ARE=1, DS=1), mask=_ENABLES)
    GICD_TYPER = Register(0x0004, ro=True)
    GICD_IIDR = Register(0x0008, ro=True, reset=IMPLEMENTER)
    GICD_IGROUPR = InterruptRegisters(0x0080, fields.IGROUPR)
    GICD_ISENABLER = InterruptRegisters(0x0100, fields.ISENABLER)
    GICD_ICENABLER = InterruptRegisters(0x0180, fields.ICENABLER)
    GICD_ISPENDR = InterruptRegisters(0x0200, fields.ISPENDR)
    GICD_ICPENDR = InterruptRegisters(0x0280, fields.ICPENDR)
    GICD_ISACTIVER = InterruptRegisters(0x0300, fields.ISACTIVER)
    GICD_ICACTIVER = InterruptRegisters(0x0380, fields.ICACTIVER)
    GICD_IPRIORITYR = InterruptRegisters(0x0400, fields.IPRIORITYR)
    GICD_ICFGR = InterruptRegisters(0x0C00, fields.ICFGR)
    GICD_IROUTER = Register(0x6000 + 8 * FIRST_SPI, width=8, count=MAX_SPIS, first=FIRST_SPI, mask=_ROUTE)
    GICD_PIDR4 = Register(0xFFD0, ro=True, reset=0x44)
    GICD_PIDR0 = Register(0xFFE0, ro=True, reset=0x92)
    GICD_PIDR1 = Register(0xFFE4, ro=True, reset=0xB4)
    GICD_PIDR2 = Register(0xFFE8, ro=True, reset=0x3B)
    GICD_CIDR0 = Register(0xFFF0, ro=True, reset=0x0D)
    GICD_CIDR1 = Register(0xFFF4, ro=True, reset=0xF0)
    GICD_CIDR2 = Register(0xFFF8, ro=True, reset=0x05)
    GICD_CIDR3 = Register(0xFFFC, ro=True, reset=0xB1)

    def __init__(self, gic: Gicv3, security: Security | None = None) -> None:
        self._gic = gic
        super().__init__(security)

    def reset(self) -> None:
        """Nothing is enabled, and every SPI is routed to the CPU of affinity 0.0.0.0."""
        super().reset()
        self._gic.shared.reset()
        self._apply()

    def dt_node(self, base: int, interrupts: tuple[int, ...]) -> DtNode:
        """The node of binding `arm,gic-v3`, which covers the Redistributors too."""
        del interrupts
        return self._gic.dt_node(base)

    def bank(self, intid: int) -> InterruptBank:
        """Of SPIs; it does not have the others."""
        del intid
        return self._gic.shared

    def changed(self) -> None:
        """Any CPU may be concerned."""
        self._gic.participation_changed()
        self._gic.update()

    def read_GICD_TYPER(self) -> int:
        """What this Distributor has: no LPIs, no MBIs, no second Security state; 1 of N routing."""
        return GICD_TYPER.of(ITLinesNumber=self._gic.it_lines, IDbits=_INTID_BITS - 1, A3V=1, RSS=1)

    def write_GICD_CTLR(self, value: int) -> None:
        """Forward the groups whose bit is set; the write takes effect at once, so that RWP is always 0."""
        self.GICD_CTLR = value | GICD_CTLR.of(ARE=1, DS=1)
        self._gic.forward_groups(value)

    def write_GICD_IROUTER(self, value: int, index: int) -> None:
        """Route SPI `index`."""
        if index < self._gic.spis:
            self.GICD_IROUTER[index] = value
            self._gic.route_by_affinity(index, GICD_IROUTER(value))
            self._gic.update()

    def state(self) -> dict[str, Any]:
        """The registers, and the SPIs."""
        return {**super().state(), "spis": self._gic.shared.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave; the CPUs' lines follow."""
        super().load_state(state)
        self._gic.shared.load_state(state["spis"])
        self._apply()

    def _apply(self) -> None:
        """Have the interfaces see what the registers say."""
        if any(self.GICD_IROUTER):
            for index in range(self._gic.spis):
                self._gic.route_by_affinity(index, GICD_IROUTER(self.GICD_IROUTER[index]))
        else:
            self._gic.route_to_first()
        self._gic.forward_groups(self.GICD_CTLR & self.enables)
