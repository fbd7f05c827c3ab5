"""A hypervisor's side of the virtual CPU interface, ICH_*_EL2, and its guest's, ICV_*_EL1. IHI 0069 6, 12.3, 12.4."""

from __future__ import annotations

import pytest
from gic_levels import FMO, IDLE, IMO, SPURIOUS, Levels

from armvcpu.arch.gic_ich import ICH_HCR, ICH_LR, ICH_MISR, ICH_VMCR, LrState
from armvcpu.devices.gic.gicv3 import Gicv3
from armvcpu.errors import UsageError

MAINTENANCE = 25
ON = ICH_HCR.En.mask


@pytest.fixture
def gic() -> Levels:
    """A CPU at EL2 whose EL1 has the virtual interface, with both virtual groups enabled and all priorities open."""
    levels = Levels(2)
    levels.pe.at(2, hcr=IMO | FMO)
    levels.set("ICH_HCR_EL2", ON)
    levels.set("ICH_VMCR_EL2", ICH_VMCR.of(VENG0=1, VENG1=1, VPMR=0xFF))
    return levels


def lr(intid: int, state: int = LrState.PENDING, *, priority: int = 0xA0, group: int = 1, **more: int) -> int:
    return ICH_LR.of(vINTID=intid, State=state, Priority=priority >> 3, Group=group, **more)


def guest_reads(gic: Levels, name: str) -> int:
    gic.pe.at(1)
    value = gic.get(name)
    gic.pe.at(2)
    return value


def guest_writes(gic: Levels, name: str, value: int) -> None:
    gic.pe.at(1)
    gic.set(name, value)
    gic.pe.at(2)


@pytest.mark.parametrize(
    ("name", "value"),
    [("HCR", 0), ("VTR", 0x9038_0003), ("VMCR", 0x004C_0008), ("MISR", 0), ("EISR", 0), ("ELRSR", 0xF), ("LR0", 0),
     ("LR3", 0), ("AP0R0", 0), ("AP1R0", 0)],
)  # fmt: skip
def test_reset_values(name: str, value: int) -> None:
    """Four free list registers, five bits of priority and preemption, the smallest binary points."""
    assert Levels(2, ready=False).get(f"ICH_{name}_EL2") == value


def test_reset_clears_all_of_it(gic: Levels) -> None:
    """A reset of the CPU takes the virtual interrupts with it."""
    gic.set("ICH_LR0_EL2", lr(40))
    gic.gic.interface(0).reset()
    assert (gic.virq[0], gic.get("ICH_LR0_EL2"), gic.get("ICH_HCR_EL2"), gic.get("ICH_VMCR_EL2")) == (
        False, 0, 0, 0x004C_0008,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["ICH_LR4_EL2", "ICH_AP0R1_EL2", "ICH_AP1R1_EL2", "ICC_CTLR_EL3", "ICC_SRE_EL3"])
def test_registers_that_are_not_there(gic: Levels, name: str) -> None:
    """No more list registers than ICH_VTR_EL2 says, one active priorities register per group, no EL3."""
    assert not gic.has(name)


@pytest.mark.parametrize(
    ("name", "written", "read"),
    [
        ("ICH_HCR_EL2", 0xFFFF_FFFF_FFFF_FFFF, 0xF800_7CFF),
        ("ICH_VMCR_EL2", 0xFFFF_FFFF, 0xF8FC_021B),
        ("ICH_VMCR_EL2", 0, 0x004C_0008),
        ("ICH_LR1_EL2", 0xFFFF_FFFF_FFFF_FFFF, 0xF0F8_1FFF_0000_FFFF),
        ("ICH_AP1R0_EL2", 0x1_0000_0006, 6),
        ("ICC_SRE_EL2", 0, 0xF),
    ],
)
def test_what_registers_keep(gic: Levels, name: str, written: int, read: int) -> None:
    """RES0 bits stay zero, RES1 bits one, a binary point has a smallest value."""
    gic.set(name, written)
    assert gic.get(name) == read


