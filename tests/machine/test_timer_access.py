"""Which level gets an access of counts and timers: CNTKCTL_EL1, CNTHCTL_EL2 in both formats, SCR_EL3.ST (D17.11)."""

from __future__ import annotations

from itertools import product

import pytest
from raw_guest import BASE, FOREVER, NOP, image, mrs

from armvcpu import Machine
from armvcpu.arch.registers import by_name, iss_from_encoding

E2H, TGE, RW, NS = 1 << 34, 1 << 27, 1 << 31, 1
DAIF = 0x3C0
STATES = {0: DAIF, 1: DAIF | 5, 2: DAIF | 9, 3: DAIF | 13}
COUNTS = {"CNTPCT_EL0": 0, "CNTVCT_EL0": 1}
TIMERS = {"CNTP_CTL_EL0": 9, "CNTP_CVAL_EL0": 9, "CNTP_TVAL_EL0": 9, "CNTV_CTL_EL0": 8, "CNTV_TVAL_EL0": 8}
"""Registers, and the bits of EL0PCTEN, EL0VCTEN, EL0PTEN and EL0VTEN."""
EVERY_BIT = 0xF03


@pytest.fixture(scope="module", params=[2, 3])
def guest(request, tmp_path_factory):
    """A machine that executes single instructions: guest(name, el, HCR_EL2, ...) is the level that has it then."""
    names = [*COUNTS, *TIMERS, "CNTFRQ_EL0", "CNTPS_CTL_EL1", "CNTHP_CTL_EL2", "CNTHV_CTL_EL2", "CNTP_CTL_EL02"]
    path = tmp_path_factory.mktemp("guest") / "guest.bin"
    path.write_bytes(image(FOREVER, NOP, *(mrs(3, name) for name in names)))
    with Machine(path, el=request.param, cpu_model="max") as machine:
        machine.run(max_instructions=1)
        registers = machine.vcpu.registers

        def access(name: str, el: int, hcr: int = RW, **values: int) -> int:
            values = {"CNTHCTL_EL2": EVERY_BIT, "CNTKCTL_EL1": 0x303, **values}
            if request.param == 3:
                values = {"SCR_EL3": 0x530 | NS, **values}
            registers["PSTATE"] = STATES[request.param]
            for each, value in values.items():
                registers[each] = value
            registers["HCR_EL2"] = hcr
            registers["PSTATE"] = STATES[el]
            registers["PC"] = at = BASE + 8 + 4 * names.index(name)
            machine.step()
            if registers["PC"] == at + 4:
                return el
            got = registers["PSTATE"] >> 2 & 3
            assert registers[f"ELR_EL{got}"] == at
            return got if registers[f"ESR_EL{got}"] >> 26 == 0x18 else -got

        access.el = request.param
        access.esr = lambda el: registers[f"ESR_EL{el}"]
        yield access


UNDEFINED = -1
"""At EL1; -2 at EL2."""


@pytest.mark.parametrize("hcr", [RW, RW | E2H, RW | TGE, RW | E2H | TGE], ids=["", "E2H", "TGE", "E2H-TGE"])
@pytest.mark.parametrize("name", [*COUNTS, *TIMERS])
def test_accesses_from_el0(guest, name, hcr):
    """CNTKCTL_EL1 traps them to EL1 (TGE: EL2); with E2H and TGE CNTHCTL_EL2 has those bits, else EL1's hold, too."""
    enable = 1 << {**COUNTS, **TIMERS}[name]
    is_physical, is_host = "CNTP" in name, hcr & (E2H | TGE) == E2H | TGE
    of_el1 = (1 << 0 if name in COUNTS else 1 << 1) << (10 if hcr & E2H else 0)
    for kctl, hctl in product((0x303, 0x303 & ~enable, enable, 0), (EVERY_BIT, EVERY_BIT & ~enable, enable, of_el1, 0)):
        if is_host:
            expected = 0 if hctl & enable else 2
        elif not kctl & enable:
            expected = 2 if hcr & TGE else 1
        else:
            expected = 2 if is_physical and not hctl & of_el1 else 0
        found = guest(name, 0, hcr, CNTKCTL_EL1=kctl, CNTHCTL_EL2=hctl)
        assert found == expected, (hex(kctl), hex(hctl))


