"""Exceptions that a guest takes itself, entered here and by QEMU 7.2: guests/entry.elf says the same on both.

The guest prints a line for each instruction in each mode and condition. A difference is a failure unless a row of
`EXPECTED` gives the reason, and a row fails as well where there is no difference any more.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from armvcpu.errors import UsageError
from armvcpu.machine.console.port import MemoryConsole
from armvcpu.machine.machine import Machine
from armvcpu.testing.firmware import programs

GUEST = Path(__file__).parents[1] / "guests" / "bin" / "entry.elf"
TIMEOUT = 120
SHOWN = 40
"""Lines of a failure's message."""
QEMU = "qemu-system-aarch64"
BOARD = ("-M", "virt,gic-version=3", "-m", "256", "-nographic", "-nic", "none")
MODELS = {"a72": "cortex-a72", "max": "max"}
LINES = {"a72": 1316, "max": 1452}
REPEATED = ("section", "acknowledged")
"""What is not the name of an instruction, and comes several times."""
ENTRY = frozenset(("vector", "esr", "elr", "spsr", "far", "el", "spsel", "daif", "pan", "sum", "changed", "fp"))
"""All fields but `nzcv` and `system`."""

Lines = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Expected:
    """Lines whose name is `pattern` differ, each in some of these fields and in no others, for a reason."""

    pattern: str
    reason: str
    fields: frozenset[str] = ENTRY
    models: tuple[str, ...] = tuple(MODELS)


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
    Expected("M 0x., .*, illegal return.*", "an illegal return sets PSTATE.IL, and the next instruction executes"),
    Expected("EL(0|1t|1h), .*, SPSR[.]IL", "PSTATE.IL is set, but instructions execute"),
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


def parsed(output: str) -> Lines:
    """The guest's lines by their names, each with its fields; what is no such line has one field."""
    lines: Lines = {}
    for number, line in enumerate(output.splitlines()):
        name, _, rest = line.partition(": ")
        if name in REPEATED or "=" not in rest:
            lines[f"{number} {name}"] = {"text": rest}
            continue
        assert name not in lines, f"two lines have the name {name!r}"
        lines[name] = dict(field.split("=", 1) for field in rest.split())
    return lines


def lines_here(model: str) -> Lines:
    """As armvcpu runs the guest."""
    console = MemoryConsole()
    with Machine(GUEST, console=console, cpu_model=model) as machine:
        outcome = machine.run(timeout=TIMEOUT)
    assert outcome.ok, outcome
    return parsed(console.output.decode())


def lines_of_qemu(model: str) -> Lines:
    """As QEMU runs the guest."""
    try:
        qemu = programs.path(QEMU)
    except UsageError as error:
        pytest.fail(str(error), pytrace=False)
    command = [qemu, *BOARD, "-cpu", MODELS[model], "-kernel", str(GUEST)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, check=True)
    return parsed(done.stdout.decode())


def differing(ours: dict[str, str], theirs: dict[str, str]) -> set[str]:
    """The names of the fields that one has and the other has not, or has otherwise."""
    return {field for field in ours.keys() | theirs.keys() if ours.get(field) != theirs.get(field)}


def problems(ours: Lines, theirs: Lines, expected: list[Expected]) -> list[str]:
    """One line of text for each difference without a reason, and for each reason without a difference."""
    found = []
    matched: set[str] = set()
    for name, line in theirs.items():
        different = differing(ours[name], line)
        for row in expected:
            if "text" in line or not re.fullmatch(row.pattern, name):
                continue
            matched.add(row.pattern)
            if not different & row.fields:
                found.append(f"{name}: no longer differs, so take it out of EXPECTED: {row.reason}")
            different -= row.fields
        fields = (f"{field} {ours[name].get(field)}, QEMU {line.get(field)}" for field in line if field in different)
        if different:
            found.append(f"{name}: {'; '.join(fields)}")
    return found + [f"no line is {row.pattern!r}" for row in expected if row.pattern not in matched]


@pytest.mark.parametrize("model", MODELS)
def test_exceptions_are_entered_as_qemu_enters_them(model: str) -> None:
    """Vector, syndrome, return address, PSTATE before and after, and everything that entry must leave alone."""
    theirs, ours = lines_of_qemu(model), lines_here(model)
    assert list(ours) == list(theirs), "the guest took another way"
    assert list(ours.values())[-1] == {"text": f"end, {LINES[model]} lines"}
    found = problems(ours, theirs, [row for row in EXPECTED if model in row.models])
    if found:
        shown = "\n".join([*found[:SHOWN], *([f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else [])])
        pytest.fail(f"{len(found)} of {len(ours)} lines, armvcpu's value first:\n{shown}", pytrace=False)


def test_a_difference_is_shown_field_by_field() -> None:
    """The line's name, and what differs of it."""
    theirs = {"EL0, nop": {"esr": "0x1", "elr": "code+0x0"}}
    ours = {"EL0, nop": {"esr": "0x2", "elr": "code+0x0"}}
    assert problems(ours, theirs, []) == ["EL0, nop: esr 0x2, QEMU 0x1"]
    assert problems(ours, theirs, [Expected("EL0, .*", "why")]) == []
    assert problems(ours, theirs, [Expected("EL0, .*", "why", frozenset(("far",)))]) == [
        "EL0, nop: no longer differs, so take it out of EXPECTED: why",
        "EL0, nop: esr 0x2, QEMU 0x1",
    ]


def test_a_reason_without_a_difference_is_a_problem() -> None:
    """Neither where the lines are equal, nor where there is no such line any more."""
    lines = {"EL0, nop": {"esr": "0x1"}}
    assert problems(lines, lines, [Expected("EL0, .*", "why")]) == [
        "EL0, nop: no longer differs, so take it out of EXPECTED: why"
    ]
    assert problems(lines, lines, [Expected("EL2, .*", "why")]) == ["no line is 'EL2, .*'"]


def test_without_qemu_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And nothing is skipped."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("ARMVCPU_CACHE", str(tmp_path))
    with pytest.raises(
        pytest.fail.Exception,
        match=r"^qemu-system-aarch64 is missing: apt-get install qemu-system-arm \(dpkg: no such program; .*\)$",
    ):
        lines_of_qemu("a72")
