"""EL2 and EL3 of a guest's own, here and on QEMU 7.2: guests/controls, routing and stages say the same on both.

`controls` changes every bit of every control register alone and says which of several hundred instructions are then
trapped, where to and with which syndrome. `routing` is about calls, returns, interrupts, debug exceptions and waits;
`stages` about the guest's own stage 2, its translation regimes, and AT. A difference is a failure unless a row gives
the reason, and a row fails as well where there is no difference any more.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from guest_lines import Expected, Lines, fail_with, output_here, output_of_qemu, parsed, problems

GUESTS = Path(__file__).parents[1] / "guests" / "bin"
BOARDS = {
    2: "virt,virtualization=on,gic-version=3",
    3: "virt,virtualization=on,secure=on,gic-version=3",
}
MODELS = {"a72": "cortex-a72", "max": "max,sve=off,pauth=off"}
"""QEMU's names; what armvcpu's `max` has not and can be left out, is."""
BY_INSTRUCTIONS = ("-icount", "shift=3,sleep=off")
"""QEMU's time by instructions too: how long the host takes must not decide whether a timer is first."""
ESR = frozenset(("esr",))
MAX = ("max",)

ID_SPACE = r"S3_0_C0_C[1-7]_[0-7]|(midr|mpidr|revidr|aidr|clidr|ccsidr|id_aa64pfr0)_el1"
DEBUG_COMMUNICATION = (
    r"(dbgdtr|dbgdtrrx)_el0|(osdtrrx|osdtrtx|oseccr|dbgprcr|dbgclaimset|dbgclaimclr|dbgauthstatus)_el1"
)
CONTROLS = (
    # What QEMU does otherwise.
    Expected(
        rf".*(mrs x1, |msr )({DEBUG_COMMUNICATION})(, x1)?",
        "QEMU 7.2 lacks these registers of D17.3, and with them their traps",
    ),
    Expected(r".*(hcr_el2\[14\]=1|scr_el3\[13\]=1|sctlr_el2\[18\]=0): EL.h?, wfe", "QEMU 7.2 never traps WFE"),
    Expected(
        r".*hcr_el2\[20\]=1: EL1h, (mrs x1, S3_._C1[15]_C0_0|sys #0, C1[15], C0, #0, x0)",
        "QEMU 7.2 leaves HCR_EL2.TIDCP out",
        els=(2,),
    ),
    Expected(r".*mdcr_el2\[5\]=1: .*pmcr_el0(, x1)?", "QEMU 7.2 leaves MDCR_EL2.TPMCR out", els=(2,)),
    Expected(
        r".*mdcr_el[23]\[6\]=1: EL0, mrs x1, pmevcntr0_el0",
        "QEMU 7.2 leaves MDCR_ELx.TPM out where PMUSERENR_EL0.ER is set",
    ),
    Expected(
        r"nVHE, cnthctl_el2\[[01]\]=0: EL0, mrs x1, cntpct_el0",
        "QEMU 7.2 has EL1PCEN trap CNTPCT_EL0 at EL0, not EL1PCTEN",
        els=(2,),
    ),
    Expected(
        r".*: EL2h, (mrs x1, .*_el[10]2|msr cpacr_el12, x1)",
        "QEMU 7.2 has the EL12 names without HCR_EL2.E2H too, and a syndrome for those of EL02",
        models=MAX,
    ),
    # What QEMU's `max` has and armvcpu's has not.
    Expected(
        rf".*: EL0, mrs x1, ({ID_SPACE})", "FEAT_IDST: ID registers trap at EL0 with their syndrome", ESR, models=MAX
    ),
    Expected(r"Secure.*: EL1h, hvc #0", "QEMU 7.2 takes HVC of Secure EL1 to an EL2 that is not there", els=(3,)),
    Expected(r".*tlbi (.*os|rvae1.*)(, x1)?", "FEAT_TLBIOS and FEAT_TLBIRANGE", models=MAX),
)
ROUTING = (
    Expected(r".*, wfe", "QEMU 7.2 never traps WFE"),
    Expected(
        r"NS E2H TGE .*SCTLR_EL[12] 0, EL0, wfi",
        "QEMU 7.2 goes by SCTLR_EL1.nTWI at EL0 of a host, not by SCTLR_EL2.nTWI",
        models=MAX,
    ),
    Expected(
        r".*TGE.*, (IRQ|FIQ), EL1h unmasked, nop|S SCR.*, (IRQ|FIQ), EL2h unmasked, nop",
        "of an illegal return and an interrupt either may come first (D1.3.4)",
    ),
    Expected(
        r".*TGE.* KDE, (step|breakpoint), EL1h unmasked, nop",
        "after an illegal return debug exceptions come before, but the engine looks for them at the next instruction",
        els=(2,),
    ),
    Expected(
        r"redirected( TGE)?, mrs x1, .*_el[10]2",
        "QEMU 7.2 has the EL12 names without HCR_EL2.E2H too, and a syndrome for those of EL02",
        els=(2,),
        models=MAX,
    ),
    Expected(r"S.*, EL1., hvc #0x66", "QEMU 7.2 takes HVC of Secure EL1 to an EL2 that is not there", els=(3,)),
)
OTHER_LEVELS = "access flag level 1|write-only level 2|hole level 1 for level 3|hole level 3 for level 2"
STAGES = (
    Expected(
        rf"stages 1 and 2, walk through ({OTHER_LEVELS}), .*",
        "QEMU 7.2 has stage 1's level in the syndrome of a stage 2 fault in its walk, not stage 2's",
        ESR,
    ),
    Expected(
        r"EL2(&0)? .*, (ldr|str) x1, \[x0\]",
        "QEMU 7.2 describes the access in the syndrome of EL2's own aborts, which are none of stage 2",
        ESR,
    ),
    Expected(r"stage 2 more than PA, .*", "FEAT_LPA: an address has 52 bits", models=MAX),
    Expected(r"attributes FWB, .*", "FEAT_S2FWB", models=MAX),
    Expected(r"AT TGE .*", "QEMU 7.2 translates by EL1's tables that HCR_EL2.TGE turns off (D17.2.48)"),
)
EXPECTED = {"controls": CONTROLS, "routing": ROUTING, "stages": STAGES}

