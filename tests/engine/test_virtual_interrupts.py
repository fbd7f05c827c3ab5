"""Virtual interrupts by HCR_EL2: the engine itself takes them; DDI 0487 D1.3.6 and D17.2.48."""

from __future__ import annotations

import pytest

from armvcpu.arch.controls import HCR_EL2
from armvcpu.engine.selftest_bench import ADD_X0_1, CODE, ERET, NOP, UNMASK_IRQ, VECTORS, branch, hvc
from armvcpu.engine.selftest_checks import IRQ_LINE, IRQ_VECTOR, VIRQ, check_switch, check_virtual_irq

UNMASK_FIQ, UNMASK_SERROR = 0xD503_41FF, 0xD503_44FF  # msr daifclr, #1; msr daifclr, #4
FIQ_VECTOR, IRQ_FROM_EL0 = VECTORS + 0x300, VECTORS + 0x480
IRQ_UNMASKED_EL0, IRQ_UNMASKED_EL1 = 0x340, 0x345


@pytest.mark.parametrize("check", [check_virtual_irq, check_switch])
def test_virtual_irq_is_taken_when_unmasked_by_the_context_it_is_for(bench, check):
    """Not while masked, at once when unmasked, not after it is withdrawn; each context has its own."""
    check(bench)


def test_virtual_fiq_has_its_own_vector(bench):
    """HCR_EL2.VF with FMO is taken when PSTATE.F clears."""
    bench.start(UNMASK_FIQ, NOP, hvc(1), hcr=HCR_EL2.of(FMO=1, VF=1))
    bench.put(FIQ_VECTOR, hvc(2))
    assert bench.run_to_trap().pc == FIQ_VECTOR + 4


@pytest.mark.parametrize(
    ("spsr", "vector"), [(IRQ_UNMASKED_EL0, IRQ_FROM_EL0), (IRQ_UNMASKED_EL1, IRQ_VECTOR)], ids=["EL0", "EL1"]
)
def test_eret_that_unmasks_takes_the_pending_irq(bench, spsr, vector):
    """The interrupt comes before the first instruction at the return address."""
    bench.start(ERET, ADD_X0_1, branch(-1), hcr=VIRQ)
    bench.put(vector, hvc(2))
    bench.write("SPSR_EL1", spsr)
    bench.write("ELR_EL1", CODE + 4)
    assert (bench.run_to_trap().pc, bench.read("ELR_EL1"), bench.gpr(0)) == (vector + 4, CODE + 4, 0)


def test_irq_raised_in_a_handler_is_taken_at_the_next_block(bench):
    """A handler that sets HCR_EL2.VI and returns has the guest interrupted at once."""
    bench.start(UNMASK_IRQ, hvc(1), branch(0), hcr=IRQ_LINE)
    bench.put(IRQ_VECTOR, hvc(2))

    def raise_line(seen):
        if seen.pc == CODE + 8:
            bench.write("HCR_EL2", bench.read("HCR_EL2") | HCR_EL2.VI.mask)
        else:
            bench.engine.leave()

    bench.on_trap = raise_line
    assert (bench.run_to_trap().pc, bench.read("ELR_EL1")) == (IRQ_VECTOR + 4, CODE + 8)


def test_native_entry_saves_what_take_exception_saves(bench):
    """SPSR_EL1 is the PSTATE before, and DAIF is masked after (AArch64.TakeException)."""
    bench.start(UNMASK_IRQ, NOP, hvc(1), hcr=VIRQ)
    bench.put(IRQ_VECTOR, hvc(2))
    bench.run_to_trap()
    assert (hex(bench.read("SPSR_EL1")), hex(bench.engine.state.pstate)) == ("0x345", "0x3c5")


def test_virtual_serror_is_not_delivered(bench):
    """HCR_EL2.VSE does nothing here: SError entry is software's, as docs/engine.md tells."""
    bench.start(UNMASK_SERROR, NOP, hvc(1), hcr=HCR_EL2.of(AMO=1, VSE=1))
    assert bench.run_to_trap().pc == CODE + 12
