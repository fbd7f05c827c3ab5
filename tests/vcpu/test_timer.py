"""A timer of the Generic Timer; DDI 0487 D11.2."""

from __future__ import annotations

import pytest

from armvcpu.vcpu.timer import ENABLE, IMASK, ISTATUS, GuestTimer

TOP = 1 << 64


class Clock:
    """A count that a test sets."""

    def __init__(self, now: int = 0) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


class Guest:
    """A GuestTimer over a count, and its line's levels."""

    def __init__(self, now: int = 0) -> None:
        self.clock = Clock(now)
        self.levels: list[bool] = []
        self.timer = GuestTimer(self.clock, self.levels.append)

    @property
    def shown(self) -> tuple[int, int]:
        """What the guest reads of CTL and CVAL."""
        return self.timer.read_ctl(), self.timer.read_cval()


@pytest.mark.parametrize(("now", "met"), [(99, False), (100, True), (101, True), (TOP - 1, True), (TOP + 5, False)])
def test_istatus_when_the_count_reaches_cval(now, met):
    """The condition is count >= CVAL, both unsigned, 64 bits (D11.2.4, "Operation of the CompareValue views")."""
    guest = Guest(now)
    guest.timer.write_cval(100)
    guest.timer.write_ctl(ENABLE)
    assert guest.timer.read_ctl() == ENABLE | (ISTATUS if met else 0)


@pytest.mark.parametrize("control", [0, IMASK])
def test_disabled_timer_has_no_istatus(control):
    """Without ENABLE nothing is signalled (D17.11.9, CNTP_CTL_EL0)."""
    guest = Guest(200)
    guest.timer.write_cval(100)
    guest.timer.write_ctl(control)
    assert (guest.timer.read_ctl(), guest.levels) == (control, [])


def test_only_enable_and_imask_can_be_written():
    """ISTATUS is read-only and the rest RES0."""
    guest = Guest(0)
    guest.timer.write_cval(1)
    guest.timer.write_ctl(0xFFFF_FFFF_FFFF_FFFF)
    assert guest.timer.read_ctl() == ENABLE | IMASK


@pytest.mark.parametrize(
    ("now", "cval", "tval"),
    [(100, 150, 50), (150, 100, 0xFFFF_FFCE), (100, 100, 0), (0, 0x1_2345_6789, 0x2345_6789)],
)
def test_tval_reads_the_low_half_of_what_is_left(now, cval, tval):
    """CVAL less count, 32 bits, negative after the time has come (D11.2.4, "TimerValue views")."""
    guest = Guest(now)
    guest.timer.write_cval(cval)
    assert guest.timer.read_tval() == tval


@pytest.mark.parametrize(
    ("now", "tval", "cval"),
    [(100, 50, 150), (100, 0xFFFF_FFCE, 50), (TOP - 1, 3, 2), (0, 0xFFFF_FFFF, TOP - 1), (7, 0xAB_0000_0001, 8)],
)
def test_tval_write_sets_cval_from_now(now, tval, cval):
    """The count plus the signed low 32 bits of what is written, modulo 2^64."""
    guest = Guest(now)
    guest.timer.write_tval(tval)
    assert guest.timer.cval == cval


def test_time_moves_tval_but_not_cval():
    """TVAL counts down as the count goes up."""
    guest = Guest(1000)
    guest.timer.write_tval(10)
    guest.clock.now += 4
    assert (guest.timer.read_tval(), guest.timer.read_cval()) == (6, 1010)


def test_timer_that_nobody_hears_keeps_time():
    """Its interrupt goes nowhere."""
    timer = GuestTimer(lambda: 5)
    timer.write_ctl(ENABLE)
    assert (timer.read_ctl(), timer.level) == (ENABLE | ISTATUS, True)


@pytest.mark.parametrize(
    ("now", "offset", "cval", "left"),
    [
        (1000, 900, 150, 50),
        (1000, TOP - 24, 1030, 6),  # ahead of the physical count
        (1000, 1010, 5, 15 - TOP),  # the virtual count has not come to 0 yet: it is above every small CVAL
        (1000, 1010, TOP - 4, 6),
        (1000, 5, TOP - 1, TOP - 996),
    ],
)
def test_a_virtual_timer_is_due_by_the_count_less_its_offset(now, offset, cval, left):
    """64 bits, unsigned, modulo 2^64 (D11.2.4); the moment is one of the physical count."""
    guest = Guest(now)
    guest.timer.move(offset)
    guest.timer.write_cval(cval)
    guest.timer.write_ctl(ENABLE)
    assert guest.timer.is_armed == (left > 0)
    assert guest.timer.read_tval() == (cval - now + offset) & 0xFFFF_FFFF
    if left > 0:
        assert guest.timer.due == now + left


def test_moving_the_offset_moves_the_interrupt():
    """CNTVOFF_EL2 is written while the timer waits, and while its interrupt is there."""
    guest = Guest(1000)
    guest.timer.write_cval(900)
    guest.timer.write_ctl(ENABLE)
    guest.timer.move(500)
    guest.timer.move(0)
    assert guest.levels == [True, False, True]


def test_guest_timer_fires_when_its_time_comes():
    """Armed until then; ISTATUS is shown with the interrupt, never later (D11.2.4)."""
    guest = Guest(100)
    guest.timer.write_tval(10)
    guest.timer.write_ctl(ENABLE)
    before = (guest.timer.is_armed, guest.shown, list(guest.levels))
    guest.clock.now = 110
    guest.timer.update()
    assert before == (True, (ENABLE, 110), [])
    assert (guest.timer.is_armed, guest.shown, guest.levels) == (False, (ENABLE | ISTATUS, 110), [True])


@pytest.mark.parametrize(
    ("part", "value", "ctl"),
    [("CTL", 0, 0), ("CTL", ENABLE | IMASK, ENABLE | IMASK | ISTATUS), ("CVAL", 200, ENABLE), ("TVAL", 1, ENABLE)],
    ids=["disabled", "masked", "later", "again"],
)
def test_guest_timers_interrupt_is_a_level(part, value, ctl):
    """It falls when the timer is disabled, masked, or its time moved away."""
    guest = Guest(100)
    guest.timer.write_ctl(ENABLE)
    getattr(guest.timer, f"write_{part.lower()}")(value)
    assert (guest.levels, guest.timer.ctl) == ([True, False], ctl)


@pytest.mark.parametrize(("tval", "cval"), [(5, 105), (0xFFFF_FFFF, 99), (0x1_0000_0001, 101)])
def test_guest_timers_tval_is_signed(tval, cval):
    """32 bits, relative to the count."""
    guest = Guest(100)
    guest.timer.write_tval(tval)
    assert guest.timer.cval == cval


def test_guest_timer_after_reset():
    """Disabled, with its interrupt gone."""
    guest = Guest(100)
    guest.timer.write_ctl(ENABLE)
    guest.timer.reset()
    assert (guest.levels, guest.shown, guest.timer.is_armed) == ([True, False], (0, 0), False)