QUICK = (("routing", 2, "a72"), ("stages", 2, "max"))
SLOW = [(guest, el, model) for guest in EXPECTED for el in BOARDS for model in MODELS]
SLOW = [run for run in SLOW if run not in QUICK]


def complete(output: str) -> Lines:
    """The lines of a guest that has come to its end."""
    *lines, last = output.splitlines()
    assert last.startswith("end, "), last
    return parsed("\n".join(lines))


def lines_here(guest: str, el: int, model: str) -> Lines:
    """As armvcpu runs the guest."""
    return complete(output_here(GUESTS / f"{guest}.elf", model, el=el, clock="instructions"))


def lines_of_qemu(guest: str, el: int, model: str) -> Lines:
    """As QEMU runs the guest."""
    return complete(output_of_qemu(GUESTS / f"{guest}.elf", BOARDS[el], MODELS[model], *BY_INSTRUCTIONS))


@pytest.mark.parametrize(
    ("guest", "el", "model"), [*QUICK, *(pytest.param(*run, marks=pytest.mark.slow) for run in SLOW)]
)
def test_exceptions_go_where_qemu_takes_them(guest: str, el: int, model: str) -> None:
    """Level, vector, syndrome, return address, PSTATE, FAR_ELx, HPFAR_EL2 and PAR_EL1."""
    theirs, ours = lines_of_qemu(guest, el, model), lines_here(guest, el, model)
    rows = [row for row in EXPECTED[guest] if model in row.models and el in row.els]
    fail_with(problems(ours, theirs, rows), len(ours))
