"""Hooks on instructions and on memory: what they see and change, and where the guest goes on."""

from __future__ import annotations

import pytest

from armvcpu.arch.controls import SCTLR_EL1, TCR_EL1
from armvcpu.engine.api import RunEnd
from armvcpu.engine.selftest_bench import (
    ADD_X0_1,
    CODE,
    DATA,
    LDR_X3_X2,
    NOP,
    RAM,
    STR_X3_X2_8,
    UDF,
    VECTORS,
    branch,
    hvc,
    svc,
)


def test_each_instruction_is_reached_with_the_registers_of_the_moment(bench):
    """PC, a register that the block changes, and the count; over a branch, and twice in a loop."""
    seen = []
    engine = bench.engine
    engine.count_instructions()
    begin = engine.instructions
    engine.listen.on_code(lambda pc: seen.append((pc, engine.state.pc, bench.gpr(0), engine.instructions - begin)))
    bench.start(ADD_X0_1, ADD_X0_1, 0xF100_081F, 0x54FF_FFA0, hvc(0))  # cmp x0, #2; b.eq .-12
    bench.run_to_trap()
    path = [0, 4, 8, 12, 0, 4, 8, 12, 16]
    x0 = [0, 1, 2, 2, 2, 3, 4, 4, 4]
    assert seen == [(CODE + at, CODE + at, x0, n) for n, (at, x0) in enumerate(zip(path, x0, strict=True))]


def test_a_hook_may_change_registers(bench):
    """The instruction at PC goes by them."""
    bench.engine.listen.probe(CODE + 4, lambda _pc: bench.set_gpr(0, 100))
    bench.start(ADD_X0_1, ADD_X0_1, ADD_X0_1, hvc(0))
    bench.run_to_trap()
    assert bench.gpr(0) == 102


@pytest.mark.parametrize("target", [0, 12, 16], ids=["back", "forward", "to the end"])
def test_pc_set_in_a_hook_is_where_the_guest_goes_on(bench, target):
    """With registers that it changed; the instruction at the hook is not executed."""
    engine, reached = bench.engine, []

    def move(pc: int) -> None:
        reached.append(pc)
        if len(reached) == 1:
            engine.state.set_pc(CODE + target)
            bench.set_gpr(1, 7)

    engine.count_instructions()
    before = engine.instructions
    engine.listen.probe(CODE + 8, move)
    bench.start(ADD_X0_1, ADD_X0_1, ADD_X0_1, ADD_X0_1, hvc(0))
    bench.run_to_trap()
    x0 = {0: 2 + 4, 12: 2 + 1, 16: 2}[target]
    assert (bench.gpr(0), bench.gpr(1), engine.instructions - before) == (x0, 7, x0 + 1)