def test_life_of_a_virtual_interrupt(gic: Levels) -> None:
    """Pending in a list register raises vIRQ; the guest acknowledges and ends it, and the register is free again."""
    gic.set("ICH_LR2_EL2", lr(40))
    assert (gic.virq[0], gic.vfiq[0], gic.get("ICH_ELRSR_EL2")) == (True, False, 0b1011)
    assert (guest_reads(gic, "ICC_HPPIR1_EL1"), guest_reads(gic, "ICC_IAR1_EL1")) == (40, 40)
    assert (gic.virq[0], gic.get("ICH_LR2_EL2"), gic.get("ICH_AP1R0_EL2")) == (False, lr(40, LrState.ACTIVE), 1 << 20)
    assert guest_reads(gic, "ICC_RPR_EL1") == 0xA0
    guest_writes(gic, "ICC_EOIR1_EL1", 40)
    assert (gic.get("ICH_LR2_EL2"), gic.get("ICH_ELRSR_EL2")) == (lr(40, LrState.INVALID), 0xF)
    assert (guest_reads(gic, "ICC_RPR_EL1"), gic.get("ICH_AP1R0_EL2")) == (IDLE, 0)


def test_group_0_is_vfiq(gic: Levels) -> None:
    """ICV_IAR0_EL1 acknowledges it, ICV_IAR1_EL1 does not."""
    gic.set("ICH_LR0_EL2", lr(7, group=0))
    assert (gic.virq[0], gic.vfiq[0]) == (False, True)
    assert (guest_reads(gic, "ICC_IAR1_EL1"), guest_reads(gic, "ICC_IAR0_EL1")) == (SPURIOUS, 7)
    assert (gic.get("ICH_AP0R0_EL2"), gic.vfiq[0]) == (1 << 20, False)


def test_the_most_urgent_goes_first(gic: Levels) -> None:
    """By priority, then preemption: a lower group priority waits for the end of the running one."""
    gic.set("ICH_LR0_EL2", lr(40, priority=0xC0))
    gic.set("ICH_LR1_EL2", lr(41, priority=0x40))
    assert [guest_reads(gic, "ICC_IAR1_EL1") for _ in range(2)] == [41, SPURIOUS]
    guest_writes(gic, "ICC_EOIR1_EL1", 41)
    assert guest_reads(gic, "ICC_IAR1_EL1") == 40


@pytest.mark.parametrize(
    ("hcr", "vmcr", "signalled"),
    [
        (ON, ICH_VMCR.of(VENG1=1, VPMR=0xFF), True),
        (0, ICH_VMCR.of(VENG1=1, VPMR=0xFF), False),
        (ON, ICH_VMCR.of(VENG0=1, VPMR=0xFF), False),
        (ON, ICH_VMCR.of(VENG1=1, VPMR=0xA0), False),
        (ON, ICH_VMCR.of(VENG1=1, VPMR=0xA8), True),
    ],
)
def test_what_is_signalled(gic: Levels, hcr: int, vmcr: int, signalled: bool) -> None:
    """ICH_HCR_EL2.En, the group's enable, and the priority mask decide, whichever is written last."""
    gic.set("ICH_LR0_EL2", lr(40))
    gic.set("ICH_VMCR_EL2", vmcr)
    gic.set("ICH_HCR_EL2", hcr)
    assert gic.virq[0] is signalled
    assert guest_reads(gic, "ICC_IAR1_EL1") == (40 if signalled else SPURIOUS)


def test_what_is_pending_is_shown_while_off(gic: Levels) -> None:
    """ICH_HCR_EL2.En = 0: nothing to acknowledge, but ICV_HPPIR1_EL1 shows it, if its group is enabled."""
    gic.set("ICH_LR0_EL2", lr(40))
    gic.set("ICH_HCR_EL2", 0)
    assert [guest_reads(gic, f"ICC_{name}_EL1") for name in ("HPPIR1", "HPPIR0", "IAR1")] == [40, SPURIOUS, SPURIOUS]
    guest_writes(gic, "ICC_IGRPEN1_EL1", 0)
    assert guest_reads(gic, "ICC_HPPIR1_EL1") == SPURIOUS


