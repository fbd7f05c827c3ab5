"""Trapped instructions that are answered at their place; docs/engine.md, "Sites"."""

from __future__ import annotations

import struct

import pytest
from bare import CODE, EL0, EL1, NOP, RAM, BareEngine

from armvcpu.arch.controls import HCR_EL2
from armvcpu.arch.instructions import DC_CVAU, IC_IVAU
from armvcpu.arch.registers import by_name
from armvcpu.engine.sites import MOST_SITES

MRS_X1_CTR, MRS_X1_DCZID = 0xD53B_0021, 0xD53B_00E1
IC_IVAU_X2, DC_CVAU_X2 = 0xD50B_7522, 0xD50B_7B22
ISB = 0xD503_3FDF
CTR = by_name["CTR_EL0"].encoding
TRAPPED = HCR_EL2.of(RW=1, TID2=1, TPU=1)
SHOWN = 0x1234_5678_9ABC


class Siting(BareEngine):
    """Makes each trapped system instruction a site, up to `traps` traps, and goes on behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.value: int | None = SHOWN
        self.encoding = CTR

    def _trap(self, target: int, esr: int, far: int) -> None:
        if esr >> 26 != 0x18:
            super()._trap(target, esr, far)
            return
        self.traps.append((esr, target, self.engine.state.pc - CODE))
        if self.engine.state.pstate & 0xC:
            self.engine.answer_in_place(self.encoding, self.value)
        self.engine.state.step_over()


@pytest.fixture
def siting():
    engine = Siting()
    yield engine
    engine.close()


def trapped(siting: Siting, *words: int, pstate: int = EL1, again: bool = True) -> tuple[int, int]:
    """How often the words trap when they run for the first and for the second time."""
    counts = []
    siting.place(*words, pstate=pstate, HCR_EL2=TRAPPED, SCTLR_EL1=0x30D0_0800 | 1 << 15 | 1 << 26)
    for _ in range(2 if again else 1):
        siting.traps.clear()
        siting.engine.state.set_pc(CODE)
        siting.engine.run()
        counts.append(sum(esr >> 26 == 0x18 for esr, _, _ in siting.traps))
    return counts[0], counts[-1]


def test_a_constant_traps_once_and_is_then_read_in_place(siting):
    """MRS of a register that EL2 presents: the second time it has its value without a trap."""
    assert trapped(siting, MRS_X1_CTR) == (1, 0)
    assert siting.engine.state.gpr(1) == SHOWN


def test_another_register_at_the_same_address_is_left_alone(siting):
    """The place is an address; what is executed there may change."""
    trapped(siting, MRS_X1_CTR)
    assert trapped(siting, MRS_X1_DCZID, again=False) == (0, 0)  # TID2 does not trap it: the engine's own value
    assert siting.engine.state.gpr(1) != SHOWN


def test_a_site_of_el1_does_not_answer_el0(siting):
    """A user's instruction at the same virtual address traps as it should."""
    trapped(siting, MRS_X1_CTR)
    assert trapped(siting, MRS_X1_CTR, pstate=EL0) == (1, 1)


def test_cache_maintenance_at_a_site_forgets_code(siting):
    """IC IVAU without a trap: the code that was translated before a host write does not run again."""
    siting.value, siting.encoding = None, IC_IVAU
    target = CODE + 0x20
    assert trapped(siting, IC_IVAU_X2) == (1, 0)
    siting.place(IC_IVAU_X2, ISB, *[NOP] * 6, 0xD280_0021, HCR_EL2=TRAPPED)  # CODE + 0x20: movz x1, #1
    siting.engine.state.set_gpr(2, target)
    siting.engine.run()
    assert siting.engine.state.gpr(1) == 1
    siting.ram[target - RAM : target - RAM + 4] = struct.pack("<I", 0xD280_0041)  # movz x1, #2, behind its back
    siting.traps.clear()
    siting.engine.state.set_pc(CODE)
    siting.engine.run()
    assert siting.engine.state.gpr(1) == 2
    assert [esr >> 26 for esr, _, _ in siting.traps] == [0x15]


def test_nothing_need_be_cleaned_at_a_site(siting):
    """DC CVAU: no trap, no effect."""
    siting.value, siting.encoding = None, DC_CVAU
    assert trapped(siting, DC_CVAU_X2) == (1, 0)


def test_taken_back_they_trap_again(siting):
    """`trap_everywhere`, for a tracer that wants to see each of them."""
    trapped(siting, MRS_X1_CTR)
    siting.engine.trap_everywhere()
    assert trapped(siting, MRS_X1_CTR) == (1, 0)


def test_there_are_not_endlessly_many(siting):
    """What comes after the first 64 goes on trapping."""
    traps = trapped(siting, *[MRS_X1_CTR] * (MOST_SITES + 6))
    assert traps == (MOST_SITES + 6, 6)
