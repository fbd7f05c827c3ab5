"""A GICv3 with two Security states: groups, banked registers, views, IRQ and FIQ. IHI 0069 4.6, 12.2."""

from __future__ import annotations

import pytest
from gic_levels import FIQ, IDLE, NS, SPURIOUS, Levels

from armvcpu.arch.gic_ich import ICH_HCR, ICH_LR, ICH_VMCR, LrState
from armvcpu.devices.gic.gicv3 import Gicv3
from armvcpu.errors import UsageError

CTLR, TYPER, IGRPMODR, NSACR, WAKER = 0x0, 0x4, 0xD00, 0xE00, 0x14
DS, SECURITY_EXTN = 1 << 6, 1 << 10
SECURE_EL1, NONSECURE = 1020, 1021
STATES = {"EL3": (3, 0), "EL3, NS": (3, NS), "Secure EL1": (1, 0), "Non-secure EL1": (1, NS), "EL2": (2, NS)}


@pytest.fixture
def gic() -> Levels:
    return Levels(3)


@pytest.mark.parametrize(
    ("group", "fiq_at"),
    [(0, set(STATES)), (1, {"EL3", "EL3, NS", "Secure EL1"}), (2, {"EL3", "EL3, NS", "Non-secure EL1", "EL2"})],
)
def test_irq_or_fiq(gic: Levels, group: int, fiq_at: set[str]) -> None:
    """4.6.2: Group 0 is FIQ everywhere, a Group 1 is IRQ in its own state below EL3 alone."""
    gic.pend(40, group=group)
    for name, state in STATES.items():
        gic.pe.at(*state)
        gic.gic.interface(0).refresh()
        assert (gic.fiq[0], gic.irq[0]) == (name in fiq_at, name not in fiq_at), name


def test_one_security_state_has_no_fiq_of_group_1(gic: Levels) -> None:
    """With GICD_CTLR.DS Group 1 is IRQ at EL3, too, and IGRPMODR is no more."""
    gic.pend(40, group=2)
    gic.gic.distributor.write(CTLR, 4, DS | 3)
    gic.pend(40, group=1)
    assert (gic.fiq[0], gic.irq[0]) == (False, True)
    gic.gic.distributor.write(IGRPMODR + 4, 4, 0xFF)
    assert gic.gic.distributor.read(IGRPMODR + 4, 4) == 0


@pytest.mark.parametrize(("group", "word"), [(0, 0b001), (1, 0b010), (2, 0b100)])
def test_the_word_of_what_is_signalled(gic: Levels, group: int, word: int) -> None:
    """Whoever executes the guest sees which group it is, and that nothing is, without a call."""
    words = gic.gic.interface(0).signal_words  # type: ignore[attr-defined]  that of three groups
    assert words[0] == 0
    gic.pend(40, group=group)
    assert words[0] == word
    gic.set("ICC_PMR_EL1", 0)
    assert words[0] == 0


@pytest.mark.parametrize(
    ("state", "group", "iar0", "iar1"),
    [
        *(("EL3", 0, 40, SPURIOUS), ("EL3", 1, NONSECURE, 40), ("EL3", 2, SECURE_EL1, 40)),
        *(("Secure EL1", 0, 40, SPURIOUS), ("Secure EL1", 1, SPURIOUS, SPURIOUS), ("Secure EL1", 2, SPURIOUS, 40)),
        *(("EL2", 0, SPURIOUS, SPURIOUS), ("EL2", 1, SPURIOUS, 40), ("EL2", 2, SPURIOUS, SPURIOUS)),
    ],
)
def test_who_sees_which_group(gic: Levels, state: str, group: int, iar0: int, iar1: int) -> None:
    """Highest pending and acknowledge: each state its own, EL3 all, and of Group 1 by ICC_IAR0_EL1 whose it is."""
    gic.pend(40, group=group)
    gic.pe.at(*STATES[state])
    for name, intid in (("HPPIR0", iar0), ("HPPIR1", iar1), ("IAR0", iar0)):
        assert gic.get(f"ICC_{name}_EL1") == intid
    assert gic.get("ICC_IAR1_EL1") == (iar1 if iar0 != 40 else SPURIOUS)


