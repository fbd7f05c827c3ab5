"""A GIC with its outputs recorded, set up and used as a guest would: for the tests of both versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from icc_access import IccAccess

from armvcpu.devices.gic.gicv2 import Gicv2
from armvcpu.devices.gic.gicv3 import Gicv3

if TYPE_CHECKING:
    from armvcpu.devices.device import Device

SGI_BASE = 0x1_0000
PRIORITY = 0xA0
IGROUPR, ISENABLER, ICENABLER, ISPENDR, ICPENDR = 0x080, 0x100, 0x180, 0x200, 0x280
ISACTIVER, ICACTIVER, IPRIORITYR, ITARGETSR, ICFGR, IROUTER = 0x300, 0x380, 0x400, 0x800, 0xC00, 0x6000
CTLR, PMR, BPR, IAR, EOIR, RPR, HPPIR, ABPR, AIAR, AEOIR, AHPPIR = range(0, 0x2C, 4)
DIR = 0x1000


class Lines:
    """Levels of the CPUs' inputs, and every change of them."""

    def __init__(self, cpus: int) -> None:
        self.changes: list[list[bool]] = [[] for _ in range(cpus)]
        self.lines = [changes.append for changes in self.changes]

    def __getitem__(self, cpu: int) -> bool:
        return bool(self.changes[cpu]) and self.changes[cpu][-1]


def configure(device: Device, base: int, intid: int, priority: int, group: int, edge: bool | None) -> None:
    """Enable an interrupt in the registers from `base` on; `edge` None leaves its trigger."""
    device.write(base + IPRIORITYR + intid, 1, priority)
    byte, bit = base + intid // 8, 1 << intid % 8
    device.write(byte + IGROUPR, 1, device.read(byte + IGROUPR, 1) & ~bit | group * bit)
    device.write(byte + ISENABLER, 1, bit)
    if edge is not None:
        device.write(base + ICFGR + intid // 4, 1, edge << 2 * (intid % 4) + 1)


class V3:
    """A GICv3; `ready` enables everything in Group 1 at one priority, as an operating system does."""

    def __init__(self, mpidrs: tuple[int, ...] = (0,), *, ready: bool = True, spis: int = 64) -> None:
        self.irq, self.fiq = Lines(len(mpidrs)), Lines(len(mpidrs))
        self.gic = Gicv3(mpidrs, self.irq.lines, self.fiq.lines, spis=spis)
        self.gicd = self.gic.distributor
        self.registers = [IccAccess(self.gic.interface(cpu).registers()) for cpu in range(len(mpidrs))]
        if ready:
            self.gicd.write(CTLR, 4, 3)
            for cpu in range(len(mpidrs)):
                self.set("PMR", 0xFF, cpu)
                self.set("IGRPEN0", 1, cpu)
                self.set("IGRPEN1", 1, cpu)
            for intid in range(32 + spis):
                self.configure(intid)

    def get(self, name: str, cpu: int = 0) -> int | None:
        return self.registers[cpu].get(name)

    def set(self, name: str, value: int, cpu: int = 0) -> bool:
        return self.registers[cpu].set(name, value)

    def configure(self, intid: int, *, priority: int = PRIORITY, group: int = 1, edge: bool | None = None) -> None:
        """Enable an interrupt, of every CPU if it is private."""
        if intid >= 32:
            configure(self.gicd, 0, intid, priority, group, edge)
        else:
            for redistributor in self.gic.redistributors:
                configure(redistributor, SGI_BASE, intid, priority, group, edge)


class V2:
    """A GICv2; `cpu` is who accesses, and `secure` whether it does so as Secure software, where the GIC has that.

    `ready` enables everything in Group 0, for all CPUs, at one priority.
    """

    def __init__(
        self, cpus: int = 1, *, ready: bool = True, spis: int = 96, el: Literal[1, 2, 3] = 1
    ) -> None:  # fmt: skip
        self.cpu, self.secure = 0, True
        self.irq, self.fiq, self.virq, self.vfiq = (Lines(cpus) for _ in range(4))
        self.gic = Gicv2(
            self.irq.lines, self.fiq.lines, current_cpu=lambda: self.cpu, spis=spis, msi_spis=range(48, 64),
            el=el, access_is_secure=lambda: self.secure, virq=self.virq.lines, vfiq=self.vfiq.lines,
        )  # fmt: skip
        self.gicd, self.gicc = self.gic.distributor, self.gic.gicc
        if ready:
            self.gicd.write(CTLR, 4, 3)
            for intid in range(32, 32 + spis):
                self.configure(intid)
                self.gicd.write(ITARGETSR + intid, 1, (1 << cpus) - 1)
            for cpu in range(cpus):
                self.on(cpu)
                self.gicc.write(PMR, 4, 0xFF)
                self.gicc.write(CTLR, 4, 1)
                for intid in range(32):
                    self.configure(intid)
            self.on(0)

    def on(self, cpu: int) -> V2:
        """Have this CPU access the GIC from now on."""
        self.cpu = cpu
        return self

    def get(self, offset: int) -> int:
        return self.gicc.read(offset, 4)

    def set(self, offset: int, value: int) -> None:
        self.gicc.write(offset, 4, value)

    def configure(self, intid: int, *, priority: int = PRIORITY, group: int = 0, edge: bool | None = None) -> None:
        configure(self.gicd, 0, intid, priority, group, edge)
