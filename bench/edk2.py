"""EDK2 to its shell and off: CPU seconds, less those in which the firmware only waits for time to pass.

It waits by polling CNTVCT_EL0, which costs both sides the same seconds. How many there are is counted by the
instruction clock.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect

from armvcpu.testing.firmware import fetch, path
from armvcpu.testing.target import Target
from bench.pairs import environment, pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.pairs import Pair

COUNTDOWN, SHELL, OFF = "any other key to continue", "Shell> ", "reset -s\r"


def edk2(rounds: int, armvcpu: str, qemu: list[str]) -> Iterator[Pair]:
    """One row."""
    fetch("edk2")
    code, variables = str(path("edk2", "AAVMF_CODE.fd")), path("edk2", "AAVMF_VARS.fd")
    with tempfile.TemporaryDirectory() as directory:
        own = Path(directory) / "vars.fd"
        shutil.copy(variables, own)
        waits = waiting_seconds(code, own)
        ours = [armvcpu, "run", "--firmware", code, "--vars", str(own)]
        theirs = [*qemu, "-drive", f"if=pflash,format=raw,readonly=on,file={code}"]
        theirs += ["-drive", f"if=pflash,format=raw,file={own}"]

        def work(command: list[str]) -> float:
            shutil.copy(variables, own)
            return cpu_seconds(command) - waits

        yield pair(f"EDK2 to its shell and off, CPU less {waits:.2f} s of waits", lambda: work(ours),
                   lambda: work(theirs), rounds, "s", 1.2)  # fmt: skip


def cpu_seconds(command: list[str]) -> float:
    """Of one run."""
    child = pexpect.spawn(command[0], command[1:], env=environment(), timeout=120)
    for awaited, answer in ((COUNTDOWN, "\x1b"), (SHELL, OFF)):
        child.expect_exact(awaited)
        child.send(answer)
    child.expect(pexpect.EOF)
    _, _, usage = os.wait4(child.pid, 0)
    return usage.ru_utime + usage.ru_stime


def waiting_seconds(code: str, variables: Path) -> float:
    """How long the firmware polls the counter."""
    waited = 0

    def note_read(pc: int) -> bool:
        nonlocal waited
        before = clock.ns()
        passes = noted(pc)
        waited += clock.ns() - before
        return passes

    with Target(firmware=code, vars=variables, record=False, clock="instructions") as target:
        clock = target.clock
        noted, clock.note_read = clock.note_read, note_read  # type: ignore[method-assign]
        for awaited, answer in ((COUNTDOWN, "\x1b"), (SHELL, OFF)):
            target.expect_exact(awaited)
            target.send(answer)
        target.finish()
    return waited / 1e9
