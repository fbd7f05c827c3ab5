"""GICv2's virtual interface: GICH for a hypervisor, GICV for its virtual machine. IHI 0048 chapter 5."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from gic_guest import ABPR, AEOIR, AHPPIR, AIAR, BPR, CTLR, DIR, EOIR, HPPIR, IAR, ISACTIVER, ISPENDR, PMR, RPR, V2

from armvcpu.arch.gich_registers import GICH_HCR, GICH_LR, GICH_MISR, GICH_VMCR

if TYPE_CHECKING:
    from armvcpu.devices.device import Device

HCR, VTR, VMCR, MISR, EISR, ELRSR, APR, LR = 0x0, 0x4, 0x8, 0x10, 0x20, 0x30, 0xF0, 0x100
GICV_APR, GICV_NSAPR, IIDR = 0xD0, 0xE0, 0xFC
SPURIOUS, OTHER_GROUP, IDLE = 1023, 1022, 0xFF
ACK_CTL, FIQ_EN, EOI_MODE = 4, 8, 1 << 9
MAINTENANCE = 25
PENDING, ACTIVE, BOTH = 1, 2, 3


class Hypervisor(V2):
    """A GICv2 of CPUs with EL2: both groups enabled in its virtual interfaces, and no priority masked."""

    def __init__(self, cpus: int = 1, *, ready: bool = True) -> None:
        super().__init__(cpus, el=2)
        self.gich: Device
        self.gicv: Device
        self.gich, self.gicv = self.gic.hypervisor_frames
        for cpu in range(cpus if ready else 0):
            self.on(cpu)
            self.gich.write(HCR, 4, 1)
            self.gich.write(VMCR, 4, GICH_VMCR.of(VMGrp0En=1, VMGrp1En=1, VMPriMask=0x1F, VMABP=3, VMBP=2))
        self.on(0)

    def list(self, index: int, intid: int, *, priority: int = 0xA0, state: int = PENDING, **fields: int) -> None:
        self.gich.write(LR + 4 * index, 4, GICH_LR.of(VirtualID=intid, Priority=priority >> 3, State=state, **fields))

    def listed(self, index: int) -> GICH_LR:
        return GICH_LR(self.gich.read(LR + 4 * index, 4))

    def control(self, **fields: int) -> None:
        self.gich.write(HCR, 4, GICH_HCR.of(En=1, **fields))

    @property
    def misr(self) -> GICH_MISR:
        return GICH_MISR(self.gich.read(MISR, 4))

    @property
    def maintains(self) -> bool:
        """Is the maintenance interrupt asserted?"""
        return bool(self.gic.interfaces[self.cpu].private.line >> MAINTENANCE & 1)

    def guest(self, offset: int) -> int:
        return self.gicv.read(offset, 4)

    def guest_writes(self, offset: int, value: int) -> None:
        self.gicv.write(offset, 4, value)


@pytest.fixture
def gic() -> Hypervisor:
    return Hypervisor()


# --- what there is


def test_a_gic_of_el1_has_no_virtual_interface() -> None:
    """CPUs without EL2 have no hypervisor: no frames, no state."""
    gic = V2().gic
    assert (gic.hypervisor_frames, gic.virtual, "virtual" in gic.state()) == ((), (), False)
    assert len(gic.devices) == 3


@pytest.mark.parametrize(
    ("offset", "reset", "written"),
    [
        *((HCR, 0, 0xF800_00FF), (VTR, 0x9000_0003, 0x9000_0003), (VMCR, 0x004C_0000, 0xF8FC_021F), (MISR, 0, 0)),
        *((EISR, 0, 0), (EISR + 4, 0, 0), (ELRSR, 0xF, 0xF), (ELRSR + 4, 0, 0), (APR, 0, 0xFFFF_FFFF)),
        *((LR, 0, 0xFF8F_FFFF), (LR + 12, 0, 0xFF8F_FFFF), (LR + 16, 0, 0)),
    ],
)
def test_gich_registers(offset: int, reset: int, written: int) -> None:
    """Reset values, and which bits are kept: as QEMU 7.2's (5.3)."""
    gich = Hypervisor(ready=False).gich
    assert gich.read(offset, 4) == reset
    gich.write(offset, 4, 0xFFFF_FFFF)
    assert gich.read(offset, 4) == written