@pytest.mark.parametrize("offset", [0, 4, 8])
@pytest.mark.parametrize("limit", [0, 20, 1000])
def test_a_leave_in_a_hook_ends_the_run_before_the_instruction(bench, offset, limit):
    """First, in the middle and last in a block; the next run goes on from there, and the hook is not called again."""
    engine, reached = bench.engine, []

    def leave(pc: int) -> None:
        reached.append(pc)
        engine.leave()

    engine.listen.probe(CODE + offset, leave)
    bench.start(ADD_X0_1, ADD_X0_1, ADD_X0_1, branch(-3))
    for n in range(3):
        assert engine.run(limit) is RunEnd.LEFT
        assert (engine.state.pc, bench.gpr(0)) == (CODE + offset, 3 * n + offset // 4)
    assert len(reached) == 3


def test_an_exception_in_a_hook_ends_the_run(bench):
    """Before the instruction."""

    def fail(_pc: int) -> None:
        raise ValueError("mine")

    bench.engine.listen.probe(CODE + 4, fail)
    bench.start(ADD_X0_1, ADD_X0_1, hvc(0))
    with pytest.raises(ValueError, match="mine"):
        bench.run()
    assert (bench.engine.state.pc, bench.gpr(0)) == (CODE + 4, 1)


def test_an_exception_taken_in_a_hook_is_entered(bench):
    """As if the instruction had it."""
    entered = []

    def take(_pc: int) -> None:
        if not entered:
            entered.append(bench.engine.take_exception(0x0200_0000))

    bench.engine.listen.probe(CODE + 4, take)
    bench.start(ADD_X0_1, ADD_X0_1, hvc(0))
    bench.put(VECTORS + 0x200, 0xD69F_03E0)
    bench.run_to_trap()
    assert (bench.read("ELR_EL1"), bench.gpr(0)) == (CODE + 4, 2)


@pytest.mark.parametrize(("word", "esr"), [(svc(1), 0x5600_0001), (UDF, 0x0200_0000)])
def test_hooks_and_traps_don_t_disturb_each_other(bench, word, esr):
    """A hook on an instruction that traps is called once, and the trap comes at its PC."""
    reached = []
    bench.engine.listen.on_code(reached.append)
    bench.start(NOP, word)
    seen = bench.run_to_trap()
    assert (seen.esr, reached) == (esr, [CODE, CODE + 4])


def test_a_hook_that_is_removed_is_none(bench, monkeypatch):
    """Nothing is called any more, of Python or of Unicorn, at code that had it; and it may be removed twice."""
    listen, heard, looked_up = bench.engine.listen, [], []
    translate = listen._virtual
    monkeypatch.setattr(listen, "_virtual", lambda physical: (looked_up.append(physical), translate(physical))[1])

    def calls():
        heard.clear(), looked_up.clear()
        bench.start(LDR_X3_X2, STR_X3_X2_8, hvc(0))
        bench.set_gpr(2, DATA)
        bench.engine.samples.tally(wanted=True)
        bench.run_to_trap()
        return len(heard), bench.engine.samples.tallied.code[0], len(looked_up)

    code, memory = listen.on_code(heard.append), listen.on_memory(lambda *access: heard.append(access))
    assert calls() == (5, 3, 2)
    for hook, left in ((code, (2, 0, 2)), (memory, (0, 0, 0))):
        hook.remove()
        hook.remove()
        assert calls() == left


def test_hooks_on_memory_get_virtual_addresses(bench):
    """With stage 1 on and pages elsewhere; a store has its value, of its width."""
    heard, table, virtual = [], RAM + 0x8000, 0x8000_0000
    bench.engine.listen.on_memory(lambda *access: heard.append(access))
    bench.start(LDR_X3_X2, STR_X3_X2_8, 0x3900_4043, hvc(0))  # strb w3, [x2, #16]
    block = 1 << 10 | 1
    bench.put_u64(table + 8 * 1, RAM | block, RAM | block)
    bench.write("TCR_EL1", TCR_EL1.of(T0SZ=32, EPD1=1))
    bench.write("TTBR0_EL1", table)
    bench.write("SCTLR_EL1", bench.read("SCTLR_EL1") | SCTLR_EL1.M.mask)
    bench.engine.registers.write_pstate(bench.engine.state.pstate)
    bench.put_u64(DATA, 0x1122_3344_5566_7788)
    at = virtual + DATA - RAM
    bench.set_gpr(2, at)
    bench.run_to_trap()
    assert heard == [
        (True, at, 8, None), (False, at + 8, 8, 0x1122_3344_5566_7788), (False, at + 16, 1, 0x88),
    ]  # fmt: skip


def test_a_leave_in_a_hook_on_memory_ends_this_run_and_no_other(bench):
    """Behind the block."""
    heard = []
    bench.engine.listen.on_memory(lambda *access: (heard.append(access), bench.engine.leave()))
    bench.start(LDR_X3_X2, NOP, branch(1), ADD_X0_1, hvc(0))
    bench.set_gpr(2, DATA)
    assert (bench.run(), bench.engine.state.pc) == (RunEnd.LEFT, CODE + 12)
    assert (bench.run_to_trap().pc, bench.gpr(0)) == (CODE + 20, 1)