@pytest.mark.parametrize("state", ["Secure EL1", "EL2"])
def test_groups_1_are_banked(gic: Levels, state: str) -> None:
    """BPR1, CTLR, IGRPEN1 and AP1R0 of one state are not the other's; EL3 has the copy that SCR_EL3.NS says."""
    el, scr = STATES[state]
    gic.pe.at(el, scr)
    for name, value in (("BPR1", 6), ("CTLR", 2), ("IGRPEN1", 0), ("AP1R0", 0x100)):
        gic.set(f"ICC_{name}_EL1", value)
    seen = []
    for ns in (scr, scr ^ NS):
        gic.pe.at(3, ns)
        seen.append([gic.get(f"ICC_{name}_EL1") & 0xFFF & ~0x400 for name in ("BPR1", "CTLR", "IGRPEN1", "AP1R0")])
    assert seen == [[6, 2, 0, 0x100], [2 if state == "EL2" else 3, 0, 1, 0]]


def test_an_end_is_for_who_acknowledged(gic: Levels) -> None:
    """Non-secure software can't end a Secure interrupt, nor Secure EL1 a Non-secure one."""
    for group, stranger in ((2, "EL2"), (1, "Secure EL1"), (0, "EL2")):
        name = "1" if group else "0"
        gic.pend(40, group=group)
        gic.pe.at(3)
        gic.get(f"ICC_IAR{name}_EL1")
        gic.pe.at(*STATES[stranger])
        gic.set(f"ICC_EOIR{name}_EL1", 40)
        gic.pe.at(3)
        assert gic.get("ICC_RPR_EL1") == 0xA0
        gic.set(f"ICC_EOIR{name}_EL1", 40)
        assert (gic.get("ICC_RPR_EL1"), gic.gic.shared.active) == (IDLE, 0)


def test_nonsecure_priorities(gic: Levels) -> None:
    """With SCR_EL3.FIQ Non-secure software has the lower half of them, and can't unmask what Secure software masks."""
    gic.set("ICC_PMR_EL1", 0xC0)
    gic.pe.at(2, NS | FIQ)
    assert gic.get("ICC_PMR_EL1") == 0x80
    gic.set("ICC_PMR_EL1", 0xF0)
    gic.pe.at(3)
    assert gic.get("ICC_PMR_EL1") == 0xF8
    gic.set("ICC_PMR_EL1", 0x40)
    gic.pe.at(2, NS | FIQ)
    gic.set("ICC_PMR_EL1", 0xF0)
    assert gic.get("ICC_PMR_EL1") == 0
    gic.pe.at(2, NS)
    assert gic.get("ICC_PMR_EL1") == 0x40


def test_distributor_control_views(gic: Levels) -> None:
    """Secure: three enables, ARE_S, ARE_NS and DS; Non-secure: EnableGrp1A and ARE_NS."""
    gicd = gic.gic.distributor
    assert gicd.read(CTLR, 4) == 0x37
    gic.secure = False
    assert gicd.read(CTLR, 4) == 0x12
    gicd.write(CTLR, 4, DS)
    gic.secure = True
    assert gicd.read(CTLR, 4) == 0x35
    assert gicd.read(TYPER, 4) & SECURITY_EXTN


def test_ds_stays_until_reset(gic: Levels) -> None:
    """Then there is one Security state, which all accesses share."""
    gicd = gic.gic.distributor
    gicd.write(CTLR, 4, DS | 7)
    gicd.write(CTLR, 4, 3)
    gic.secure = False
    assert (gicd.read(CTLR, 4), gicd.read(TYPER, 4) & SECURITY_EXTN) == (0x53, 0)
    gic.gic.reset()
    gic.secure = True
    assert (gicd.read(CTLR, 4), gicd.read(TYPER, 4) & SECURITY_EXTN) == (0x30, SECURITY_EXTN)


def test_redistributor_is_kept_awake_by_secure_software(gic: Levels) -> None:
    """GICR_WAKER is RAZ/WI to Non-secure accesses."""
    gicr = gic.gic.redistributor(0)
    gic.secure = False
    gicr.write(WAKER, 4, 0)
    assert gicr.read(WAKER, 4) == 0
    gic.secure = True
    assert gicr.read(WAKER, 4) == 6


