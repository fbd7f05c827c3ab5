"""System registers as rows; who answers, at which level, and where the guest goes on (DDI 0487 C5.1, D17.1)."""

from __future__ import annotations

from time import monotonic_ns
from typing import TYPE_CHECKING

import pytest

from armvcpu.arch.registers import by_name, instruction_from_access
from armvcpu.engine.api import (
    BEFORE_NATIVE,
    CONSTANT,
    COUNT,
    IGNORED,
    NATIVE,
    PYTHON,
    UNDEFINED,
    RegisterRows,
    RunEnd,
)
from armvcpu.engine.selftest_bench import ADD_X0_1, CODE, NOP, VECTORS, Bench, branch, hvc
from armvcpu.engine.unicorn_engine import UnicornEngine

if TYPE_CHECKING:
    from collections.abc import Callable

EL0, UNKNOWN = 0x3C0, 0x0200_0000
VBAR, MIDR, TPIDR, CTR, IAR, PMCR = (
    by_name[name].encoding
    for name in ("VBAR_EL1", "MIDR_EL1", "TPIDR_EL0", "CTR_EL0", "ICC_IAR1_EL1", "PMCR_EL0")
)  # fmt: skip
LACKED_AT_EL0 = 3 << 14 | 3 << 11 | 11 << 7 | 15 << 3 | 7
"""S3_3_C11_C15_7: IMPLEMENTATION DEFINED, which the engine has not."""


def mrs(encoding: int, rt: int = 3) -> int:
    return instruction_from_access(encoding, rt, is_read=True)


def msr(encoding: int, rt: int = 3) -> int:
    return instruction_from_access(encoding, rt, is_read=False)


def use(
    bench: Bench, encoding: int, read: int, write: int, constant: int = 0, *,
    on_read: Callable[[], int] | None = None, on_write: Callable[[int], int | None] | None = None,
) -> RegisterRows:  # fmt: skip
    """Have one row."""
    rows = RegisterRows()
    rows.reads[encoding] = on_read or (lambda: 0)
    rows.writes[encoding] = on_write or (lambda _value: None)
    rows.shape = ((encoding, (read, write, constant)),)
    bench.engine.registers.use(rows)
    return rows


def run(bench: Bench, *words: int, pstate: int = 0x3C5, x3: int = 0) -> tuple[int, int]:
    """(ESR, offset of PC) of what ended the words."""
    bench.start(*words, hvc(0))
    bench.engine.registers.write_pstate(pstate)
    bench.set_gpr(3, x3)
    seen = bench.run_to_trap()
    return seen.esr, seen.pc - CODE


HVC = 0x5A00_0000


@pytest.mark.parametrize("encoding", [VBAR, MIDR, CTR, IAR, LACKED_AT_EL0], ids=hex)
def test_a_constant_is_read_wherever_the_register_is_accessible(bench, encoding):
    """Whether the engine has the register or not."""
    use(bench, encoding, CONSTANT, UNDEFINED, 0xFEDC_BA98_7654_3210)
    assert (run(bench, NOP, mrs(encoding)), bench.gpr(3)) == ((HVC, 12), 0xFEDC_BA98_7654_3210)
    assert run(bench, NOP, msr(encoding)) == (UNKNOWN, 4)


@pytest.mark.parametrize("encoding", [VBAR, MIDR, IAR], ids=hex)
@pytest.mark.parametrize("action", [CONSTANT, PYTHON, NATIVE])
def test_a_register_of_el1_is_undefined_at_el0(bench, encoding, action):
    """By op1 = 0, whoever answers (C5.1.2)."""
    use(bench, encoding, action, PYTHON)
    assert run(bench, NOP, mrs(encoding), pstate=EL0) == (UNKNOWN, 4)
    assert run(bench, NOP, msr(encoding), pstate=EL0) == (UNKNOWN, 4)


def test_a_register_of_el0_is_answered_at_el0(bench):
    """By op1 = 3: one that the engine lacks."""
    written = []
    use(bench, LACKED_AT_EL0, PYTHON, PYTHON, on_read=lambda: 5, on_write=written.append)
    bench.start(mrs(LACKED_AT_EL0), msr(LACKED_AT_EL0), hvc(0))
    bench.engine.registers.write_pstate(EL0)
    assert (bench.run_to_trap().pc, bench.gpr(3), written) == (CODE + 8, 5, [5])