@pytest.mark.parametrize(
    ("offset", "reset", "written"),
    [
        *((CTLR, 0, 0x21F), (PMR, 0, 0xF8), (BPR, 2, 7), (ABPR, 3, 7), (RPR, IDLE, IDLE), (IAR, SPURIOUS, SPURIOUS)),
        *((HPPIR, SPURIOUS, SPURIOUS), (AIAR, SPURIOUS, SPURIOUS), (AHPPIR, SPURIOUS, SPURIOUS)),
        *((GICV_APR, 0, 0xFFFF_FFFF), (GICV_NSAPR, 0, 0), (IIDR, 0x2_043B, 0x2_043B), (DIR, 0, 0)),
    ],
)
def test_gicv_registers(offset: int, reset: int, written: int) -> None:
    """Those of GICC without the bypass, and one array of active priorities (5.4)."""
    gicv = Hypervisor(ready=False).gicv
    assert gicv.read(offset, 4) == reset
    gicv.write(offset, 4, 0xFFFF_FFFF)
    assert gicv.read(offset, 4) == written


def test_gicv_registers_have_their_names() -> None:
    """In traces and reports."""
    frames = Hypervisor().gic.hypervisor_frames
    assert [frames[0].name_of(LR + 4), frames[1].name_of(IAR)] == [".GICH_LR[1]", ".GICV_IAR"]


def test_each_cpu_has_its_own() -> None:
    """Both frames show those of the CPU that accesses."""
    gic = Hypervisor(2)
    gic.on(1).list(0, 40)
    assert (gic.virq[0], gic.virq[1], gic.gich.read(ELRSR, 4)) == (False, True, 0b1110)
    gic.on(0)
    assert (gic.gich.read(ELRSR, 4), gic.guest(IAR), gic.on(1).guest(IAR)) == (0xF, SPURIOUS, 40)


# --- life of a virtual interrupt


def test_a_listed_interrupt_is_taken_and_ended(gic: Hypervisor) -> None:
    """Pending in its list register, active after GICV_IAR, gone after GICV_EOIR (5.2.1)."""
    gic.list(1, 40)
    assert (gic.virq[0], gic.vfiq[0], gic.irq[0], gic.guest(HPPIR)) == (True, False, False, 40)
    assert (gic.guest(IAR), gic.virq[0], gic.listed(1).State, gic.guest(RPR)) == (40, False, ACTIVE, 0xA0)
    assert gic.gich.read(APR, 4) == 1 << 0xA0 // 8
    gic.guest_writes(EOIR, 40)
    assert (gic.listed(1).State, gic.guest(RPR), gic.gich.read(APR, 4)) == (0, IDLE, 0)


def test_the_most_urgent_goes_first(gic: Hypervisor) -> None:
    """Of equal ones that of the first list register."""
    gic.list(0, 40)
    gic.list(1, 41, priority=0x50)
    gic.list(2, 39)
    taken = []
    for _ in range(4):
        taken.append(gic.guest(IAR))
        gic.guest_writes(EOIR, taken[-1])
    assert taken == [41, 40, 39, SPURIOUS]


def test_one_that_is_active_and_pending_comes_again(gic: Hypervisor) -> None:
    """After its end it is pending."""
    gic.list(0, 40, state=BOTH)
    assert not gic.virq[0]
    gic.guest_writes(EOIR, 40)
    assert (gic.listed(0).State, gic.virq[0], gic.guest(IAR)) == (PENDING, True, 40)


