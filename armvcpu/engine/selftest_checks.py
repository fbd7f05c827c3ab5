"""The checks of the self-test: each runs a miniature guest and compares what happened with the architecture.

A check that finds a difference raises `MismatchError`; `CHECKS` names them, with the sentence for the user.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from armvcpu.arch.controls import HCR_EL2
from armvcpu.arch.stage2 import S2AP, XN
from armvcpu.engine.api import RunEnd
from armvcpu.engine.selftest_bench import (
    ADD_X0_1,
    ADD_X1_1,
    BR_X2,
    CODE,
    DATA,
    ERET,
    HCR_RW,
    LDR_X0_X0,
    LDR_X3_X2,
    NOP,
    NOWHERE,
    PAGE,
    STR_X3_X2_8,
    UDF,
    UNMASK_IRQ,
    VECTORS,
    WFI,
    Bench,
    MismatchError,
    branch,
    hvc,
    svc,
)

if TYPE_CHECKING:
    from collections.abc import Callable

IRQ_VECTOR = VECTORS + 0x280
"""IRQ from the current Exception level with SP_ELx (DDI 0487 D1.3.1)."""
IRQ_LINE, VIRQ = HCR_EL2.of(IMO=1), HCR_EL2.of(IMO=1, VI=1)
STOPS, STOP_AFTER = 20, 0.0005
"""Asynchronous stops of a pointer chase, and after how many seconds each; unsafe, nearly every one corrupts it."""
NODES = PAGE // 8


@dataclass(frozen=True, slots=True)
class Check:
    """One row of the self-test: `failure` is what the user is told where `run` raises."""

    name: str
    run: Callable[[Bench], None]
    failure: str


def expect(what: str, got: int, wanted: int) -> None:
    """MismatchError, naming `what`, unless `got` is `wanted`."""
    if got != wanted:
        raise MismatchError(f"{what}: {got:#x}, not {wanted:#x}")


@dataclass(frozen=True, slots=True)
class TrapRow:
    """An instruction, the HCR_EL2 bits that trap it, and how the trap must arrive (DDI 0487 D17.2.37)."""

    name: str
    word: int
    target_el: int
    esr: int
    offset: int = 0  # of the preferred return address
    hcr: int = 0
    aborts: bool = False


TRAPS = (
    TrapRow("svc #0x1234", svc(0x1234), 1, 0x5600_1234, 4),
    TrapRow("hvc #0x55", hvc(0x55), 2, 0x5A00_0055, 4),
    TrapRow("smc #0x66", 0xD400_0CC3, 2, 0x5E00_0066, hcr=HCR_EL2.of(TSC=1)),
    TrapRow("mrs x5, ID_AA64PFR0_EL1", 0xD538_0405, 2, 0x6230_00A9, hcr=HCR_EL2.of(TID3=1)),
    TrapRow("wfi", WFI, 2, 0x07E0_0000, hcr=HCR_EL2.of(TWI=1)),
    TrapRow("udf #0", UDF, 1, 0x0200_0000),
    TrapRow("ldr w7, [x2]", 0xB940_0047, 2, 0x9387_0005, aborts=True),
    TrapRow("ldrsh x3, [x2]", 0x7980_0043, 2, 0x9363_8005, aborts=True),
    TrapRow("strh w8, [x2]", 0x7900_0048, 2, 0x9348_0045, aborts=True),
    TrapRow("ldp x0, x1, [x2]", 0xA940_0440, 2, 0x9200_0005, aborts=True),
)


def check_syndrome(bench: Bench) -> None:
    """Each instruction of TRAPS arrives as its row says."""
    for row in TRAPS:
        bench.start(row.word, hcr=row.hcr, stage2=True)
        bench.set_gpr(2, NOWHERE)
        seen = bench.run_to_trap()
        expect(f"{row.name}, ESR", seen.esr, row.esr)
        expect(f"{row.name}, target EL", seen.target_el, row.target_el)
        expect(f"{row.name}, return address", seen.pc, CODE + row.offset)
        if row.aborts:
            expect(f"{row.name}, FAR", seen.far, NOWHERE)
            expect(f"{row.name}, HPFAR_EL2", seen.hpfar, NOWHERE >> 12 << 4)


def check_virtual_irq(bench: Bench) -> None:
    """HCR_EL2.VI is taken natively when PSTATE.I clears, not before, and not after it is withdrawn (D1.3.6)."""
    bench.start(NOP, hvc(1), UNMASK_IRQ, NOP, hvc(3), hcr=VIRQ)
    bench.put(IRQ_VECTOR, hvc(2), ERET)
    expect("PC while the vIRQ is masked", bench.run_to_trap().pc, CODE + 8)
    expect("PC when the vIRQ is unmasked", bench.run_to_trap().pc, IRQ_VECTOR + 4)
    expect("ELR_EL1 of the vIRQ", bench.read("ELR_EL1"), CODE + 12)
    bench.write("HCR_EL2", bench.read("HCR_EL2") & ~HCR_EL2.VI.mask)
    expect("PC when the vIRQ is withdrawn", bench.run_to_trap().pc, CODE + 20)


def check_stage2(bench: Bench) -> None:
    """Stage 2 translates, and refuses what S2AP and XN forbid (D8.4)."""
    bench.start(LDR_X3_X2, hvc(0), STR_X3_X2_8, BR_X2, stage2=True)
    bench.put_u64(DATA + PAGE, 0x1234_5678_9ABC_DEF0)
    bench.map_page(DATA, DATA + PAGE, S2AP.RO, XN.EXECUTE_NEVER)
    bench.set_gpr(2, DATA)
    bench.run_to_trap()
    expect("load through stage 2", bench.gpr(3), 0x1234_5678_9ABC_DEF0)
    expect("store to a read-only page, ESR", bench.run_to_trap().esr, 0x93C3_804F)
    bench.engine.state.set_pc(CODE + 12)
    seen = bench.run_to_trap()
    expect("fetch from an execute-never page, ESR", seen.esr, 0x8200_000F)
    expect("fetch from an execute-never page, HPFAR_EL2", seen.hpfar, DATA >> 12 << 4)


def check_stop(bench: Bench) -> None:
    """A pointer chase stopped by another thread has followed exactly as many pointers as it counted."""
    bench.start(LDR_X0_X0, ADD_X1_1, branch(-2))
    bench.put_u64(DATA, *(DATA + 8 * ((i + 1) % NODES) for i in range(NODES)))
    bench.set_gpr(0, DATA)
    for _ in range(STOPS):
        stopper = threading.Timer(STOP_AFTER, bench.engine.request_stop)
        stopper.start()
        end = bench.run()
        stopper.join()
        if end is not RunEnd.STOPPED:
            raise MismatchError("the run ended without a stop")
        followed = (bench.gpr(1) + (bench.engine.state.pc == CODE + 4)) % NODES
        expect("pointers followed, modulo the ring", (bench.gpr(0) - DATA) // 8, followed)


SLICES, TOTAL = (1, 2, 3, 5, 7), 210


def check_counts(bench: Bench) -> None:
    """Instruction limits are exact, exceptions included, however a run is sliced; the modes change both ways."""
    engine = bench.engine
    engine.set_counting(True)
    try:
        wanted = _count(bench, TOTAL)
        expect("x0 after 210 instructions", wanted[0], TOTAL // 5 * 3)
        for size in SLICES:
            for what, got, one_run in zip(("x0", "PC", "exceptions"), _count(bench, size), wanted, strict=True):
                expect(f"{what} after {TOTAL} instructions in slices of {size}", got, one_run)
    finally:
        engine.set_counting(False)
    check_virtual_irq(bench)


def check_block_counts(bench: Bench) -> None:
    """The prompt mode counts exactly, through exceptions, and stops at the same block every time."""
    engine = bench.engine
    engine.count_instructions()
    wanted = _count(bench, TOTAL)
    expect("x0 after 210 instructions, counted by blocks", wanted[0], TOTAL // 5 * 3)
    for stop, instructions, x0 in ((1, 3, 2), (4, 5, 3), (6, 8, 5)):
        bench.start(ADD_X0_1, ADD_X0_1, svc(0), ADD_X0_1, branch(-4))
        bench.on_trap = bench.go_on
        engine.instructions = 0
        engine.stop_at(stop)
        if bench.run() is not RunEnd.STOPPED:
            raise MismatchError("the run ended otherwise than at its count")
        engine.stop_at(None)
        expect(f"instructions at the stop at {stop}", engine.instructions, instructions)
        expect(f"x0 at the stop at {stop}", bench.gpr(0), x0)


def _count(bench: Bench, size: int) -> tuple[int, int, int]:
    """x0, PC and exceptions after TOTAL instructions of a loop of 5, in slices of `size`."""
    bench.start(ADD_X0_1, ADD_X0_1, svc(0), ADD_X0_1, branch(-4))
    bench.on_trap = bench.go_on
    for _ in range(TOTAL // size):
        if bench.run(limit=size) is not RunEnd.LIMIT:
            raise MismatchError("the run ended before its limit")
    return bench.gpr(0), bench.engine.state.pc, len(bench.seen)


def check_switch(bench: Bench) -> None:
    """Each of two contexts keeps its registers, and its pending vIRQ interrupts it and no other."""
    engine = bench.engine
    bench.start(UNMASK_IRQ, NOP, hvc(1), hcr=IRQ_LINE)
    bench.put(IRQ_VECTOR, hvc(2))
    bench.set_gpr(0, 1)
    quiet = engine.state
    engine.store()
    interrupted = engine.new_state()
    engine.load(interrupted)
    bench.set_gpr(0, 2)
    interrupted.set_pc(CODE)
    bench.write("VBAR_EL1", VECTORS)
    bench.write("HCR_EL2", HCR_RW | VIRQ)
    engine.store()
    for state, x0, pc in ((quiet, 1, CODE + 12), (interrupted, 2, IRQ_VECTOR + 4)):
        engine.load(state)
        expect("PC after a switch", bench.run_to_trap().pc, pc)
        expect("x0 after a switch", bench.gpr(0), x0)


def check_host_write(bench: Bench) -> None:
    """Code that the host overwrites is executed as it is now, after `invalidate_code`."""
    bench.start(NOP, hvc(1))
    expect("hvc before a host write", bench.run_to_trap().esr & 0xFFFF, 1)
    bench.put(CODE + 4, hvc(2))
    bench.engine.state.set_pc(CODE)
    expect("hvc after a host write", bench.run_to_trap().esr & 0xFFFF, 2)


def check_step(bench: Bench) -> None:
    """A step is one instruction, or the exception that it causes."""
    bench.start(NOP, ADD_X0_1, svc(7), ADD_X0_1)
    for offset, x0 in ((4, 0), (8, 1)):
        bench.engine.step()
        expect("PC after a step", bench.engine.state.pc, CODE + offset)
        expect("x0 after a step", bench.gpr(0), x0)
    bench.engine.step()
    expect("traps while stepping", len(bench.seen), 1)
    expect("ESR of a stepped svc", bench.seen[-1].esr, 0x5600_0007)
    expect("x0 after a stepped svc", bench.gpr(0), 1)


CHECKS = (
    Check("syndrome", check_syndrome, "traps don't carry the syndrome that the architecture defines"),
    Check("virtual IRQ", check_virtual_irq, "a virtual interrupt is not taken when the guest unmasks it"),
    Check("stage 2", check_stage2, "stage-2 translation or its permissions are not obeyed"),
    Check("host write", check_host_write, "code that the host changed is still executed as it was"),
    Check("single step", check_step, "single-stepping does not execute exactly one instruction"),
    Check("switch", check_switch, "a context switch loses registers or a virtual interrupt"),
    Check("stop", check_stop, "stopping the guest from another thread corrupts it"),
    Check("counts", check_counts, "instruction counts are not exact, or the mode can't be changed"),
    Check("block counts", check_block_counts, "blocks are not reported before they execute, with their sizes"),
)
"""In the order they run: those that change the mode, and have the engine count from then on, are last."""
