"""Who may access a register where the engine by itself has it otherwise: guests with EL2 and EL3 (DDI 0487 D17)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from armvcpu.arch.controls import HCR_EL2
from armvcpu.arch.idregs import model, translated_features
from armvcpu.arch.registers import by_name, instruction_from_access, iss_from_encoding, op
from armvcpu.engine.api import CONSTANT, IGNORED, PYTHON, UNDEFINED, RegisterRows
from armvcpu.engine.selftest_bench import CODE, HCR_RW, NOP, hvc

if TYPE_CHECKING:
    from armvcpu.engine.selftest_bench import Bench

EL0, EL1, EL2, EL3 = 0x3C0, 0x3C5, 0x3C9, 0x3CD
TIDCP, HCD, E2H = HCR_EL2.of(TIDCP=1), HCR_EL2.of(HCD=1), HCR_EL2.of(E2H=1)
SMC, UNKNOWN, NS = 0xD400_0003, 0x0200_0000, 1
SCR_SECURE, SCR_NON_SECURE = 0x530, 0x531
UNCLAIMED, L2CTLR, IC_LIKE = op(3, 1, 15, 2, 7), by_name["L2CTLR_EL1"].encoding, op(1, 2, 11, 4, 0)
"""IMPLEMENTATION DEFINED: one that nobody has, one with a row, and a system instruction."""


def run(
    bench: Bench,
    word: int,
    *,
    pstate: int,
    highest: int,
    hcr: int = 0,
    scr: int = SCR_NON_SECURE,
    mdcr: int = 0,
    x3: int = 0,
) -> tuple[int, int, int]:
    """(target level, ESR, offset of PC) of what ended NOP and this word at a level of a guest with `highest`."""
    bench.engine.registers.present(translated_features(model("max")))
    bench.engine.highest = highest
    bench.start(NOP, word, SMC)
    for el in (2, 3):
        bench.engine.listen.hear_exceptions((1 << 64) - 1, el)
    bench.write("HCR_EL2", HCR_RW)
    bench.engine.registers.write_pstate(pstate)
    if hcr & HCD and highest == 2:  # only the guest sets it
        bench.engine.registers.write_pstate(EL2)
        bench.put(CODE + 0x100, instruction_from_access(by_name["HCR_EL2"].encoding, 3, is_read=False), SMC)
        bench.engine.state.set_pc(CODE + 0x100)
        bench.set_gpr(3, HCR_RW | hcr)
        bench.run_to_trap()
        bench.engine.state.set_pc(CODE)
        bench.engine.registers.write_pstate(pstate)
    else:
        bench.write("HCR_EL2", HCR_RW | hcr)
    bench.write("SCR_EL3", scr)
    bench.write("MDCR_EL2", mdcr)
    bench.engine.registers.write_pstate(pstate)
    bench.set_gpr(3, x3)
    seen = bench.run_to_trap()
    return seen.target_el, seen.esr, seen.pc - CODE


def access(encoding: int, *, is_read: bool) -> int:
    return instruction_from_access(encoding, 3, is_read=is_read)


def trapped(encoding: int, *, is_read: bool) -> int:
    return 0x6200_0000 | iss_from_encoding(encoding) | 3 << 5 | is_read


# --- HCR_EL2.TIDCP ------------------------------------------------------------------------------------------------


def with_row(bench: Bench) -> None:
    rows = RegisterRows()
    rows.shape = ((L2CTLR, (CONSTANT, IGNORED, 7)),)
    bench.engine.registers.use(rows)


@pytest.mark.parametrize("is_read", [True, False])
@pytest.mark.parametrize("encoding", [UNCLAIMED, L2CTLR, IC_LIKE], ids=hex)
def test_tidcp_traps_implementation_defined_registers_of_el1(bench: Bench, encoding: int, is_read: bool) -> None:
    """Whether anybody has them or not (D17.2.48); without it they are what they are."""
    with_row(bench)
    word = access(encoding, is_read=is_read)
    assert run(bench, word, pstate=EL1, highest=2, hcr=TIDCP) == (2, trapped(encoding, is_read=is_read), 4)
    without = run(bench, word, pstate=EL1, highest=2)
    assert without == (1, UNKNOWN, 4) if encoding != L2CTLR else without[1] >> 26 == 0x17


def test_tidcp_is_of_el1_and_of_non_secure_state(bench: Bench) -> None:
    """At EL2 it has no effect, nor where EL2 is not enabled; at EL0 the register is UNDEFINED."""
    with_row(bench)
    word = access(L2CTLR, is_read=True)
    for pstate, highest, scr in ((EL2, 2, SCR_NON_SECURE), (EL1, 3, SCR_SECURE), (EL3, 3, SCR_NON_SECURE)):
        assert run(bench, word, pstate=pstate, highest=highest, hcr=TIDCP, scr=scr)[1] >> 26 == 0x17
        assert bench.gpr(3) == 7
    assert run(bench, word, pstate=EL0, highest=2, hcr=TIDCP) == (1, UNKNOWN, 4)


def test_a_trap_by_tidcp_follows_the_bit(bench: Bench) -> None:
    """The same code, translated once."""
    with_row(bench)
    word = access(L2CTLR, is_read=True)
    run(bench, word, pstate=EL1, highest=2)
    for hcr, ec in ((TIDCP, 0x18), (0, 0x17), (TIDCP, 0x18)):
        bench.engine.state.set_pc(CODE)
        bench.write("HCR_EL2", HCR_RW | hcr)
        assert bench.run_to_trap().esr >> 26 == ec


# --- MDCR_EL2 -----------------------------------------------------------------------------------------------------

TDOSA, TDA, TPM, TPMCR = 1 << 10, 1 << 9, 1 << 6, 1 << 5
DEBUG = {
    "MDSCR_EL1": TDA, "DBGCLAIMSET_EL1": TDA, "DBGAUTHSTATUS_EL1": TDA, "OSDTRRX_EL1": TDA, "OSECCR_EL1": TDA,
    "MDCCSR_EL0": TDA, "OSDLR_EL1": TDOSA, "DBGPRCR_EL1": TDOSA,
}  # fmt: skip


@pytest.mark.parametrize("name", DEBUG)
def test_debug_registers_trap_whoever_has_them(bench: Bench, name: str) -> None:
    """Those that the engine lacks as those that it has (D17.3.17)."""
    encoding = by_name[name].encoding
    rows = RegisterRows()
    if name not in {"MDSCR_EL1", "OSDLR_EL1"}:
        rows.shape = ((encoding, (CONSTANT, IGNORED, 7)),)
    bench.engine.registers.use(rows)
    word = access(encoding, is_read=True)
    outcomes = {bit: run(bench, word, pstate=EL1, highest=2, mdcr=bit)[:2] for bit in (TDA, TDOSA)}
    assert {bit for bit, (_, esr) in outcomes.items() if esr >> 26 != 0x17} == {DEBUG[name]}
    assert outcomes[DEBUG[name]] == (2, trapped(encoding, is_read=True))
    assert run(bench, word, pstate=EL2, highest=2, mdcr=TDA | TDOSA)[1] >> 26 == 0x17


@pytest.mark.parametrize(("name", "bits"), [("PMCR_EL0", {TPM, TPMCR}), ("PMCCNTR_EL0", {TPM})])
def test_performance_monitors_trap_together_or_the_control_register_alone(
    bench: Bench, name: str, bits: set[int]
) -> None:
    """MDCR_EL2.TPM and TPMCR, at EL1, and not in Secure state."""
    encoding = by_name[name].encoding
    word = access(encoding, is_read=True)
    for bit in (TPM, TPMCR):
        target, esr, _ = run(bench, word, pstate=EL1, highest=3, mdcr=bit)
        assert (target, esr) == (2, trapped(encoding, is_read=True)) if bit in bits else esr >> 26 == 0x17
        assert run(bench, word, pstate=EL1, highest=3, mdcr=bit, scr=SCR_SECURE)[1] >> 26 == 0x17
        assert run(bench, word, pstate=EL2, highest=2, mdcr=bit)[1] >> 26 == 0x17


# --- CNTFRQ_EL0 ---------------------------------------------------------------------------------------------------

CNTFRQ = by_name["CNTFRQ_EL0"].encoding


@pytest.mark.parametrize(
    ("highest", "pstate", "is_written"),
    [(2, EL2, True), (2, EL1, False), (3, EL3, True), (3, EL2, False), (3, EL1, False)],
)
def test_the_frequency_is_written_at_the_highest_level(
    bench: Bench, highest: int, pstate: int, is_written: bool
) -> None:
    """And read at all of them (D17.11.16)."""
    _, esr, _ = run(bench, access(CNTFRQ, is_read=False), pstate=pstate, highest=highest, x3=1_000_000)
    assert (esr >> 26 == 0x17, bench.read("CNTFRQ_EL0") == 1_000_000) == (is_written, is_written)
    run(bench, access(CNTFRQ, is_read=True), pstate=pstate, highest=highest)
    assert bench.gpr(3) == bench.read("CNTFRQ_EL0")


# --- HCR_EL2.HCD --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pstate", [EL1, EL2])
def test_a_guest_of_el2_disables_hvc(bench: Bench, pstate: int) -> None:
    """HCR_EL2.HCD is there without EL3 (D17.2.48): HVC is UNDEFINED where it stands, and the address is its own."""
    assert run(bench, hvc(5), pstate=pstate, highest=2) == (2, 0x5A00_0005, 8)
    assert run(bench, hvc(5), pstate=pstate, highest=2, hcr=HCD) == ((pstate >> 2) & 3, UNKNOWN, 4)
    assert bench.read("HCR_EL2") & HCD


def test_with_el3_hcd_is_res0(bench: Bench) -> None:
    """SCR_EL3.HCE decides then."""
    assert run(bench, hvc(5), pstate=EL1, highest=3, hcr=HCD) == (2, 0x5A00_0005, 8)
    assert not bench.read("HCR_EL2") & HCD
    assert run(bench, hvc(5), pstate=EL1, highest=3, scr=SCR_NON_SECURE & ~(1 << 8)) == (1, UNKNOWN, 4)


# --- registers of one Security state ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["LORSA_EL1", "LOREA_EL1", "LORN_EL1", "LORC_EL1"])
@pytest.mark.parametrize(
    ("pstate", "scr", "there"), [(EL1, 0x531, True), (EL1, 0x530, False), (EL3, 0x531, True), (EL3, 0x530, False)]
)
def test_limited_ordering_regions_are_non_secure(bench: Bench, name: str, pstate: int, scr: int, there: bool) -> None:
    """UNDEFINED in Secure state, at EL3 as below (D17.2.85 and on)."""
    word = access(by_name[name].encoding, is_read=True)
    _, esr, _ = run(bench, word, pstate=pstate, highest=3, scr=scr)
    assert (esr >> 26 == 0x17, esr == UNKNOWN) == (there, not there)


@pytest.mark.parametrize("action", [PYTHON, None])
@pytest.mark.parametrize("name", ["CNTPS_CTL_EL1", "CNTPS_CVAL_EL1", "CNTPS_TVAL_EL1"])
@pytest.mark.parametrize(
    ("pstate", "scr", "outcome"),
    [
        (EL3, 0x530, "there"),
        (EL1, 0x530 | 1 << 11, "there"),
        (EL1, 0x530, "EL3"),
        (EL1, 0x531, "UNDEFINED"),
        (EL2, 0x531, "UNDEFINED"),
    ],
)
def test_the_secure_timer_is_of_el3_and_secure_el1(
    bench: Bench, name: str, pstate: int, scr: int, outcome: str, action: int | None
) -> None:
    """SCR_EL3.ST gives it to Secure EL1; whoever answers for it (D17.11.11)."""
    encoding = by_name[name].encoding
    rows = RegisterRows()
    if action is not None:
        rows.shape, rows.reads[encoding] = ((encoding, (action, UNDEFINED, 0)),), lambda: 77
    bench.engine.registers.use(rows)
    target, esr, _ = run(bench, access(encoding, is_read=True), pstate=pstate, highest=3, scr=scr)
    if outcome == "there":
        assert (esr >> 26, bench.gpr(3) == 77 or action is None) == (0x17, True)
    else:
        wanted = (3, trapped(encoding, is_read=True)) if outcome == "EL3" else ((pstate >> 2) & 3, UNKNOWN)
        assert (target, esr) == wanted


# --- SCTLR_ELx ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "pstate", "hcr", "kept", "res0"),
    [
        ("SCTLR_EL1", EL1, 0, "SCTLR_EL1", 0x7F << 37),
        ("SCTLR_EL1", EL2, 0, "SCTLR_EL1", 0x7F << 37),
        ("SCTLR_EL1", EL2, E2H, "SCTLR_EL2", 0x7F << 37),
        ("SCTLR_EL12", EL2, E2H, "SCTLR_EL1", 0x7F << 37),
        ("SCTLR_EL2", EL3, 0, "SCTLR_EL2", 0x7F << 37),
        ("SCTLR_EL3", EL3, 0, "SCTLR_EL3", 0x59 << 37),
    ],
)
def test_controls_of_memory_tagging_are_res0(
    bench: Bench, name: str, pstate: int, hcr: int, kept: str, res0: int
) -> None:
    """Without FEAT_MTE2 (D17.2.118 and on), by whichever name; what else is written stays."""
    written = 0xFFFF_FFFF_0000_0000
    run(bench, access(by_name[name].encoding, is_read=False), pstate=pstate, highest=3, hcr=hcr, x3=written)
    assert bench.read(kept) == written & ~res0


# --- RW -----------------------------------------------------------------------------------------------------------

RW = {"HCR_EL2": 1 << 31, "SCR_EL3": 1 << 10}


@pytest.mark.parametrize(("name", "pstate"), [("HCR_EL2", EL2), ("HCR_EL2", EL3), ("SCR_EL3", EL3)])
def test_rw_reads_as_one_and_ignores_writes(bench: Bench, name: str, pstate: int) -> None:
    """No level has AArch32 (D17.2.48, D17.2.117); the host's own writes are no other."""
    run(bench, access(by_name[name].encoding, is_read=False), pstate=pstate, highest=3)
    assert bench.read(name) & RW[name]
    bench.write(name, 0)
    assert bench.read(name) & RW[name]


