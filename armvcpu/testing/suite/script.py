"""The script of a suite's test: what the guest is to print, and what is typed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from armvcpu.errors import UsageError

STEPS = ("expect", "expect_exact", "send", "sendline", "wait")


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a script: what to do, with what, and the patience for it in seconds."""

    kind: str
    text: str
    timeout: float | None = None


def script_of(steps: Any, where: str) -> tuple[Step, ...]:
    """The steps; UsageError with `where` for what is none."""
    if not isinstance(steps, list):
        raise UsageError(f"{where}: script is a list of steps")
    made = []
    for number, step in enumerate(steps, 1):
        kinds = [kind for kind in STEPS if isinstance(step, dict) and kind in step]
        if len(kinds) != 1 or set(step) - {kinds[0], "timeout"}:
            raise UsageError(f"{where}: step {number} is none of {', '.join(STEPS)}, each perhaps with a timeout")
        value, timeout = step[kinds[0]], step.get("timeout")
        if kinds[0] == "wait":
            value = str(seconds_of(value, f"{where}: step {number}"))
        if not isinstance(value, str):
            raise UsageError(f"{where}: step {number}: {value!r} is no text")
        if kinds[0] == "expect":
            check_pattern(value, f"{where}: step {number}")
        made.append(Step(kinds[0], value, None if timeout is None else seconds_of(timeout, f"{where}: step {number}")))
    return tuple(made)


def seconds_of(value: Any, where: str) -> float:
    """A time; UsageError for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1e9:
        raise UsageError(f"{where}: {value!r} is no time in seconds")
    return float(value)


def check_pattern(pattern: str, where: str) -> None:
    """UsageError for what is no regular expression."""
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise UsageError(f"{where}: {pattern[:60]!r} is no regular expression: {error}") from error
