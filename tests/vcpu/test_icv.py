"""The virtual CPU interface. IHI 0069 4.8, chapter 6 and the ICV_* registers."""

from __future__ import annotations

import pytest
from icc_access import IccAccess

from armvcpu.arch.gic_registers import DEFAULT_PRIORITY, SPURIOUS
from armvcpu.arch.registers import by_name
from armvcpu.errors import UsageError
from armvcpu.vcpu.icv import VirtualCpuInterface
from armvcpu.vcpu.list_registers import LIST_REGISTERS

IDLE = 0xFF


class Guest:
    """An interface with its line and SGIs recorded, used by register names."""

    def __init__(self, enabled: bool = True) -> None:
        self.lines: list[bool] = []
        self.sgis: list[int] = []
        self.icv = VirtualCpuInterface(self.lines.append, self.sgis.append)
        self.registers = IccAccess(self.icv.registers())
        if enabled:
            self.set("PMR", 0xFF)
            self.set("IGRPEN1", 1)

    def get(self, name: str) -> int | None:
        return self.registers.get(name)

    def set(self, name: str, value: int) -> bool:
        return self.registers.set(name, value)

    @property
    def line(self) -> bool:
        return bool(self.lines) and self.lines[-1]


@pytest.fixture
def guest() -> Guest:
    return Guest()


def test_reset_signals_nothing_until_the_guest_enables_it() -> None:
    """ICV_PMR and ICV_IGRPEN1 are 0 after reset; each alone is not enough."""
    guest = Guest(enabled=False)
    guest.icv.inject(27)
    assert guest.get("IAR1") == SPURIOUS
    guest.set("PMR", 0xFF)
    assert (guest.line, guest.get("HPPIR1")) == (False, SPURIOUS)
    guest.set("IGRPEN1", 1)
    assert (guest.lines, guest.get("HPPIR1")) == ([True], 27)


def test_life_of_an_interrupt(guest: Guest) -> None:
    """Pending raises the line, IAR1 acknowledges and lowers it, EOIR1 ends it (4.1)."""
    guest.icv.inject(27)
    assert (guest.line, guest.get("HPPIR1"), guest.get("RPR")) == (True, 27, IDLE)
    assert (guest.get("IAR1"), guest.line, guest.get("RPR")) == (27, False, DEFAULT_PRIORITY)
    assert guest.get("IAR1") == SPURIOUS
    guest.set("EOIR1", 27)
    assert (guest.get("RPR"), guest.get("HPPIR1"), guest.line) == (IDLE, SPURIOUS, False)


def test_the_line_is_driven_at_changes_only(guest: Guest) -> None:
    """A second interrupt, and injecting again, change nothing."""
    for intid in (27, 27, 33):
        guest.icv.inject(intid)
    assert guest.lines == [True]


def test_pending_twice_is_pending_once(guest: Guest) -> None:
    """4.1: there is one pending state, before the acknowledge."""
    guest.icv.inject(27)
    guest.icv.inject(27)
    assert (guest.get("IAR1"), guest.set("EOIR1", 27)) == (27, True)
    assert guest.get("IAR1") == SPURIOUS


def test_active_and_pending(guest: Guest) -> None:
    """4.1: injected while active it is taken again after its end, not before."""
    guest.icv.inject(27)
    guest.get("IAR1")
    guest.icv.inject(27)
    assert guest.line is False
    guest.set("EOIR1", 27)
    assert (guest.line, guest.get("IAR1")) == (True, 27)


def test_lower_numbers_are_more_urgent(guest: Guest) -> None:
    """4.8: the highest priority is taken first, the earlier first among equals."""
    for number, priority in ((40, 0xA0), (41, 0x20), (42, 0xA0), (43, 0x60)):
        guest.icv.inject(number, priority)
    taken = []
    while (intid := guest.get("IAR1")) != SPURIOUS:
        taken.append(intid)
        guest.set("EOIR1", intid or 0)
    assert taken == [41, 43, 40, 42]


@pytest.mark.parametrize(("pmr", "line"), [(0xA0, False), (0x9F, False), (0xA8, True), (0xA1, False), (0xFF, True)])
def test_priority_mask(guest: Guest, pmr: int, line: bool) -> None:
    """4.8, "Priority masking": only above ICV_PMR, whose upper five bits exist; HPPIR1 does not look at it."""
    guest.set("PMR", pmr)
    guest.icv.inject(27, 0xA0)
    assert (guest.line, guest.get("IAR1") == 27) == (line, line)
    assert line or guest.get("HPPIR1") == 27


