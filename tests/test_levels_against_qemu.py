"""EL2 and EL3 of a guest's own, here and on QEMU 7.2: guests/controls, routing and stages say the same on both.

`controls` changes every bit of every control register alone and says which of several hundred instructions are then
trapped, where to and with which syndrome. `routing` is about calls, returns, interrupts, debug exceptions and waits;
`stages` about the guest's own stage 2, its translation regimes, and AT. A difference is a failure unless a row gives the
reason, and a row fails as well where there is no difference any more.
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
ESR = frozenset(("esr",))
MAX = ("max",)

ID_SPACE = r"S3_0_C0_C[1-7]_[0-7]|(midr|mpidr|revidr|aidr|clidr|ccsidr|id_aa64pfr0)_el1"
DEBUG_COMMUNICATION = (
    r"(dbgdtr|dbgdtrrx)_el0|(osdtrrx|osdtrtx|oseccr|dbgprcr|dbgclaimset|dbgclaimclr|dbgauthstatus|rvbar)_el1"
)
CONTROLS = (
    Expected(
        rf".*(mrs x1, |msr )({DEBUG_COMMUNICATION})(, x1)?",
        "QEMU 7.2 lacks these registers of D17.3 and RVBAR_EL1, which A-profile CPUs have",
    ),
    Expected(r".*hcr_el2\[14\]=1: EL[01]h?, wfe", "QEMU 7.2 never traps WFE"),
    Expected(
        r".*mdcr_el[23]\[6\]=1: EL0, (mrs x1, |msr )pmevcntr0_el0(, x1)?",
        "QEMU 7.2 leaves MDCR_ELx.TPM out where PMUSERENR_EL0.ER is set",
    ),
    Expected(
        rf".*: EL0, mrs x1, ({ID_SPACE})", "FEAT_IDST: ID registers trap at EL0 with their syndrome", ESR, models=MAX
    ),
    Expected(r".*tlbi (.*os|rvae1.*)(, x1)?", "FEAT_TLBIOS and FEAT_TLBIRANGE are not there", models=MAX),
    Expected(
        r".*: EL2h, (mrs x1, .*_el[10]2|msr cpacr_el12, x1)",
        "QEMU 7.2 has the EL12 names without HCR_EL2.E2H too, and a syndrome for those of EL02",
        models=MAX,
    ),
)
ROUTING: tuple[Expected, ...] = ()
STAGES: tuple[Expected, ...] = ()
EXPECTED = {"controls": CONTROLS, "routing": ROUTING, "stages": STAGES}

QUICK = (("routing", 2, "a72"), ("stages", 2, "max"))
SLOW = [(guest, el, model) for guest in EXPECTED for el in BOARDS for model in MODELS]
SLOW = [run for run in SLOW if run not in QUICK]


def lines_here(guest: str, el: int, model: str) -> Lines:
    """As armvcpu runs the guest."""
    return parsed(output_here(GUESTS / f"{guest}.elf", model, el))


def lines_of_qemu(guest: str, el: int, model: str) -> Lines:
    """As QEMU runs the guest."""
    return parsed(output_of_qemu(GUESTS / f"{guest}.elf", BOARDS[el], MODELS[model]))


@pytest.mark.parametrize(
    ("guest", "el", "model"), [*QUICK, *(pytest.param(*run, marks=pytest.mark.slow) for run in SLOW)]
)
def test_exceptions_go_where_qemu_takes_them(guest: str, el: int, model: str) -> None:
    """Level, vector, syndrome, return address, PSTATE, FAR_ELx, HPFAR_EL2 and PAR_EL1."""
    theirs, ours = lines_of_qemu(guest, el, model), lines_here(guest, el, model)
    rows = [row for row in EXPECTED[guest] if model in row.models]
    fail_with(problems(ours, theirs, rows), len(ours))
