"""Names of registers under HCR_EL2.E2H, by real MRS and MSR at every level (DDI 0487 D17.2.48)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from armvcpu.arch.controls import HCR_EL2
from armvcpu.arch.idregs import model, translated_features
from armvcpu.arch.registers import by_name, instruction_from_access
from armvcpu.arch.sysregs_el2 import EL12_REGISTERS
from armvcpu.engine.api import PYTHON, RegisterRows
from armvcpu.engine.selftest_bench import CODE, HCR_RW, hvc

if TYPE_CHECKING:
    from armvcpu.engine.selftest_bench import Bench

EL0, EL1, EL2, EL3 = 0x3C0, 0x3C5, 0x3C9, 0x3CD
E2H, TGE = HCR_EL2.of(E2H=1), HCR_EL2.of(TGE=1)
SMC, UNKNOWN, SCR_SECURE = 0xD400_0003, 0x0200_0000, 0x530
OTHERWISE = {"CPACR": "CPTR_EL2", "CNTKCTL": "CNTHCTL_EL2"}
FIELDS = tuple(
    row.name[:-5] for row in EL12_REGISTERS if not row.name.startswith(("CNTP", "CNTV", "AFSR", "AMAIR", "ZCR"))
)
"""Those that hold something, without their level."""
SETTABLE = 0x0030_0000
"""Bits that every one of them keeps, and no instruction of these tests minds."""


def el2_name(field: str) -> str:
    return OTHERWISE.get(field, f"{field}_EL2")


def mrs(rt: int, name: str) -> int:
    return instruction_from_access(by_name[name].encoding, rt, is_read=True)


def msr(rt: int, name: str) -> int:
    return instruction_from_access(by_name[name].encoding, rt, is_read=False)


def run(bench: Bench, pstate: int, hcr: int, *words: int) -> tuple[int, int]:
    """ESR and the offset of PC of what ended the words, on a CPU that has VHE; x1 is SETTABLE."""
    bench.engine.registers.present(translated_features(model("max")))
    bench.start(*words, SMC if pstate == EL3 else hvc(0))
    for field in FIELDS:
        bench.write(el2_name(field), 0)
        bench.write(f"{field}_EL1", SETTABLE if field == "CPACR" else 0)
    bench.write("HCR_EL2", HCR_RW | hcr)
    bench.engine.registers.write_pstate(pstate)
    bench.set_gpr(1, SETTABLE)
    seen = bench.run_to_trap()
    return seen.esr, seen.pc - CODE


@pytest.mark.parametrize("field", FIELDS)
def test_a_name_of_el1_is_el2s_register_at_el2(bench: Bench, field: str) -> None:
    """Read and written; EL1's own has its name with EL12, and keeps its value."""
    bench_words = (msr(1, f"{field}_EL1"), mrs(2, el2_name(field)), mrs(3, f"{field}_EL1"), mrs(4, f"{field}_EL12"))
    assert run(bench, EL2, E2H, *bench_words) == (0x5A00_0000, 20)
    own = SETTABLE if field == "CPACR" else 0
    assert [bench.gpr(n) for n in (2, 3, 4)] == [SETTABLE, SETTABLE, own]
    assert (bench.read(f"{field}_EL1"), bench.read(el2_name(field))) == (own, SETTABLE)


@pytest.mark.parametrize("pstate", [EL2, EL3], ids=["EL2", "EL3"])
@pytest.mark.parametrize("field", FIELDS)
def test_an_alias_is_el1s_register_at_el2_and_el3(bench: Bench, field: str, pstate: int) -> None:
    """Read and written; at EL3 a name of EL1 is what it is."""
    run(bench, pstate, E2H, msr(1, f"{field}_EL12"), mrs(2, f"{field}_EL12"))
    assert (bench.gpr(2), bench.read(f"{field}_EL1"), bench.read(el2_name(field))) == (SETTABLE, SETTABLE, 0)
    if pstate == EL3:
        run(bench, pstate, E2H, msr(1, f"{field}_EL1"))
        assert (bench.read(f"{field}_EL1"), bench.read(el2_name(field))) == (SETTABLE, 0)


@pytest.mark.parametrize(("pstate", "hcr"), [(EL1, E2H), (EL1, 0), (EL2, 0), (EL3, 0)])
@pytest.mark.parametrize("name", [row.name for row in EL12_REGISTERS])
def test_an_alias_is_undefined_elsewhere(bench: Bench, name: str, pstate: int, hcr: int) -> None:
    """At EL1, and where E2H is clear."""
    assert run(bench, pstate, hcr, mrs(2, name)) == (UNKNOWN, 0)
    assert run(bench, pstate, hcr, msr(1, name)) == (UNKNOWN, 0)