def test_preemption_and_nested_ends(guest: Guest) -> None:
    """4.8, "Preemption": only a higher group priority preempts; RPR follows the nesting."""
    guest.icv.inject(40, 0x80)
    guest.get("IAR1")
    guest.icv.inject(41, 0x80)
    assert guest.line is False
    guest.icv.inject(42, 0x40)
    assert (guest.line, guest.get("IAR1"), guest.get("RPR")) == (True, 42, 0x40)
    assert guest.get("AP1R0") == 1 << (0x40 >> 3) | 1 << (0x80 >> 3)
    guest.set("EOIR1", 42)
    assert (guest.get("RPR"), guest.line) == (0x80, False)
    guest.set("EOIR1", 40)
    assert (guest.line, guest.get("IAR1")) == (True, 41)


@pytest.mark.parametrize(("bpr", "preempts"), [(3, True), (5, True), (6, True), (7, False)])
def test_binary_point_separates_group_priority(guest: Guest, bpr: int, preempts: bool) -> None:
    """4.8, "Priority grouping", Group 1: bits [7:BPR1] decide; 0x40 and 0x00 differ in bit 6."""
    guest.set("BPR1", bpr)
    guest.icv.inject(40, 0x40)
    guest.get("IAR1")
    guest.icv.inject(41, 0x00)
    assert guest.line is preempts


@pytest.mark.parametrize(("written", "bpr0", "bpr1"), [(0, 2, 3), (2, 2, 3), (3, 3, 3), (7, 7, 7), (0xF5, 5, 5)])
def test_binary_points_have_a_minimum(guest: Guest, written: int, bpr0: int, bpr1: int) -> None:
    """ICV_BPR0 is at least 2 and ICV_BPR1 at least 3 with five preemption bits."""
    guest.set("BPR0", written)
    guest.set("BPR1", written)
    assert (guest.get("BPR0"), guest.get("BPR1")) == (bpr0, bpr1)


@pytest.mark.parametrize(("bpr0", "shown", "preempts"), [(2, 3, True), (6, 7, True), (7, 7, False)])
def test_common_binary_point(guest: Guest, bpr0: int, shown: int, preempts: bool) -> None:
    """ICV_CTLR.CBPR: BPR0 serves both groups, BPR1 reads it plus one and ignores writes."""
    guest.set("CTLR", 0b01)
    guest.set("BPR0", bpr0)
    guest.set("BPR1", 4)
    assert guest.get("BPR1") == shown
    guest.icv.inject(40, 0x80)
    guest.get("IAR1")
    guest.icv.inject(41, 0x00)
    assert guest.line is preempts


def test_eoimode_separates_drop_and_deactivation(guest: Guest) -> None:
    """ICV_CTLR.EOImode 1: EOIR1 drops the priority, DIR deactivates; until then it is not taken again (4.1)."""
    guest.set("CTLR", 0b10)
    guest.icv.inject(27)
    guest.get("IAR1")
    guest.set("EOIR1", 27)
    assert guest.get("RPR") == IDLE
    guest.icv.inject(27)
    assert (guest.line, guest.get("HPPIR1"), guest.get("IAR1")) == (False, SPURIOUS, SPURIOUS)
    guest.set("DIR", 27)
    assert (guest.line, guest.get("IAR1")) == (True, 27)
    guest.set("EOIR1", 27)
    guest.set("DIR", 27)
    assert guest.icv.state()["interrupts"] == []


def test_dir_does_nothing_with_eoimode_0(guest: Guest) -> None:
    """ICV_DIR."""
    guest.icv.inject(27)
    guest.get("IAR1")
    before = guest.icv.state()
    guest.set("DIR", 27)
    assert guest.icv.state() == before


@pytest.mark.parametrize("intid", [1020, 1023])
def test_end_of_a_special_intid_is_ignored(guest: Guest, intid: int) -> None:
    """ICV_EOIR1: 1020 to 1023 were never acknowledged."""
    guest.icv.inject(27)
    guest.get("IAR1")
    guest.set("EOIR1", intid)
    assert guest.get("RPR") == DEFAULT_PRIORITY


def test_end_without_an_active_interrupt_changes_nothing(guest: Guest) -> None:
    """A pending interrupt survives an EOIR1 that nothing preceded."""
    guest.icv.inject(27)
    guest.set("EOIR1", 27)
    assert (guest.get("RPR"), guest.get("IAR1")) == (IDLE, 27)


def test_lpi_has_no_active_state(guest: Guest) -> None:
    """4.1: acknowledged it is inactive, but its priority runs until EOIR1."""
    guest.icv.inject(8192)
    assert guest.get("IAR1") == 8192
    assert guest.icv.state()["interrupts"] == []
    assert guest.get("RPR") == DEFAULT_PRIORITY
    guest.set("EOIR1", 8192)
    assert guest.get("RPR") == IDLE