def test_an_abort_at_el0_after_rw_was_cleared(bench: Bench) -> None:
    """Its syndrome is AArch64's; AArch32 has none for an Address size fault, and the engine would end the process."""
    run(bench, access(by_name["HCR_EL2"].encoding, is_read=False), pstate=EL2, highest=2)
    bench.put(CODE, 0xF940_0063)  # LDR X3, [X3]
    bench.engine.state.set_pc(CODE)
    bench.engine.registers.write_pstate(EL0)
    bench.set_gpr(3, 1 << 48)
    assert bench.run_to_trap().esr == 0x9200_0000


@pytest.mark.parametrize(("el", "pstate"), [(1, EL1), (2, EL2), (3, EL3)])
@pytest.mark.parametrize("spsr", [0x1D0, 0x1D3, 0x1DA], ids=["user", "supervisor", "hyp"])
def test_a_return_to_aarch32_is_illegal(bench: Bench, el: int, pstate: int, spsr: int) -> None:
    """At the present level, which then is in Illegal Execution state; SPSR_ELx is what it was (D1.4.4)."""
    run(bench, NOP, pstate=pstate, highest=3)
    bench.put(CODE, 0xD69F_03E0)  # ERET
    bench.engine.state.set_pc(CODE)
    bench.engine.registers.write_pstate(pstate)
    bench.write(f"SPSR_EL{el}", spsr)
    bench.write(f"ELR_EL{el}", CODE + 8)
    seen = bench.run_to_trap()
    assert (seen.target_el, seen.esr, seen.pc) == (el, 0x3A00_0000, CODE + 8)
    assert (bench.engine.state.aarch32, bench.read(f"SPSR_EL{el}")) == (False, spsr)