def test_nothing_is_signalled_while_disabled(gic: Hypervisor) -> None:
    """GICH_HCR.En is 0: no virtual interrupt, nothing to acknowledge, no maintenance interrupt (5.3.2)."""
    gic.list(0, 40)
    gic.gich.write(HCR, 4, GICH_HCR.of(NPIE=1, UIE=1))
    assert (gic.virq[0], gic.guest(IAR), gic.maintains, gic.listed(0).State) == (False, SPURIOUS, False, PENDING)
    gic.control()
    assert gic.virq[0]


@pytest.mark.parametrize(("ctlr", "group", "virq", "vfiq"), [(3, 0, 1, 0), (11, 0, 0, 1), (11, 1, 1, 0), (2, 0, 0, 0)])
def test_groups_and_outputs(gic: Hypervisor, ctlr: int, group: int, virq: int, vfiq: int) -> None:
    """Group 0 is a virtual FIQ with FIQEn; a group that is not enabled is not signalled (5.4.1)."""
    gic.guest_writes(CTLR, ctlr)
    gic.list(0, 40, Grp1=group)
    assert (gic.virq[0], gic.vfiq[0]) == (virq, vfiq)


def test_group_1_by_iar_and_its_alias(gic: Hypervisor) -> None:
    """1022 unless AckCtl is set; GICV_AIAR gives it, and GICV_AEOIR ends it."""
    gic.list(0, 40, Grp1=1)
    assert (gic.guest(HPPIR), gic.guest(IAR), gic.guest(AHPPIR)) == (OTHER_GROUP, OTHER_GROUP, 40)
    assert (gic.guest(AIAR), gic.guest(RPR)) == (40, 0xA0)
    gic.guest_writes(AEOIR, 40)
    assert (gic.listed(0).State, gic.guest(RPR)) == (0, IDLE)
    gic.guest_writes(CTLR, 3 | ACK_CTL)
    gic.list(0, 40, Grp1=1)
    assert gic.guest(IAR) == 40


def test_an_sgi_has_the_cpu_that_is_listed_with_it(gic: Hypervisor) -> None:
    """GICH_LR.CPUID comes with GICV_IAR in bits 12 to 10; of a PPI it does not."""
    gic.list(0, 5, CPUID=6)
    gic.list(1, 27, CPUID=6)
    assert gic.guest(HPPIR) == gic.guest(IAR) == 6 << 10 | 5
    gic.guest_writes(EOIR, 6 << 10 | 5)
    assert (gic.listed(0).State, gic.guest(IAR)) == (0, 27)


@pytest.mark.parametrize(("pmr", "virq"), [(0xA0, False), (0xA8, True)])
def test_priority_mask(gic: Hypervisor, pmr: int, virq: bool) -> None:
    """As in GICC."""
    gic.guest_writes(PMR, pmr)
    gic.list(0, 40)
    assert gic.virq[0] is virq


def test_split_end(gic: Hypervisor) -> None:
    """EOImode 1: GICV_EOIR drops the priority, GICV_DIR deactivates (5.4.1)."""
    gic.guest_writes(CTLR, 1 | EOI_MODE)
    gic.list(0, 40)
    gic.guest_writes(EOIR, gic.guest(IAR))
    assert (gic.listed(0).State, gic.guest(RPR)) == (ACTIVE, IDLE)
    gic.guest_writes(DIR, 40)
    assert gic.listed(0).State == 0


def test_dir_without_split_end_does_nothing(gic: Hypervisor) -> None:
    """Which is UNPREDICTABLE."""
    gic.list(0, 40, state=ACTIVE)
    gic.guest_writes(DIR, 40)
    assert (gic.listed(0).State, GICH_HCR(gic.gich.read(HCR, 4)).EOICount) == (ACTIVE, 0)


# --- interrupts of hardware


