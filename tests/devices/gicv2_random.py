"""Random scripts for a GICv2 (`gic_script.py`), with the records that this project's model gives of them.

Left out is what the architecture leaves open, or what QEMU 7.2 does otherwise:

* disabling a group: QEMU then lets the most urgent interrupt of that group hide all others, and be acknowledged;
* GICD_SGIR to a target that has the SGI in another group: QEMU sends it all the same; GICD_NSACR, which it has not;
* the end of an interrupt that is not the one which runs, and GICD_ISACTIVER, after which QEMU does not deactivate;
* the lower bits of a priority, which QEMU's Distributor keeps, and so GICC_APR and the smallest binary points;
* GICC_HPPIR, which QEMU masks by priority, and whether GICC_IAR is 1022 or 1023 where nothing has a sufficient one;
* GICV_AIAR, GICV_AEOIR and GICV_AHPPIR, which QEMU has not, and CPUID of an SGI that is listed with HW;
* binary points that differ from those with which an active interrupt was acknowledged.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from gic_guest import (
    ABPR,
    BPR,
    CTLR,
    DIR,
    EOIR,
    IAR,
    ICACTIVER,
    ICENABLER,
    ICFGR,
    ICPENDR,
    IGROUPR,
    IPRIORITYR,
    ISACTIVER,
    ISENABLER,
    ISPENDR,
    PMR,
    RPR,
    V2,
)
from gic_levels import FMO, IMO, NS
from gic_script import GICD, Step

from armvcpu.arch.gich_registers import GICH_LR, GICH_VMCR

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.devices.device import Device

GICC, GICH, GICV = 0x0801_0000, 0x0803_0000, 0x0804_0000
SGIR = 0xF00
ISR_I, ISR_F = 1 << 7, 1 << 6
INTIDS = (3, 9, 27, 29, 33, 34, 40, 41, 50, 63)
SGIS, SPECIAL = (3, 9), 1020
HCR, VMCR, LR, LRS = 0x0, 0x8, 0x100, 4
SHOWN_BY_GICH = (HCR, VMCR, 0x10, 0x20, 0x30, 0xF0, *range(LR, LR + 4 * LRS, 4))
SHOWN_BY_GICC = (CTLR, PMR, BPR, ABPR, RPR)
SHOWN_BY_GICD = (
    *(CTLR, 4, IGROUPR, IGROUPR + 4, ISENABLER, ISENABLER + 4, ISPENDR, ISPENDR + 4, ISACTIVER, ICACTIVER + 4),
    *(ICFGR + 8, ICFGR + 12),
)


class Script:
    """`steps` of CPUs whose highest level is `top`, and the model's `records` of them."""

    def __init__(self, top: int, seed: int) -> None:
        self.top, self.r = top, random.Random(seed)
        self.model = V2(ready=False, spis=256, el=3 if top == 3 else 2)
        gich, gicv = self.model.gic.hypervisor_frames
        self._devices: dict[int, Device] = {GICD: self.model.gicd, GICC: self.model.gicc, GICH: gich, GICV: gicv}
        self.steps: list[Step] = []
        self.records: list[tuple[int, int, int]] = []

    def at(self, el: int, scr: int, where: int, value: int | None = None, width: int = 4) -> int:
        """One access, and what the model says to it."""
        self.steps.append(Step(el, scr, 0, where, value, width))
        self.model.secure = el == 3 or not scr & NS
        device, offset = self._devices[where & ~0xFFFF if where < GICV else GICV], where & 0xFFFF
        if where in (GICC + DIR, GICV + DIR):
            offset = DIR
        if value is None:
            got = device.read(offset, width)
        else:
            device.write(offset, width, value)
            got = value
        self.records.append((got, 0, self._isr()))
        return got

    def look_at_virtual_lines(self) -> None:
        """ISR_EL1 at EL1, where HCR_EL2.IMO and FMO have it show the virtual ones."""
        self.steps.append(Step(1, NS if self.top == 3 else 0, IMO | FMO, "ISR_EL1"))
        self.records.append((ISR_I * self.model.virq[0] | ISR_F * self.model.vfiq[0], 0, self._isr()))

    def _isr(self) -> int:
        return ISR_I * self.model.irq[0] | ISR_F * self.model.fiq[0]


