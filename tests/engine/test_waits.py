"""WFE, YIELD and WFI: whom they trap to, with which syndrome, and turns that end there (DDI 0487 D1.6, D17.2.118)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from armvcpu.arch.controls import HCR_EL2
from armvcpu.engine.api import TARGET_WAIT, RunEnd
from armvcpu.engine.selftest_bench import ADD_X0_1, CODE, NOP, VECTORS, branch, hvc

if TYPE_CHECKING:
    from armvcpu.engine.selftest_bench import Bench

WFI, WFE, YIELD, SEV = 0xD503_207F, 0xD503_205F, 0xD503_203F, 0xD503_209F
ESRS = {WFI: 0x07E0_0000, WFE: 0x07E0_0001}
NTWI, NTWE, SCR_TWI, SCR_TWE = 1 << 16, 1 << 18, 1 << 12, 1 << 13
SCTLR, SCR, TGE = 0x30D0_0800, 0x531, 1 << 27
NOT_TRAPPED = {WFI: NTWI, WFE: NTWE}
TO_EL2 = {WFI: HCR_EL2.of(TWI=1), WFE: HCR_EL2.of(TWE=1)}
TO_EL3 = {WFI: SCR_TWI, WFE: SCR_TWE}
waits = pytest.mark.parametrize("word", [WFI, WFE], ids=["wfi", "wfe"])


def end_of(bench: Bench, word: int, el: int, *, n: bool = True, el2: bool = False, el3: bool = False) -> object:
    """(ESR, target, offset) of the wait's trap at a level, or None where it goes on behind it."""
    bench.start(ADD_X0_1, word, hvc(0), hcr=TO_EL2[word] if el2 else 0)
    bench.write("SCTLR_EL1", SCTLR | (NOT_TRAPPED[word] if n else 0))
    bench.write("SCR_EL3", SCR | (TO_EL3[word] if el3 else 0))
    bench.engine.registers.write_pstate(0x3C5 if el else 0x3C0)
    seen = bench.run_to_trap()
    bench.write("SCR_EL3", SCR)
    if seen.target_el == TARGET_WAIT:
        assert (word, seen.esr, seen.pc) == (WFI, ESRS[WFI], CODE + 8)
    is_trapped = seen.esr in ESRS.values() and seen.target_el != TARGET_WAIT
    return (seen.esr, seen.target_el, seen.pc - CODE) if is_trapped else None


@waits
def test_nothing_traps_a_wait(bench, word):
    """It goes on behind itself, at both levels; of WFI the trap handler hears there."""
    assert [end_of(bench, word, el) for el in (0, 1)] == [None, None]


@waits
def test_sctlr_traps_waits_of_el0_to_el1(bench, word):
    """nTWI and nTWE, with PC on the instruction."""
    assert end_of(bench, word, 0, n=False) == (ESRS[word], 1, 4)
    assert end_of(bench, word, 1, n=False) is None


@waits
@pytest.mark.parametrize("el", [0, 1])
def test_hcr_and_scr_trap_waits_of_both_levels(bench, word, el):
    """TWI and TWE of each, the lower level first."""
    assert end_of(bench, word, el, el2=True) == (ESRS[word], 2, 4)
    assert end_of(bench, word, el, el3=True) == (ESRS[word], 3, 4)
    assert end_of(bench, word, el, el2=True, el3=True) == (ESRS[word], 2, 4)
    assert end_of(bench, word, 0, n=False, el2=True, el3=True) == (ESRS[word], 1, 4)


def test_a_wait_of_el0_is_entered_by_the_engine(bench):
    """ESR_EL1, ELR_EL1 and SPSR_EL1 of a WFE that nTWE traps."""
    bench.start(NOP, WFE)
    bench.engine.listen.hear_exceptions(0)
    bench.put(VECTORS + 0x400, hvc(1))
    bench.engine.registers.write_pstate(0x8000_03C0)
    bench.run_to_trap()
    assert [hex(bench.read(f"{name}_EL1")) for name in ("ESR", "ELR", "SPSR")] == [
        "0x7e00001", hex(CODE + 4), "0x800003c0",
    ]  # fmt: skip


@pytest.mark.parametrize("word", [WFE, YIELD], ids=["wfe", "yield"])
def test_a_turn_ends_behind_a_wait_where_that_is_asked_for(bench, word):
    """Each time, with nothing behind it executed; and not after it is asked for no longer."""
    engine = bench.engine
    bench.start(ADD_X0_1, word, ADD_X0_1, branch(-3))
    engine.yields = True
    for n in range(1, 6):
        assert (bench.run(), bench.gpr(0), engine.state.pc) == (RunEnd.YIELDED, 2 * n - 1, CODE + 8)
    engine.yields = False
    assert (engine.yields, bench.run(400), bench.gpr(0)) == (False, RunEnd.LIMIT, 9 + 200)


def test_a_wait_that_traps_does_not_end_the_turn(bench):
    """It is its handler's."""
    bench.start(WFE, hcr=HCR_EL2.of(TWE=1))
    bench.engine.yields = True
    assert bench.run() is RunEnd.LEFT
    bench.engine.yields = False


def test_a_wait_for_an_interrupt_that_is_pending_is_over_at_once(bench):
    """Masked or not, and nobody hears of it."""
    bench.engine.set_lines(irq=True, fiq=False)
    bench.start(WFI, hvc(3))
    assert bench.run_to_trap().esr & 0xFFFF == 3
    bench.engine.set_lines(irq=False, fiq=False)


@pytest.mark.parametrize("word", [WFE, YIELD, SEV], ids=["wfe", "yield", "sev"])
def test_a_loop_that_waits_can_be_stopped_and_counted(bench, word):
    """By a limit, and by a stop that is requested before."""
    bench.start(word, ADD_X0_1, branch(-2))
    assert (bench.run(300), bench.gpr(0)) == (RunEnd.LIMIT, 100)
    bench.engine.request_stop()
    assert (bench.run(), bench.gpr(0)) == (RunEnd.STOPPED, 100)
    bench.engine.step()
    assert bench.engine.state.pc == CODE + 4


def test_wfi_with_a_pending_interrupt_does_not_trap(bench):
    """HCR_EL2.TWI: only where it would wait; masked interrupts wake it up too (D1.6.2)."""
    engine = bench.engine
    bench.start(WFI, hvc(0), hcr=HCR_EL2.of(TWI=1))
    engine.set_lines(irq=True, fiq=False)
    assert bench.run_to_trap().esr >> 26 == 0x16
    engine.set_lines(irq=False, fiq=False)
    engine.state.set_pc(CODE)
    assert bench.run_to_trap().esr == ESRS[WFI]
