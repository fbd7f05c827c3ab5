"""The ICC_* registers: acknowledging, priorities, preemption, groups. IHI 0069 4.8 and 12.2."""

from __future__ import annotations

import pytest
from gic_guest import PRIORITY, V3

from armvcpu.errors import UsageError

SPURIOUS, IDLE = 1023, 0xFF


@pytest.fixture
def guest() -> V3:
    return V3()


def pend(guest: V3, intid: int, priority: int = PRIORITY, group: int = 1) -> None:
    guest.configure(intid, priority=priority, group=group, edge=True)
    guest.gic.set_spi(intid - 32, True)
    guest.gic.set_spi(intid - 32, False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("PMR", 0), ("BPR0", 2), ("BPR1", 3), ("AP0R0", 0), ("AP1R0", 0), ("RPR", IDLE), ("SRE", 7)),
        *(("IGRPEN0", 0), ("IGRPEN1", 0), ("CTLR", 0x4_8400), ("IAR0", SPURIOUS), ("IAR1", SPURIOUS)),
        *(("HPPIR0", SPURIOUS), ("HPPIR1", SPURIOUS), ("EOIR1", None), ("SGI1R", None), ("DIR", None)),
    ],
)
def test_reset_values(name: str, value: int | None) -> None:
    """The whole interface after reset; five priority bits; None is write-only."""
    assert V3(ready=False).get(name) == value


@pytest.mark.parametrize("name", ["IAR0", "IAR1", "HPPIR0", "HPPIR1", "RPR"])
def test_read_only_registers_refuse_writes(guest: V3, name: str) -> None:
    """The vCPU makes such an MSR UNDEFINED."""
    assert not guest.set(name, 0)


@pytest.mark.parametrize(
    ("name", "written", "read"),
    [
        *(("PMR", 0xFF, 0xF8), ("PMR", 0x107, 0), ("BPR0", 0, 2), ("BPR0", 0xF, 7), ("BPR1", 0, 3), ("BPR1", 5, 5)),
        *(("CTLR", 0xFFFF_FFFF, 0x4_8403), ("SRE", 0, 7), ("IGRPEN0", 3, 1), ("IGRPEN1", 2, 0)),
        *(("AP1R0", 1 << 32 | 6, 6), ("AP0R0", 0x10, 0x10)),
    ],
)
def test_what_registers_keep(guest: V3, name: str, written: int, read: int) -> None:
    """Bits that are not there stay as they are, and a binary point has a smallest value."""
    assert guest.set(name, written)
    assert guest.get(name) == read


def test_life_of_an_interrupt(guest: V3) -> None:
    """A level raises IRQ, IAR1 lowers it; ended while still asserted it comes again."""
    guest.gic.set_spi(1, True)
    assert (guest.irq[0], guest.get("HPPIR1"), guest.get("RPR")) == (True, 33, IDLE)
    assert (guest.get("IAR1"), guest.irq[0], guest.get("RPR")) == (33, False, PRIORITY)
    guest.set("EOIR1", 33)
    assert (guest.irq[0], guest.get("IAR1")) == (True, 33)
    guest.gic.set_spi(1, False)
    guest.set("EOIR1", 33)
    assert (guest.irq.changes[0], guest.get("RPR")) == ([True, False, True, False], IDLE)


def test_ppi_line_reaches_its_cpu_only() -> None:
    """A PPI is private."""
    guest = V3((0, 1))
    guest.gic.ppi_line(1, 27)(True)
    assert (guest.irq[0], guest.irq[1], guest.get("IAR1", 1)) == (False, True, 27)


def test_the_output_tells_changes_only(guest: V3) -> None:
    """More pending interrupts do not raise IRQ again."""
    pend(guest, 40)
    pend(guest, 41)
    guest.gic.set_spi(0, False)
    assert guest.irq.changes[0] == [True]


@pytest.mark.parametrize(("pmr", "signalled"), [(0, False), (0x50, False), (0x57, False), (0x58, True), (0xFF, True)])
def test_priority_mask(guest: V3, pmr: int, signalled: bool) -> None:
    """Only priorities above ICC_PMR_EL1 are signalled, HPPIR shows the others as well (4.8)."""
    guest.set("PMR", pmr)
    pend(guest, 40, 0x50)
    assert (guest.irq[0], guest.get("HPPIR1")) == (signalled, 40)
    assert guest.get("IAR1") == (40 if signalled else SPURIOUS)