def test_the_guest_sees_and_writes_vmcr(gic: Levels) -> None:
    """ICV_* and ICH_VMCR_EL2 are the same state."""
    for name, value in (("PMR", 0x80), ("BPR0", 4), ("BPR1", 5), ("IGRPEN0", 0), ("CTLR", 0b10)):
        guest_writes(gic, f"ICC_{name}_EL1", value)
    expected = ICH_VMCR.of(VENG1=1, VFIQEn=1, VEOIM=1, VBPR1=5, VBPR0=4, VPMR=0x80)
    assert gic.get("ICH_VMCR_EL2") == expected
    gic.set("ICH_VMCR_EL2", ICH_VMCR.of(VENG0=1, VCBPR=1, VBPR0=3, VBPR1=6, VPMR=0x40))
    read = [guest_reads(gic, f"ICC_{name}_EL1") for name in ("PMR", "BPR0", "BPR1", "IGRPEN0", "IGRPEN1", "CTLR")]
    assert read == [0x40, 3, 4, 1, 0, 0x8401]


def test_active_and_pending_again(gic: Levels) -> None:
    """The hypervisor makes an active one pending: it is not signalled before its end."""
    gic.set("ICH_LR0_EL2", lr(40))
    guest_reads(gic, "ICC_IAR1_EL1")
    gic.set("ICH_LR0_EL2", lr(40, LrState.PENDING_AND_ACTIVE))
    assert not gic.virq[0]
    guest_writes(gic, "ICC_EOIR1_EL1", 40)
    assert (gic.virq[0], gic.get("ICH_LR0_EL2")) == (True, lr(40))


def test_eoimode_splits_the_end(gic: Levels) -> None:
    """With VEOIM ICV_EOIR1_EL1 drops the priority, ICV_DIR_EL1 deactivates."""
    guest_writes(gic, "ICC_CTLR_EL1", 0b10)
    gic.set("ICH_LR0_EL2", lr(40))
    guest_reads(gic, "ICC_IAR1_EL1")
    guest_writes(gic, "ICC_EOIR1_EL1", 40)
    assert (guest_reads(gic, "ICC_RPR_EL1"), gic.get("ICH_LR0_EL2")) == (IDLE, lr(40, LrState.ACTIVE))
    guest_writes(gic, "ICC_DIR_EL1", 40)
    assert gic.get("ICH_LR0_EL2") == lr(40, LrState.INVALID)


@pytest.mark.parametrize(("priority", "group"), [(0x40, 1), (0xA0, 0)])
def test_the_end_of_another_one_is_not_its_end(gic: Levels, priority: int, group: int) -> None:
    """A list register with the INTID is deactivated if its group and priority are those that were dropped."""
    gic.set("ICH_LR0_EL2", lr(40, LrState.ACTIVE, priority=priority, group=group))
    gic.set("ICH_AP1R0_EL2", 1 << 20)
    guest_writes(gic, "ICC_EOIR1_EL1", 40)
    assert (gic.get("ICH_AP1R0_EL2"), ICH_LR(gic.get("ICH_LR0_EL2")).State) == (0, LrState.ACTIVE)


@pytest.mark.parametrize(
    ("eoi_mode", "name", "active", "counts"),
    [(0, "EOIR1", 1, True), (0, "EOIR1", 0, False), (1, "EOIR1", 1, False), (1, "DIR", 0, True), (0, "DIR", 1, False)],
)
def test_eoicount(gic: Levels, eoi_mode: int, name: str, active: int, counts: bool) -> None:
    """An end that would have deactivated an interrupt, of which no list register knows, is counted."""
    guest_writes(gic, "ICC_CTLR_EL1", eoi_mode << 1)
    gic.set("ICH_AP1R0_EL2", active << 20)
    guest_writes(gic, f"ICC_{name}_EL1", 40)
    assert ICH_HCR(gic.get("ICH_HCR_EL2")).EOIcount == counts


def test_eoicount_wraps_and_leaves_lpis_out(gic: Levels) -> None:
    """Five bits; an LPI has no active state, so that its end deactivates nothing."""
    gic.set("ICH_HCR_EL2", ON | ICH_HCR.of(EOIcount=31))
    for intid, count in ((8192, 31), (40, 0)):
        gic.set("ICH_AP1R0_EL2", 1)
        guest_writes(gic, "ICC_EOIR1_EL1", intid)
        assert ICH_HCR(gic.get("ICH_HCR_EL2")) == ON | ICH_HCR.of(EOIcount=count)


