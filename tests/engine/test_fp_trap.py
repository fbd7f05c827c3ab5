"""FP and Advanced SIMD trap where CPACR_EL1, CPTR_EL2 and CPTR_EL3 say so, exactly (DDI 0487 D17.2)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from bare import CODE, EL0, EL1, END_ESR, FADD, NOP, BareEngine
from fp_guest import run_guest

from armvcpu.arch.registers import by_name
from armvcpu.engine.api import RunEnd

if TYPE_CHECKING:
    from collections.abc import Iterator

FP_TRAP = 0x1FE0_0000
LAZYFP = Path(__file__).parents[2] / "guests/bin/lazyfp.elf"
CPACR_EL1, HCR_EL2, CPTR_EL2, CPTR_EL3 = (
    by_name[name].encoding for name in ("CPACR_EL1", "HCR_EL2", "CPTR_EL2", "CPTR_EL3")
)
FP_TRAP_TO_EL2 = 0x1FE0_0000


@pytest.fixture(params=[False, True], ids=["", "counting"])
def bare(request: pytest.FixtureRequest) -> Iterator[BareEngine]:
    machine = BareEngine(counting=request.param)
    yield machine
    machine.close()


@pytest.mark.parametrize(("fpen", "off_at_el0", "off_at_el1"), [(0, 1, 1), (1, 1, 0), (2, 1, 1), (3, 0, 0)])
def test_fpen_decides_at_each_level(bare: BareEngine, fpen: int, off_at_el0: int, off_at_el1: int) -> None:
    """FPEN 0 and 2 trap EL0 and EL1, 1 traps EL0, 3 nothing."""
    for pstate, off in ((EL0, off_at_el0), (EL1, off_at_el1)):
        expected = (FP_TRAP, 1, 4) if off else (END_ESR, 1, 12)
        assert bare.run_words(NOP, FADD, pstate=pstate, CPACR_EL1=fpen << 20) == expected


def test_fp_traps_after_reset(bare: BareEngine) -> None:
    """The first block of the first run is no exception."""
    assert bare.run_words(FADD) == (FP_TRAP, 1, 0)
    assert bare.engine.registers.read(CPACR_EL1) == 0


def test_code_is_what_the_guest_put_there(bare: BareEngine) -> None:
    """After a trap memory holds the FP instruction, and the same code runs once FP is on, traps once it is off."""
    bare.place(FADD)
    ends = []
    for fpen in (0, 3, 0, 1, 2, 3):
        bare.engine.registers.write(CPACR_EL1, fpen << 20)
        bare.engine.state.set_pc(CODE)
        bare.engine.run()
        ends.append(bare.traps[-1][0])
        assert bare.engine.memory.fetch_word(CODE) == FADD
    assert ends == [FP_TRAP, END_ESR, FP_TRAP, END_ESR, FP_TRAP, END_ESR]


def test_pending_virtual_interrupt_survives_a_trap(bare: BareEngine) -> None:
    """HCR_EL2.VI stands as before."""
    pending = 1 << 31 | 1 << 4 | 1 << 7
    assert bare.run_words(FADD, HCR_EL2=pending) == (FP_TRAP, 1, 0)
    assert bare.engine.registers.read(HCR_EL2) == pending


def test_trap_under_single_step(bare: BareEngine) -> None:
    """A step over an FP instruction takes its trap; one over the instruction before does not."""
    bare.place(NOP, FADD)
    bare.engine.step()
    assert (bare.traps, bare.engine.state.pc) == ([], CODE + 4)
    bare.engine.step()
    assert bare.traps == [(FP_TRAP, 1, 4)]


def test_overlapping_blocks_settle(bare: BareEngine) -> None:
    """Two entries into one stretch of code trap at the same instruction, however often they take turns."""
    bare.place(NOP, NOP, FADD)
    for offset in (0, 4, 8) * 3:
        bare.engine.state.set_pc(CODE + offset)
        bare.engine.run()
        assert bare.traps[-1] == (FP_TRAP, 1, 8)


def test_cpacr_belongs_to_the_state(bare: BareEngine) -> None:
    """Each vCPU has its own CPACR_EL1, and loading one brings its traps along."""
    bare.place(FADD, CPACR_EL1=3 << 20)
    first, second = bare.engine.state, bare.engine.new_state()
    for state, fpen, esr in ((second, 0, FP_TRAP), (first, 3, END_ESR), (second, 0, FP_TRAP)):
        bare.engine.load(state)
        state.set_pc(CODE)
        bare.engine.run()
        assert (bare.engine.registers.read(CPACR_EL1), bare.traps[-1][0]) == (fpen << 20, esr)


def test_instruction_limit_stays_exact() -> None:
    """The trapping one is the eighth."""
    bare = BareEngine(counting=True)
    bare.place(*[NOP] * 7, FADD)
    assert (bare.engine.run(7), bare.traps, bare.engine.state.pc) == (RunEnd.LIMIT, [], CODE + 28)
    bare.place(*[NOP] * 7, FADD)
    assert (bare.engine.run(8), bare.traps) == (RunEnd.LEFT, [(FP_TRAP, 1, 28)])
    bare.close()


@pytest.mark.parametrize("limit", [0, 777, 100_000], ids=["one run", "short slices", "long slices"])
def test_lazy_fp_switching(limit: int) -> None:
    """Three tasks share the FP registers: each trap has its ESR, ELR and vector, and no result is disturbed."""
    output = run_guest(LAZYFP, limit)
    assert output.count("PASS ") == 19
    assert "FAIL" not in output
    assert "873 traps" in output


@pytest.mark.parametrize("pstate", [EL0, EL1])
@pytest.mark.parametrize(("name", "target"), [("CPTR_EL2", 2), ("CPTR_EL3", 3)])
def test_tfp_traps_to_its_own_level(bare: BareEngine, name: str, target: int, pstate: int) -> None:
    """CPTR_EL2.TFP and CPTR_EL3.TFP, whatever CPACR_EL1 allows; CPACR_EL1 comes first (J1.1, CheckFPAdvSIMDEnabled)."""
    tfp = {name: 1 << 10}
    assert bare.run_words(NOP, FADD, pstate=pstate, CPACR_EL1=3 << 20, **tfp) == (FP_TRAP, target, 4)
    assert bare.run_words(NOP, FADD, pstate=pstate, CPACR_EL1=0, **tfp) == (FP_TRAP, 1, 4)


def test_both_tfp_trap_to_el2(bare: BareEngine) -> None:
    """The lower level comes first; the same code goes on when it is written by the host."""
    bare.place(FADD, CPACR_EL1=3 << 20, CPTR_EL2=1 << 10, CPTR_EL3=1 << 10)
    for register, target in ((None, 2), (CPTR_EL2, 3), (CPTR_EL3, 1)):
        if register is not None:
            bare.engine.registers.write(register, 0)
        bare.engine.state.set_pc(CODE)
        bare.engine.run()
        assert bare.traps[-1][:2] == (END_ESR if target == 1 else FP_TRAP, target)


def test_the_guests_own_write_holds_at_once(bare: BareEngine) -> None:
    """MSR CPACR_EL1, ISB: in the same run, on and off."""
    msr_cpacr_x1, isb, mov_x1_0 = 0xD518_1041, 0xD503_3FDF, 0xD280_0001
    bare.place(msr_cpacr_x1, isb, FADD, mov_x1_0, msr_cpacr_x1, isb, NOP, FADD, CPACR_EL1=0)
    bare.engine.state.set_gpr(1, 3 << 20)
    bare.engine.run()
    assert bare.traps[-1] == (FP_TRAP, 1, 28)


@pytest.mark.parametrize(
    "word", [0x3DC0_0000, 0xFD00_0000, 0x4C40_7000, 0x9E67_0020, 0xD53B_4401, 0xD51B_4421, 0x4E28_4820],
    ids=["ldr q0", "str d0", "ld1", "fmov d0, x1", "mrs fpcr", "msr fpsr", "aese"],
)  # fmt: skip
def test_loads_moves_and_registers_trap_too(bare: BareEngine, word: int) -> None:
    """All that uses the FP registers, FPCR or FPSR."""
    assert bare.run_words(NOP, word, CPACR_EL1=0) == (FP_TRAP, 1, 4)
    assert bare.run_words(NOP, word, CPACR_EL1=3 << 20) == (END_ESR, 1, 12)