def test_the_lowest_priority_is_never_signalled(guest: V3) -> None:
    """0xF8 is not above any mask (4.8)."""
    pend(guest, 40, 0xFF)
    assert not guest.irq[0]


@pytest.mark.parametrize(
    ("bpr", "running", "pending", "preempts"),
    [
        *((3, 0x50, 0x48, True), (3, 0x50, 0x50, False), (3, 0x48, 0x50, False)),
        *((4, 0x58, 0x50, False), (4, 0x50, 0x48, True), (5, 0x50, 0x48, False), (5, 0x60, 0x58, True)),
        *((6, 0x78, 0x40, False), (6, 0x40, 0x38, True), (7, 0x80, 0x78, True), (7, 0x78, 0x00, False)),
    ],
)
@pytest.mark.parametrize("group", [0, 1])
def test_preemption_by_group_priority(
    guest: V3, group: int, bpr: int, running: int, pending: int, preempts: bool
) -> None:
    """Group 1 compares bits [7:BPR1], Group 0 bits [7:BPR0 + 1] of the priorities (4.8)."""
    guest.set(f"BPR{group}", bpr - 1 + group)
    pend(guest, 40, running, group)
    assert guest.get(f"IAR{group}") == 40
    pend(guest, 41, pending, group)
    assert (guest.irq if group else guest.fiq)[0] == preempts
    assert guest.get("RPR") == running & -1 << bpr


def test_nested_interrupts_end_in_reverse_order(guest: V3) -> None:
    """Each end uncovers the running priority below, and AP1R0 shows all of them."""
    for intid, priority in ((40, 0x80), (41, 0x40), (42, 0x08)):
        pend(guest, intid, priority)
        assert guest.get("IAR1") == intid
    assert guest.get("AP1R0") == 1 << 16 | 1 << 8 | 1 << 1
    for intid, left in ((42, 0x40), (41, 0x80), (40, IDLE)):
        guest.set("EOIR1", intid)
        assert guest.get("RPR") == left


def test_cbpr_gives_group_1_the_binary_point_of_group_0(guest: V3) -> None:
    """BPR1 then shows BPR0 plus one, saturated, and ignores writes (ICC_CTLR_EL1.CBPR)."""
    guest.set("BPR1", 6)
    guest.set("CTLR", 1)
    guest.set("BPR1", 4)
    assert guest.get("BPR1") == 3
    guest.set("BPR0", 7)
    assert guest.get("BPR1") == 7
    guest.set("CTLR", 0)
    assert guest.get("BPR1") == 6


def test_eoi_mode_1_splits_priority_drop_and_deactivation(guest: V3) -> None:
    """EOIR1 lets others in while the interrupt stays active until DIR (4.1)."""
    guest.set("CTLR", 2)
    guest.gic.set_spi(1, True)
    assert guest.get("IAR1") == 33
    guest.set("EOIR1", 33)
    assert (guest.get("RPR"), guest.irq[0], guest.gicd.read(0x304, 4)) == (IDLE, False, 2)
    pend(guest, 40)
    assert guest.get("IAR1") == 40
    guest.set("DIR", 33)
    assert (guest.gicd.read(0x304, 4), guest.get("HPPIR1")) == (1 << 8, 33)


def test_dir_does_nothing_with_eoi_mode_0(guest: V3) -> None:
    """ICC_DIR_EL1 is for EOImode 1."""
    pend(guest, 40)
    guest.get("IAR1")
    guest.set("DIR", 40)
    assert guest.gicd.read(0x304, 4) == 1 << 8


@pytest.mark.parametrize("intid", [1020, 1022, 1023, 0xFF_FFFF, 96])
def test_ending_what_is_no_interrupt_changes_nothing(guest: V3, intid: int) -> None:
    """Special INTIDs and those that do not exist are ignored (ICC_EOIR1_EL1)."""
    pend(guest, 40)
    guest.get("IAR1")
    guest.set("EOIR1", intid)
    assert guest.get("RPR") == PRIORITY


def test_ending_by_the_register_of_the_other_group_changes_nothing(guest: V3) -> None:
    """EOIR0 does not drop a Group 1 priority."""
    pend(guest, 40)
    guest.get("IAR1")
    guest.set("EOIR0", 40)
    assert (guest.get("RPR"), guest.gicd.read(0x304, 4)) == (PRIORITY, 1 << 8)


