"""The checks of the self-test: each runs a miniature guest and compares what happened with the architecture.

A check that finds a difference raises `MismatchError`; `CHECKS` names them, with the sentence for the user.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from armvcpu.arch.controls import HCR_EL2
from armvcpu.arch.registers import by_name, instruction_from_access
from armvcpu.arch.stage2 import S2AP, XN
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.engine.api import BEFORE_NATIVE, CONSTANT, NATIVE, PYTHON, UNDEFINED, RegisterRows, RunEnd
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
    PSTATE_MASKED,
    RAM,
    RAM_SIZE,
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
ONE, TWO = 0x3FF0 << 48, 0x4000 << 48
"""In double precision."""
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
BRK_7, FADD, WFE, YIELD = 0xD420_00E0, 0x1E61_2800, 0xD503_205F, 0xD503_203F
WORST_WORD, LDSMAXB_X3_X4_X2, LDXR_X5_X2 = 0x0EC8_261B, 0x3823_4044, 0xC85F_7C45
"""An unallocated word of Advanced SIMD "three same (FP16)" (C4.1.96); LDSMAXB W3, W4, [X2]."""
DEVICE = 0x0A00_0000
_MIDR, _REVIDR, _VBAR = (by_name[name].encoding for name in ("MIDR_EL1", "REVIDR_EL1", "VBAR_EL1"))
_LACKED = by_name["ICC_IAR1_EL1"].encoding


def check_counts(bench: Bench) -> None:
    """Instruction limits are exact, exceptions included, however a run is sliced."""
    wanted = _count(bench, TOTAL)
    expect("x0 after 210 instructions", wanted[0], TOTAL // 5 * 3)
    for size in SLICES:
        for what, got, one_run in zip(("x0", "PC", "exceptions"), _count(bench, size), wanted, strict=True):
            expect(f"{what} after {TOTAL} instructions in slices of {size}", got, one_run)


def check_block_counts(bench: Bench) -> None:
    """Counts are exact, through exceptions, and runs stop at the same block every time."""
    engine = bench.engine
    for stop, instructions, x0 in ((1, 3, 2), (4, 5, 3), (6, 8, 5)):
        bench.start(ADD_X0_1, ADD_X0_1, svc(0), ADD_X0_1, branch(-4))
        bench.on_trap = bench.go_on
        engine.count_instructions()
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


def check_entry(bench: Bench) -> None:
    """The engine enters what the guest takes itself: AArch64.TakeException (J1.1.2)."""
    for word, esr, offset in ((svc(0x1234), 0x5600_1234, 4), (UDF, 0x0200_0000, 0), (BRK_7, 0xF200_0007, 0)):
        bench.start(word)
        bench.engine.listen.hear_exceptions(0)
        bench.put(VECTORS + 0x200, hvc(9))
        expect("PC of the vector's HVC", bench.run_to_trap().pc, VECTORS + 0x204)
        expect("ESR_EL1", bench.read("ESR_EL1"), esr)
        expect("ELR_EL1", bench.read("ELR_EL1"), CODE + offset)
        expect("SPSR_EL1", bench.read("SPSR_EL1"), PSTATE_MASKED)


def check_serror(bench: Bench) -> None:
    """An SError interrupt is entered at its own vector, and leaves VBAR_EL1 as it is (D1.3.1)."""
    bench.start(NOP)
    bench.engine.take_exception(0xBE00_0011, serror=True)
    expect("PC after an SError", bench.engine.state.pc, VECTORS + 0x380)
    expect("ESR_EL1", bench.read("ESR_EL1"), 0xBE00_0011)
    expect("VBAR_EL1", bench.read("VBAR_EL1"), VECTORS)


def check_rows(bench: Bench) -> None:
    """Registers are answered as rows: a constant, Python, the engine's own after Python, and none at all."""
    written: list[int] = []
    rows = RegisterRows()
    rows.reads[_LACKED] = lambda: 0x77
    rows.writes[_LACKED] = written.append
    rows.writes[_VBAR] = lambda value: value | 0x800
    rows.shape = (
        (_MIDR, (CONSTANT, UNDEFINED, 0x1234)), (_VBAR, (NATIVE, BEFORE_NATIVE, 0)), (_LACKED, (PYTHON, PYTHON, 0)),
        (_REVIDR, (UNDEFINED, UNDEFINED, 0)),
    )  # fmt: skip
    bench.start(
        instruction_from_access(_MIDR, 0, is_read=True), instruction_from_access(_LACKED, 1, is_read=True),
        instruction_from_access(_LACKED, 1, is_read=False), instruction_from_access(_VBAR, 2, is_read=False),
        instruction_from_access(_REVIDR, 3, is_read=True),
    )  # fmt: skip
    bench.set_gpr(2, VECTORS)
    bench.engine.registers.use(rows)
    try:
        seen = bench.run_to_trap()
    finally:
        bench.engine.registers.use(RegisterRows())
    expect("a constant register", bench.gpr(0), 0x1234)
    expect("a register that Python answers", bench.gpr(1), 0x77)
    expect("what Python was given", written[0] if written else -1, 0x77)
    expect("a register written after Python was asked", bench.read("VBAR_EL1"), VECTORS | 0x800)
    expect("ESR of an absent register", seen.esr, 0x0200_0000)
    expect("PC of an absent register", seen.pc, CODE + 16)


