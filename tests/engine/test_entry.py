"""Exceptions that the engine enters by itself: AArch64.TakeException (DDI 0487 J1.1.2), and who hears of them."""

from __future__ import annotations

import pytest

from armvcpu.arch.idregs import model, translated_features
from armvcpu.arch.registers import by_name, instruction_from_access
from armvcpu.engine.api import STORM_LIMIT, RunEnd
from armvcpu.engine.selftest_bench import (
    ADD_X0_1,
    CODE,
    ERET,
    LDR_X3_X2,
    NOP,
    RAM,
    UDF,
    VECTORS,
    branch,
    hvc,
    svc,
)

NOWHERE, BRK_1, BR_X2, FADD, STR_X3 = 1 << 60, 0xD420_0020, 0xD61F_0040, 0x1E61_2800, 0xF900_0043
EL0T, EL1T, EL1H = 0, 4, 5
HLT_SEMIHOSTING = 0xD45E_0000
UNKNOWN = 0x0200_0000
KINDS = {
    # name: word, ESR at EL1, offset of ELR, FAR or None
    "svc": (svc(0xBEEF), 0x5600_BEEF, 4, None),
    "udf": (UDF, UNKNOWN, 0, None),
    "brk": (BRK_1, 0xF200_0001, 0, None),
    "fadd": (FADD, 0x1FE0_0000, 0, None),
    "ldr": (LDR_X3_X2, 0x9600_0000, 0, NOWHERE),
    "str": (STR_X3, 0x9600_0040, 0, NOWHERE),
    "br": (BR_X2, 0x8600_0000, None, NOWHERE),
}