@pytest.mark.parametrize("split", [False, True])
def test_the_end_is_that_of_the_physical_interrupt_too(gic: Hypervisor, split: bool) -> None:
    """GICH_LR.HW: PhysicalID is deactivated, and comes again where its line is still asserted (5.2.1)."""
    gic.set(CTLR, 1 | EOI_MODE)
    gic.gic.set_spi(8, True)
    gic.set(EOIR, gic.get(IAR))
    gic.guest_writes(CTLR, 1 | split * EOI_MODE)
    gic.list(0, 77, HW=1, PhysicalID=40)
    gic.guest_writes(EOIR, gic.guest(IAR))
    if split:
        assert gic.gicd.read(ISACTIVER + 4, 4) == 1 << 8
        gic.guest_writes(DIR, 77)
    assert (gic.gicd.read(ISACTIVER + 4, 4), gic.irq[0], gic.get(IAR)) == (0, True, 40)


def test_a_private_interrupt_of_hardware_is_that_cpus() -> None:
    """PPI 27 of the CPU whose guest ends it."""
    gic = Hypervisor(2)
    for cpu in (0, 1):
        gic.on(cpu).gicd.write(ISACTIVER, 4, 1 << 27)
    gic.list(0, 27, HW=1, PhysicalID=27)
    gic.guest_writes(EOIR, gic.guest(IAR))
    assert [gic.on(cpu).gicd.read(ISACTIVER, 4) >> 27 & 1 for cpu in (0, 1)] == [1, 0]


@pytest.mark.parametrize("intid", [3, 500, 1023])
def test_what_no_hardware_interrupt_is_can_t_be_ended(gic: Hypervisor, intid: int) -> None:
    """An SGI, one that is not there, a special INTID: UNPREDICTABLE, only the virtual one ends."""
    gic.gicd.write(ISACTIVER, 4, 1 << 3)
    gic.list(0, 40, HW=1, PhysicalID=intid)
    gic.guest_writes(EOIR, gic.guest(IAR))
    assert (gic.listed(0).State, gic.gicd.read(ISACTIVER, 4)) == (0, 1 << 3)


@pytest.mark.parametrize("group", [0, 1])
def test_secure_interrupts_are_not_ended_by_a_guest(group: int) -> None:
    """It is like a Non-secure write of GICC_DIR (5.2.1)."""
    gic = V2(el=3)
    gich, gicv = gic.gic.hypervisor_frames
    gic.configure(40, group=group)
    gic.gicd.write(ISACTIVER + 4, 4, 1 << 8)
    gich.write(HCR, 4, 1)
    gich.write(VMCR, 4, GICH_VMCR.of(VMGrp0En=1, VMPriMask=0x1F))
    gich.write(LR, 4, GICH_LR.of(VirtualID=40, State=PENDING, HW=1, PhysicalID=40))
    gicv.write(EOIR, 4, gicv.read(IAR, 4))
    assert gic.gicd.read(ISACTIVER + 4, 4) == (0 if group else 1 << 8)


# --- what a hypervisor is told of


def test_the_end_of_one_with_eoi(gic: Hypervisor) -> None:
    """GICH_LR.EOI: then EISR has its list register, which is not free before it is written (5.3.5 to 5.3.9)."""
    gic.list(2, 40, EOI=1)
    assert (gic.gich.read(EISR, 4), gic.gich.read(ELRSR, 4), gic.maintains) == (0, 0b1011, False)
    gic.guest_writes(EOIR, gic.guest(IAR))
    assert (gic.gich.read(EISR, 4), gic.gich.read(ELRSR, 4)) == (0b0100, 0b1011)
    assert (gic.misr, gic.maintains) == (GICH_MISR.of(EOI=1), True)
    gic.gich.write(LR + 8, 4, 0)
    assert (gic.gich.read(ELRSR, 4), gic.misr, gic.maintains) == (0xF, 0, False)