def test_routes_of_secure_interrupts(gic: Levels) -> None:
    """GICD_IROUTER is RAZ/WI for them, unless GICD_NSACR opens it with 3."""
    gicd, router = gic.gic.distributor, 0x6000 + 8 * 40
    gicd.write(router, 8, 1)
    gic.secure = False
    gicd.write(router, 8, 0)
    assert gicd.read(router, 8) == 0
    gic.secure = True
    assert gicd.read(router, 8) == 1
    gicd.write(NSACR + 4 * 2, 4, 3 << 2 * (40 % 16))
    gic.secure = False
    assert gicd.read(router, 8) == 1


@pytest.mark.parametrize(
    ("name", "state", "group", "nsacr", "sent"),
    [
        *(("SGI1R", "EL3", 2, 0, True), ("SGI1R", "EL3", 0, 0, True), ("SGI1R", "EL3", 1, 0, False)),
        *(("ASGI1R", "EL3", 1, 0, True), ("SGI0R", "EL3", 0, 0, True), ("SGI0R", "EL3", 2, 0, False)),
        *(("SGI1R", "EL2", 1, 0, True), ("SGI1R", "EL2", 2, 3, False)),
        *(("ASGI1R", "EL2", 2, 1, False), ("ASGI1R", "EL2", 2, 2, True), ("ASGI1R", "EL2", 0, 1, True)),
        *(("SGI0R", "EL2", 0, 0, False), ("SGI0R", "EL2", 0, 1, True), ("SGI0R", "EL2", 2, 3, False)),
    ],
)
def test_sgis(name: str, state: str, group: int, nsacr: int, sent: bool) -> None:
    """Each register sends one group's; from Non-secure state to Secure ones as far as the target's GICR_NSACR says."""
    gic = Levels(3, (0, 1))
    target = gic.gic.interface(1).private
    target.group1 = (group == 1) << 3
    gic.gic.redistributor(1).write(0x1_0000 + IGRPMODR, 4, (group == 2) << 3)
    gic.gic.redistributor(1).write(0x1_0000 + NSACR, 4, nsacr << 6)
    gic.pe.at(*STATES[state])
    gic.set(f"ICC_{name}_EL1", 3 << 24 | 0b10)
    assert (target.latched, gic.gic.interface(0).private.latched) == (sent << 3, 0)


def test_a_list_register_ends_no_secure_interrupt(gic: Levels) -> None:
    """HW and pINTID of a Secure one: the virtual interrupt ends, the physical one stays active."""
    gic.pend(40, group=2)
    gic.get("ICC_IAR1_EL1")
    gic.pe.at(2, NS)
    gic.set("ICH_HCR_EL2", ICH_HCR.En.mask)
    gic.set("ICH_VMCR_EL2", ICH_VMCR.of(VENG1=1, VPMR=0xF8))
    gic.set("ICH_LR0_EL2", ICH_LR.of(vINTID=50, Group=1, HW=1, pINTID=40, State=LrState.ACTIVE))
    gic.set("ICH_AP1R0_EL2", 1)
    gic.pe.at(1, NS, 1 << 4)
    gic.set("ICC_EOIR1_EL1", 50)
    assert (gic.gic.shared.active, gic.get("ICC_RPR_EL1")) == (1 << 40, IDLE)


def test_snapshot(gic: Levels) -> None:
    """A GIC that loads the state has its groups, modes and lines."""
    gic.pend(40, group=2)
    gic.pend(41, group=0, priority=0xC0)
    gic.set("ICC_CTLR_EL3", 0x1F)
    gic.gic.distributor.write(NSACR + 8, 4, 0x1234)
    other = Levels(3, ready=False)
    other.gic.load_state(gic.gic.state())
    assert other.gic.state() == gic.gic.state()
    assert (other.get("ICC_IAR1_EL1"), other.get("ICC_CTLR_EL3") & 0x1F) == (40, 0x1F)
    gic.gic.distributor.write(CTLR, 4, DS)
    other.gic.load_state(gic.gic.state())
    other.secure = False
    assert other.gic.distributor.read(CTLR, 4) == 0x50


def test_who_asks_has_to_be_known() -> None:
    """Two Security states need the attribute of each access."""
    with pytest.raises(UsageError, match="access_is_secure"):
        Gicv3([0], [print], el=3, processors=Levels(3).pes)
