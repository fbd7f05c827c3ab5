"""The timers of a CPU by its Exception levels, and what reaches them; DDI 0487 D11.2, D17.11."""

from __future__ import annotations

import pytest

from armvcpu.arch.registers import by_name
from armvcpu.vcpu.timer import ENABLE, ISTATUS
from armvcpu.vcpu.timers import PARTS, GuestTimers


class Guest:
    """The timers of a CPU at a count of 1000, with the lines that are up, and registers by name."""

    def __init__(self, el: int, *, has_vhe: bool = False) -> None:
        self.now = 1000
        self.levels: dict[int, bool] = {}
        self.timers = GuestTimers(
            lambda: self.now, lambda intid: lambda level: self.levels.update({intid: level}), el, has_vhe=has_vhe
        )  # fmt: skip
        self.rows = {encoding: (read, write) for encoding, read, write in self.timers.registers()}

    def read(self, name: str) -> int:
        return self.rows[by_name[name].encoding][0]()

    def write(self, **values: int) -> None:
        for name, value in values.items():
            self.rows[by_name[name].encoding][1](value)


V, P = [[f"CNT{letter}_{part}_EL0" for part in PARTS] for letter in "VP"]
HP, HV = [[f"CNTH{letter}_{part}_EL2" for part in PARTS] for letter in "PV"]
PS = [f"CNTPS_{part}_EL1" for part in PARTS]


@pytest.mark.parametrize(
    ("el", "has_vhe", "names"),
    [
        (1, False, [*V, *P]),
        (2, False, [*V, *P, *HP]),
        (2, True, [*V, *P, *HP, *HV]),
        (3, False, [*V, *P, *HP, *PS]),
        (3, True, [*V, *P, *HP, *HV, *PS]),
    ],
)
def test_each_level_has_its_timers(el, has_vhe, names):
    """And no other: their registers are UNDEFINED where EL2, EL3 or FEAT_VHE is not implemented."""
    assert Guest(el, has_vhe=has_vhe).rows.keys() == {by_name[name].encoding for name in names}


@pytest.mark.parametrize(
    ("timer", "suffix", "intid"),
    [("V", "EL0", 27), ("P", "EL0", 30), ("HP", "EL2", 26), ("HV", "EL2", 28), ("PS", "EL1", 29)],
)
def test_each_timer_has_its_interrupt(timer, suffix, intid):
    """The PPIs of DEN 0094, which the device tree has too."""
    guest = Guest(3, has_vhe=True)
    guest.write(**{f"CNT{timer}_CVAL_{suffix}": 1005, f"CNT{timer}_CTL_{suffix}": ENABLE})
    assert (guest.levels, guest.timers.due()) == ({}, 1005)
    guest.now = 1005
    guest.timers.update()
    assert (guest.levels, guest.timers.due()) == ({intid: True}, None)
    assert guest.read(f"CNT{timer}_CTL_{suffix}") == ENABLE | ISTATUS


def test_only_the_virtual_timer_of_el1_has_an_offset():
    """CNTVOFF_EL2 moves CNTV_*; EL2's virtual timer has none (D11.2.3)."""
    guest = Guest(3, has_vhe=True)
    guest.timers.virtual.move(600)
    for name in ("CNTV_TVAL_EL0", "CNTP_TVAL_EL0", "CNTHP_TVAL_EL2", "CNTHV_TVAL_EL2", "CNTPS_TVAL_EL1"):
        guest.write(**{name: 7})
    cvals = ("CNTV_CVAL_EL0", "CNTP_CVAL_EL0", "CNTHP_CVAL_EL2", "CNTHV_CVAL_EL2", "CNTPS_CVAL_EL1")
    assert [guest.read(name) for name in cvals] == [407, 1007, 1007, 1007, 1007]


def test_the_first_of_all_timers_is_due():
    """In counts of the physical counter, whatever each compares with."""
    guest = Guest(2)
    guest.timers.virtual.move(600)
    guest.write(CNTV_CVAL_EL0=450, CNTV_CTL_EL0=1, CNTP_CVAL_EL0=1060, CNTP_CTL_EL0=1)
    guest.write(CNTHP_CVAL_EL2=1070, CNTHP_CTL_EL2=1)
    assert guest.timers.due() == 1050


def test_reset_disables_all_and_takes_the_offset_away():
    guest = Guest(3)
    guest.timers.virtual.move(600)
    guest.write(CNTHP_CTL_EL2=1, CNTPS_CTL_EL1=1)
    guest.timers.reset()
    assert (guest.levels, guest.timers.virtual.offset) == ({26: False, 29: False}, 0)
