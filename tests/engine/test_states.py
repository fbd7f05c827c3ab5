"""States: what is in one, who has it, and what is derived from it when an engine loads it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from armvcpu.arch.registers import by_name, instruction_from_access
from armvcpu.engine.selftest_bench import ADD_X0_1, CODE, DATA, LDR_X3_X2, NOP, RAM, Bench, branch, hvc, svc
from armvcpu.engine.unicorn_engine import UnicornEngine

if TYPE_CHECKING:
    from collections.abc import Iterator

MSR_DAIFCLR_8, FADD = 0xD503_48FF, 0x1E61_2800
BREAK_HERE = 0x1E7  # DBGBCR: EL1 and EL0, any address, enabled
BREAKPOINT_ON, MDSCR_ON = 0x30 << 26, 0xA000
TABLE = RAM + 0x8000


@pytest.fixture
def second() -> Iterator[Bench]:
    bench = Bench(UnicornEngine())
    yield bench
    bench.engine.close()


def set_breakpoint(bench: Bench, n: int, address: int, control: int = BREAK_HERE) -> None:
    bench.write(f"DBGBVR{n}_EL1", address)
    bench.write(f"DBGBCR{n}_EL1", control)
    bench.write("MDSCR_EL1", MDSCR_ON)
    bench.engine.registers.write_pstate(0x1C5)  # D is clear


def test_the_same_work_leaves_the_same_bytes_in_two_engines(bench, second):
    """No pointer is in them, nor anything that was there before: breakpoints, FP, exceptions, translation."""
    states = []
    for each in (bench, second):
        each.start(NOP)
        for _ in range(3 if each is second else 1):
            each.engine.load(each.engine.new_state())
            each.start(FADD, svc(1), hvc(2), LDR_X3_X2, NOP)
            each.write("CPACR_EL1", 3 << 20)
            each.set_gpr(2, DATA)
            set_breakpoint(each, 0, CODE + 16)
            each.on_trap = lambda seen, each=each: each.engine.leave() if seen.esr >> 26 == 0x30 + 1 else None
            each.run()
        states.append(bytes(each.engine.state.raw))
    assert states[0] == states[1]


def test_a_state_goes_from_engine_to_engine(bench, second):
    """Also while the other has it loaded."""
    bench.start(ADD_X0_1, branch(-1))
    second.ram[:] = bench.ram
    state = bench.engine.state
    for n in range(6):
        engine = (bench, second)[n % 2].engine
        engine.load(state)
        assert engine.state is state
        engine.run(10)
        assert state.gpr(0) == 5 * (n + 1)
    assert bench.engine.state is not state


def test_breakpoints_belong_to_the_state(bench):
    """Loading one puts them in, loading another takes them away, and writing their registers afterwards is safe."""
    engine = bench.engine
    bench.start(NOP, NOP, NOP, hvc(0))
    with_breaks, without = engine.state, engine.new_state()
    for n, offset in ((0, 4), (1, 8), (5, 12)):
        set_breakpoint(bench, n, CODE + offset)
    without.raw[:] = with_breaks.raw
    engine.load(without)
    for n in (0, 1, 5):
        bench.write(f"DBGBCR{n}_EL1", 0)
    for _ in range(3):
        for state, pc in ((with_breaks, CODE + 4), (without, CODE + 16)):
            engine.load(state)
            state.set_pc(CODE)
            assert bench.run_to_trap().pc == pc
    for n in (0, 1, 5):
        for state in (with_breaks, without):
            engine.load(state)
            bench.write(f"DBGBCR{n}_EL1", 0)
            bench.write(f"DBGBCR{n}_EL1", BREAK_HERE)
    engine.reset_state(engine.state)
    engine.load(with_breaks)
    with_breaks.set_pc(CODE)
    assert bench.run_to_trap().pc == CODE + 4


def test_bytes_of_a_state_can_be_kept_and_put_back(bench, second):
    """In another engine too; the guest's own writes to its breakpoints find them."""
    bcr = by_name["DBGBCR0_EL1"].encoding
    words = (instruction_from_access(bcr, 1, is_read=False), NOP, NOP, hvc(0))
    bench.start(*words)
    set_breakpoint(bench, 0, CODE + 8)
    kept = bytes(bench.engine.state.raw)
    for each in (second, bench):
        each.start(*words)
        state = each.engine.new_state()
        state.raw[:] = kept
        each.engine.load(state)
        assert each.run_to_trap().pc == CODE + 16  # X1 is 0: the guest takes it away
        each.engine.load(each.engine.new_state())
        state.raw[:] = kept
        each.engine.load(state)
        each.set_gpr(1, BREAK_HERE)
        assert each.run_to_trap().pc == CODE + 8


def test_translation_is_that_of_the_state(bench):
    """SCTLR_EL1.M and the tables of each; what the TLB had of the other is gone."""
    bench.start(LDR_X3_X2, hvc(0))
    block = 1 << 10 | 1
    for n in (0, 1):
        bench.put_u64(TABLE + 0x1000 * n, RAM | block, RAM | block, (RAM + 0x1000_0000 * n & ~0x3FFF_FFFF) | block)
    states = []
    for n in (0, 1):
        state = bench.engine.new_state()
        bench.engine.load(state)
        state.set_pc(CODE)
        state.set_gpr(2, 0x40_0000_0000 * 0 + 0x4000_0000 * n + DATA - RAM)
        bench.write("HCR_EL2", 1 << 31)
        if n:
            bench.write("TCR_EL1", 32 | 1 << 23)
            bench.write("TTBR0_EL1", TABLE)
            bench.write("SCTLR_EL1", bench.read("SCTLR_EL1") | 1)
            bench.engine.registers.write_pstate(state.pstate)
        else:
            state.set_gpr(2, DATA)
        states.append(state)
    bench.put_u64(DATA, 0xCAFE)
    for state in states * 2:
        bench.engine.load(state)
        state.set_pc(CODE)
        bench.run_to_trap()
        assert state.gpr(3) == 0xCAFE


def test_a_closed_engine_leaves_the_state_its_registers(bench):
    """And another engine can go on with it."""
    other = Bench(UnicornEngine())
    other.start(ADD_X0_1, hvc(0))
    other.run_to_trap()
    state = other.engine.state
    other.engine.close()
    assert (state.gpr(0), state.pc) == (1, CODE + 8)
    bench.start(ADD_X0_1, hvc(0), ADD_X0_1, hvc(0))
    bench.engine.load(state)
    bench.run_to_trap()
    assert state.gpr(0) == 2


def test_a_state_that_is_reset_is_a_new_one(bench):
    """The loaded one and another."""
    fresh = bytes(bench.engine.new_state().raw)
    bench.start(svc(1))
    set_breakpoint(bench, 3, CODE)
    bench.run_to_trap()
    bench.engine.reset_state(bench.engine.state)
    assert bytes(bench.engine.state.raw) == fresh
    other = bench.engine.new_state()
    other.raw[:64] = struct.pack("<8Q", *range(8))
    bench.engine.reset_state(other)
    assert bytes(other.raw) == fresh