def check_fp(bench: Bench) -> None:
    """FP and Advanced SIMD trap as CPACR_EL1.FPEN says, exactly (D17.2)."""
    bench.start(FADD, NOP, hvc(0))
    bench.write("CPACR_EL1", 0)
    seen = bench.run_to_trap()
    expect("ESR of an FP trap", seen.esr, 0x1FE0_0000)
    expect("PC of an FP trap", seen.pc, CODE)
    bench.write("CPACR_EL1", 3 << 20)
    bench.engine.state.set_vector(0, ONE | ONE << 64)
    bench.engine.state.set_vector(1, ONE)
    expect("PC with FP on", bench.run_to_trap().pc, CODE + 12)
    expect("V0 after FADD D0, D0, D1", bench.engine.state.vector(0), TWO)


def check_lines(bench: Bench) -> None:
    """A physical IRQ is taken when PSTATE.I clears, and not after its line has fallen (D1.3.6)."""
    engine = bench.engine
    bench.start(NOP, hvc(1), UNMASK_IRQ, NOP, hvc(3))
    bench.put(IRQ_VECTOR, hvc(2), ERET)
    engine.set_lines(irq=True, fiq=False)
    expect("PC while the IRQ is masked", bench.run_to_trap().pc, CODE + 8)
    expect("PC when the IRQ is unmasked", bench.run_to_trap().pc, IRQ_VECTOR + 4)
    engine.set_lines(irq=False, fiq=False)
    expect("PC when the line has fallen", bench.run_to_trap().pc, CODE + 20)


def check_waits(bench: Bench) -> None:
    """WFE and YIELD end a run where that is asked for, behind the instruction; WFE traps by HCR_EL2.TWE."""
    engine = bench.engine
    for word in (WFE, YIELD):
        bench.start(word, hvc(0))
        expect("PC of a HVC behind a wait", bench.run_to_trap().pc, CODE + 8)
        bench.engine.state.set_pc(CODE)
        engine.yields = True
        end = bench.run()
        engine.yields = False
        if end is not RunEnd.YIELDED:
            raise MismatchError(f"a wait ended the run otherwise: {end.value}")
        expect("PC behind a wait", engine.state.pc, CODE + 4)
    bench.start(WFE, hcr=HCR_EL2.of(TWE=1))
    expect("ESR of a trapped WFE", bench.run_to_trap().esr, 0x07E0_0001)


def check_words(bench: Bench) -> None:
    """A word that the translator fails on is UNDEFINED, and what stands before it is executed."""
    bench.start(ADD_X0_1, WORST_WORD)
    bench.write("CPACR_EL1", 3 << 20)
    seen = bench.run_to_trap()
    expect("ESR of an unallocated word", seen.esr, 0x0200_0000)
    expect("PC of an unallocated word", seen.pc, CODE + 4)
    expect("x0 before it", bench.gpr(0), 1)


def check_atomics(bench: Bench) -> None:
    """LDSMAXB compares signed, and zero-extends what was in memory; LDXR sets the exclusive monitor."""
    bench.start(LDSMAXB_X3_X4_X2, LDXR_X5_X2, hvc(0))
    bench.put_u64(DATA, 0x80)
    bench.set_gpr(2, DATA)
    bench.set_gpr(3, 1)
    bench.run_to_trap()
    expect("LDSMAXB's result", bench.gpr(4), 0x80)
    expect("memory after LDSMAXB", bench.ram[DATA - RAM], 1)
    expect("the monitor's address after LDXR", bench.engine.state.exclusive[0], DATA)
    expect("the monitor's value after LDXR", bench.engine.state.exclusive[1], 1)


