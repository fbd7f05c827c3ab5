"""Random scripts for a GICv3 (`gic_script.py`), of what QEMU and this project's model must agree on.

Left out is what the architecture leaves open, or what QEMU 7.2 does otherwise:

* equal priorities of two interrupts, whichever of which goes first: each has priorities of its own;
* the lower three bits of a priority, which QEMU's Distributor keeps;
* disabling a group at a physical interface: QEMU then lets the most urgent interrupt of that group hide all others;
* ICH_HCR_EL2.VGrp0DIE, for which QEMU looks at Group 1, and LPIs, to which it gives an active state;
* EOIcount, which QEMU also counts with EOImode 1, and with it LRENPIE;
* with one Security state, SGIs of Group 0, which QEMU's ICC_SGI1R_EL1 does not send.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from gic_levels import FIQ, FMO, IMO, IRQ, NS
from gic_script import GICD, GICR, Step

from armvcpu.arch.gic_ich import ICH_HCR, ICH_LR, ICH_VMCR

if TYPE_CHECKING:
    from collections.abc import Callable

INTIDS = (40, 41, 42, 43, 1, 3, 25, 27)
SGIS = (1, 3)
SGI_BASE = GICR + 0x1_0000
CTLR, IGROUPR, IGRPMODR, NSACR, IPRIORITYR, ICFGR, IROUTER = 0, 0x080, 0xD00, 0xE00, 0x400, 0xC00, 0x6000
ISENABLER, ICENABLER, ISPENDR, ICPENDR, ISACTIVER, ICACTIVER = 0x100, 0x180, 0x200, 0x280, 0x300, 0x380
LR_PRIORITIES = (0x00, 0x20, 0x40, 0x70, 0x80, 0xA0, 0xB0, 0xC0, 0xF0)
SHOWN = (
    *("HPPIR0", "HPPIR1", "RPR", "PMR", "BPR0", "BPR1", "IGRPEN0", "IGRPEN1", "AP0R0", "AP1R0", "CTLR"),
)  # fmt: skip
SHOWN_EL2 = ("LR0", "LR1", "LR2", "LR3", "AP0R0", "AP1R0", "HCR", "MISR", "EISR", "ELRSR", "VMCR")


class Script:
    """`steps` for CPUs whose highest level is `top`, 2 or 3."""

    def __init__(self, top: int, seed: int, length: int) -> None:
        self.top, self.r = top, random.Random(seed)
        self.steps: list[Step] = []
        self._set_up()
        kinds: tuple[tuple[int, Callable[[], None]], ...] = (
            (15, self.pend), (12, self.acknowledge), (10, self.end), (3, self.deactivate), (8, self.look),
            (6, self.control), (3, self.control_el3), (5, self.send), (7, self.list_register), (4, self.look_el2),
            (3, self.ich_hcr), (3, self.ich_vmcr), (2, self.ich_active), (5, self.group), (2, self.nsacr),
            (6, self.bits), (4, self.priority), (2, self.distributor), (2, self.route), (2, self.trigger),
        )  # fmt: skip
        weights, makers = zip(*kinds, strict=True)
        while len(self.steps) < length:
            self.r.choices(makers, weights)[0]()

    # --- where from

    def state(self) -> tuple[int, int, int]:
        """A level, SCR_EL3 and HCR_EL2."""
        r = self.r
        el = r.choices((1, 2, 3)[: self.top], (3, 2, 2)[: self.top])[0]
        scr = 0
        if self.top == 3:
            scr = (NS if el == 2 else r.choice((0, 0, NS, NS, NS))) | r.choice((0, 0, FIQ, FIQ, IRQ, IRQ | FIQ))
        return el, scr, r.choice((0, 0, IMO | FMO, IMO | FMO, IMO, FMO))

    def add(self, where: str | int, value: int | None = None, width: int = 0) -> None:
        """An access from anywhere."""
        self.steps.append(Step(*self.state(), where, value, width))

    def add_el2(self, name: str, value: int | None = None) -> None:
        """An access of a hypervisor, or of what is above it."""
        scr = NS | self.r.choice((0, 0, FIQ, IRQ)) if self.top == 3 else 0
        self.steps.append(Step(self.r.choice((2, self.top)), scr, 0, f"ICH_{name}_EL2", value))

    def add_top(self, where: str | int, value: int | None = None, width: int = 0) -> None:
        """An access of the highest level."""
        self.steps.append(Step(self.top, 0, 0, where, value, width))

    def word(self, register: int, intid: int, bits: int = 1) -> int:
        """The word with the field of an interrupt."""
        return (GICD if intid >= 32 else SGI_BASE) + register + (intid * bits // 8 & ~3)

    def intid(self) -> int:
        return self.r.choice(INTIDS)

    # --- what

    def _set_up(self) -> None:
        """Everything is enabled, in random groups."""
        self.add_top(GICD + CTLR, 7, 4)
        for intid in INTIDS:
            self.add_top(
                (GICD if intid >= 32 else SGI_BASE) + IPRIORITYR + intid, self._priority(intid, secure=True), 1
            )
            self.add_top(self.word(ISENABLER, intid), 1 << intid % 32, 4)
        for intid in (0, 40):
            self._set_groups(IGROUPR, intid, self.add_top)
            if self.top == 3:
                self._set_groups(IGRPMODR, intid, self.add_top)
        self.add_top("ICC_PMR_EL1", self.r.choice((0xFF, 0xFF, 0xF0)))
        self.add_top("ICC_IGRPEN0_EL1", 1)
        self.add_top("ICC_IGRPEN1_EL1" if self.top == 2 else "ICC_IGRPEN1_EL3", 5 - self.top)
        if self.top == 3:
            self.add_top("ICC_IGRPEN1_EL3", 3)
        self.add_top("ICH_HCR_EL2", ICH_HCR.En.mask)
        self.add_top("ICH_VMCR_EL2", ICH_VMCR.of(VENG0=1, VENG1=1, VPMR=0xF0))

    def pend(self) -> None:
        intid = self.intid()
        self.add(self.word(self.r.choice((ISPENDR, ISPENDR, ISPENDR, ICPENDR)), intid), 1 << intid % 32, 4)

    def acknowledge(self) -> None:
        self.add(self.r.choice(("ICC_IAR0_EL1", "ICC_IAR1_EL1", "ICC_IAR1_EL1")))

    def end(self) -> None:
        self.add(self.r.choice(("ICC_EOIR0_EL1", "ICC_EOIR1_EL1", "ICC_EOIR1_EL1")), self.intid())

    def deactivate(self) -> None:
        self.add("ICC_DIR_EL1", self.intid())

    def look(self) -> None:
        self.add(self.r.choice(("ISR_EL1", *(f"ICC_{name}_EL1" for name in SHOWN))))

    def control(self) -> None:
        r = self.r
        name, values = r.choice((
            ("PMR", (0xFF, 0xFF, 0xF0, 0x80, 0xA0, 0x40, r.getrandbits(8))), ("BPR0", (0, 2, 3, 5, 7)),
            ("BPR1", (0, 2, 3, 3, 5, 7)), ("CTLR", (0, 0, 1, 2, 3)), ("IGRPEN0", (0, 1, 1)), ("IGRPEN1", (0, 1, 1)),
        ))  # fmt: skip
        value = r.choice(values)
        if name.startswith("IGRPEN"):
            self.steps.append(Step(1, NS if self.top == 3 else 0, IMO | FMO, f"ICC_{name}_EL1", value))
        else:
            self.add(f"ICC_{name}_EL1", value)

    def control_el3(self) -> None:
        if self.top == 3:
            name, value = self.r.choice((("ICC_CTLR_EL3", self.r.getrandbits(5)), ("ICC_IGRPEN1_EL3", 3)))
            self.add_top(name, self.r.choice((None, value)))

    def send(self) -> None:
        r = self.r
        name = r.choice(("SGI1R", "SGI0R", "ASGI1R")) if self.top == 3 else "SGI1R"
        targets = r.choice((1, 1, 1, 2, 0x8000)) | r.choice((0, 0, 1 << 40))
        self.add(f"ICC_{name}_EL1", r.choice(SGIS) << 24 | targets)

    def list_register(self) -> None:
        r, n = self.r, self.r.randrange(4)
        value = ICH_LR.of(
            vINTID=r.choice((40, 41, 60, 61, 200, 1021)), State=r.choice((0, 1, 1, 1, 2, 3)),
            Priority=r.choice(LR_PRIORITIES[n::4]) >> 3, Group=r.choice((0, 1, 1)),
        )  # fmt: skip
        if r.random() < 0.3:
            value = value.replace(HW=1, pINTID=r.choice((*INTIDS, 500)))
        else:
            value = value.replace(EOI=r.choice((0, 0, 1)))
        self.add_el2(f"LR{n}", int(value))

    def look_el2(self) -> None:
        self.add_el2(self.r.choice(SHOWN_EL2))

    def ich_hcr(self) -> None:
        r = self.r
        left_out = ICH_HCR.VGrp0DIE.mask | ICH_HCR.LRENPIE.mask
        asks = r.choice((0, 0, r.getrandbits(8) & 0xFE & ~left_out))
        traps = r.choice((0, 0, 0, 0, *(ICH_HCR.FIELDS[name].mask for name in ("TC", "TALL0", "TALL1", "TDIR"))))
        self.add_el2("HCR", r.choice((0, 1, 1, 1)) | asks | traps)

    def ich_vmcr(self) -> None:
        r = self.r
        self.add_el2("VMCR", int(ICH_VMCR.of(
            VENG0=r.choice((0, 1, 1)), VENG1=r.choice((0, 1, 1)), VCBPR=r.choice((0, 1)), VEOIM=r.choice((0, 0, 1)),
            VBPR1=r.choice((0, 3, 4, 6)), VBPR0=r.choice((0, 2, 5)), VPMR=r.choice((0xF8, 0xF8, 0xA0, 0)),
        )))  # fmt: skip

    def ich_active(self) -> None:
        self.add_el2(self.r.choice(("AP0R0", "AP1R0")), self.r.choice((0, 0, 1 << 20, 1 << 9)))

    def group(self) -> None:
        register, intid = self.r.choice((IGROUPR, IGRPMODR)), self.intid()
        if self.r.random() < 0.4:
            self.add(self.word(register, intid), None, 4)
        else:
            self._set_groups(register, intid, self.add)

    def _set_groups(self, register: int, intid: int, add: Callable[[int, int, int], None]) -> None:
        one_state = 0xFFFF if self.top == 2 and intid < 32 and register == IGROUPR else 0
        add(self.word(register, intid), self.r.getrandbits(32) | one_state, 4)

    def nsacr(self) -> None:
        self.add(self.word(NSACR, self.intid(), 2), self.r.choice((None, self.r.getrandbits(32))), 4)

    def bits(self) -> None:
        intid = self.intid()
        register = self.r.choice((ISENABLER, ICENABLER, ISPENDR, ICPENDR, ISACTIVER, ICACTIVER))
        self.add(self.word(register, intid), self.r.choice((None, 1 << intid % 32)), 4)

    def priority(self) -> None:
        el, scr, hcr = self.state()
        intid, secure = self.intid(), self.top == 2 or el == 3 or not scr & NS
        where = (GICD if intid >= 32 else SGI_BASE) + IPRIORITYR + intid
        value = self.r.choice((None, self._priority(intid, secure=secure)))
        self.steps.append(Step(el, scr, hcr, where, value, 1))

    def _priority(self, intid: int, *, secure: bool) -> int:
        """One of four that no other interrupt has; Non-secure software can give two of them."""
        n = INTIDS.index(intid)
        return self.r.choice((8 * n, 0x40 + 8 * n, 0x80 + 8 * n, 0xC0 + 8 * n) if secure else (16 * n, 0x80 + 16 * n))

    def distributor(self) -> None:
        self.add(GICD + CTLR, self.r.choice((None, None, None, 7, 7, 3, 1, 2, 5)), 4)

    def route(self) -> None:
        self.add(GICD + IROUTER + 8 * self.r.choice(INTIDS[:4]), self.r.choice((None, None, 0, 0, 1)), 8)

    def trigger(self) -> None:
        intid = self.r.choice([intid for intid in INTIDS if intid not in SGIS])
        self.add(self.word(ICFGR, intid, 2), self.r.choice((None, self.r.getrandbits(32) & 0xAAAA_AAAA)), 4)
