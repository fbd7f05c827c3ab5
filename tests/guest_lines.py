"""What a guest says here and on QEMU 7.2, line by line, and for which differences there is a reason.

A line is `name: field=value field=value`. A difference is a problem unless a row gives the reason, and so is a row
where there is no difference any more.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from armvcpu.errors import UsageError
from armvcpu.machine.console.port import MemoryConsole
from armvcpu.machine.machine import Machine
from armvcpu.testing.firmware import programs

if TYPE_CHECKING:
    from pathlib import Path

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
    els: tuple[int, ...] = (2, 3)


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


def output_here(guest: Path, model: str, **options: Any) -> str:
    """What the guest prints on armvcpu."""
    console = MemoryConsole()
    with Machine(guest, console=console, cpu_model=model, **options) as machine:
        outcome = machine.run(timeout=TIMEOUT)
    assert outcome.ok, outcome
    return console.output.decode()


def output_of_qemu(guest: Path, machine: str, cpu: str, *more: str) -> str:
    """What the guest prints on QEMU, with these values of its options -M and -cpu, and more arguments."""
    try:
        qemu = programs.path(QEMU)
    except UsageError as error:
        pytest.fail(str(error), pytrace=False)
    board = ("-M", machine, "-m", "256", "-nographic", "-nic", "none")
    done = subprocess.run(
        [qemu, *board, *more, "-cpu", cpu, "-kernel", str(guest)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=TIMEOUT,
        check=True,
    )
    return done.stdout.decode()


def differing(ours: dict[str, str], theirs: dict[str, str]) -> set[str]:
    """The names of the fields that one has and the other has not, or has otherwise."""
    return {field for field in ours.keys() | theirs.keys() if ours.get(field) != theirs.get(field)}


def problems(ours: Lines, theirs: Lines, expected: list[Expected], usual: frozenset[str] | None = None) -> list[str]:
    """One line of text for each difference without a reason, and for each reason without a difference.

    A row without fields is about those of `usual`, and each line that it names differs. Where that is not given it is
    about all fields, and one of its lines differs.
    """
    found, explained_by, named = [], set(), set()
    for name in dict.fromkeys([*theirs, *ours]):
        one, other = ours.get(name, {}), theirs.get(name, {})
        different = differing(one, other)
        for row in expected:
            if "text" in {**one, **other} or not re.fullmatch(row.pattern, name):
                continue
            named.add(row.pattern)
            explained = different & (row.fields or usual or different)
            if explained:
                explained_by.add(row.pattern)
            elif usual is not None:
                found.append(f"{name}: no longer differs, so take it out of EXPECTED: {row.reason}")
            different -= explained
        fields = (
            f"{field} {one.get(field)}, QEMU {other.get(field)}" for field in {**other, **one} if field in different
        )
        if different:
            found.append(f"{name}: {'; '.join(fields)}")
    found += [f"no line is {row.pattern!r}" for row in expected if row.pattern not in named]
    if usual is None:
        left = (row for row in expected if row.pattern in named - explained_by)
        found += [f"no line of {row.pattern!r} differs, so take it out of EXPECTED" for row in left]
    return found


def fail_with(found: list[str], lines: int) -> None:
    """Fail, and show the first problems."""
    if found:
        shown = "\n".join([*found[:SHOWN], *([f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else [])])
        pytest.fail(f"{len(found)} of {lines} lines, armvcpu's value first:\n{shown}", pytrace=False)
