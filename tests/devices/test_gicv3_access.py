"""Which accesses to ICC_*_EL1 are a guest's virtual ones, and which become exceptions. IHI 0069 12.2, DDI 0487 D13."""

from __future__ import annotations

import pytest
from gic_levels import FIQ, FMO, IMO, IRQ, NS, Levels

from armvcpu.arch.gic_icc import REGISTERS
from armvcpu.arch.gic_ich import ICH_HCR

GROUP0 = {"IAR0", "EOIR0", "HPPIR0", "BPR0", "AP0R0", "IGRPEN0"}
GROUP1 = {"IAR1", "EOIR1", "HPPIR1", "BPR1", "AP1R0", "IGRPEN1"}
SGIS = {"SGI1R", "ASGI1R", "SGI0R"}
COMMON = {"PMR", "RPR", "CTLR", "DIR"}
ALL = GROUP0 | GROUP1 | SGIS | COMMON


def access(gic: Levels, name: str) -> list[int]:
    """Each direction that a register has; what was trapped, and where to."""
    gic.pe.trapped.clear()
    row = next(row for encoding, row in gic.registers[0].items() if encoding == encoding_of(name))
    if row[0] is not None:
        row[0]()
    if row[1] is not None:
        row[1](0)
    return sorted(set(gic.pe.trapped))


def encoding_of(name: str) -> int:
    from armvcpu.arch.registers import by_name

    return by_name[f"ICC_{name}_EL1"].encoding


def trapped(gic: Levels, to: int) -> set[str]:
    """The registers whose accesses are trapped there; none is trapped elsewhere."""
    seen = {name: access(gic, name) for name in REGISTERS}
    assert all(where in ([], [to]) for where in seen.values())
    return {name for name, where in seen.items() if where}


@pytest.mark.parametrize(
    ("bit", "names"),
    [("TC", COMMON | SGIS), ("TALL0", GROUP0), ("TALL1", GROUP1), ("TDIR", {"DIR"}), ("TSEI", set()), ("En", set())],
)
def test_traps_of_ich_hcr(bit: str, names: set[str]) -> None:
    """Each bit traps its registers from EL1, to EL2, and none of EL2's own accesses."""
    gic = Levels(2)
    gic.set("ICH_HCR_EL2", ICH_HCR.of(**{bit: 1}))
    assert trapped(gic, 2) == set()
    gic.pe.at(1)
    assert trapped(gic, 2) == names
    gic.pe.at(1, hcr=IMO | FMO)
    assert trapped(gic, 2) == names | SGIS


@pytest.mark.parametrize("hcr", [IMO, FMO, IMO | FMO])
def test_sgis_of_a_guest_are_trapped(hcr: int) -> None:
    """A virtual interface sends none: EL2 has to."""
    gic = Levels(2, (0, 1))
    gic.pe.at(1, hcr=hcr)
    assert trapped(gic, 2) == SGIS
    assert gic.gic.interface(1).private.latched == 0


@pytest.mark.parametrize(("hcr", "virtual"), [(0, set()), (FMO, {"PMR", "BPR0"}), (IMO, {"PMR", "BPR1"})])
def test_hcr_chooses_the_interface(hcr: int, virtual: set[str]) -> None:
    """FMO gives EL1 the virtual registers of Group 0, IMO of Group 1, each those of both."""
    gic = Levels(2)
    gic.set("ICC_PMR_EL1", 0x80)
    gic.set("ICC_BPR0_EL1", 4)
    gic.set("ICC_BPR1_EL1", 4)
    physical = {"PMR": 0x80, "BPR0": 4, "BPR1": 4}
    reset = {"PMR": 0, "BPR0": 2, "BPR1": 3}
    gic.pe.at(1, hcr=hcr)
    for name, value in physical.items():
        assert gic.get(f"ICC_{name}_EL1") == (reset[name] if name in virtual else value)
    gic.pe.at(2)
    assert [gic.get(f"ICC_{name}_EL1") for name in physical] == [0x80, 4, 4]


@pytest.mark.parametrize(("el", "ns"), [(1, 0), (1, NS), (2, NS)])
@pytest.mark.parametrize(("scr", "names"), [(0, set()), (FIQ, GROUP0), (IRQ, GROUP1), (IRQ | FIQ, ALL)])
def test_traps_of_scr(el: int, ns: int, scr: int, names: set[str]) -> None:
    """SCR_EL3.FIQ traps Group 0, IRQ Group 1, both what groups have in common; from below EL3, in both states."""
    gic = Levels(3)
    gic.pe.at(el, scr=scr | ns)
    assert trapped(gic, 3) == names
    gic.pe.at(3)
    assert trapped(gic, 3) == set()


def test_el2_comes_before_el3() -> None:
    """A guest's virtual accesses and those that ICH_HCR_EL2 traps never get to EL3; in Secure state there is no EL2."""
    gic = Levels(3)
    gic.set("ICH_HCR_EL2", ICH_HCR.of(TALL1=1))
    gic.pe.at(1, scr=NS | IRQ | FIQ, hcr=FMO)
    assert (access(gic, "IAR1"), access(gic, "IAR0"), access(gic, "PMR")) == ([2], [], [])
    gic.pe.at(1, scr=IRQ | FIQ)
    assert (access(gic, "IAR1"), access(gic, "IAR0"), access(gic, "PMR")) == ([3], [3], [3])


@pytest.mark.parametrize("name", ["ICC_IAR1_EL1", "ICC_PMR_EL1"])
def test_a_trapped_access_does_nothing(name: str) -> None:
    """It is neither a physical nor a virtual one."""
    gic = Levels(2)
    gic.pend(40)
    gic.set("ICH_HCR_EL2", ICH_HCR.of(TALL1=1, TC=1))
    before = gic.gic.state()
    gic.pe.at(1)
    gic.get(name)
    gic.set("ICC_PMR_EL1", 0)
    gic.set("ICC_SGI1R_EL1", 1)
    assert (gic.gic.state(), gic.pe.trapped) == (before, [2, 2, 2])


def test_system_registers_are_all_there_is() -> None:
    """ICC_SRE_EL1, EL2 and EL3 are RAO/WI, Enable too: no access to one is trapped by another."""
    gic = Levels(3)
    for name, value in (("ICC_SRE_EL1", 7), ("ICC_SRE_EL2", 0xF), ("ICC_SRE_EL3", 0xF)):
        gic.set(name, 0)
        assert gic.get(name) == value