def test_an_lpi_is_gone_when_acknowledged(gic: Levels) -> None:
    """Its list register becomes invalid (4.1)."""
    gic.set("ICH_LR0_EL2", lr(8200))
    assert guest_reads(gic, "ICC_IAR1_EL1") == 8200
    assert (ICH_LR(gic.get("ICH_LR0_EL2")).State, guest_reads(gic, "ICC_RPR_EL1")) == (LrState.INVALID, 0xA0)


def test_a_special_intid_is_given_and_gone(gic: Levels) -> None:
    """A hypervisor's mistake: the guest reads it, no priority becomes active, and the register is free."""
    gic.set("ICH_LR0_EL2", lr(1022))
    assert (guest_reads(gic, "ICC_IAR1_EL1"), gic.get("ICH_AP1R0_EL2"), gic.virq[0]) == (1022, 0, False)


def test_hw_deactivates_the_physical_interrupt(gic: Levels) -> None:
    """The end of the virtual timer's interrupt is that of the physical one (HW, pINTID)."""
    gic.pend(27)
    assert gic.get("ICC_IAR1_EL1") == 27
    private = gic.gic.interface(0).private
    gic.set("ICH_LR0_EL2", lr(40, HW=1, pINTID=27))
    guest_reads(gic, "ICC_IAR1_EL1")
    assert private.active == 1 << 27
    guest_writes(gic, "ICC_EOIR1_EL1", 40)
    assert (private.active, gic.get("ICH_ELRSR_EL2")) == (0, 0xF)


def test_hw_of_no_interrupt(gic: Levels) -> None:
    """A pINTID that the machine doesn't have deactivates nothing."""
    gic.set("ICH_LR0_EL2", lr(40, LrState.ACTIVE, HW=1, pINTID=0x1FFF))
    gic.set("ICH_AP1R0_EL2", 1 << 20)
    guest_writes(gic, "ICC_EOIR1_EL1", 40)
    assert gic.get("ICH_ELRSR_EL2") == 0xF


# --- maintenance


def maintenance(gic: Levels) -> tuple[bool, int]:
    """Is PPI 25 asserted, and what does ICH_MISR_EL2 say?"""
    return bool(gic.gic.interface(0).private.line >> MAINTENANCE & 1), gic.get("ICH_MISR_EL2")


def test_maintenance_is_a_level_of_ppi_25(gic: Levels) -> None:
    """A handler at EL2 takes it as a physical interrupt, and it falls with its condition."""
    private = gic.gic.interface(0).private
    private.group1 = private.enabled = 1 << MAINTENANCE
    gic.set("ICH_HCR_EL2", ON | ICH_HCR.of(NPIE=1))
    assert (gic.irq[0], gic.get("ICC_IAR1_EL1")) == (True, MAINTENANCE)
    gic.set("ICH_LR0_EL2", lr(40))
    gic.set("ICC_EOIR1_EL1", MAINTENANCE)
    assert (gic.irq[0], gic.irq.changes[0]) == (False, [True, False])


def test_eoi_of_a_list_register(gic: Levels) -> None:
    """ICH_LR.EOI asks for maintenance when the guest has ended the interrupt, until the register is written."""
    gic.set("ICH_LR1_EL2", lr(40, pINTID=1 << 9))
    guest_reads(gic, "ICC_IAR1_EL1")
    assert maintenance(gic) == (False, 0)
    guest_writes(gic, "ICC_EOIR1_EL1", 40)
    assert maintenance(gic) == (True, ICH_MISR.EOI.mask)
    assert (gic.get("ICH_EISR_EL2"), gic.get("ICH_ELRSR_EL2")) == (0b10, 0b1101)
    gic.set("ICH_LR1_EL2", 0)
    assert maintenance(gic) == (False, 0)


def test_underflow(gic: Levels) -> None:
    """UIE: none or one of the list registers is in use."""
    gic.set("ICH_HCR_EL2", ON | ICH_HCR.of(UIE=1))
    assert maintenance(gic) == (True, ICH_MISR.U.mask)
    gic.set("ICH_LR0_EL2", lr(40, LrState.ACTIVE))
    assert maintenance(gic) == (True, ICH_MISR.U.mask)
    gic.set("ICH_LR1_EL2", lr(41, LrState.ACTIVE))
    assert maintenance(gic) == (False, 0)
    gic.set("ICH_LR0_EL2", 0)
    assert maintenance(gic) == (True, ICH_MISR.U.mask)