def test_group_0_is_signalled_as_fiq_and_seen_by_its_own_registers(guest: V3) -> None:
    """Group 0 has FIQ, IAR0 and HPPIR0; Group 1 registers do not see it (4.6)."""
    pend(guest, 40, group=0)
    assert (guest.irq[0], guest.fiq[0], guest.get("HPPIR1"), guest.get("IAR1")) == (False, True, SPURIOUS, SPURIOUS)
    assert (guest.get("HPPIR0"), guest.get("IAR0"), guest.get("AP0R0")) == (40, 40, 1 << 20)
    guest.set("EOIR0", 40)
    assert (guest.fiq[0], guest.get("AP0R0")) == (False, 0)


@pytest.mark.parametrize("group", [0, 1])
@pytest.mark.parametrize("where", ["interface", "distributor"])
def test_a_disabled_group_hides_its_interrupts_only(guest: V3, group: int, where: str) -> None:
    """Group enables of GICD_CTLR and ICC_IGRPENn_EL1: the other group's interrupt is the highest one (4.8)."""
    pend(guest, 40, 0x10, group)
    pend(guest, 41, 0x20, 1 - group)
    if where == "interface":
        guest.set(f"IGRPEN{group}", 0)
    else:
        guest.gicd.write(0, 4, 3 & ~(1 << group))
    assert (guest.get(f"HPPIR{group}"), guest.get(f"HPPIR{1 - group}")) == (SPURIOUS, 41)


def test_written_active_priorities_hold_back_interrupts(guest: V3) -> None:
    """AP1R0 is the running priority, as saved and restored by software."""
    guest.set("AP1R0", 1 << 10)
    pend(guest, 40, 0x50)
    assert (guest.irq[0], guest.get("RPR")) == (False, 0x50)
    guest.set("AP1R0", 0)
    assert guest.irq[0]


def test_reset_of_a_cpu_keeps_its_pending_interrupts(guest: V3) -> None:
    """Only the interface is reset; the line falls because nothing is enabled."""
    pend(guest, 40)
    guest.gic.interface(0).reset()
    assert (guest.irq[0], guest.get("PMR"), guest.gicd.read(0x204, 4)) == (False, 0, 1 << 8)


def test_an_interrupt_can_be_made_pending_without_a_register(guest: V3) -> None:
    """An SPI, and a CPU's own, as by GICD_ISPENDR and GICR_ISPENDR0: a level-sensitive one until acknowledged."""
    for intid in (40, 27, 3):
        guest.gic.pend(intid)
        assert (guest.irq[0], guest.get("IAR1")) == (True, intid)
        guest.set("EOIR1", intid)
        assert guest.irq[0] is False


def test_a_private_interrupt_is_made_pending_for_its_cpu_alone() -> None:
    """The second one's; the first one's line stays."""
    guest = V3((0, 1))
    guest.gic.pend(27, cpu=1)
    assert (guest.irq[0], guest.irq[1], guest.get("IAR1", cpu=1)) == (False, True, 27)


@pytest.mark.parametrize(("intid", "cpu"), [(96, 0), (1023, 0), (-1, 0), (27, 1), (40, -1)])
def test_what_is_not_there_cannot_be_made_pending(guest: V3, intid: int, cpu: int) -> None:
    """One line says what there is, and nothing is pending."""
    with pytest.raises(UsageError, match=r"^there is no (CPU|interrupt) .* this GIC has "):
        guest.gic.pend(intid, cpu)
    assert (guest.irq[0], guest.get("HPPIR1")) == (False, SPURIOUS)


def test_an_observer_hears_of_acknowledging_and_ending(guest: V3) -> None:
    """Until there is none any more; spurious reads and ends of nothing are no news."""
    heard: list[tuple[str, int]] = []
    guest.gic.interface(0).observe(lambda what, intid: heard.append((what, intid)))
    guest.get("IAR1")
    guest.set("EOIR1", 40)
    guest.gic.pend(40)
    guest.get("IAR1")
    guest.set("EOIR1", 40)
    assert heard == [("acknowledge", 40), ("end", 40)]
    guest.gic.interface(0).observe(None)
    guest.gic.pend(40)
    guest.get("IAR1")
    assert len(heard) == 2
