"""What the engine does otherwise than the architecture and nothing cures: docs/engine.md, "Gaps".

Each test fails on an engine that got better, so that the document and the ID registers can follow.
"""

from __future__ import annotations

from armvcpu.engine.selftest_bench import BR_X2, CODE, DATA, LDR_X3_X2, hvc

LDAR_X3_X2 = 0xC8DF_FC43
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


def test_watchpoints_never_fire(bench):
    """An enabled watchpoint on the loaded address should be EC 0x35 (D2.10)."""
    bench.start(0xD51000C0, 0xD51000E1, 0xD5100243, LDR_X3_X2, hvc(1))  # msr DBGWVR0/DBGWCR0/MDSCR_EL1; ldr
    for index, value in ((0, DATA), (1, 0x1FFF), (2, DATA), (3, 0xA000)):
        bench.set_gpr(index, value)
    assert bench.run_to_trap().pc == CODE + 20