def test_more_interrupts_than_list_registers(guest: Guest) -> None:
    """Those that wait get a list register when one is free; a more urgent one does not wait."""
    count = 3 * LIST_REGISTERS
    for intid in range(32, 32 + count):
        guest.icv.inject(intid)
    guest.icv.inject(1, 0x10)
    taken = []
    for _ in range(count + 1):
        taken.append(guest.get("IAR1"))
        guest.set("EOIR1", taken[-1] or 0)
    assert taken == [1, *range(32, 32 + count)]
    assert guest.get("IAR1") == SPURIOUS


def test_list_registers_full_of_active_interrupts(guest: Guest) -> None:
    """With EOImode 1 all can be active at once; then the next waits for a deactivation."""
    guest.set("CTLR", 0b10)
    for intid in range(32, 33 + LIST_REGISTERS):
        guest.icv.inject(intid)
    for intid in range(32, 32 + LIST_REGISTERS):
        assert guest.get("IAR1") == intid
        guest.set("EOIR1", intid)
    assert guest.line is False
    guest.set("DIR", 40)
    assert (guest.line, guest.get("IAR1")) == (True, 32 + LIST_REGISTERS)


@pytest.mark.parametrize("intid", [-1, 1020, 1023, 1024, 8191, 0x1_0000])
def test_intids_that_cannot_be_injected(guest: Guest, intid: int) -> None:
    """2.2: special and reserved INTIDs; refused, and nothing changed."""
    with pytest.raises(UsageError, match="cannot be injected"):
        guest.icv.inject(intid)
    assert (guest.lines, guest.icv.state()["interrupts"]) == ([], [])


def test_ctlr_has_fixed_fields(guest: Guest) -> None:
    """ICV_CTLR: five priority bits, 16-bit INTIDs, A3V; CBPR and EOImode are writable."""
    guest.set("CTLR", 0xFFFF_FFFF)
    assert guest.get("CTLR") == 4 << 8 | 1 << 15 | 0b11
    guest.set("CTLR", 0)
    assert guest.get("CTLR") == 4 << 8 | 1 << 15


def test_sre_is_fixed(guest: Guest) -> None:
    """ICV_SRE: SRE, DFB and DIB are RAO/WI."""
    guest.set("SRE", 0)
    assert guest.get("SRE") == 7


def test_sgi1r_goes_to_the_sender(guest: Guest) -> None:
    """ICC_SGI1R with its whole value; the other two have nobody to go to."""
    assert all(guest.set(name, 0x1_0203_0001) for name in ("SGI1R", "ASGI1R", "SGI0R"))
    assert guest.sgis == [0x1_0203_0001]


def test_group_0_is_empty(guest: Guest) -> None:
    """Group 0 has no interrupts: spurious, zero, writes ignored."""
    guest.icv.inject(27)
    for name in ("IGRPEN0", "EOIR0", "AP0R0"):
        assert guest.set(name, 1)
    assert [guest.get(n) for n in ("IAR0", "HPPIR0", "IGRPEN0", "AP0R0")] == [SPURIOUS, SPURIOUS, 0, 0]
    assert guest.get("IAR1") == 27


def test_only_its_own_registers_are_answered(guest: Guest) -> None:
    """None and False otherwise: other registers, the wrong direction, AP1R1 to 3 (five preemption bits need one)."""
    assert [guest.get(name) for name in ("EOIR1", "DIR", "SGI1R", "AP1R1", "AP0R3")] == [None] * 5
    assert not any(guest.set(name, 0) for name in ("IAR1", "HPPIR1", "RPR", "AP1R2"))
    known = {row.name for row in by_name.values() if row.encoding in guest.registers.rows}
    assert {"ICC_IAR1_EL1", "ICC_EOIR1_EL1"} < known
    assert known.isdisjoint({"ICC_AP1R1_EL1", "VBAR_EL1", "ICC_SRE_EL2"})


def test_saved_state_goes_on_where_it_was(guest: Guest) -> None:
    """state() and load_state() in another interface, whose line is then driven."""
    guest.icv.inject(40, 0x80)
    guest.get("IAR1")
    guest.icv.inject(41, 0x40)
    other = Guest(enabled=False)
    other.icv.load_state(guest.icv.state())
    assert other.lines == [True]
    assert (other.get("RPR"), other.get("IAR1")) == (0x80, 41)
    assert guest.get("HPPIR1") == 41
    assert other.icv.state() != guest.icv.state()


def test_reset_forgets_everything(guest: Guest) -> None:
    """The line falls and nothing is pending."""
    guest.icv.inject(27)
    guest.icv.reset()
    assert (guest.line, guest.icv.state()) == (False, VirtualCpuInterface(lambda _level: None).state())
