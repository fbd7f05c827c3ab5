"""What the engine does otherwise than the architecture and nothing cures: docs/engine.md, "Gaps".

Each test fails on an engine that got better, so that the document and the ID registers can follow.
"""

from __future__ import annotations

import pytest

from armvcpu.arch.controls import HCR_EL2
from armvcpu.engine.selftest_bench import BR_X2, CODE, DATA, ERET, LDR_X3_X2, hvc

WFE, LDAR_X3_X2 = 0xD503_205F, 0xC8DF_FC43
SCTLR_A = 0x30D0_0802


def test_alignment_checking_is_not_modelled(bench):
    """SCTLR_EL1.A with an unaligned load should be an Alignment fault (B2.6.2)."""
    bench.start(LDR_X3_X2, hvc(1))
    bench.write("SCTLR_EL1", SCTLR_A)
    bench.set_gpr(2, DATA + 1)
    assert bench.run_to_trap().pc == CODE + 8


def test_unaligned_load_acquire_is_not_faulted(bench):
    """LDAR of an unaligned address should fault without FEAT_LSE2 (B2.6.2)."""
    bench.start(LDAR_X3_X2, hvc(1))
    bench.set_gpr(2, DATA + 1)
    assert bench.run_to_trap().pc == CODE + 8


def test_branch_to_an_unaligned_address_is_undefined(bench):
    """It should be a PC alignment fault, EC 0x22 (D1.3.5)."""
    bench.start(BR_X2)
    bench.set_gpr(2, CODE + 6)
    assert hex(bench.run_to_trap().esr) == "0x2000000"


def test_illegal_exception_return_goes_on_with_il_set(bench):
    """PSTATE.IL is set, but the next instruction executes instead of taking EC 0x0E (D1.4.4)."""
    bench.start(ERET, hvc(1))
    bench.write("SPSR_EL1", 0x3CD)
    bench.write("ELR_EL1", CODE + 4)
    assert (bench.run_to_trap().pc, hex(bench.engine.state.pstate)) == (CODE + 8, "0x1003c5")


def test_wfe_is_never_trapped(bench):
    """HCR_EL2.TWE has no effect: WFE is a hint that gives way."""
    bench.start(WFE, hvc(1), hcr=HCR_EL2.of(TWE=1))
    assert bench.run_to_trap().pc == CODE + 8


@pytest.mark.parametrize("timer", ["CNTV", "CNTP"])
def test_timer_control_and_compare_writes_are_kept(bench, timer):
    """Unicorn drops MSR to CTL and CVAL; `msr_hook` keeps them, CTL without its read-only ISTATUS (D11.2.4)."""
    crm = 3 if timer == "CNTV" else 2
    msr_ctl, msr_cval = 0xD51B_E020 | crm << 8, 0xD51B_E040 | crm << 8  # msr CNTx_CTL_EL0, x0; CNTx_CVAL_EL0, x0
    bench.start(msr_ctl, msr_cval, hvc(1))
    bench.write("CNTHCTL_EL2", 3)
    bench.set_gpr(0, 0x1234_5677)
    bench.run_to_trap()
    assert (bench.read(f"{timer}_CTL_EL0"), bench.read(f"{timer}_CVAL_EL0")) == (3, 0x1234_5677)


def test_trapped_msr_hook_are_left_to_the_trap(bench):
    """With CNTHCTL_EL2.EL1PCEN clear, MSR CNTP_CVAL_EL0 is EC 0x18 to EL2 and writes nothing (D11.2.4)."""
    bench.start(0xD51B_E240, hvc(1))  # msr CNTP_CVAL_EL0, x0
    bench.write("CNTHCTL_EL2", 0)
    bench.set_gpr(0, 0x1234)
    trap = bench.run_to_trap()
    assert (trap.esr >> 26, bench.read("CNTP_CVAL_EL0")) == (0x18, 0)


def test_watchpoints_never_fire(bench):
    """An enabled watchpoint on the loaded address should be EC 0x35 (D2.10)."""
    bench.start(0xD51000C0, 0xD51000E1, 0xD5100243, LDR_X3_X2, hvc(1))  # msr DBGWVR0/DBGWCR0/MDSCR_EL1; ldr
    for index, value in ((0, DATA), (1, 0x1FFF), (2, DATA), (3, 0xA000)):
        bench.set_gpr(index, value)
    assert bench.run_to_trap().pc == CODE + 20