@pytest.mark.parametrize("hcr", [RW, RW | E2H], ids=["", "E2H"])
@pytest.mark.parametrize("name", [*COUNTS, *TIMERS])
def test_accesses_from_el1(guest, name, hcr):
    """CNTHCTL_EL2.EL1PCTEN and EL1PCEN (E2H: EL1PTEN, ten bits higher); nothing of the virtual timer is trapped."""
    of_el1 = (1 << 0 if name in COUNTS else 1 << 1) << (10 if hcr & E2H else 0)
    for hctl in (EVERY_BIT, EVERY_BIT & ~of_el1, of_el1, 0):
        expected = 2 if "CNTP" in name and not hctl & of_el1 else 1
        assert guest(name, 1, hcr, CNTKCTL_EL1=0, CNTHCTL_EL2=hctl) == expected, hex(hctl)


def test_the_syndrome_says_which_register(guest):
    """EC 0x18, with Rt 3 and a read."""
    assert guest("CNTPCT_EL0", 1, CNTHCTL_EL2=0) == 2
    iss = iss_from_encoding(by_name["CNTPCT_EL0"].encoding)
    assert guest.esr(2) == 0x6200_0000 | iss | 3 << 5 | 1


@pytest.mark.parametrize(
    ("hcr", "values", "expected"),
    [
        (RW, {"CNTKCTL_EL1": 0}, 1), (RW, {"CNTKCTL_EL1": 1}, 0), (RW, {"CNTKCTL_EL1": 2}, 0),
        (RW | TGE, {"CNTKCTL_EL1": 0}, 2),
        (RW | E2H | TGE, {"CNTHCTL_EL2": 0}, 2), (RW | E2H | TGE, {"CNTHCTL_EL2": 2, "CNTKCTL_EL1": 0}, 0),
    ],
)  # fmt: skip
def test_the_frequency_is_seen_where_a_count_is(guest, hcr, values, expected):
    """By EL0PCTEN or EL0VCTEN (D17.11.16)."""
    assert guest("CNTFRQ_EL0", 0, hcr, **values) == expected


@pytest.mark.parametrize(
    ("name", "el", "hcr", "expected"),
    [
        ("CNTHP_CTL_EL2", 0, RW, -1), ("CNTHP_CTL_EL2", 1, RW, -1), ("CNTHP_CTL_EL2", 2, RW, 2),
        ("CNTHV_CTL_EL2", 1, RW, -1), ("CNTHV_CTL_EL2", 2, RW, 2),
        ("CNTP_CTL_EL02", 1, RW, -1), ("CNTP_CTL_EL02", 2, RW, -2), ("CNTP_CTL_EL02", 2, RW | E2H, 2),
        ("CNTP_CTL_EL02", 0, RW | E2H | TGE, -2),
        ("CNTPS_CTL_EL1", 0, RW, -1), ("CNTPS_CTL_EL1", 1, RW, -1), ("CNTPS_CTL_EL1", 2, RW, -2),
    ],
)  # fmt: skip
def test_timers_of_higher_levels(guest, name, el, hcr, expected):
    """UNDEFINED below them, and by the names of E2H without it."""
    assert guest(name, el, hcr) == expected


def test_the_secure_timer_is_el3s_and_by_st_secure_el1s(guest):
    """SCR_EL3.ST; Non-secure EL1 has none (D17.11.10)."""
    if guest.el == 2:
        return
    assert guest("CNTPS_CTL_EL1", 3) == 3
    assert guest("CNTPS_CTL_EL1", 1, SCR_EL3=0x530) == 3
    assert guest("CNTPS_CTL_EL1", 1, SCR_EL3=0x530 | 1 << 11) == 1
    assert guest("CNTPS_CTL_EL1", 1, SCR_EL3=0x531 | 1 << 11) == UNDEFINED


def test_el2_has_no_say_in_secure_state(guest):
    """CNTHCTL_EL2 traps Non-secure accesses only."""
    if guest.el == 3:
        assert guest("CNTPCT_EL0", 1, SCR_EL3=0x530, CNTHCTL_EL2=0) == 1
        assert guest("CNTP_CTL_EL0", 0, SCR_EL3=0x530, CNTHCTL_EL2=0) == 0