def check_devices(bench: Bench) -> None:
    """An access of a device is one callback of its width, with registers and PC; what it changes holds."""
    engine, seen = bench.engine, list[tuple[int, int, int]]()

    def read(offset: int, width: int) -> int:
        engine.look()
        seen.append((offset, width, engine.state.pc))
        engine.state.set_gpr(5, 0x55)
        return 0x1122_3344_5566_7788

    bench.start(NOP, LDR_X3_X2, hvc(0))
    engine.memory.map_io(DEVICE, PAGE, read, lambda *_: None)
    bench.set_gpr(2, DEVICE + 8)
    try:
        bench.run_to_trap()
    finally:
        engine.memory.unmap(DEVICE, PAGE)
    if seen != [(8, 8, CODE + 4)]:
        raise MismatchError(f"a device saw offset, width and PC as {seen}")
    expect("what was read", bench.gpr(3), 0x1122_3344_5566_7788)
    expect("what the callback wrote", bench.gpr(5), 0x55)


def check_hooks(bench: Bench) -> None:
    """A probe of an instruction may move PC."""
    bench.start(NOP, ADD_X0_1, hvc(0))
    engine = bench.engine

    def skip(_pc: int) -> None:
        engine.state.set_pc(CODE + 8)

    probe = engine.listen.probe(CODE + 4, skip)
    bench.run_to_trap()
    probe.remove()
    expect("x0 where the hook moved PC", bench.gpr(0), 0)


def check_switch(bench: Bench) -> None:
    """Each of two contexts keeps its registers, and its pending vIRQ interrupts it and no other."""
    engine = bench.engine
    bench.start(UNMASK_IRQ, NOP, hvc(1), hcr=IRQ_LINE)
    bench.put(IRQ_VECTOR, hvc(2))
    bench.set_gpr(0, 1)
    quiet = engine.state
    interrupted = engine.new_state()
    engine.load(interrupted)
    bench.set_gpr(0, 2)
    interrupted.set_pc(CODE)
    bench.write("VBAR_EL1", VECTORS)
    bench.write("HCR_EL2", HCR_RW | VIRQ)
    for state, x0, pc in ((quiet, 1, CODE + 12), (interrupted, 2, IRQ_VECTOR + 4)):
        engine.load(state)
        expect("PC after a switch", bench.run_to_trap().pc, pc)
        expect("x0 after a switch", bench.gpr(0), x0)


def check_host_write(bench: Bench) -> None:
    """Code that the host overwrites is executed as it is now, after `code.invalidate`."""
    bench.start(NOP, hvc(1))
    expect("hvc before a host write", bench.run_to_trap().esr & 0xFFFF, 1)
    bench.put(CODE + 4, hvc(2))
    bench.engine.state.set_pc(CODE)
    expect("hvc after a host write", bench.run_to_trap().esr & 0xFFFF, 2)


def check_written_pages(bench: Bench) -> None:
    """A page that the guest stores to is in the log of written pages, after each look anew."""
    memory = bench.engine.memory
    memory.track_dirty(RAM, RAM_SIZE)
    try:
        bench.start(STR_X3_X2_8, hvc(0))
        bench.set_gpr(2, DATA)
        for look in ("first", "second"):
            bench.engine.state.set_pc(CODE)
            bench.run_to_trap()
            expect(f"the {look} log", int.from_bytes(memory.take_dirty(), "little"), 1 << (DATA - RAM) // PAGE)
    finally:
        memory.untrack_dirty()


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
    Check("entry", check_entry, "exceptions that the guest takes itself are not entered as the architecture says"),
    Check("SError", check_serror, "an SError interrupt is not entered at its vector"),
    Check("registers", check_rows, "system registers are not answered by rows"),
    Check("floating point", check_fp, "CPACR_EL1.FPEN does not trap floating point"),
    Check("IRQ line", check_lines, "an interrupt is not taken when the guest unmasks it"),
    Check("virtual IRQ", check_virtual_irq, "a virtual interrupt is not taken when the guest unmasks it"),
    Check("waits", check_waits, "WFE and YIELD don't end a run"),
    Check("stage 2", check_stage2, "stage-2 translation or its permissions are not obeyed"),
    Check("devices", check_devices, "device accesses are not reported in one piece, with the registers of the moment"),
    Check("host write", check_host_write, "code that the host changed is still executed as it was"),
    Check("written pages", check_written_pages, "a page that the guest writes is not in the log"),
    Check("unallocated words", check_words, "an unallocated instruction is not UNDEFINED"),
    Check("atomics", check_atomics, "LDSMAX and LDSMIN don't compare signed"),
    Check("single step", check_step, "single-stepping does not execute exactly one instruction"),
    Check("switch", check_switch, "a context switch loses registers or a virtual interrupt"),
    Check("stop", check_stop, "stopping the guest from another thread corrupts it"),
    Check("counts", check_counts, "instruction counts are not exact"),
    Check("block counts", check_block_counts, "a run does not stop at its count"),
    Check("hooks", check_hooks, "a hook on an instruction can't move PC"),
)
"""In the order they run: the engine counts from the last but two on."""