def test_python_reads_and_writes(bench):
    """64 bits each way, and XZR."""
    written = []
    use(bench, IAR, PYTHON, PYTHON, on_read=lambda: -1, on_write=written.append)
    assert run(bench, mrs(IAR), msr(IAR), msr(IAR, 31), mrs(IAR, 31)) == (HVC, 20)
    assert (bench.gpr(3), written) == ((1 << 64) - 1, [(1 << 64) - 1, 0])


def test_what_python_gives_is_written_to_the_engines_own(bench):
    """BEFORE_NATIVE, of a register that is a plain field and of one that has a write function."""
    use(bench, TPIDR, NATIVE, BEFORE_NATIVE, on_write=lambda value: value + 1)
    assert (run(bench, msr(TPIDR), mrs(TPIDR), x3=7), bench.gpr(3), bench.read("TPIDR_EL0")) == ((HVC, 12), 8, 8)
    use(bench, VBAR, NATIVE, BEFORE_NATIVE, on_write=lambda value: value & ~0xFFF)
    assert (run(bench, msr(VBAR), mrs(VBAR), x3=0x1_2800), bench.gpr(3)) == ((HVC, 12), 0x1_2000)


@pytest.mark.parametrize(("name", "offset"), [("CNTPCT_EL0", 0), ("CNTVCT_EL0", 5000)])
def test_a_count_begins_where_it_is_said_to(bench, name, offset):
    """COUNT: the physical one, and the virtual one, from which CNTVOFF_EL2 is taken off as well (D11.1.2)."""
    use(bench, by_name[name].encoding, COUNT, UNDEFINED)
    origin = monotonic_ns() // 16 - 10_000_000
    bench.engine.set_count_origin(origin)
    bench.start(mrs(by_name[name].encoding), hvc(0))
    bench.write("CNTVOFF_EL2", offset)
    bench.run_to_trap()
    assert 10_000_000 <= bench.gpr(3) + offset <= monotonic_ns() // 16 - origin
    assert run(bench, NOP, msr(by_name[name].encoding)) == (UNKNOWN, 4)


def test_writes_that_are_ignored_go_on(bench):
    """IGNORED, with a constant to read."""
    use(bench, PMCR, CONSTANT, IGNORED, 9)
    assert (run(bench, msr(PMCR), mrs(PMCR), x3=1), bench.gpr(3)) == ((HVC, 12), 9)


def test_a_register_that_nobody_has_is_pythons_trap(bench):
    """Also without exceptions being heard of: an UNDEFINED register is asked about, other words are not."""
    bench.start(mrs(IAR), hvc(0))
    bench.engine.listen.hear_exceptions(0)
    assert (bench.run_to_trap().esr, bench.engine.state.pc) == (UNKNOWN, CODE)
    use(bench, IAR, UNDEFINED, UNDEFINED)
    bench.start(mrs(IAR), hvc(0))
    bench.put(VECTORS + 0x200, hvc(1))
    bench.engine.listen.hear_exceptions(0)
    assert (bench.run_to_trap().esr & 0xFFFF, bench.read("ELR_EL1")) == (1, CODE)


def test_rows_come_and_go(bench):
    """Code that was translated with a row is translated again without it."""
    for value in (1, 2, 3):
        use(bench, MIDR, CONSTANT, UNDEFINED, value)
        run(bench, mrs(MIDR))
        assert bench.gpr(3) == value
    bench.engine.registers.use(RegisterRows())
    run(bench, mrs(MIDR))
    assert bench.gpr(3) == bench.read("MIDR_EL1")
    rows = use(bench, IAR, PYTHON, UNDEFINED, on_read=lambda: 1)
    run(bench, mrs(IAR))
    rows.reads[IAR] = lambda: 2  # the same shape: nothing is forgotten
    translations = bench.engine._shared[-1]
    bench.engine.state.set_pc(CODE)
    bench.run_to_trap()
    assert (bench.gpr(3), bench.engine._shared[-1]) == (2, translations)


def test_two_engines_answer_for_themselves():
    """The same register, with other rows and other values."""
    benches = [Bench(UnicornEngine()) for _ in range(2)]
    for n, bench in enumerate(benches):
        use(bench, MIDR, CONSTANT, UNDEFINED, 100 + n)
    for n, bench in enumerate(benches * 2):
        run(bench, mrs(MIDR))
        assert bench.gpr(3) == 100 + n % 2
    use(benches[0], MIDR, PYTHON, UNDEFINED, on_read=lambda: 7)
    for bench, value in zip(benches, (7, 101), strict=True):
        run(bench, mrs(MIDR))
        assert bench.gpr(3) == value
        bench.engine.close()