@pytest.mark.parametrize("flags", [0x6000_0000, 0x9000_0000])
@pytest.mark.parametrize("mode", [EL0T, EL1T, EL1H], ids=["EL0t", "EL1t", "EL1h"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_engine_enters_what_el1_takes(bench, kind, mode, flags):
    """ESR, ELR, SPSR and FAR, the vector, PSTATE, and the stack pointer; FAR is kept where the class has none."""
    word, esr, offset, far = KINDS[kind]
    vector = {EL0T: 0x400, EL1T: 0, EL1H: 0x200}[mode]
    if mode == EL0T and esr >> 26 in {0x25, 0x21}:
        esr -= 1 << 26
    bench.engine.registers.present(translated_features(model("max")))
    bench.start(NOP, word)
    bench.engine.listen.hear_exceptions(0)
    bench.write("FAR_EL1", 0x1234)
    bench.put(VECTORS + vector, 0x9100_03E4, hvc(1))  # mov x4, sp
    bench.engine.registers.write_pstate(flags | 0x340 | mode)
    bench.engine.state.frame[31] = 0x1110
    if mode != EL1H:
        bench.write("SP_EL1", 0x2220)
    bench.set_gpr(2, NOWHERE)
    assert bench.run_to_trap().pc == VECTORS + vector + 8
    at = NOWHERE if offset is None else CODE + 4 + offset
    wanted = (esr, at, flags | 0x340 | mode, 0x1234 if far is None else far)
    assert [hex(bench.read(f"{name}_EL1")) for name in ("ESR", "ELR", "SPSR", "FAR")] == [hex(each) for each in wanted]
    assert (bench.gpr(4), hex(bench.engine.state.pstate)) == (0x1110 if mode == EL1H else 0x2220, hex(flags | 0x3C5))
    assert bench.engine.last_exception[:3] == (esr, far or 0, at)
    assert len(bench.seen) == 1


@pytest.mark.parametrize(("spsr", "after"), [(0x3CD, 0x3C5), (0x3C6, 0x3C5), (0x1003C5, 0x3C5), (0x1003C4, 0x3C4)])
def test_nothing_is_executed_in_illegal_execution_state(bench, spsr, after):
    """An illegal return, and a legal one with SPSR_EL1.IL: the next instruction is EC 0x0E with PSTATE.IL (D1.4.4)."""
    bench.start(ERET, NOP)
    bench.write("SPSR_EL1", spsr)
    bench.write("ELR_EL1", CODE + 4)
    found = bench.run_to_trap()
    assert (hex(found.esr), found.pc, hex(bench.engine.state.pstate)) == ("0x3a000000", CODE + 4, hex(after | 1 << 20))


@pytest.mark.parametrize("kind", KINDS)
def test_exceptions_are_heard_by_class(bench, kind):
    """The trap handler gets those that it asks for, before they are entered, and no other."""
    word, esr, offset, far = KINDS[kind]
    for classes, heard in ((1 << (esr >> 26), True), (~(1 << (esr >> 26)) & (1 << 64) - 1, False)):
        bench.start(NOP, word)
        bench.put(VECTORS + 0x200, hvc(1))
        bench.engine.listen.hear_exceptions(classes)
        bench.set_gpr(2, NOWHERE)
        seen = bench.run_to_trap()
        if heard:
            at = NOWHERE if offset is None else CODE + 4 + offset
            assert (seen.esr, seen.target_el, seen.pc) == (esr, 1, at)
            assert far in {None, seen.far}
        else:
            assert (seen.esr >> 26, bench.read("ESR_EL1")) == (0x16, esr)


def test_one_that_was_heard_can_be_entered_after_all(bench):
    """`take_exception` in the handler; the guest goes on in its vector."""
    bench.start(svc(7), hvc(0))
    bench.put(VECTORS + 0x200, ADD_X0_1, ERET)
    bench.on_trap = lambda seen: (
        bench.engine.leave() if seen.target_el == 2 else bench.engine.take_exception(seen.esr, seen.far)
    )
    assert bench.run() is RunEnd.LEFT
    assert (bench.gpr(0), bench.read("ESR_EL1"), bench.read("ELR_EL1")) == (1, 0x5600_0007, CODE + 4)


def test_entries_are_observed_where_that_is_asked_for(bench):
    """After the entry: PC is the vector; a handler that leaves ends the run there, with nothing of it executed."""
    engine, entered = bench.engine, []
    bench.start(svc(1), svc(2), hvc(0))
    bench.put(VECTORS + 0x200, ADD_X0_1, ERET)
    engine.listen.hear_exceptions(0)

    def on_entry() -> None:
        entered.append((engine.state.pc, *engine.last_exception[:3], bench.gpr(0)))
        if len(entered) == 2:
            engine.leave()

    engine.set_trap_handler(lambda *_: engine.leave(), on_entry)
    engine.listen.observe_exceptions(True)
    assert (engine.run(), engine.state.pc) == (RunEnd.LEFT, VECTORS + 0x200)
    vector = VECTORS + 0x200
    assert entered == [(vector, 0x5600_0001, 0, CODE + 4, 0), (vector, 0x5600_0002, 0, CODE + 8, 1)]
    engine.listen.observe_exceptions(False)
    assert (engine.run(), len(entered), bench.gpr(0)) == (RunEnd.LEFT, 2, 2)


def test_an_entry_handler_may_fail(bench):
    """`run` raises what it raised."""

    def fail() -> None:
        raise ValueError("mine")

    bench.start(svc(1))
    bench.engine.listen.hear_exceptions(0)
    bench.engine.listen.observe_exceptions(True)
    bench.engine.set_trap_handler(lambda *_: None, fail)
    with pytest.raises(ValueError, match="mine"):
        bench.run()
    assert bench.engine.state.pc == VECTORS + 0x200


@pytest.mark.parametrize("word", [UDF, svc(1), BRK_1, LDR_X3_X2], ids=["udf", "svc", "brk", "ldr"])
def test_a_storm_of_exceptions_is_told(bench, word):
    """Whose vector raises the exception that it is to handle, again and again; with what began it."""
    engine = bench.engine
    bench.start(NOP, svc(5))
    bench.put(VECTORS + 0x200, NOP, word)
    bench.set_gpr(2, NOWHERE)
    engine.listen.hear_exceptions(0)
    engine.set_trap_handler(lambda *_: None, engine.leave)
    assert engine.run() is RunEnd.LEFT
    assert engine.is_endless
    assert (engine.first_fault.esr, engine.first_fault.elr) == (0x5600_0005, CODE + 8)
    assert engine.last_exception.elr in {VECTORS + 0x204, VECTORS + 0x208}


def test_many_exceptions_that_are_handled_are_no_storm(bench):
    """Each from where the guest goes on."""
    engine = bench.engine
    bench.start(svc(5), 0xF100_0463, 0x54FF_FFC1, hvc(0))  # subs x3, x3, #1; b.ne .-8
    bench.put(VECTORS + 0x200, ERET)
    bench.set_gpr(3, 5 * STORM_LIMIT)
    engine.listen.hear_exceptions(0)
    engine.set_trap_handler(lambda *_: engine.leave(), pytest.fail)
    assert (engine.run(), engine.is_endless, engine.first_fault) == (RunEnd.LEFT, False, None)


@pytest.mark.parametrize(("mode", "vector"), [(EL0T, 0x580), (EL1T, 0x180), (EL1H, 0x380)])
def test_an_serror_has_its_own_vector(bench, mode, vector):
    """From each level and stack; VBAR_EL1 stays as it is (D1.3.1)."""
    bench.start(NOP)
    bench.engine.registers.write_pstate(0x240 | mode)
    bench.engine.take_exception(0xBE00_0011, serror=True)
    state = bench.engine.state
    assert (state.pc, state.pstate & 0xFFF) == (VECTORS + vector, 0x3C5)
    wanted = (0xBE00_0011, CODE, 0x240 | mode, VECTORS)
    assert [hex(bench.read(f"{name}_EL1")) for name in ("ESR", "ELR", "SPSR", "VBAR")] == [hex(each) for each in wanted]


def test_semihosting_is_python_s_where_that_is_asked_for(bench):
    """HLT #0xF000; without, it is UNDEFINED, as other HLTs are in any case."""
    for wanted in (True, False):
        for word, heard in ((HLT_SEMIHOSTING, wanted), (0xD440_0020, False)):
            bench.start(NOP, word)
            bench.put(VECTORS + 0x200, hvc(1))
            bench.engine.listen.hear_exceptions(0)
            bench.engine.listen.hear_semihosting(wanted)
            seen = bench.run_to_trap()
            assert (seen.esr, seen.pc) == ((UNKNOWN, CODE + 4) if heard else (0x5A00_0001, VECTORS + 0x204))
    bench.engine.listen.hear_semihosting(False)


def test_hvc_and_smc_are_python_s(bench):
    """Whatever is heard: their targets are EL2 and EL3."""
    for word, esr, target, offset in ((hvc(3), 0x5A00_0003, 2, 8), (0xD400_0063, 0x5E00_0003, 3, 8)):
        bench.start(NOP, word)
        bench.engine.listen.hear_exceptions(0)
        seen = bench.run_to_trap()
        assert (seen.esr, seen.target_el, seen.pc) == (esr, target, CODE + offset)


def test_a_handler_of_el1_runs_without_python(bench):
    """Ten thousand supervisor calls, counted by the handler; nobody is called."""
    bench.start(svc(1), 0xF100_0463, 0x54FF_FFC1, hvc(0))
    bench.put(VECTORS + 0x400, ADD_X0_1, ERET)
    bench.put(VECTORS + 0x200, ADD_X0_1, ERET)
    bench.engine.listen.hear_exceptions(0)
    bench.set_gpr(3, 10_000)
    bench.run_to_trap()
    assert (bench.gpr(0), len(bench.seen)) == (10_000, 1)


def test_interrupted_code_of_el0_and_el1_is_told_apart(bench):
    """A page that EL0 may not touch: EC 0x24 from EL0, nothing from EL1."""
    table, block = RAM + 0x8000, 1 << 10 | 1
    bench.start(LDR_X3_X2, branch(0))
    bench.put_u64(table + 8, RAM | block | 1 << 6, RAM | block)
    bench.write("TCR_EL1", 32 | 1 << 23)
    bench.write("TTBR0_EL1", table)
    bench.write("SCTLR_EL1", bench.read("SCTLR_EL1") | 1)
    bench.engine.registers.write_pstate(0x3C0)
    bench.set_gpr(2, RAM + 0x4000_0000)
    seen = bench.run_to_trap()
    assert (seen.esr & ~0x3FF, seen.esr & 0x3F, seen.far) == (0x9200_0000, 0x0D, RAM + 0x4000_0000)


def test_msr_daifset_of_el0_has_its_syndrome(bench):
    """Which Unicorn loses (C5.2.3): ISS of MSR (immediate), by the engine's own entry."""
    bench.start(0xD503_42DF)
    bench.put(VECTORS + 0x400, hvc(1))
    bench.engine.listen.hear_exceptions(0)
    bench.engine.registers.write_pstate(0x3C0)
    bench.run_to_trap()
    assert bench.read("ESR_EL1") == 0x620C_D3E4


def test_registers_read_in_a_vector_are_those_of_the_exception(bench):
    """By the guest itself."""
    names = ("ESR_EL1", "ELR_EL1", "SPSR_EL1")
    bench.start(svc(0x55))
    bench.put(
        VECTORS + 0x200,
        *(instruction_from_access(by_name[name].encoding, n, is_read=True) for n, name in enumerate(names)),
        hvc(1),
    )
    bench.engine.listen.hear_exceptions(0)
    bench.run_to_trap()
    assert [bench.gpr(n) for n in range(3)] == [0x5600_0055, CODE + 4, 0x3C5]
