"""The GICv2 Distributor, IHI 0048 4.3, without Security Extensions; `gicv2_secure.py` adds what they add.

The registers of INTIDs 0 to 31 are banked: each CPU sees its own. With one CPU every SPI goes to it and
GICD_ITARGETSR is RAZ/WI (4.3.12).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from armvcpu.arch.gic_registers import FIRST_SPI, GICD_CTLR, GICD_SGIR, GICD_TYPER, IMPLEMENTER, SGIS
from armvcpu.devices.device import Register
from armvcpu.devices.gic import device as fields
from armvcpu.devices.gic.device import GicDevice, InterruptRegisters
from armvcpu.devices.gic.gicv2_sgi import CPENDSGIR, SPENDSGIR

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.devices.dtnode import DtNode
    from armvcpu.devices.gic.gicv2 import Gicv2
    from armvcpu.devices.gic.security import Security
    from armvcpu.devices.gic.state import InterruptBank

_ENABLES = GICD_CTLR.of(EnableGrp0=1, EnableGrp1=1)
_PRIVATE_WORDS = FIRST_SPI // 4
_EVERY_BYTE = 0x0101_0101
_EVERYONE = 0xFF


class Gicv2Distributor(GicDevice):
    """GICD of `gic`, accessed by the CPU that `current_cpu` names."""

    size = 0x1_0000

    GICD_CTLR = Register(0x000, mask=_ENABLES)
    GICD_TYPER = Register(0x004, ro=True)
    GICD_IIDR = Register(0x008, ro=True, reset=0x0002_0000 | IMPLEMENTER)
    GICD_IGROUPR = InterruptRegisters(0x080, fields.IGROUPR)
    GICD_ISENABLER = InterruptRegisters(0x100, fields.ISENABLER)
    GICD_ICENABLER = InterruptRegisters(0x180, fields.ICENABLER)
    GICD_ISPENDR = InterruptRegisters(0x200, fields.ISPENDR)
    GICD_ICPENDR = InterruptRegisters(0x280, fields.ICPENDR)
    GICD_ISACTIVER = InterruptRegisters(0x300, fields.ISACTIVER)
    GICD_ICACTIVER = InterruptRegisters(0x380, fields.ICACTIVER)
    GICD_IPRIORITYR = InterruptRegisters(0x400, fields.IPRIORITYR)
    GICD_ITARGETSR = Register(0x800, count=256)
    GICD_ICFGR = InterruptRegisters(0xC00, fields.ICFGR)
    GICD_SGIR = Register(0xF00, wo=True)
    GICD_CPENDSGIR = InterruptRegisters(0xF10, CPENDSGIR, SGIS)
    GICD_SPENDSGIR = InterruptRegisters(0xF20, SPENDSGIR, SGIS)
    GICD_PIDR4 = Register(0xFD0, ro=True, reset=0x04)
    GICD_PIDR0 = Register(0xFE0, ro=True, reset=0x90)
    GICD_PIDR1 = Register(0xFE4, ro=True, reset=0xB4)
    GICD_PIDR2 = Register(0xFE8, ro=True, reset=0x2B)
    GICD_CIDR0 = Register(0xFF0, ro=True, reset=0x0D)
    GICD_CIDR1 = Register(0xFF4, ro=True, reset=0xF0)
    GICD_CIDR2 = Register(0xFF8, ro=True, reset=0x05)
    GICD_CIDR3 = Register(0xFFC, ro=True, reset=0xB1)

    def __init__(self, gic: Gicv2, current_cpu: Callable[[], int], security: Security | None = None) -> None:
        self._gic, self._current_cpu = gic, current_cpu
        super().__init__(security)

    def reset(self) -> None:
        """Nothing is enabled but SGIs, and SPIs go nowhere."""
        super().reset()
        self._gic.shared.reset()
        for interface in self._gic.interfaces:
            interface.private.reset()
        self._apply()

    def dt_node(self, base: int, interrupts: tuple[int, ...]) -> DtNode:
        """The node of binding `arm,gic`, which covers the CPU interface and the MSI frame too."""
        del interrupts
        return self._gic.dt_node(base)

    def bank(self, intid: int) -> InterruptBank:
        """SPIs, or what is private to the CPU that accesses."""
        return self._gic.shared if intid >= FIRST_SPI else self._gic.interfaces[self._current_cpu()].private

    def changed(self) -> None:
        """Any CPU may be concerned."""
        self._gic.update()

    def read_GICD_TYPER(self) -> int:
        """How many interrupts and CPUs there are."""
        return GICD_TYPER.of(ITLinesNumber=self._gic.it_lines, CPUNumber=len(self._gic.interfaces) - 1)

    def write_GICD_CTLR(self, value: int) -> None:
        """Forward the groups whose bit is set."""
        self.GICD_CTLR = value
        self._gic.forward_groups(value)

    # --- targets

    def read_GICD_ITARGETSR(self, index: int) -> int:
        """The targets of four interrupts; those of private ones are the CPU that reads (4.3.12)."""
        if index >= _PRIVATE_WORDS or self._is_uniprocessor:
            return self.GICD_ITARGETSR[index]
        return _EVERY_BYTE << self._current_cpu()

    def write_GICD_ITARGETSR(self, value: int, index: int) -> None:
        """Set the targets of four SPIs."""
        if self._is_uniprocessor or 4 * index not in self._gic.shared.intids:
            return
        self.GICD_ITARGETSR[index] = value & _EVERY_BYTE * ((1 << len(self._gic.interfaces)) - 1)
        self._route(index)
        self._gic.update()

    @property
    def _is_uniprocessor(self) -> bool:
        return len(self._gic.interfaces) == 1

    def _route(self, index: int) -> None:
        """Have four SPIs go where their GICD_ITARGETSR says."""
        for byte, targets in enumerate(self.GICD_ITARGETSR[index].to_bytes(4, "little")):
            self._gic.route_to_cpus(4 * index + byte, 1 if self._is_uniprocessor else targets)

    # --- SGIs

    def write_GICD_SGIR(self, value: int, allowed: int = _EVERYONE) -> None:
        """Send an SGI to the listed CPUs, all others, or the sender (4.3.15); of them to those in a bitmap."""
        sgir, sender = GICD_SGIR(value), self._current_cpu()
        targets = (sgir.CPUTargetList, ~(1 << sender), 1 << sender, 0)[sgir.TargetListFilter] & allowed
        for cpu, interface in enumerate(self._gic.interfaces):
            if targets >> cpu & 1:
                interface.private.send(sgir.INTID, 1 << sender)
                interface.update()

    # --- snapshot

    def state(self) -> dict[str, Any]:
        """The registers and all interrupts."""
        private = [interface.private.state() for interface in self._gic.interfaces]
        return {**super().state(), "spis": self._gic.shared.state(), "private": private}

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave, of as many CPUs; the lines follow."""
        super().load_state(state)
        self._gic.shared.load_state(state["spis"])
        for interface, saved in zip(self._gic.interfaces, state["private"], strict=True):
            interface.private.load_state(saved)
        self._apply()

    def _apply(self) -> None:
        """Have the interfaces see what the registers say."""
        for index in range(_PRIVATE_WORDS, self._gic.shared.intids.stop // 4):
            self._route(index)
        self._gic.forward_groups(self.GICD_CTLR)
