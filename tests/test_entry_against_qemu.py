"""Exceptions that a guest takes itself, entered here and by QEMU 7.2: guests/entry.elf says the same on both.

The guest prints a line for each instruction in each mode and condition. A difference is a failure unless a row of
`EXPECTED` gives the reason, and a row fails as well where there is no difference any more.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from guest_lines import Expected, Lines, fail_with, output_here, output_of_qemu, parsed, problems

GUEST = Path(__file__).parents[1] / "guests" / "bin" / "entry.elf"
BOARD = "virt,gic-version=3"
MODELS = {"a72": "cortex-a72", "max": "max"}
LINES = {"a72": 1316, "max": 1452}
REPEATED = ("section", "acknowledged")
"""What is not the name of an instruction, and comes several times."""
ENTRY = frozenset(("vector", "esr", "elr", "spsr", "far", "el", "spsel", "daif", "pan", "sum", "changed", "fp"))
"""All fields but `nzcv` and `system`."""

ANY_ACCESS = r"(ldr|ldrh|str|ldp|stp|ldtr|sttr) .*"
EXPECTED = (
    # What QEMU does otherwise.
    Expected(".*", "QEMU clears PSTATE.NZCV, which AArch64.TakeException keeps", frozenset(("nzcv",))),
    Expected(
        "EL0, wfe",
        "QEMU 7.2 never traps WFE: SCTLR_EL1.nTWE has no effect there",
        frozenset(("esr", "elr")),
    ),
    Expected(
        "EL0, msr daif(set|clr), #.",
        "QEMU 7.2 has Op1 and Op2 of MSR (immediate) in each other's place",
        frozenset(("esr",)),
    ),
    Expected(
        r"EL(0|1h), (ldp|ldtr) .*, watchpoint on one byte",
        "QEMU 7.2 keeps WnR of a store that hit the watchpoint before",
        frozenset(("esr",)),
    ),
    # What armvcpu leaves out (docs/engine.md, "Gaps").
    Expected(
        "EL(0|1t|1h), ret x0, PC [+] [12]", "PC alignment is not checked: a branch there is UNDEFINED, or goes on"
    ),
    Expected(
        r"EL(0|1t|1h), (ldr x1|ldr q0|ldrh|str|ldp|ldar|ldarh|stlr) ?.*, SCTLR_EL1[.]A",
        "SCTLR_EL1.A is not modelled",
    ),
    Expected("EL(0|1t|1h), (ldar|ldarh|stlr) .*, unaligned", "LDAR and STLR do not check alignment"),
    # What QEMU's `max` has and armvcpu's has not.
    Expected(
        f"EL(0|1t|1h), ({ANY_ACCESS}|ret x0), address size level .",
        "FEAT_LPA: addresses have 52 bits, and no 48 of a descriptor are too many",
        frozenset(("esr",)),
        ("max",),
    ),
    Expected(
        "EL0, mrs x1, (S3_0_C0_C7_7|midr_el1|id_aa64pfr0_el1)(, SPAN 0)?",
        "FEAT_IDST: ID registers trap at EL0 with their syndrome",
        frozenset(("esr",)),
        ("max",),
    ),
    Expected(
        "EL(0|1t|1h), .inst 0x05000000(, SPAN 0.*)?",
        "FEAT_SVE: its instructions trap instead of being UNDEFINED",
        frozenset(("esr",)),
        ("max",),
    ),
    Expected(
        "EL(0|1h), blr x0, translation level 3",
        "FEAT_BTI: SPSR_EL1.BTYPE",
        frozenset(("spsr",)),
        ("max",),
    ),
)  # fmt: skip


def lines_here(model: str) -> Lines:
    """As armvcpu runs the guest."""
    return parsed(output_here(GUEST, model), REPEATED)


def lines_of_qemu(model: str) -> Lines:
    """As QEMU runs the guest."""
    return parsed(output_of_qemu(GUEST, BOARD, MODELS[model]), REPEATED)


@pytest.mark.parametrize("model", MODELS)
def test_exceptions_are_entered_as_qemu_enters_them(model: str) -> None:
    """Vector, syndrome, return address, PSTATE before and after, and everything that entry must leave alone."""
    theirs, ours = lines_of_qemu(model), lines_here(model)
    assert list(ours) == list(theirs), "the guest took another way"
    assert list(ours.values())[-1] == {"text": f"end, {LINES[model]} lines"}
    found = problems(ours, theirs, [row for row in EXPECTED if model in row.models], ENTRY)
    fail_with(found, len(ours))


def test_a_difference_is_shown_field_by_field() -> None:
    """The line's name, and what differs of it."""
    theirs = {"EL0, nop": {"esr": "0x1", "elr": "code+0x0"}}
    ours = {"EL0, nop": {"esr": "0x2", "elr": "code+0x0"}}
    assert problems(ours, theirs, [], ENTRY) == ["EL0, nop: esr 0x2, QEMU 0x1"]
    assert problems(ours, theirs, [Expected("EL0, .*", "why")], ENTRY) == []
    assert problems(ours, theirs, [Expected("EL0, .*", "why", frozenset(("far",)))], ENTRY) == [
        "EL0, nop: no longer differs, so take it out of EXPECTED: why",
        "EL0, nop: esr 0x2, QEMU 0x1",
    ]


def test_a_reason_without_a_difference_is_a_problem() -> None:
    """Neither where the lines are equal, nor where there is no such line any more."""
    lines = {"EL0, nop": {"esr": "0x1"}}
    assert problems(lines, lines, [Expected("EL0, .*", "why")], ENTRY) == [
        "EL0, nop: no longer differs, so take it out of EXPECTED: why"
    ]
    assert problems(lines, lines, [Expected("EL2, .*", "why")], ENTRY) == ["no line is 'EL2, .*'"]


def test_without_qemu_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And nothing is skipped."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("ARMVCPU_CACHE", str(tmp_path))
    with pytest.raises(
        pytest.fail.Exception,
        match=r"^qemu-system-aarch64 is missing: apt-get install qemu-system-arm \(dpkg: no such program; .*\)$",
    ):
        lines_of_qemu("a72")