@pytest.mark.parametrize(("word", "action"), [(mrs(IAR), PYTHON), (msr(IAR), PYTHON), (msr(VBAR), BEFORE_NATIVE)])
def test_pc_is_exact_in_a_row_and_a_leave_ends_the_run_behind_it(bench, word, action):
    """The instruction is complete, and nothing behind it in the block has been executed."""
    seen, encoding = [], VBAR if action == BEFORE_NATIVE else IAR

    def answer(value: int = 5) -> int:
        seen.append((bench.engine.state.pc, bench.engine.state.gpr(0), value))
        bench.engine.leave()
        return value

    use(bench, encoding, NATIVE if action == BEFORE_NATIVE else PYTHON, action, on_read=answer, on_write=answer)
    bench.start(ADD_X0_1, word, ADD_X0_1, hvc(0))
    bench.set_gpr(3, 0x8000)
    assert bench.run() is RunEnd.LEFT
    assert (bench.engine.state.pc, bench.gpr(0)) == (CODE + 8, 1)
    assert seen == [(CODE + 4, 1, 5 if word == mrs(IAR) else 0x8000)]
    assert bench.gpr(3) == (5 if word == mrs(IAR) else 0x8000)
    if action == BEFORE_NATIVE:
        assert bench.read("VBAR_EL1") == 0x8000
    assert bench.run_to_trap().pc == CODE + 16


@pytest.mark.parametrize("word", [mrs(IAR), msr(IAR)], ids=["mrs", "msr"])
def test_pc_set_in_a_row_is_where_the_guest_goes_on(bench, word):
    """The register that was to be read is not written then."""

    def move(_value: int = 0) -> int:
        bench.engine.state.set_pc(CODE + 16)
        bench.set_gpr(4, 4)
        return 9

    use(bench, IAR, PYTHON, PYTHON, on_read=move, on_write=move)
    assert run(bench, ADD_X0_1, word, ADD_X0_1, NOP, x3=1) == (HVC, 20)
    assert (bench.gpr(0), bench.gpr(3), bench.gpr(4)) == (1, 1, 4)


@pytest.mark.parametrize("pstate", [EL0, 0x3C5], ids=["EL0", "EL1"])
def test_an_exception_can_be_taken_in_a_row(bench, pstate):
    """With the instruction as its return address; it does not happen then."""

    def refuse(_value: int = 0) -> int:
        bench.engine.take_exception(0x6234_5678)
        return 9

    use(bench, LACKED_AT_EL0, PYTHON, PYTHON, on_read=refuse, on_write=refuse)
    for word in (mrs(LACKED_AT_EL0), msr(LACKED_AT_EL0)):
        bench.start(ADD_X0_1, word, ADD_X0_1)
        bench.engine.registers.write_pstate(pstate)
        bench.put(VECTORS + (0x400 if pstate == EL0 else 0x200), hvc(1))
        bench.engine.count_instructions()
        before = bench.engine.instructions
        assert bench.run_to_trap().esr & 0xFFFF == 1
        assert [hex(bench.read(f"{name}_EL1")) for name in ("ESR", "ELR", "SPSR")] == [
            "0x62345678", hex(CODE + 4), hex(pstate),
        ]  # fmt: skip
        assert (bench.gpr(0), bench.gpr(3), bench.engine.instructions - before) == (1, 0, 3)


def test_an_exception_in_a_row_ends_the_run(bench):
    """The Python exception is raised by `run`, and nothing behind the instruction has been executed."""

    def fail() -> int:
        raise ValueError("mine")

    use(bench, IAR, PYTHON, UNDEFINED, on_read=fail)
    bench.start(mrs(IAR), ADD_X0_1, hvc(0))
    with pytest.raises(ValueError, match="mine"):
        bench.run()
    assert (bench.engine.state.pc, bench.gpr(0)) == (CODE + 4, 0)


def test_the_host_reads_the_engines_own(bench):
    """`registers.read` asks no row."""
    use(bench, VBAR, PYTHON, PYTHON, on_read=lambda: 1)
    bench.start(mrs(VBAR), hvc(0))
    bench.run_to_trap()
    assert (bench.gpr(3), bench.read("VBAR_EL1")) == (1, VECTORS)


def test_trap_bits_come_before_rows(bench):
    """HCR_EL2.TVM on a register that Python hears of: the trap, and nobody is called (D17.2.48)."""
    called = []
    ttbr = by_name["TTBR0_EL1"].encoding
    use(bench, ttbr, NATIVE, BEFORE_NATIVE, on_write=called.append)
    bench.start(msr(ttbr), branch(0), hcr=1 << 26)
    assert (bench.run_to_trap().esr >> 26, called) == (0x18, [])
