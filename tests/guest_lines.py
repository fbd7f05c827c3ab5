"""What a guest says here and on QEMU 7.2, line by line, and for which differences there is a reason.

A line is `name: field=value field=value`. A difference is a problem unless a row gives the reason, and so is a row where
there is no difference any more.
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

TIMEOUT = 300
SHOWN = 40
"""Lines of a failure's message."""
QEMU = "qemu-system-aarch64"

Lines = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Expected:
    """Lines whose name is `pattern` differ for a reason, each in some of these fields and in no others."""

    pattern: str
    reason: str
    fields: frozenset[str] = frozenset()
    models: tuple[str, ...] = ("a72", "max")


def parsed(output: str, repeated: tuple[str, ...] = ()) -> Lines:
    """The guest's lines by their names, each with its fields; what is no such line has one field."""
    lines: Lines = {}
    for number, line in enumerate(output.splitlines()):
        name, _, rest = line.partition(": ")
        head, separator, more = rest.partition(": ")  # a name may have one colon
        if separator and "=" not in head:
            name, rest = f"{name}: {head}", more
        if name in repeated or "=" not in rest:
            lines[f"{number} {name}"] = {"text": rest}
            continue
        assert name not in lines, f"two lines have the name {name!r}"
        lines[name] = dict(field.split("=", 1) if "=" in field else ("level", field) for field in rest.split())
    return lines


def output_here(guest: Path, model: str, el: int = 1) -> str:
    """What the guest prints on armvcpu."""
    console = MemoryConsole()
    with Machine(guest, console=console, cpu_model=model, el=el) as machine:
        outcome = machine.run(timeout=TIMEOUT)
    assert outcome.ok, outcome
    return console.output.decode()


def output_of_qemu(guest: Path, machine: str, cpu: str) -> str:
    """What the guest prints on QEMU, with these values of its options -M and -cpu."""
    try:
        qemu = programs.path(QEMU)
    except UsageError as error:
        pytest.fail(str(error), pytrace=False)
    board = ("-M", machine, "-m", "256", "-nographic", "-nic", "none")
    done = subprocess.run(
        [qemu, *board, "-cpu", cpu, "-kernel", str(guest)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=TIMEOUT,
        check=True,
    )
    return done.stdout.decode()


def differing(ours: dict[str, str], theirs: dict[str, str]) -> set[str]:
    """The names of the fields that one has and the other has not, or has otherwise."""
    return {field for field in ours.keys() | theirs.keys() if ours.get(field) != theirs.get(field)}


def problems(
    ours: Lines, theirs: Lines, expected: list[Expected], usual: frozenset[str] | None = None
) -> list[str]:
    """One line of text for each difference without a reason, and for each reason without a difference.

    A row without fields is about those of `usual`, or about all where that is not given.
    """
    found = []
    matched: set[str] = set()
    for name in dict.fromkeys([*theirs, *ours]):
        one, other = ours.get(name, {}), theirs.get(name, {})
        different = differing(one, other)
        for row in expected:
            if "text" in other or not re.fullmatch(row.pattern, name):
                continue
            matched.add(row.pattern)
            explained = different & (row.fields or usual or different)
            if not explained:
                found.append(f"{name}: no longer differs, so take it out of EXPECTED: {row.reason}")
            different -= explained
        fields = (
            f"{field} {one.get(field)}, QEMU {other.get(field)}" for field in {**other, **one} if field in different
        )
        if different:
            found.append(f"{name}: {'; '.join(fields)}")
    return found + [f"no line is {row.pattern!r}" for row in expected if row.pattern not in matched]


def fail_with(found: list[str], lines: int) -> None:
    """Fail, and show the first problems."""
    if found:
        shown = "\n".join([*found[:SHOWN], *([f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else [])])
        pytest.fail(f"{len(found)} of {lines} lines, armvcpu's value first:\n{shown}", pytrace=False)
