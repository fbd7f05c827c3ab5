"""Measuring in pairs: this, then that, several rounds, and the median of the ratios.

Machines are shared and drift; a ratio of two neighbouring runs holds where a single time does not.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.rows import paired

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.rows import Pair


@dataclass(frozen=True)
class Cost:
    """One run of a command: CPU and wall seconds, its output."""

    cpu: float
    wall: float
    output: str


def environment() -> dict[str, str]:
    """The process's own, with Python's byte code kept: what is measured is not its compiler."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def run(command: list[str], stdin: str = "", expect: str = "") -> Cost:
    """Run a command to its end; RuntimeError where its output lacks `expect`."""
    with tempfile.TemporaryFile("w+") as source:
        source.write(stdin)
        source.seek(0)
        start = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment()
        )
        assert process.stdout is not None
        output = process.stdout.read().decode(errors="replace")
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    if expect not in output:
        raise RuntimeError(f"{command[0]} did not print {expect!r}; its output ends in {output[-300:]!r}")
    return Cost(usage.ru_utime + usage.ru_stime, wall, output)


def first_byte(command: list[str]) -> float:
    """Wall seconds from start to the first byte of output."""
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment()
    ) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        elapsed = time.perf_counter() - start
        process.stdout.read()
    return elapsed


def pair(
    name: str,
    ours: Callable[[], float],
    theirs: Callable[[], float],
    rounds: int,
    unit: str = "s",
    limit: float | None = None,
    beside: str = "QEMU",
) -> Pair:
    """Measure both in turn; a first round warms up and does not count."""
    ours(), theirs()
    return paired(name, [(ours(), theirs()) for _ in range(rounds)], unit, limit, beside)