class SecurityScript(Script):
    """Both Security states use the Distributor and the CPU interface."""

    def __init__(self, seed: int, length: int) -> None:
        super().__init__(3, seed)
        self._taken: list[int] = []
        self._set_up()
        kinds: tuple[tuple[int, Callable[[], None]], ...] = (
            (5, self.pend), (2, self.send), (4, self.acknowledge), (4, self.end), (1, self.deactivate),
            (3, self.priority), (2, self.mask), (2, self.control), (2, self.enable), (1, self.group), (1, self.trigger),
            (8, self.look),
        )  # fmt: skip
        weights, makers = zip(*kinds, strict=True)
        while len(self.steps) < length:
            self.r.choices(makers, weights)[0]()

    def add(self, where: int, value: int | None = None, width: int = 4) -> int:
        """An access of either Security state."""
        return self.at(*self.r.choice(((3, 0), (1, 0), (2, NS), (1, NS))), where, value, width)

    def secure(self, where: int, value: int, width: int = 4) -> None:
        self.at(3, 0, where, value, width)

    def word(self, register: int, intid: int, bits: int = 1) -> int:
        return GICD + register + (intid * bits // 8 & ~3)

    def group_of(self, intid: int) -> int:
        bank = self.model.gic.interfaces[0].private if intid < 32 else self.model.gic.shared
        return bank.group1 >> intid & 1

    def _set_up(self) -> None:
        self.secure(GICD + CTLR, 3)
        for word in (0, 4):
            self.secure(GICD + IGROUPR + word, self.r.getrandbits(32))
            self.secure(GICD + ISENABLER + word, 0xFFFF_FFFF)
        for n, intid in enumerate(INTIDS):
            self.secure(GICD + IPRIORITYR + intid, self.r.choice((16 * n, 0x80 + 8 * n)), 1)
        for offset, value in ((PMR, 0xF0), (BPR, 3), (ABPR, 3), (CTLR, self._control())):
            self.secure(GICC + offset, value)

    def _control(self) -> int:
        """Both groups, and any mode."""
        return 3 | self.r.getrandbits(11) & 0x61C

    def pend(self) -> None:
        intid = self.r.choice(INTIDS[2:])
        self.add(self.word(self.r.choice((ISPENDR, ISPENDR, ISPENDR, ICPENDR)), intid), 1 << intid % 32)

    def send(self) -> None:
        sgi = self.r.choice(SGIS)
        if self.group_of(sgi):
            self.add(GICD + SGIR, 2 << 24 | 1 << 15 | sgi)
        else:
            self.secure(GICD + SGIR, 2 << 24 | sgi)

    def acknowledge(self) -> None:
        intid = self.add(GICC + IAR)
        if intid < SPECIAL:
            self._taken.append(intid)

    def end(self) -> None:
        """The one that runs: a Secure one by a Secure access, after an attempt of Non-secure software perhaps."""
        if not self._taken:
            return
        intid = self._taken[-1]
        if not self.group_of(intid):
            if self.r.random() < 0.3:
                self.at(2, NS, GICC + EOIR, intid)
            self.secure(GICC + EOIR, intid)
        else:
            self.add(GICC + EOIR, intid)
        self._taken.pop()

    def deactivate(self) -> None:
        self.add(GICC + DIR, self.r.choice(INTIDS))

    def priority(self) -> None:
        intid = self.r.choice(INTIDS)
        self.add(GICD + IPRIORITYR + intid, self.r.choice((None, self.r.randrange(0, 256, 16))), 1)

    def mask(self) -> None:
        self.add(GICC + PMR, self.r.randrange(64, 256, 16))

    def control(self) -> None:
        if self.r.random() < 0.5:
            self.secure(GICC + CTLR, self._control())
        else:
            self.at(2, NS, GICC + CTLR, self.r.choice((1, 0x201)))

    def enable(self) -> None:
        intid, register = self.r.choice(INTIDS), self.r.choice((ISENABLER, ISENABLER, ICENABLER, ICACTIVER))
        if intid not in SGIS:
            self.add(self.word(register, intid), 1 << intid % 32)

    def group(self) -> None:
        """Of all but those that are active."""
        intid = self.r.choice(INTIDS)
        bank = self.model.gic.interfaces[0].private if intid < 32 else self.model.gic.shared
        active, groups = bank.active >> intid // 32 * 32, bank.group1 >> intid // 32 * 32
        self.add(self.word(IGROUPR, intid), (self.r.getrandbits(32) & ~active | groups & active) & 0xFFFF_FFFF)

    def trigger(self) -> None:
        intid = self.r.choice(INTIDS[4:])
        self.add(self.word(ICFGR, intid, 2), self.r.getrandbits(32) & 0xAAAA_AAAA)

    def look(self) -> None:
        base, offset = self.r.choice(((GICC, SHOWN_BY_GICC), (GICD, SHOWN_BY_GICD)))
        self.add(base + self.r.choice(offset))


class VirtualScript(Script):
    """A hypervisor lists interrupts, and its virtual machine takes and ends them."""

    def __init__(self, top: int, seed: int, length: int) -> None:
        super().__init__(top, seed)
        self.hypervisor(GICH + HCR, 1)
        self.hypervisor(GICH + VMCR, GICH_VMCR.of(VMGrp0En=1, VMGrp1En=1, VMPriMask=0x1F, VMBP=2, VMABP=3))
        kinds: tuple[tuple[int, Callable[[], None]], ...] = (
            (6, self.list), (1, self.ask), (1, self.control), (1, self.mask), (4, self.acknowledge), (3, self.end),
            (1, self.deactivate), (8, self.look), (3, self.look_at_virtual_lines),
        )  # fmt: skip
        weights, makers = zip(*kinds, strict=True)
        while len(self.steps) < length:
            self.r.choices(makers, weights)[0]()

    def hypervisor(self, where: int, value: int | None = None) -> int:
        return self.at(2, NS if self.top == 3 else 0, where, value)

    def guest(self, offset: int, value: int | None = None) -> int:
        return self.at(1, NS if self.top == 3 else 0, GICV + offset, value)

    @property
    def listed(self) -> list[GICH_LR]:
        return [GICH_LR(lr) for lr in self.model.gic.virtual[0].lrs]

    def list(self) -> None:
        """One in a list register, with a number and a priority that no other has."""
        r, n = self.r, self.r.randrange(LRS)
        others = [lr for index, lr in enumerate(self.listed) if index != n]
        intid = r.choice([i for i in INTIDS if all(lr.VirtualID != i for lr in others)])
        priority = r.choice([p for p in range(32) if all(lr.Priority != p for lr in others)])
        lr = GICH_LR.of(VirtualID=intid, Priority=priority, Grp1=r.getrandbits(1), State=r.choice((0, 1, 1, 1, 2, 3)))
        if intid not in SGIS and r.random() < 0.3:
            lr = lr.replace(HW=1, PhysicalID=r.choice(INTIDS[2:]), State=lr.State % 3)
        else:
            lr = lr.replace(PhysicalID=r.getrandbits(1) << 9 | r.getrandbits(3))
        self.hypervisor(GICH + LR + 4 * n, int(lr))

    def ask(self) -> None:
        """The maintenance interrupts that are wanted; now and then the interface is disabled."""
        self.hypervisor(GICH + HCR, self.r.getrandbits(8) | 1 if self.r.random() < 0.9 else 0)

    def control(self) -> None:
        self.guest(CTLR, self.r.choice((3, 3, 7, 0xF, 0xB, 0x13, 0x203, 0x207)))

    def mask(self) -> None:
        self.guest(PMR, self.r.getrandbits(8) | 0x80)

    def acknowledge(self) -> None:
        if self.model.gic.virtual[0].signalled:
            self.guest(IAR)

    def end(self) -> None:
        self.guest(EOIR, self.r.choice(self._active() * 4 + [77, 1023]))

    def deactivate(self) -> None:
        self.guest(DIR, self.r.choice([*self._active(), 77]))

    def _active(self) -> list[int]:
        return [lr.VirtualID for lr in self.listed if lr.State & 2]

    def look(self) -> None:
        if self.r.random() < 0.6:
            self.hypervisor(GICH + self.r.choice(SHOWN_BY_GICH))
        elif self.r.random() < 0.7:
            self.guest(self.r.choice(SHOWN_BY_GICC))
        else:
            self.hypervisor(GICD + ISPENDR)  # whether the maintenance interrupt is asserted
