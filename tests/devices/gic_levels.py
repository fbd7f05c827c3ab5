"""A GICv3 of CPUs with EL2 or EL3, and a PE of which a test says where it is: for the tests of both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gic_guest import Lines

from armvcpu.arch.controls import HCR_EL2, SCR_EL3
from armvcpu.arch.registers import by_name
from armvcpu.devices.gic.gicv3 import Gicv3

if TYPE_CHECKING:
    from collections.abc import Callable

IMO, FMO, TGE = HCR_EL2.IMO.mask, HCR_EL2.FMO.mask, HCR_EL2.TGE.mask
NS, IRQ, FIQ = SCR_EL3.NS.mask, SCR_EL3.IRQ.mask, SCR_EL3.FIQ.mask
SPURIOUS, IDLE = 1023, 0xFF


class ScriptedProcessor:
    """A PE that is where it is put; what became an exception is in `trapped`."""

    def __init__(self, el: int) -> None:
        self.highest = self.el = el
        self.hcr, self.scr = 0, 0
        self.trapped: list[int] = []

    @property
    def is_secure(self) -> bool:
        return self.highest == 3 and (self.el == 3 or not self.scr & NS)

    @property
    def hcr_el2(self) -> int:
        return 0 if self.is_secure else self.hcr

    @property
    def scr_el3(self) -> int:
        return self.scr

    def trap(self, el: int) -> None:
        self.trapped.append(el)

    def at(self, el: int, scr: int | None = None, hcr: int | None = None) -> ScriptedProcessor:
        """Be at this level, with these controls if they change."""
        self.el = el
        self.scr = self.scr if scr is None else scr
        self.hcr = self.hcr if hcr is None else hcr
        return self


class Levels:
    """The GIC, its lines, its registers by name, and its PEs; `secure` is what a memory access is."""

    def __init__(self, el: int, mpidrs: tuple[int, ...] = (0,), *, ready: bool = True, spis: int = 64) -> None:
        cpus = len(mpidrs)
        self.irq, self.fiq, self.virq, self.vfiq = (Lines(cpus) for _ in range(4))
        self.pes = [ScriptedProcessor(el) for _ in mpidrs]
        self.secure = True
        self.gic = Gicv3(
            mpidrs, self.irq.lines, self.fiq.lines, el=el, processors=self.pes, virq=self.virq.lines,
            vfiq=self.vfiq.lines, access_is_secure=lambda: self.secure, spis=spis,
        )  # fmt: skip
        self.registers: list[dict[int, tuple[Callable[[], int] | None, Callable[[int], Any] | None]]] = [
            {encoding: (read, write) for encoding, read, write in self.gic.interface(cpu).registers()}
            for cpu in range(cpus)
        ]
        if ready:
            self.gic.distributor.write(0, 4, 7)
            for cpu in range(cpus):
                self.set("ICC_PMR_EL1", 0xFF, cpu)
                self.set("ICC_IGRPEN0_EL1", 1, cpu)
                self.set("ICC_IGRPEN1_EL1" if el == 2 else "ICC_IGRPEN1_EL3", 3, cpu)

    @property
    def pe(self) -> ScriptedProcessor:
        """CPU 0."""
        return self.pes[0]

    def get(self, name: str, cpu: int = 0) -> int:
        """MRS."""
        read = self.registers[cpu][by_name[name].encoding][0]
        assert read is not None, f"MRS of {name} is UNDEFINED"
        return read()

    def set(self, name: str, value: int, cpu: int = 0) -> None:
        """MSR."""
        write = self.registers[cpu][by_name[name].encoding][1]
        assert write is not None, f"MSR of {name} is UNDEFINED"
        write(value)

    def has(self, name: str) -> bool:
        """Is there such a register at all?"""
        return by_name[name].encoding in self.registers[0]

    def pend(self, intid: int, *, group: int = 1, priority: int = 0xA0, cpu: int = 0) -> None:
        """Make an interrupt pending, enabled and edge-triggered, in Group 0, 1 (Non-secure) or 2 (Secure Group 1)."""
        bank = self.gic.shared if intid >= 32 else self.gic.interface(cpu).private
        bit = 1 << intid
        bank.group1 = bank.group1 & ~bit | (group == 1) * bit
        if hasattr(bank, "set_modifier"):
            bank.set_modifier(bit, (group == 2) * bit)
        bank.set_priority(intid, priority)
        bank.enabled |= bit
        bank.settle()
        self.gic.pend(intid, cpu)