def test_an_invalid_one_of_hardware_has_no_eoi(gic: Hypervisor) -> None:
    """Bit 19 is PhysicalID's there."""
    gic.list(0, 40, state=0, HW=1, PhysicalID=0x3FF)
    assert (gic.gich.read(EISR, 4), gic.gich.read(ELRSR, 4)) == (0, 0xF)


@pytest.mark.parametrize(
    ("states", "underflow", "none_pending"),
    [((), 1, 1), ((PENDING,), 1, 0), ((ACTIVE,), 1, 1), ((PENDING, ACTIVE), 0, 0), ((ACTIVE, BOTH), 0, 1)],
)
def test_few_are_listed(gic: Hypervisor, states: tuple[int, ...], underflow: int, none_pending: int) -> None:
    """UIE: one or none is valid. NPIE: none is pending, and none of those pending and active counts."""
    gic.control(UIE=1, NPIE=1)
    for index, state in enumerate(states):
        gic.list(index, 40 + index, state=state)
    assert gic.misr == GICH_MISR.of(U=underflow, NP=none_pending)
    assert gic.maintains is bool(underflow or none_pending)


def test_the_end_of_one_that_is_not_listed(gic: Hypervisor) -> None:
    """EOICount counts it where a priority drops, and LRENPIE tells of it; at 31 it goes on from 0 (5.3.2)."""
    gic.control(LRENPIE=1, EOICount=30)
    gic.gich.write(HCR, 4, GICH_HCR.of(En=1, LRENPIE=1, EOICount=0))
    gic.guest_writes(EOIR, 99)
    assert (gic.maintains, gic.gich.read(HCR, 4) >> 27) == (False, 0)
    for count in range(1, 33):
        gic.gich.write(APR, 4, 1 << 20)
        gic.guest_writes(EOIR, 99)
        assert (gic.gich.read(HCR, 4) >> 27, gic.misr.LRENP, gic.maintains) == (count % 32, count < 32, count < 32)


def test_deactivating_one_that_is_not_listed(gic: Hypervisor) -> None:
    """With EOImode 1 GICV_DIR counts, and GICV_EOIR does not."""
    gic.guest_writes(CTLR, 1 | EOI_MODE)
    gic.gich.write(APR, 4, 1 << 20)
    gic.guest_writes(EOIR, 99)
    assert gic.gich.read(HCR, 4) >> 27 == 0
    gic.guest_writes(DIR, 99)
    assert gic.gich.read(HCR, 4) >> 27 == 1


@pytest.mark.parametrize(
    ("ask", "ctlr"), [("VGrp0EIE", 1), ("VGrp0DIE", 2), ("VGrp1EIE", 2), ("VGrp1DIE", 1)]
)  # fmt: skip
def test_groups_that_the_guest_enables(gic: Hypervisor, ask: str, ctlr: int) -> None:
    """Told of while GICV_CTLR has that enable set (E), or clear (D)."""
    gic.guest_writes(CTLR, ctlr)
    gic.control(**{ask: 1})
    assert (gic.misr, gic.maintains) == (GICH_MISR.of(**{ask.removesuffix("IE"): 1}), True)
    gic.guest_writes(CTLR, ctlr ^ 3)
    assert (gic.misr, gic.maintains) == (0, False)


def test_the_maintenance_interrupt_is_a_ppi(gic: Hypervisor) -> None:
    """INTID 25, by level, to the CPU whose virtual interface asks."""
    gic.control(UIE=1)
    assert (gic.irq[0], gic.get(IAR)) == (True, MAINTENANCE)
    gic.control()
    assert gic.gicd.read(ISPENDR, 4) == 0


# --- a virtual machine is switched