def test_no_pending_and_eoicount(gic: Levels) -> None:
    """NPIE: none is pending; LRENPIE: EOIcount is not zero."""
    gic.set("ICH_LR0_EL2", lr(40))
    gic.set("ICH_HCR_EL2", ON | ICH_HCR.of(NPIE=1, LRENPIE=1))
    assert maintenance(gic) == (False, 0)
    guest_reads(gic, "ICC_IAR1_EL1")
    assert maintenance(gic) == (True, ICH_MISR.NP.mask)
    guest_writes(gic, "ICC_EOIR1_EL1", 99)
    assert maintenance(gic) == (True, ICH_MISR.NP.mask | ICH_MISR.LRENP.mask)


@pytest.mark.parametrize(("group", "name"), [(0, "IGRPEN0"), (1, "IGRPEN1")])
@pytest.mark.parametrize("when_enabled", [True, False])
def test_group_enables(gic: Levels, group: int, name: str, when_enabled: bool) -> None:
    """VGrp<n>EIE and DIE tell of the guest's enable of a group, at its write."""
    field = f"VGrp{group}{'E' if when_enabled else 'D'}"
    guest_writes(gic, f"ICC_{name}_EL1", not when_enabled)
    gic.set("ICH_HCR_EL2", ON | ICH_HCR.of(**{f"{field}IE": 1}))
    assert maintenance(gic) == (False, 0)
    guest_writes(gic, f"ICC_{name}_EL1", when_enabled)
    assert maintenance(gic) == (True, ICH_MISR.of(**{field: 1}))


def test_no_maintenance_while_off(gic: Levels) -> None:
    """ICH_HCR_EL2.En = 0 asks for nothing, whatever ICH_MISR_EL2 shows."""
    gic.set("ICH_HCR_EL2", ICH_HCR.of(NPIE=1))
    assert maintenance(gic) == (False, ICH_MISR.NP.mask)


# --- whole


def test_state_goes_and_comes(gic: Levels) -> None:
    """A snapshot has all of it, and another GIC that loads it drives its lines so."""
    gic.set("ICH_LR0_EL2", lr(40, LrState.ACTIVE))
    gic.set("ICH_LR1_EL2", lr(41, priority=0x40))
    gic.set("ICH_HCR_EL2", ON | ICH_HCR.of(UIE=1, EOIcount=3))
    other = Levels(2, ready=False)
    other.gic.load_state(gic.gic.state())
    assert other.gic.state() == gic.gic.state()
    assert (other.virq[0], maintenance(other)) == (True, maintenance(gic))
    other.gic.reset()
    assert (other.virq[0], maintenance(other)[0]) == (False, False)


def test_each_cpu_has_its_own() -> None:
    """Another CPU's virtual interrupt and maintenance are its own."""
    gic = Levels(2, (0, 1))
    gic.set("ICH_VMCR_EL2", ICH_VMCR.of(VENG1=1, VPMR=0xFF), 1)
    gic.set("ICH_HCR_EL2", ON | ICH_HCR.of(UIE=1), 1)
    gic.set("ICH_LR0_EL2", lr(40), 1)
    lines = [gic.gic.interface(cpu).private.line >> MAINTENANCE for cpu in (0, 1)]
    assert (gic.virq[0], gic.virq[1], lines) == (False, True, [0, 1])


def test_device_tree_names_the_maintenance_interrupt() -> None:
    """PPI 9, a level, where there is an EL2; nothing where there is none."""
    assert Levels(2).gic.dt_node(0x0800_0000).props["interrupts"] == (1, 9, 4)
    assert "interrupts" not in Gicv3([0], [lambda _level: None]).dt_node(0x0800_0000).props


@pytest.mark.parametrize("el", [2, 3])
def test_one_processor_per_cpu(el: int) -> None:
    """And with EL3 somebody who knows of each access whether it is Secure."""
    with pytest.raises(UsageError, match="2 CPUs with 0 processors"):
        Gicv3([0, 1], [print, print], el=el)