def test_the_same_code_of_el3_follows_e2h(bench: Bench) -> None:
    """Its blocks are not told apart by HCR_EL2, nor by SCR_EL3.NS, without which HCR_EL2 has no effect."""
    word = mrs(2, "TCR_EL12")
    assert run(bench, EL3, E2H, word)[0] >> 26 == 0x17
    for name, value in (("HCR_EL2", HCR_RW), ("SCR_EL3", SCR_SECURE)):
        bench.write("HCR_EL2", HCR_RW | E2H)
        bench.write(name, value)
        bench.engine.state.set_pc(CODE)
        assert (bench.run_to_trap().esr, bench.engine.state.pc) == (UNKNOWN, CODE)


def test_the_same_code_of_el2_follows_e2h(bench: Bench) -> None:
    """MSR HCR_EL2 between two reads of a name."""
    words = (mrs(2, "TCR_EL1"), msr(5, "HCR_EL2"), mrs(3, "TCR_EL1"), msr(6, "HCR_EL2"), mrs(4, "TCR_EL1"))
    bench.engine.registers.present(translated_features(model("max")))
    bench.start(*words, hvc(0))
    bench.write("TCR_EL1", 1), bench.write("TCR_EL2", 2)
    bench.set_gpr(5, HCR_RW | E2H), bench.set_gpr(6, HCR_RW)
    bench.engine.registers.write_pstate(EL2)
    bench.run_to_trap()
    assert [bench.gpr(n) for n in (2, 3, 4)] == [1, 2, 1]


TIMERS = tuple(f"CNT{kind}_{what}" for kind in "PV" for what in ("TVAL", "CTL", "CVAL"))


def answered(bench: Bench) -> list[tuple[str, int]]:
    """Python answers for the timers of EL0 and EL2, with their encodings; what is written."""
    written: list[tuple[str, int]] = []
    rows, shape = RegisterRows(), {}
    for timer in TIMERS:
        for name in (f"{timer}_EL0", f"CNTH{timer[3:]}_EL2"):
            encoding = by_name[name].encoding
            rows.reads[encoding] = lambda encoding=encoding: encoding
            rows.writes[encoding] = lambda value, name=name: written.append((name, value))
            shape[encoding] = PYTHON, PYTHON, 0
    rows.shape = tuple(sorted(shape.items()))
    bench.engine.registers.use(rows)
    return written


@pytest.mark.parametrize(
    ("pstate", "hcr", "is_el2s"),
    [
        (EL2, E2H, True),
        (EL2, 0, False),
        (EL0, E2H | TGE, True),
        (EL0, E2H, False),
        (EL1, E2H, False),
        (EL3, E2H, False),
    ],
)
@pytest.mark.parametrize("timer", TIMERS)
def test_a_timers_name_is_el2s_timer_at_el2_and_in_its_applications(
    bench: Bench, timer: str, pstate: int, hcr: int, is_el2s: bool
) -> None:
    """CNTP is CNTHP, CNTV is CNTHV; at EL0 only with TGE. Whoever answers for them does."""
    written = answered(bench)
    bench.engine.registers.present(translated_features(model("max")))
    bench.start(mrs(2, f"{timer}_EL0"), msr(1, f"{timer}_EL0"), SMC if pstate == EL3 else hvc(0))
    bench.write("CNTKCTL_EL1", 0x303)
    bench.write("CNTHCTL_EL2", 0xF03)
    bench.write("HCR_EL2", HCR_RW | hcr)
    bench.engine.registers.write_pstate(pstate)
    bench.set_gpr(1, 7)
    bench.run_to_trap()
    name = f"CNTH{timer[3:]}_EL2" if is_el2s else f"{timer}_EL0"
    assert (bench.gpr(2), written) == (by_name[name].encoding, [(name, 7)])


@pytest.mark.parametrize("timer", TIMERS)
def test_a_timers_alias_is_answered_by_whom_the_timer_has(bench: Bench, timer: str) -> None:
    """CNTP_CTL_EL02 and its like."""
    written = answered(bench)
    run(bench, EL2, E2H, mrs(2, f"{timer}_EL02"), msr(1, f"{timer}_EL02"))
    assert (bench.gpr(2), written) == (by_name[f"{timer}_EL0"].encoding, [(f"{timer}_EL0", SETTABLE)])


def test_an_application_without_access_is_told_so(bench: Bench) -> None:
    """CNTHCTL_EL2.EL0PTEN, which counts under TGE (D17.11.3): the trap is EL2's."""
    answered(bench)
    assert run(bench, EL0, E2H | TGE, mrs(2, "CNTP_CTL_EL0"))[0] >> 26 == 0x18