def test_vmcr_shows_what_the_guest_has_set(gic: Hypervisor) -> None:
    """And sets it (5.3.4)."""
    for offset, value in ((CTLR, 0x21E), (PMR, 0x78), (BPR, 4), (ABPR, 5)):
        gic.guest_writes(offset, value)
    vmcr = GICH_VMCR.of(VMGrp1En=1, VMAckCtl=1, VMFIQEn=1, VMCBPR=1, VEM=1, VMPriMask=0x78 >> 3, VMBP=4, VMABP=5)
    assert gic.gich.read(VMCR, 4) == vmcr
    other = Hypervisor(ready=False)
    other.gich.write(VMCR, 4, vmcr)
    assert [other.guest(offset) for offset in (CTLR, PMR, BPR, ABPR)] == [0x21E, 0x78, 4, 5]


def test_a_guest_goes_on_where_it_was(gic: Hypervisor) -> None:
    """Active priorities of both groups go by GICH_APR, and end in their order."""
    gic.guest_writes(CTLR, 3 | ACK_CTL)
    gic.list(0, 40, Grp1=1)
    assert gic.guest(IAR) == 40
    gic.list(1, 41, priority=0x40)
    assert gic.guest(IAR) == 41
    other = Hypervisor(ready=False)
    for offset in (VMCR, APR, LR, LR + 4, HCR):
        other.gich.write(offset, 4, gic.gich.read(offset, 4))
    assert (other.guest(RPR), other.guest(GICV_APR)) == (0x40, 1 << 0x40 // 8 | 1 << 0xA0 // 8)
    other.guest_writes(EOIR, 41)
    assert (other.guest(RPR), other.listed(1).State) == (0xA0, 0)
    other.guest_writes(AEOIR, 40)
    assert (other.guest(RPR), other.listed(0).State) == (IDLE, 0)


# --- the whole


def busy() -> Hypervisor:
    """One virtual interrupt pending, one active, one ended and asked for."""
    gic = Hypervisor(2)
    gic.list(0, 40, priority=0x20)
    gic.list(1, 41, EOI=1)
    gic.guest_writes(EOIR, gic.guest(IAR))
    gic.guest(IAR)
    gic.list(2, 42, priority=0x10)
    return gic


def test_a_snapshot_brings_everything_back() -> None:
    """A GIC loaded from a snapshot signals what the other one did, to guest and hypervisor."""
    gic, other = busy(), Hypervisor(2, ready=False)
    other.gic.load_state(gic.gic.state())
    assert other.gic.state() == gic.gic.state()
    assert (other.virq[0], other.virq[1]) == (True, False)
    assert [other.gich.read(offset, 4) for offset in (HCR, VMCR, APR, LR, LR + 4, LR + 8)] == [
        gic.gich.read(offset, 4) for offset in (HCR, VMCR, APR, LR, LR + 4, LR + 8)
    ]
    fresh = Hypervisor(2, ready=False)
    other.gic.load_state(fresh.gic.state())
    assert (other.virq[0], other.maintains, other.gic.state()) == (False, False, fresh.gic.state())


def test_reset_is_that_of_a_new_gic() -> None:
    """Nothing is listed, and the outputs are low."""
    gic = busy()
    gic.control(LRENPIE=1, EOICount=1)
    assert gic.maintains
    gic.gic.reset()
    lines = [irq for outputs in (gic.irq, gic.virq, gic.vfiq) for irq in (outputs[0], outputs[1])]
    assert (any(lines), gic.maintains) == (False, False)
    assert gic.gic.state() == V2(2, ready=False, el=2).gic.state()


def test_a_cpu_that_starts_anew_has_nothing_listed() -> None:
    """The virtual interface is reset with the physical one, and those of other CPUs stay."""
    gic = busy()
    gic.on(1).list(0, 50)
    gic.gic.interface(0).reset()
    assert (gic.virq[0], gic.virq[1], gic.on(0).gich.read(LR, 4), gic.gich.read(HCR, 4)) == (False, True, 0, 0)


def test_lines_are_given_for_every_cpu() -> None:
    """As many virtual ones as physical ones."""
    gic = Hypervisor(3).gic
    assert (len(gic.virtual), len(gic.interfaces)) == (3, 3)
